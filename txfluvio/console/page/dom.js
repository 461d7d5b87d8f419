// Elements and words. Whatever comes from a cluster becomes a text node here, never markup.

/** An element with properties and children; a child that is no node becomes text. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list") made[name] = value;
    else if (value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** A labelled field of a form. */
export function field(label, control, hint = null) {
  return element("label", { className: "field" }, element("span", {}, label), control, hint);
}

/** A choice: its options are texts, or pairs of value and text. */
export function choice(options, properties = {}) {
  const made = options.map((option) => {
    const [value, text] = Array.isArray(option) ? option : [option, option];
    return element("option", { value }, text);
  });
  return element("select", properties, made);
}

const numbers = new Intl.NumberFormat("en");

export function count(number) {
  return number === null || number === undefined ? "–" : numbers.format(number);
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB", "PB"];
  let left = bytes / 1000;
  let unit = 0;
  while (left >= 999.5 && unit < units.length - 1) {
    left /= 1000;
    unit += 1;
  }
  return `${left < 10 ? left.toFixed(1) : Math.round(left)} ${units[unit]}`;
}

/** The time of day, with the date where it is not today's. */
export function moment(milliseconds) {
  if (milliseconds === null || milliseconds === undefined || milliseconds < 0) return "–";
  const at = new Date(milliseconds);
  if (Number.isNaN(at.getTime())) return "–";
  const pad = (number, digits = 2) => String(number).padStart(digits, "0");
  const clock = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  const whole = `${clock}.${pad(at.getMilliseconds(), 3)}`;
  if (at.toDateString() === new Date().toDateString()) return whole;
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${whole}`;
}

/** A word about what was done, or what went wrong with it. */
export class Outcome {
  constructor() {
    this.node = element("p", { className: "outcome", role: "status" });
  }

  tell(text, wrong = false) {
    this.node.textContent = text;
    this.node.classList.toggle("wrong", wrong);
  }

  /** Do something, and tell how it went. */
  async of(work, done) {
    try {
      const answer = await work();
      this.tell(typeof done === "function" ? done(answer) : done);
      return answer;
    } catch (error) {
      this.tell(error.message, true);
      return null;
    }
  }
}

/** Let the arrow keys go from row to row, so that a long list is one stop of the tab key. */
export function walkable(body) {
  body.addEventListener("keydown", (event) => {
    const row = event.target;
    if (row.parentElement !== body) return;
    const steps = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" };
    let next = row[steps[event.key]];
    while (next && next.tabIndex < -1) next = next[steps[event.key]];
    if (event.key === "Home") next = body.firstElementChild;
    if (event.key === "End") next = body.lastElementChild;
    if (next) {
      event.preventDefault();
      next.focus();
    }
  });
  body.addEventListener("focusin", (event) => {
    for (const row of body.querySelectorAll(":scope > [tabindex='0']")) row.tabIndex = -1;
    if (event.target.parentElement === body) event.target.tabIndex = 0;
  });
}
