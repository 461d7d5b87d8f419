// Tables that stay up to date: only rows that change are drawn, and never more than fit a page.

import { count, element } from "./dom.js";

const MOST = 500;

/**
 * A table whose rows come from the console.
 * Columns have a `title`, a `cell` that makes a text or a node of a row, and perhaps `by`, what
 * they are sorted by, `numeric` and `wide`, which a narrow screen does without.
 */
export class LiveTable {
  #rows = new Map();
  #drawn = new Map();
  #total = 0;
  #needle = "";
  #ascending = true;

  constructor(label, columns, { empty, find, order = 0 } = {}) {
    this.columns = columns;
    this.find = find;
    this.order = columns[order];
    this.body = element("tbody");
    this.note = element("p", { className: "note" }, "Loading…");
    this.empty = empty ?? "There is nothing.";
    this.heads = columns.map((column) => this.#head(column));
    const head = element("thead", {}, element("tr", {}, this.heads));
    const table = element("table", {}, element("caption", {}, label), head, this.body);
    const frame = { className: "frame", tabIndex: 0, role: "region", "aria-label": label };
    this.node = element("div", {}, element("div", frame, table), this.note);
    this.#showOrder();
  }

  /** Take in what has changed. */
  update({ whole, rows, gone, total }) {
    if (whole) {
      this.#rows.clear();
      for (const row of this.#drawn.values()) row.node.remove();
      this.#drawn.clear();
    }
    for (const name of gone) this.#rows.delete(name);
    for (const [name, row] of Object.entries(rows)) this.#rows.set(name, row);
    this.#total = total;
    this.draw();
  }

  /** Show only rows that have a text. */
  filter(text) {
    this.#needle = text.toLowerCase();
    this.draw();
  }

  get rows() {
    return this.#rows;
  }

  draw() {
    const chosen = [...this.#rows].filter(([, row]) =>
      !this.#needle || this.find(row).toLowerCase().includes(this.#needle));
    const by = this.order.by ?? this.order.cell;
    const sign = this.#ascending ? 1 : -1;
    chosen.sort(([, one], [, other]) => sign * compared(by(one), by(other)));
    const wanted = chosen.slice(0, MOST);
    this.#drawRows(wanted);
    this.note.textContent = this.#words(chosen.length, wanted.length);
  }

  #drawRows(wanted) {
    const names = new Set(wanted.map(([name]) => name));
    for (const [name, { node }] of this.#drawn) {
      if (names.has(name)) continue;
      node.remove();
      this.#drawn.delete(name);
    }
    let place = this.body.firstElementChild;
    for (const [name, row] of wanted) {
      const node = this.#drawRow(name, row);
      if (node === place) place = place.nextElementSibling;
      else this.body.insertBefore(node, place);
    }
  }

  #drawRow(name, row) {
    const drawn = this.#drawn.get(name);
    if (drawn?.row === row) return drawn.node;
    const cells = this.columns.map((column) => {
      const made = column.cell(row);
      return element("td", { className: classes(column) }, made);
    });
    const node = drawn?.node ?? element("tr");
    const controls = () => [...node.querySelectorAll("a, button")];
    const focused = controls().indexOf(document.activeElement);
    node.replaceChildren(...cells);
    controls()[focused]?.focus();
    this.#drawn.set(name, { row, node });
    return node;
  }

  #words(found, drawn) {
    if (!this.#rows.size) return this.empty;
    if (!found) return "Nothing has this text.";
    if (drawn < found) return `${count(drawn)} of ${count(found)} are shown: narrow them by a text.`;
    if (this.#rows.size < this.#total) {
      return `${count(this.#rows.size)} of ${count(this.#total)} are here: there are too many for a page.`;
    }
    return "";
  }

  #head(column) {
    const sort = () => {
      this.#ascending = this.order === column ? !this.#ascending : true;
      this.order = column;
      this.#showOrder();
      this.draw();
    };
    const inside = column.title
      ? element("button", { type: "button", className: "sort", onclick: sort }, column.title)
      : element("span", { className: "hidden" }, "What can be done");
    return element("th", { scope: "col", className: classes(column) }, inside);
  }

  #showOrder() {
    this.columns.forEach((column, index) => {
      const way = this.#ascending ? "ascending" : "descending";
      this.heads[index].setAttribute("aria-sort", column === this.order ? way : "none");
    });
  }
}

function classes(column) {
  return [column.numeric && "number", column.wide && "wide"].filter(Boolean).join(" ");
}

function compared(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}
