// One topic: its partitions, its records as they come, and a box to produce.

import { Outcome, choice, count, element, field, moment, plural, size, walkable } from "./dom.js";
import { act, ask } from "./live.js";
import { LiveTable } from "./table.js";
import { FORMS, base64Of, fromHex, shown } from "./values.js";

const MOST = 500;

export function topic(page, name) {
  const partitions = new Partitions(page, name);
  const records = new Records(page, name, partitions);
  const bar = element("div", { className: "bar" },
    element("h1", {}, element("a", { href: "#/topics" }, "Topics"), " / ", name));
  const parts = [bar, partitions.node, records.node];
  if (page.status.writes) parts.splice(2, 0, new ProduceBox(name, partitions).node);
  records.listen();
  const ticking = setInterval(() => records.tell(), 1000);
  return { nodes: parts, close: () => clearInterval(ticking) };
}

class Partitions {
  #moves = new Outcome();
  #waiting = [];

  constructor(page, topic) {
    this.topic = topic;
    const columns = [
      { title: "Partition", by: (one) => one.number, cell: (one) => String(one.number) },
      { title: "Leader", by: (one) => one.leader, cell: (one) => String(one.leader) },
      { title: "Records", numeric: true, by: (one) => one.high_watermark ?? 0,
        cell: (one) => count(one.high_watermark) },
      { title: "Log end", numeric: true, wide: true, by: (one) => one.log_end ?? 0,
        cell: (one) => count(one.log_end) },
      { title: "Size", numeric: true, by: (one) => one.size ?? 0, cell: (one) => size(one.size) },
      { title: "Replicas", wide: true, cell: (one) => replicas(one) },
      { title: "State", cell: (one) => one.state === "online" ? "online"
        : element("span", { className: "bad" }, one.state.replaceAll("_", " ")) },
    ];
    if (page.status.fake) columns.push({ title: "", cell: (one) => this.#mover(one) });
    this.table = new LiveTable("Partitions", columns, { empty: "There is no such topic." });
    this.node = element("section", {}, this.table.node, this.#moves.node);
  }

  update(news) {
    this.table.update(news);
    for (const tell of this.#waiting) tell(this.numbers);
  }

  get numbers() {
    return [...this.table.rows.values()].map((one) => one.number).sort((a, b) => a - b);
  }

  /** Call with the numbers of the partitions whenever these may have changed. */
  watch(tell) {
    this.#waiting.push(tell);
  }

  #mover(partition) {
    const others = partition.replicas.filter((spu) => spu !== partition.leader);
    if (!others.length) return "";
    const move = (spu) => this.#moves.of(
      () => act("POST", `/control/topics/${encodeURIComponent(this.topic)}/leader`,
        { partition: partition.number, to: spu }),
      `SPU ${spu} leads partition ${partition.number}.`,
    );
    return element("span", { className: "buttons" }, others.map((spu) =>
      element("button", { type: "button", className: "small", onclick: () => move(spu) },
        `Lead by ${spu}`)));
  }
}

function replicas(partition) {
  const behind = new Map(partition.followers.map((one) => [one.spu, one.log_end]));
  return partition.replicas.map((spu) => {
    const missing = (partition.log_end ?? 0) - (behind.get(spu) ?? partition.log_end ?? 0);
    return missing > 0 ? `${spu} (${count(missing)} behind)` : String(spu);
  }).join(", ");
}

/** Keep a choice of partitions as the topic has them. */
function partitionChoice(partitions, first, properties) {
  const made = choice([["", first]], properties);
  partitions.watch((numbers) => {
    const before = made.value;
    if (made.options.length === numbers.length + 1) return;
    made.replaceChildren(element("option", { value: "" }, first),
      ...numbers.map((number) => element("option", { value: number }, String(number))));
    made.value = before;
  });
  return made;
}

class ProduceBox {
  #outcome = new Outcome();

  constructor(topic, partitions) {
    this.topic = topic;
    this.key = element("input", { type: "text", name: "key", autocomplete: "off", placeholder: "none" });
    this.value = element("textarea", { name: "value", rows: 2 });
    this.form = choice([["text", "text"], ["json", "JSON"], ["hex", "hex"]], { name: "form" });
    this.partition = partitionChoice(partitions, "any", { name: "partition" });
    const box = element("form", { className: "form", onsubmit: (event) => this.#send(event) },
      field("Key", this.key), field("Partition", this.partition), field("Value is", this.form),
      element("label", { className: "field long" }, element("span", {}, "Value"), this.value),
      element("button", { type: "submit", className: "primary" }, "Produce"), this.#outcome.node);
    this.node = element("details", { className: "panel" }, element("summary", {}, "Produce"), box);
  }

  async #send(event) {
    event.preventDefault();
    await this.#outcome.of(
      () => act("POST", `/api/topics/${encodeURIComponent(this.topic)}/records`, {
        key: this.key.value || null,
        value: this.#given(),
        partition: this.partition.value === "" ? null : Number(this.partition.value),
      }),
      (stored) => `Stored in partition ${stored.partition} at offset ${stored.offset}.`,
    );
  }

  #given() {
    const text = this.value.value;
    if (this.form.value === "hex") return { base64: base64Of(fromHex(text)) };
    if (this.form.value === "json") {
      try {
        JSON.parse(text);
      } catch (error) {
        throw new Error(`This is no JSON: ${error.message}`);
      }
    }
    return text;
  }
}

class Records {
  #places = {};
  #held = [];
  #paused = false;
  #rate = new Rate();
  #told = null;

  constructor(page, topic, partitions) {
    this.page = page;
    this.topic = topic;
    this.partitions = partitions;
    const again = { onchange: () => this.listen() };
    this.from = choice([["last-50", "the last 50"], ["beginning", "the beginning"], ["offset", "an offset"]],
      { onchange: () => this.#startChanged() });
    this.offset = element("input", { type: "number", min: 0, value: 0, hidden: true,
      "aria-label": "Offset to start at", ...again });
    this.partition = partitionChoice(partitions, "all", again);
    this.filter = element("input", { type: "search", placeholder: "Text in key or value", ...again });
    this.follow = element("input", { type: "checkbox", checked: true, ...again });
    this.form = choice(FORMS, { onchange: () => this.#redraw() });
    this.pause = element("button", { type: "button", onclick: () => this.#setPaused(!this.#paused) }, "Pause");
    this.more = element("button", { type: "button", hidden: true, onclick: () => this.listen(this.#places) },
      "Next 200");
    this.note = element("p", { className: "note progress" });
    this.body = element("tbody");
    walkable(this.body);
    const head = ["Partition", "Offset", "Time", "Key", "Value"].map((title, index) =>
      element("th", { scope: "col", className: index === 1 ? "number" : index === 2 ? "wide" : "" }, title));
    const table = element("table", { className: "records" },
      element("caption", {}, "Records: Enter opens one"), element("thead", {}, element("tr", {}, head)), this.body);
    this.node = element("section", {},
      element("div", { className: "bar" }, element("h2", {}, "Records"), this.pause),
      element("div", { className: "form" }, field("From", this.from), this.offset,
        field("Partition", this.partition), field("With", this.filter), field("Shown", this.form),
        element("label", { className: "check" }, this.follow, " Follow")),
      this.note, element("div", { className: "frame" }, table), this.more);
  }

  /** Begin to read: where the page says, or at places by partition. */
  listen(places = null) {
    const query = {
      view: "topic",
      topic: this.topic,
      from: this.from.value === "offset" ? this.offset.value || "0" : this.from.value,
      partition: this.partition.value,
      filter: this.filter.value,
      follow: this.follow.checked ? "1" : "0",
    };
    if (places !== null) query.places = JSON.stringify(places);
    const begin = () => {
      this.#places = places ?? {};
      this.#held = [];
      this.#rate = new Rate();
      this.#told = null;
      this.body.replaceChildren();
      this.more.hidden = true;
      this.note.textContent = "Reading…";
    };
    this.#setPaused(false);
    begin();
    this.page.listen(query, {
      open: begin,
      partitions: (news) => this.partitions.update(news),
      records: (news) => this.#take(news),
    });
  }

  #startChanged() {
    this.offset.hidden = this.from.value !== "offset";
    if (this.from.value !== "last-50") this.follow.checked = false;
    this.listen();
  }

  #setPaused(paused) {
    this.#paused = paused;
    this.pause.textContent = paused ? "Go on" : "Pause";
    this.pause.setAttribute("aria-pressed", String(paused));
    if (!paused) {
      this.#add(this.#held);
      this.#held = [];
    }
    this.tell();
  }

  #take(news) {
    this.#places = news.places;
    this.#rate.add(news);
    if (this.#paused) this.#held = [...this.#held, ...news.records].slice(-MOST);
    else this.#add(news.records);
    this.#told = news;
    this.more.hidden = !news.ended || !news.more;
    this.tell();
  }

  /** Say how it goes. */
  tell() {
    if (this.#told !== null) this.note.textContent = this.#words(this.#told);
  }

  #words({ ended, more, problem }) {
    if (problem) return `${problem} Trying again.`;
    const { seen, matched, shown, perSecond } = this.#rate;
    const filtered = this.filter.value ? `, ${count(matched)} with this text` : "";
    const read = `${plural(seen, "record")} read${filtered}`;
    const sampled = shown < matched ? ` A sample is shown: ${count(shown)} of ${count(matched)}.` : "";
    if (ended) return `${read}.${sampled}${more ? "" : " This is the end for now."}`;
    if (this.#paused) return `Paused; ${plural(this.#held.length, "record")} waiting to be shown.`;
    return `${read}, ${count(Math.round(perSecond))} a second now.${sampled}`;
  }

  #add(records) {
    const rows = records.map((record) => this.#row(record));
    if (this.follow.checked) this.body.prepend(...rows.reverse());
    else this.body.append(...rows);
    while (this.body.children.length > MOST) {
      (this.follow.checked ? this.body.lastElementChild : this.body.firstElementChild).remove();
    }
    if (!this.body.querySelector(":scope > [tabindex='0']") && this.body.firstElementChild) {
      this.body.firstElementChild.tabIndex = 0;
    }
  }

  #row(record) {
    const key = element("td", { className: "key" });
    const value = element("td", { className: "value" });
    const row = element("tr", { tabIndex: -1, className: "opens" },
      element("td", {}, String(record.partition)),
      element("td", { className: "number" }, String(record.offset ?? "–")),
      element("td", { className: "wide time" }, moment(record.timestamp)), key, value);
    row.draw = () => {
      fill(key, record.key, this.form.value);
      fill(value, record.value, this.form.value);
    };
    row.draw();
    const open = () => this.#toggle(row, record);
    row.addEventListener("click", () => getSelection().isCollapsed && open());
    row.addEventListener("keydown", (event) => {
      if (event.target === row && (event.key === "Enter" || event.key === " ")) {
        event.preventDefault();
        open();
      }
    });
    return row;
  }

  #redraw() {
    for (const row of this.body.children) row.draw?.();
  }

  async #toggle(row, record) {
    if (row.nextElementSibling?.classList.contains("opened")) {
      row.nextElementSibling.remove();
      row.setAttribute("aria-expanded", "false");
      return;
    }
    const text = element("pre", { tabIndex: 0 });
    const note = element("p", { className: "note" });
    const opened = element("tr", { className: "opened", tabIndex: -2 },
      element("td", { colSpan: 5 }, note, text));
    row.after(opened);
    row.setAttribute("aria-expanded", "true");
    let whole = record;
    opened.draw = () => {
      const value = whole.value;
      text.textContent = shown(value, this.form.value, true).text;
      const missing = value.size - Math.floor(value.data.replace(/=+$/, "").length * 3 / 4);
      note.textContent = `${size(value.size)}, ${moment(record.timestamp)}` +
        (missing > 0 ? `; the first ${size(value.size - missing)} are shown` : "");
    };
    opened.draw();
    const partial = atob(record.value.data).length < record.value.size;
    if (!partial || record.offset === null) return;
    note.textContent = "Fetching all of it…";
    try {
      const place = `${encodeURIComponent(this.topic)}/${record.partition}/${record.offset}`;
      whole = await ask(`/api/topics/${place}`);
      opened.draw();
    } catch (error) {
      note.textContent = error.message;
    }
  }
}

function fill(cell, value, form) {
  if (value === null) {
    cell.replaceChildren(element("span", { className: "quiet" }, "none"));
    return;
  }
  const { text, hex } = shown(value, form);
  cell.replaceChildren(element("code", { className: hex ? "hex" : "" }, text || " "));
  if (value.size > 400) cell.append(" ", element("span", { className: "tag" }, size(value.size)));
}

/** How many records come by, over the last two seconds. */
class Rate {
  #recent = [];
  seen = 0;
  matched = 0;
  shown = 0;

  add({ seen, matched, records }) {
    this.seen += seen;
    this.matched += matched;
    this.shown += records.length;
    const now = performance.now();
    this.#recent.push([now, seen]);
  }

  get perSecond() {
    const now = performance.now();
    this.#recent = this.#recent.filter(([at]) => now - at <= 2000);
    return this.#recent.reduce((sum, [, seen]) => sum + seen, 0) / 2;
  }
}
