// The frame of the page: which view is shown, how the cluster is, and the theme.

import { element } from "./dom.js";
import { Live } from "./live.js";
import { connections, faults, requests } from "./fake.js";
import { consumers, spus } from "./servers.js";
import { topics } from "./topics.js";
import { topic } from "./topic.js";

const VIEWS = [
  { name: "topics", title: "Topics", make: topics },
  { name: "spus", title: "SPUs", make: spus },
  { name: "consumers", title: "Consumers", make: consumers },
  { name: "connections", title: "Connections", make: connections, fake: true },
  { name: "requests", title: "Requests", make: requests, fake: true },
  { name: "faults", title: "Faults", make: faults, fake: true },
];

const at = (id) => document.getElementById(id);
const live = new Live();

/** What every view has at hand. */
const page = {
  status: { fake: null, writes: false },
  /** Listen to a view's news; what is at the top of the page is seen to. */
  listen(query, handlers) {
    live.open(query, {
      ...handlers,
      status: showStatus,
      open() {
        handlers.open?.();
      },
      lost() {
        showTrouble("The console does not answer. Trying again until it does.");
        document.body.classList.add("stale");
        at("state").textContent = "no answer";
        at("dot").className = "dot away";
      },
    });
  },
};

function showStatus(status) {
  const first = page.status.fake === null;
  page.status = status;
  at("state").textContent = status.state;
  at("endpoint").textContent = `${status.endpoint}${status.version ? ` · ${status.version}` : ""}`;
  at("dot").className = status.connected ? "dot well" : "dot away";
  const kind = status.fake ? "fake cluster" : status.writes ? "" : "only looking";
  at("kind").textContent = kind;
  at("kind").hidden = !kind;
  document.body.classList.toggle("stale", !status.connected);
  const known = status.connected || status.version !== null;
  document.body.classList.toggle("unknown", !known);
  const why = status.problems.join(" · ");
  const away = known ? "The cluster is away; this is how it was. Trying again until it is back."
    : "The cluster was not reached yet. Trying again until it is.";
  showTrouble(status.connected ? why : why ? `${away} (${why})` : away);
  if (first) show();
}

function showTrouble(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = !text;
}

function showNav(name) {
  const links = VIEWS.filter((view) => !view.fake || page.status.fake).map((view) => {
    const here = view.name === name || (view.name === "topics" && name === "topic");
    const current = here ? { "aria-current": "page" } : {};
    return element("li", {}, element("a", { href: `#/${view.name}`, ...current }, view.title));
  });
  at("nav").replaceChildren(...links);
}

let closing = null;

/** Show the view that the address names, once it is known what kind of cluster this is. */
function show() {
  if (page.status.fake === null) return;
  closing?.();
  closing = null;
  const [, name = "topics", ...rest] = location.hash.split("/");
  const argument = decoded(rest.join("/"));
  const view = VIEWS.find((one) => one.name === name) ?? VIEWS[0];
  const inTopic = name === "topics" && argument;
  showNav(inTopic ? "topic" : view.name);
  document.title = `${inTopic ? argument : view.title} - Fluvio console`;
  const made = inTopic ? topic(page, argument) : view.make(page);
  closing = made.close ?? null;
  at("main").replaceChildren(...made.nodes);
  at("main").className = `view-${inTopic ? "topic" : view.name}`;
}

/** What is in an address, which anybody may have typed. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  at("theme-name").textContent = theme;
  at("theme").setAttribute("aria-label", `Theme: ${theme}`);
  localStorage.setItem("theme", theme);
}

at("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme;
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
});
const chosen = localStorage.getItem("theme");
setTheme(THEMES.includes(chosen) ? chosen : "auto");
addEventListener("hashchange", () => {
  show();
  at("main").focus({ preventScroll: true });
  scrollTo(0, 0);
});
page.listen({ view: "" }, {});
