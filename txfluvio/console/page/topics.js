// All topics.

import { count, element, size } from "./dom.js";
import { LiveTable } from "./table.js";

const COLUMNS = [
  {
    title: "Topic",
    by: (topic) => topic.name,
    cell: (topic) => [
      element("a", { href: `#/topics/${encodeURIComponent(topic.name)}` }, topic.name),
      topic.system ? element("span", { className: "tag" }, "system") : null,
      topic.mirror ? element("span", { className: "tag" }, "mirror") : null,
    ].filter(Boolean).reduce((list, node) => (list.append(node, " "), list), element("span")),
  },
  {
    title: "Partitions",
    numeric: true,
    by: (topic) => topic.partitions,
    cell: (topic) => topic.online < topic.partitions
      ? element("span", { className: "bad" }, `${topic.online} of ${topic.partitions} online`)
      : count(topic.partitions),
  },
  { title: "Records", numeric: true, by: (topic) => topic.records, cell: (topic) => count(topic.records) },
  { title: "Size", numeric: true, by: (topic) => topic.size, cell: (topic) => size(topic.size) },
  { title: "Replicas", numeric: true, wide: true, by: (topic) => topic.replication ?? 0,
    cell: (topic) => count(topic.replication) },
  { title: "Leaders", wide: true, cell: (topic) => topic.leaders.slice(0, 6).join(", ") +
    (topic.leaders.length > 6 ? ", …" : "") },
  { title: "Compression", wide: true, cell: (topic) => topic.compression },
  { title: "State", wide: true, cell: (topic) => topic.state.replaceAll("_", " ") },
];

export function topics(page) {
  const table = new LiveTable("Topics", COLUMNS, {
    empty: "There are no topics.",
    find: (topic) => topic.name,
  });
  const total = element("span", { className: "quiet" });
  const filter = element("input", {
    type: "search",
    placeholder: "Part of a name",
    "aria-label": "Show topics with this in their name",
    oninput: () => table.filter(filter.value),
  });
  page.listen({ view: "topics" }, {
    topics(news) {
      table.update(news);
      total.textContent = count(news.total);
    },
  });
  const bar = element("div", { className: "bar" }, element("h1", {}, "Topics ", total), filter);
  return { nodes: [bar, table.node] };
}
