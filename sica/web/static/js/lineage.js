/** The first view: every agent a row, lanes at the left; above it the progress, beside it the selected agent. */

import { AgentPane } from "./agent.js";
import { offline } from "./api.js";
import { cls, html, useEffect, useMemo, useState } from "./dom.js";
import { money, percent, signed, withMargin } from "./format.js";
import { LANE, Lanes, strips } from "./lanes.js";
import { useNarrow } from "./media.js";
import { usePage } from "./page.js";
import { ProgressChart } from "./progress.js";
import { go } from "./route.js";
import { MOST, Tree } from "./tree.js";
import { Virtual } from "./virtual.js";

const HEIGHT = 28;
const SHOWN_LANES = 9;

const SORTS = {
  agent: (row) => row.agent,
  score: (row) => row.score ?? -1,
  change: (row) => row.change ?? -9,
  cost: (row) => row.cost_usd,
  generation: (row) => row.generation,
};

export const markOf = (row) => (row.best ? "best" : row.doing ? "running" : row.status);

/** Words that must all be found; score>50, gen=3, cost<2 and is:rejected|best|running|waiting are understood. */
export function matcher(query) {
  const tests = query.toLowerCase().split(/\s+/).filter(Boolean).map(test);
  return (row) => tests.every((passes) => passes(row));
}

const FIELDS = { score: (row) => 100 * row.score, cost: (row) => row.cost_usd, gen: (row) => row.generation, change: (row) => 100 * row.change, n: (row) => row.n };
const STATES = { rejected: (row) => row.status === "rejected", best: (row) => row.best, running: (row) => row.doing !== "", waiting: (row) => row.waiting, commented: (row) => row.comments > 0 };

function test(word) {
  const [, field, sign, value] = word.match(/^(score|cost|gen|change|n)([<>=])(-?[\d.]+)$/) ?? [];
  if (field) {
    return (row) => {
      const number = FIELDS[field](row);
      if (!Number.isFinite(number)) return false;
      return sign === ">" ? number > Number(value) : sign === "<" ? number < Number(value) : number === Number(value);
    };
  }
  const state = word.startsWith("is:") && STATES[word.slice(3)];
  if (state) return state;
  return (row) => `agent/${row.agent} ${row.subject} ${row.reason} ${row.operator} ${row.status} ${row.run} ${row.model} ${row.commit.slice(0, 10)}`.toLowerCase().includes(word);
}

export function Lineage({ route }) {
  const archive = usePage((page) => page.archive);
  const query = route.filter.q ?? "";
  const chosen = archive.agents.some((row) => row.agent === route.agent) ? route.agent : undefined;
  const rows = useMemo(() => arranged(archive, query, route.filter.sort), [archive, query, route.filter.sort]);
  const tree = route.filter.show === "tree" && archive.agents.length <= MOST;
  const filtered = (changes) => go({ ...route, filter: { ...route.filter, ...changes } }, { replace: true });
  const select = (agent, how = { replace: true }) => go({ ...route, view: "lineage", agent, event: undefined }, how);
  const compare = (agent) => (chosen === undefined || chosen === agent ? select(agent) : go({ view: "compare", pair: order(chosen, agent) }));
  const path = useMemo(() => new Set(archive.path), [archive]);
  const chart = route.filter.chart !== "off";

  if (!archive.agents.length) {
    return html`<main class="view" id="main"><p class="empty">No agent yet. <code>sica init</code> seeds agent/0, <code>sica evolve</code> grows the rest; this page shows them as they come.</p></main>`;
  }
  return html`<main class=${cls("view lineage", route.agent !== undefined && "has-agent")} id="main">
    <div class=${cls("lineage-left", !chart && "no-chart")}>
      ${chart && html`<${ProgressChart} selected=${chosen} onSelect=${select} axis=${route.filter.x} onAxis=${(x) => filtered({ x })} onHide=${() => filtered({ chart: "off" })} />`}
      <section class="panel" aria-label="Lineage">
        <div class="panel-head">
          <h2>Lineage</h2>
          <span class="quiet number wide" data-testid="row-count">${query ? `${rows.length} of ` : ""}${archive.agents.length}</span>
          <span class="grow"></span>
          ${!offline && html`<a class="wide" href="/raw/archive.csv" download>CSV</a>`}
          ${!chart && html`<button class="bare" onClick=${() => filtered({ chart: "" })}>Chart</button>`}
          <${Filter} query=${query} onQuery=${(q) => filtered({ q })} />
          <div class="segments" role="group" aria-label="Show as">
            <button aria-pressed=${!tree} onClick=${() => filtered({ show: "" })}>Table</button>
            <button aria-pressed=${tree} disabled=${archive.agents.length > MOST} title=${archive.agents.length > MOST ? `for up to ${MOST} agents` : ""} onClick=${() => filtered({ show: "tree" })} data-testid="show-tree">Tree</button>
          </div>
        </div>
        ${tree
          ? html`<${Tree} rows=${rows} selected=${chosen} path=${path} onSelect=${select} onCompare=${compare} />`
          : html`<${Table} archive=${archive} rows=${rows} plain=${Boolean(query || route.filter.sort)} selected=${chosen} path=${path} sort=${route.filter.sort ?? ""}
              onSort=${(sort) => filtered({ sort })} onSelect=${select} onOpen=${(agent) => select(agent, { replace: false })} onCompare=${compare} />`}
      </section>
    </div>
    <${AgentPane} route=${route} agent=${route.agent ?? archive.best ?? archive.seed} missing=${route.agent !== undefined && chosen === undefined} />
  </main>`;
}

const order = (a, b) => [Math.min(a, b), Math.max(a, b)];

function arranged(archive, query, sort = "") {
  const rows = query ? archive.agents.filter(matcher(query)) : archive.agents;
  const [field, direction] = [sort.replace("-", ""), sort.startsWith("-") ? -1 : 1];
  return SORTS[field] ? [...rows].sort((a, b) => direction * (SORTS[field](a) - SORTS[field](b)) || b.agent - a.agent) : rows;
}

function Filter({ query, onQuery }) {
  const [text, setText] = useState(query);
  useEffect(() => {
    // Whoever types is ahead of the query, which comes back late: an older one must not undo their letters.
    if (!document.activeElement?.hasAttribute("data-filter")) setText(query);
  }, [query]);
  const type = (event) => {
    setText(event.target.value);
    onQuery(event.target.value);
  };
  const leave = (event) => {
    if (event.key === "Escape" && text) {
      event.stopPropagation();
      setText("");
      onQuery("");
    } else if (event.key === "Escape" || event.key === "Enter" || event.key === "ArrowDown") {
      event.preventDefault();
      /** @type {HTMLElement | null} */ (document.querySelector(".virtual"))?.focus();
    }
  };
  return html`<input class="filter" type="search" placeholder="Filter  /" aria-label="Filter agents" title="words, score>50, gen=3, cost<2, is:rejected" value=${text} onInput=${type} onKeyDown=${leave} data-testid="filter" data-filter />`;
}

const COLUMNS = [
  ["agent", "Agent", "60px", ""],
  ["score", "Score", "minmax(112px, 140px)", ""],
  ["change", "Change", "48px", "number"],
  ["cost", "Cost", "54px", "number wide"],
  ["generation", "Gen", "34px", "number wide"],
];

function Table({ archive, rows, plain, selected, path, sort, onSort, onSelect, onOpen, onCompare }) {
  const narrow = useNarrow();
  const graph = useMemo(() => drawn(archive), [archive]);
  const at = rows.findIndex((row) => row.agent === selected);
  const lanesShown = plain ? 1 : Math.min(graph.width, narrow ? 4 : SHOWN_LANES);
  const columns = narrow
    ? `${lanesShown * LANE + 4}px 58px 52px 44px minmax(0, 1fr)`
    : `${lanesShown * LANE + 4}px ${COLUMNS.map((column) => column[2]).join(" ")} minmax(0, 1fr)`;
  const range = useMemo(() => scoreRange(archive.agents), [archive]);

  const keys = (event) => {
    const move = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 15, PageUp: -15, Home: -1e9, End: 1e9 }[event.key];
    if (move !== undefined && !event.ctrlKey && !event.metaKey && rows.length) {
      event.preventDefault();
      onSelect(rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + move))].agent);
    } else if (event.key === "Enter" && at >= 0) {
      onOpen(selected);
      document.getElementById("agent-pane")?.focus();
    }
  };
  const row = (index) => {
    const item = rows[index];
    const strip = graph.byAgent.get(item.agent);
    return html`<${Row} key=${item.agent} index=${index} total=${rows.length} row=${item} columns=${columns} narrow=${narrow} range=${range} selected=${item.agent === selected}
      strip=${plain ? ALONE : strip.strip} lanes=${lanesShown} path=${plain ? undefined : strip.path} onSelect=${onSelect} onOpen=${onOpen} onCompare=${onCompare} />`;
  };
  return html`<div class="table" style=${{ "--columns": columns }}>
    <div class="table-head" role="presentation">
      <span class="only-read">Graph</span><span></span>
      ${COLUMNS.filter((column) => !narrow || !column[3].includes("wide")).map(([key, label, , look]) => html`<${Head} key=${key} name=${key} label=${label} look=${look} sort=${sort} onSort=${onSort} />`)}
      <span>${narrow ? "" : "What it changed"}</span>
    </div>
    ${rows.length === 0 && html`<p class="empty">No agent matches the filter.</p>`}
    <${Virtual} count=${rows.length} height=${HEIGHT} row=${row} current=${at}
      attributes=${{
        role: "listbox",
        tabIndex: 0,
        "aria-label": "Agents, newest first",
        "aria-activedescendant": at >= 0 ? `agent-${selected}` : undefined,
        onKeyDown: keys,
        "data-testid": "rows",
        "data-main-list": true,
      }} />
  </div>`;
}

function Head({ name, label, look, sort, onSort }) {
  const down = sort === `-${name}`;
  const state = down ? "descending" : sort === name ? "ascending" : undefined;
  const next = down ? name : sort === name ? "" : `-${name}`;
  return html`<span class=${look} aria-sort=${state}><button onClick=${() => onSort(next)} title="Sort by ${label.toLowerCase()}" data-testid="sort-${name}">${label}</button></span>`;
}

const ALONE = { column: 0, above: false, below: false, passing: [], edges: [] };

/** Lanes of each agent, and which of their pieces lie on the way from the seed to the best. */
function drawn(archive) {
  const places = archive.lanes.places.map(([column, tip, root, turns]) => ({
    column,
    tip,
    root,
    turns: turns.map(([start, end, closes, opens]) => ({ start, end, closes, opens })),
  }));
  const { strips: all, width } = strips(places);
  const columns = new Map(archive.agents.map((row, at) => [row.agent, places[at].column]));
  const byAgent = new Map();
  let towards; // the ancestor of the best that the highlighted lane is on its way to
  archive.agents.forEach((row, at) => {
    const lane = towards === undefined ? undefined : columns.get(towards);
    const on = archive.path.indexOf(row.agent);
    const next = on < 0 ? undefined : archive.path[on + 1];
    const into = next === undefined ? undefined : columns.get(next);
    byAgent.set(row.agent, {
      strip: all[at],
      path: { above: on > 0, below: into !== undefined && into === all[at].column, edge: into, lane: on < 0 ? lane : undefined },
    });
    if (on >= 0) towards = next;
  });
  return { byAgent, width };
}

function scoreRange(rows) {
  const ends = rows.flatMap((row) => (row.low == null ? [] : [row.low, row.high]));
  return ends.length ? [Math.min(...ends), Math.max(...ends)] : [0, 1];
}

function Row({ index, total, row, columns, narrow, range, selected, strip, lanes, path, onSelect, onOpen, onCompare }) {
  const click = (event) => (event.shiftKey ? onCompare(row.agent) : narrow ? onOpen(row.agent) : onSelect(row.agent));
  const rejected = row.status === "rejected";
  const words = row.doing ? `▸ ${row.doing}` : rejected && row.reason ? row.reason : row.subject;
  return html`<div class=${cls("table-row", rejected && "is-rejected", row.best && "is-best")} id="agent-${row.agent}" role="option" aria-selected=${selected} aria-posinset=${index + 1} aria-setsize=${total}
    onClick=${click} onMouseDown=${(event) => event.shiftKey && event.preventDefault()} data-testid="agent-row" data-agent=${row.agent}>
    <${Lanes} strip=${strip} width=${lanes} height=${HEIGHT} mark=${markOf(row)} path=${path} />
    <span class="name">${narrow ? row.agent : `agent/${row.agent}`}</span>
    ${narrow ? html`<span class="number">${rejected ? "×" : percent(row.score)}</span>` : html`<${Score} row=${row} range=${range} />`}
    <${Change} row=${row} />
    ${!narrow && html`<span class="number quiet">${money(row.cost_usd)}</span><span class="number quiet">${row.generation}</span>`}
    <span class="subject">
      <span class=${cls("cut", rejected && "bad", row.doing && "soft")} title=${words}>${words}</span>
      ${row.best && html`<span class="tag best">best</span>`}
      ${row.waiting && html`<span class="tag warn">waits for you</span>`}
      ${!narrow && row.operator !== "self-edit" && html`<span class="tag">${row.operator}</span>`}
      ${row.comments > 0 && html`<span class="tag" title="comments">${row.comments} ✎</span>`}
    </span>
  </div>`;
}

function Score({ row, range: [low, high] }) {
  if (row.status === "rejected") return html`<span class="bad">rejected</span>`;
  if (row.score == null) return html`<span class="quiet">${row.doing ? "" : row.status}</span>`;
  const x = (score) => `${(100 * (score - low)) / (high - low || 1)}%`;
  return html`<span class="score" title=${`${withMargin(row.score, row.low, row.high)}, n=${row.n}`}>
    <span class="number">${percent(row.score)}</span>
    ${row.low != null && html`<svg class="score-bar" aria-hidden="true"><line class="rail" x1="0" x2="100%" y1="7" y2="7" /><line class="span" x1=${x(row.low)} x2=${x(row.high)} y1="7" y2="7" /><circle class="point" cx=${x(row.score)} cy="7" r="3" /></svg>`}
  </span>`;
}

export function Change({ row }) {
  const look = !row.separable ? "noise" : row.change > 0 ? "good" : "bad";
  return html`<span class=${cls("number change", look)} title=${row.change == null ? "" : row.separable ? "more than noise" : "not separable from noise"}>${signed(row.change)}</span>`;
}
