// What only a fake cluster shows: connections, requests and their bytes, and faults.

import { Outcome, choice, count, element, field, moment, plural, size, walkable } from "./dom.js";
import { act, ask } from "./live.js";
import { LiveTable } from "./table.js";

const MOST = 500;

export function connections(page) {
  const table = new LiveTable("Connections", [
    { title: "Connection", by: (one) => one.number, cell: (one) => String(one.number) },
    { title: "Server", cell: (one) => one.server },
    { title: "Client", cell: (one) => one.peer },
    { title: "Certificate of", wide: true, cell: (one) => one.principal || "–" },
  ], { empty: "Nobody is connected. (This page does not count.)" });
  page.listen({ view: "connections" }, { connections: (news) => table.update(news) });
  return { nodes: [element("div", { className: "bar" }, element("h1", {}, "Connections")), table.node] };
}

export function requests(page) {
  return { nodes: new Requests(page).nodes };
}

const WAYS = { request: "→", reply: "←", push: "⇠" };

class Requests {
  #paused = false;
  #held = [];
  #missed = 0;

  constructor(page) {
    this.body = element("tbody");
    walkable(this.body);
    this.note = element("p", { className: "note progress" }, "No request yet.");
    this.filter = element("input", {
      type: "search",
      placeholder: "Call, server or client",
      "aria-label": "Show requests with this text",
      oninput: () => this.#filterAll(),
    });
    this.pause = element("button", { type: "button", onclick: () => this.#toggle() }, "Pause");
    this.frame = element("section", { className: "bytes", "aria-label": "The chosen frame" });
    const titles = ["Frame", "Time", "Server", "Connection", "Call", "Version", "Client", "Size"];
    const look = ["", "wide time", "", "", "", "wide", "wide", "number"];
    const head = titles.map((title, index) => element("th", { scope: "col", className: look[index] }, title));
    const table = element("table", {}, element("caption", {}, "Requests: Enter shows the bytes"),
      element("thead", {}, element("tr", {}, head)), this.body);
    const forget = () => act("DELETE", "/control/journal")
      .then(() => this.body.replaceChildren(), (error) => { this.note.textContent = error.message; });
    this.nodes = [
      element("div", { className: "bar" }, element("h1", {}, "Requests"), this.filter, this.pause,
        element("button", { type: "button", onclick: forget }, "Forget all")),
      this.note,
      element("div", { className: "split" }, element("div", { className: "frame tall" }, table), this.frame),
    ];
    page.listen({ view: "requests" }, {
      open: () => this.body.replaceChildren(),
      log: (news) => this.#take(news),
    });
  }

  #take({ lines, came }) {
    this.#missed += came - lines.length;
    this.#held = [...this.#held, ...lines].slice(-MOST);
    if (!this.#paused) this.#flush();
    else this.note.textContent = `Paused; ${plural(this.#held.length, "frame")} waiting to be shown.`;
  }

  #flush() {
    this.body.prepend(...this.#held.map((line) => this.#row(line)).reverse());
    this.#held = [];
    while (this.body.children.length > MOST) this.body.lastElementChild.remove();
    if (!this.body.querySelector(":scope > [tabindex='0']") && this.body.firstElementChild) {
      this.body.firstElementChild.tabIndex = 0;
    }
    this.note.textContent = this.#missed
      ? `${plural(this.#missed, "frame")} not shown: only the newest are taken where there are many.` : "";
  }

  #row(line) {
    const way = element("span", { title: line.direction, className: `way ${line.direction}` },
      WAYS[line.direction]);
    const row = element("tr", { tabIndex: -1, className: "opens" },
      element("td", {}, String(line.number)),
      element("td", { className: "wide time" }, moment(line.time * 1000)),
      element("td", {}, line.server),
      element("td", {}, String(line.connection)),
      element("td", {}, way, " ", line.api),
      element("td", { className: "wide" }, String(line.version)),
      element("td", { className: "wide" }, line.client),
      element("td", { className: "number" }, size(line.size)));
    row.words = `${line.api} ${line.server} ${line.client} ${line.direction}`.toLowerCase();
    this.#filterOne(row);
    const open = () => this.#open(row, line.number);
    row.addEventListener("click", open);
    row.addEventListener("keydown", (event) => event.key === "Enter" && open());
    return row;
  }

  #filterAll() {
    for (const row of this.body.children) this.#filterOne(row);
  }

  #filterOne(row) {
    row.hidden = !row.words.includes(this.filter.value.toLowerCase());
  }

  #toggle() {
    this.#paused = !this.#paused;
    this.pause.textContent = this.#paused ? "Go on" : "Pause";
    this.pause.setAttribute("aria-pressed", String(this.#paused));
    if (!this.#paused) this.#flush();
  }

  async #open(row, number) {
    for (const other of this.body.querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
    row.setAttribute("aria-current", "true");
    try {
      this.frame.replaceChildren(...bytesOf(await ask(`/api/frames/${number}`)));
    } catch (error) {
      this.frame.replaceChildren(element("p", { className: "outcome wrong" }, error.message));
    }
  }
}

function bytesOf(frame) {
  const rows = frame.parts.map((part) => {
    const shown = part.hex.length ? (part.hex.length + 1) / 3 : 0;
    const more = part.size > shown && shown ? ` … ${plural(part.size - shown, "byte")} more` : "";
    return element("tr", { className: part.unpacked ? "unpacked" : "" },
      element("td", { className: "number" }, part.start.toString(16).padStart(4, "0")),
      element("td", {}, element("code", { className: "hex" }, part.hex + more)),
      element("td", {}, breakable(part.path || "?")),
      element("td", {}, part.value));
  });
  const head = ["At", "Bytes", "Field", "Value"].map((title) => element("th", { scope: "col" }, title));
  const notes = [];
  if (frame.problem) notes.push(element("p", { className: "outcome wrong" }, frame.problem));
  if (frame.left_off) notes.push(element("p", { className: "note" }, `${plural(frame.left_off, "part")} more.`));
  if (frame.parts.some((part) => part.unpacked)) {
    notes.push(element("p", { className: "note" }, "Lines with a bar are decompressed from the blob above."));
  }
  return [
    element("h2", {}, `Frame ${frame.number}: ${frame.direction} of ${frame.api} version ${frame.version}`),
    ...notes,
    element("div", { className: "frame tall", tabIndex: 0 },
      element("table", {}, element("thead", {}, element("tr", {}, head)), element("tbody", {}, rows))),
  ];
}

/** A path that may go on in a new line behind each of its dots. */
function breakable(path) {
  const pieces = path.split(/(?<=\.)/);
  return pieces.flatMap((piece, index) => index ? [element("wbr"), piece] : [piece]);
}

export function faults(page) {
  const outcome = new Outcome();
  const remove = (id) => outcome.of(() => act("DELETE", `/control/faults/${id}`), `Fault ${id} is gone.`);
  const release = (id) => outcome.of(() => act("POST", `/control/faults/${id}/release`),
    `What fault ${id} held goes on.`);
  const button = (text, done) => element("button", { type: "button", className: "small", onclick: done }, text);
  const table = new LiveTable("Faults", [
    { title: "Fault", by: (one) => one.id, cell: (one) => String(one.id) },
    { title: "What", cell: (one) => [one.action.do, ...words(one.action, "do")].join(", ") },
    { title: "Where", cell: (one) => words(one.match).join(", ") || "everywhere" },
    { title: "Times", numeric: true, by: (one) => one.times ?? Infinity, cell: (one) => one.times ?? "for ever" },
    { title: "Acted", numeric: true, by: (one) => one.hits, cell: (one) => count(one.hits) },
    { title: "", cell: (one) => element("span", { className: "buttons" },
      one.held ? button(`Release ${one.held}`, () => release(one.id)) : null,
      button("Remove", () => remove(one.id))) },
  ], { empty: "Nothing goes wrong." });
  page.listen({ view: "faults" }, {
    faults(news) {
      for (const [id, row] of Object.entries(news.rows)) row.id = Number(id);
      table.update(news);
    },
  });
  const form = element("div", { className: "panel" }, "Loading…");
  ask("/api/faults").then((told) => form.replaceChildren(new FaultForm(told, outcome).node),
    (error) => outcome.tell(error.message, true));
  return { nodes: [element("div", { className: "bar" }, element("h1", {}, "Faults")), form, outcome.node, table.node] };
}

function words(fields, ...without) {
  return Object.entries(fields).filter(([name]) => !without.includes(name)).map(([name, value]) =>
    `${name.replaceAll("_", " ")} ${typeof value === "object" ? JSON.stringify(value) : value}`);
}

/** A server as a fault names it, by what the lists here call it; any other text is for the fake to refuse. */
function serverOf(text) {
  const [, id] = /^(?:spu )?(\d+)$/i.exec(text.trim()) ?? [];
  if (id !== undefined) return Number(id);
  return text.trim().toUpperCase() === "SC" ? "SC" : text;
}

/** What goes wrong, where, and how often: a form made of what the fake can do. */
class FaultForm {
  constructor({ actions, calls, codes, moments }, outcome) {
    this.actions = actions;
    this.codes = codes;
    this.outcome = outcome;
    this.does = element("p", { className: "note" });
    this.fields = element("div", { className: "form" });
    this.action = choice(actions.map((action) => action.name),
      { name: "action", onchange: () => this.#actionChosen() });
    this.match = {
      api: choice([["", "any"], ...calls], { name: "api" }),
      server: element("input", { name: "server", placeholder: "any", size: 6 }),
      topic: element("input", { name: "topic", placeholder: "any", size: 10 }),
      partition: element("input", { name: "partition", type: "number", min: 0, placeholder: "any" }),
      client_id: element("input", { name: "client_id", placeholder: "any", size: 10 }),
      connection: element("input", { name: "connection", type: "number", min: 1, placeholder: "any" }),
      nth: element("input", { name: "nth", type: "number", min: 1, placeholder: "1" }),
      moment: choice([["", "as usual"], ...moments], { name: "moment" }),
    };
    this.times = element("input", { name: "times", type: "number", min: 1, placeholder: "for ever", value: 1 });
    const labels = { api: "Call", server: "Server", topic: "Topic", partition: "Partition",
      client_id: "Client id", connection: "Connection", nth: "From the nth on", moment: "When" };
    this.action.value = "AnswerError";
    this.node = element("form", { onsubmit: (event) => this.#plant(event) },
      element("div", { className: "form" }, field("What goes wrong", this.action), field("Times", this.times)),
      this.does, this.fields,
      element("div", { className: "form" }, Object.entries(this.match).map(([name, control]) =>
        field(labels[name], control)),
      element("button", { type: "submit", className: "primary" }, "Plant")));
    this.#actionChosen();
  }

  get chosen() {
    return this.actions.find((action) => action.name === this.action.value);
  }

  #actionChosen() {
    this.does.textContent = this.chosen.does;
    this.controls = this.chosen.fields.map((one) => [one, this.#control(one)]);
    this.fields.replaceChildren(...this.controls.map(([one, control]) =>
      field(one.name.replaceAll("_", " "), control)));
  }

  #control(one) {
    if (one.type === "ErrorCode") return choice(this.codes, { name: one.name });
    const type = one.type === "str" || one.type === "bytes" ? "text" : "number";
    return element("input", { name: one.name, type, step: one.type === "float" ? "any" : 1,
      required: one.required, placeholder: one.default === null ? "" : String(one.default) });
  }

  #fault() {
    const action = { do: this.action.value };
    for (const [one, control] of this.controls) {
      if (control.value === "") continue;
      if (one.type === "ErrorCode") action[one.name] = { code: control.value };
      else action[one.name] = control.type === "number" ? Number(control.value) : control.value;
    }
    const match = {};
    for (const [name, control] of Object.entries(this.match)) {
      if (control.value === "") continue;
      if (name === "server") match[name] = serverOf(control.value);
      else match[name] = control.type === "number" ? Number(control.value) : control.value;
    }
    return { match, action, times: this.times.value === "" ? null : Number(this.times.value) };
  }

  async #plant(event) {
    event.preventDefault();
    const fault = this.#fault();
    await this.outcome.of(() => act("POST", "/control/faults", { fault, optional: true }),
      ({ id }) => `Fault ${id} is planted.`);
  }
}
