// SPUs, and how far consumers are.

import { Outcome, count, element, moment } from "./dom.js";
import { act } from "./live.js";
import { LiveTable } from "./table.js";

export function spus(page) {
  const outcome = new Outcome();
  let running = { sc: true, spus: [] };
  const columns = [
    { title: "SPU", by: (spu) => spu.id, cell: (spu) => String(spu.id) },
    { title: "State", cell: (spu) => spu.online ? element("span", { className: "good" }, "online")
      : element("span", { className: "bad" }, "offline") },
    { title: "Address", cell: (spu) => spu.address },
    { title: "Leads", numeric: true, by: (spu) => spu.leads, cell: (spu) => count(spu.leads) },
    { title: "Holds", numeric: true, by: (spu) => spu.holds, cell: (spu) => count(spu.holds) },
    { title: "Rack", wide: true, cell: (spu) => spu.rack ?? "–" },
  ];
  const doing = (path, done) => () => outcome.of(() => act("POST", `/control/${path}`), done);
  const button = (text, path, done) =>
    element("button", { type: "button", className: "small", onclick: doing(path, done) }, text);
  if (page.status.fake) {
    columns.push({ title: "", cell: (spu) => spu.online
      ? button("Stop", `spus/${spu.id}/down`, `SPU ${spu.id} is down.`)
      : button("Start", `spus/${spu.id}/up`, `SPU ${spu.id} is up.`) });
  }
  const table = new LiveTable("SPUs", columns, { empty: "There are no SPUs." });
  const buttons = element("span", { className: "buttons" });
  const handlers = {
    spus: (news) => table.update(news),
    servers(told) {
      running = told;
      buttons.replaceChildren(
        running.sc ? button("Stop the SC", "sc/down", "The SC is down.")
          : button("Start the SC", "sc/up", "The SC is up."),
        button("Add an SPU", "spus", (made) => `SPU ${made.id} is there.`),
      );
    },
  };
  page.listen({ view: "spus" }, handlers);
  const bar = element("div", { className: "bar" }, element("h1", {}, "SPUs"), buttons);
  return { nodes: [bar, table.node, outcome.node] };
}

export function consumers(page) {
  const columns = [
    { title: "Consumer", cell: (one) => one.consumer },
    { title: "Topic", by: (one) => one.topic, cell: (one) =>
      element("a", { href: `#/topics/${encodeURIComponent(one.topic)}` }, one.topic) },
    { title: "Partition", by: (one) => one.partition, cell: (one) => String(one.partition) },
    { title: "Stored", numeric: true, by: (one) => one.offset, cell: (one) => count(one.offset) },
    { title: "Records", numeric: true, wide: true, by: (one) => one.end ?? 0, cell: (one) => count(one.end) },
    { title: "Lag", numeric: true, by: (one) => one.lag ?? -1, cell: (one) =>
      element("span", { className: one.lag ? "bad" : "good" }, count(one.lag)) },
    { title: "Since", wide: true, by: (one) => one.modified, cell: (one) => moment(one.modified * 1000) },
  ];
  const table = new LiveTable("Stored offsets", columns, {
    empty: "No consumer has stored an offset.",
    find: (one) => `${one.consumer} ${one.topic}`,
  });
  const problem = element("p", { className: "outcome wrong", role: "status" });
  const filter = element("input", {
    type: "search",
    placeholder: "Consumer or topic",
    "aria-label": "Show consumers and topics with this in their name",
    oninput: () => table.filter(filter.value),
  });
  page.listen({ view: "consumers" }, {
    consumers: (news) => table.update(news),
    problem: ({ text }) => {
      problem.textContent = text;
    },
  });
  const bar = element("div", { className: "bar" }, element("h1", {}, "Consumers"), filter);
  return { nodes: [bar, table.node, problem] };
}
