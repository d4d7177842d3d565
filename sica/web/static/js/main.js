/** The page: loads what it needs, draws the view that the address names, and listens to the keys that work everywhere. */

import { Keys, Questions } from "./dialog.js";
import { cls, html, render, useEffect, useState } from "./dom.js";
import { Compare } from "./compare.js";
import { Lineage } from "./lineage.js";
import { Live } from "./live-view.js";
import { Matrix } from "./matrix.js";
import { page, start, usePage } from "./page.js";
import { go, parse, useRoute } from "./route.js";
import { Status, Top } from "./status.js";
import { startTheme, toggleTheme } from "./theme.js";
import { TraceView } from "./trace-view.js";

const SHOWN = { lineage: Lineage, matrix: Matrix, live: Live, compare: Compare, trace: TraceView };

function App() {
  const route = useRoute();
  const [help, setHelp] = useState(false);
  const ready = usePage((state) => state.archive !== null && state.status !== null);
  useEffect(() => {
    const keys = (event) => pressed(event, parse(location.hash), () => setHelp(true));
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);
  useEffect(() => {
    document.title = `${titleOf(route)} · ${page.get().archive?.meta.project ?? "sica"}`;
  }, [route, ready]);
  return html`
    <a class="skip" href="#main" onClick=${toMain}>To the content</a>
    <${Top} route=${route} onHelp=${() => setHelp(true)} />
    <${Status} />
    ${ready ? html`<${SHOWN[route.view]} route=${route} />` : html`<${Waiting} />`}
    ${help && html`<${Keys} onClose=${() => setHelp(false)} />`}
    <${Questions} />
    <${Toasts} />`;
}

/** The address says which view there is, so the usual jump to #main would leave it. */
function toMain(event) {
  event.preventDefault();
  /** @type {HTMLElement | null} */ (document.querySelector("#main [data-main-list], #main a, #main button"))?.focus();
}

function titleOf(route) {
  if (route.view === "compare") return `Compare ${route.pair.join(" and ")}`;
  if (route.view === "trace") return route.agent === undefined ? "Trace" : `agent/${route.agent} ${route.task || "made"}`;
  if (route.view === "lineage" && route.agent !== undefined) return `agent/${route.agent}`;
  return route.view[0].toUpperCase() + route.view.slice(1);
}

function Waiting() {
  const problem = usePage((state) => state.problem);
  return html`<main class="view" id="main">
    ${problem ? html`<div><p class="problem" data-testid="problem">${problem.message}</p><p class="empty"><button onClick=${() => location.reload()}>Try again</button></p></div>` : html`<p class="empty" aria-busy="true">Reading the archive …</p>`}
  </main>`;
}

function Toasts() {
  const toasts = usePage((state) => state.toasts);
  return html`<div class="toasts" role="status" data-testid="toasts">${toasts.map((toast) => html`<div key=${toast.id} class=${cls("toast", toast.bad && "bad")}>${toast.text}</div>`)}</div>`;
}

const VIEWS = { 1: "lineage", 2: "matrix", 3: "live", 4: "compare" };

function pressed(event, route, help) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
  const act = {
    "/": () => /** @type {HTMLElement | null} */ (document.querySelector("[data-filter]"))?.focus(),
    "?": help,
    t: toggleTheme,
    c: () => compareWithParent(route),
    m: () => route.view === "lineage" && route.agent !== undefined && go({ view: "trace", agent: route.agent, task: "" }),
    Escape: () => back(route),
    ArrowDown: () => into(event),
    ArrowUp: () => into(event),
    j: () => into(event),
    k: () => into(event),
  }[event.key] ?? (VIEWS[event.key] && (() => go({ view: VIEWS[event.key] })));
  if (!act || event.defaultPrevented) return;
  if (event.key === "/" || event.key === "?") event.preventDefault();
  act();
}

/** Arrows pressed where nothing has the focus go to the list of the view. */
function into(event) {
  if (document.activeElement !== document.body) return;
  const list = /** @type {HTMLElement | null} */ (document.querySelector("[data-main-list]"));
  if (!list) return;
  event.preventDefault();
  list.focus();
  list.dispatchEvent(new KeyboardEvent("keydown", { key: event.key, bubbles: true, cancelable: true }));
}

function compareWithParent(route) {
  const row = page.get().archive?.agents.find((other) => other.agent === route.agent);
  if (row?.parents.length) go({ view: "compare", pair: [row.parents[0], row.agent] });
}

function back(route) {
  if (route.view === "compare" && route.task) go({ ...route, task: undefined });
  else if (route.view === "trace" && route.agent !== undefined) go({ view: "lineage", agent: route.agent, tab: route.task ? "tasks" : undefined });
  else if (route.view === "trace") go({ view: "live" });
  else if (route.view === "lineage") go({ view: "lineage", filter: route.filter });
  else go({ view: "lineage" });
}

startTheme();
render(html`<${App} />`, document.getElementById("app"));
start(parse(location.hash).filter);
