/** Agents x tasks: who solves what. The picture is a canvas; pointer, keys and a line for screen readers stand on top. */

import { scoped, usePage } from "./page.js";
import { offline, useAnswer, useCalm } from "./api.js";
import { cls, html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./dom.js";
import { percent, plural, short } from "./format.js";
import { draw, extent, headHeight, hit, labelWidth, place } from "./matrix-canvas.js";
import { useNarrow } from "./media.js";
import { go, link } from "./route.js";

const SIZES = [3, 5, 8, 11, 14, 18, 24, 32, 40];
const NARROWEST = 11;
/** Of a phone's cells: a finger must hit them, so the matrix scrolls there. */
const TALLEST = 24;
/** Rows stay dense however few tasks share the width. */

export function Matrix({ route }) {
  const outcomes = useCalm(usePage((page) => page.outcomes), 3000);
  const { data, error } = useAnswer(scoped("/api/matrix"), outcomes);
  const archive = usePage((page) => page.archive);
  const { agents: by = "lineage", tasks: tasksBy = "difficulty", q = "" } = route.filter;
  const change = (changes) => go({ ...route, filter: { ...route.filter, ...changes } }, { replace: true });
  const ordered = useMemo(() => data && arranged(data, by, tasksBy, q), [data, by, tasksBy, q]);
  const narrow = useNarrow();
  const size = sizeOf(route.filter.size, ordered, narrow);
  const resize = (step) => change({ size: String(nextSize(size, step)) });

  return html`<main class="view matrix" id="main">
    <section class="panel" aria-label="Matrix of agents and tasks">
      <div class="panel-head wrap">
        <h2>Matrix</h2>
        ${data && html`<span class="quiet wide">${plural(data.agents.length, "agent")} × ${plural(data.tasks.length, "task")}</span>`}
        <span class="grow"></span>
        ${!offline && html`<a class="wide" href="/raw/trials.csv" download>CSV</a>`}
        <input class="filter" type="search" placeholder="Tasks  /" aria-label="Filter tasks" value=${q} onInput=${(event) => change({ q: event.target.value })} data-testid="task-filter" data-filter />
        <${Choice} label="Agents by" value=${by} options=${["lineage", "score"]} onChoose=${(agents) => change({ agents })} />
        <${Choice} label="Tasks by" value=${tasksBy} options=${["difficulty", "name", "level", "kind"]} onChoose=${(tasks) => change({ tasks })} />
        <div class="segments wide" role="group" aria-label="Size of cells">
          <button onClick=${() => resize(-1)} aria-label="Smaller cells">−</button>
          <button onClick=${() => resize(1)} aria-label="Larger cells">+</button>
        </div>
      </div>
      <div class="panel-head legend">
        <span><i class="swatch pass"></i>solved</span><span><i class="swatch part"></i>in part</span><span><i class="swatch some"></i>sometimes</span><span><i class="swatch fail"></i>not solved</span>
        <span><i class="swatch fault"></i>fault</span><span><i class="swatch unrun"></i>not run</span>
      </div>
      ${error ? html`<p class="problem">${error.message}</p>` : !data && html`<p class="empty" aria-busy="true">…</p>`}
      ${ordered && (ordered.rows.length && ordered.columns.length
        ? html`<${Sight} ordered=${ordered} size=${size} best=${archive.best} onSize=${resize} />`
        : html`<p class="empty">${q ? "No task matches the filter." : "Nothing is measured yet."}</p>`)}
    </section>
  </main>`;
}

function Choice({ label, value, options, onChoose }) {
  return html`<label class="row quiet">${label} <select value=${value} onChange=${(event) => onChoose(event.target.value)} data-testid="sort-${label.split(" ")[0].toLowerCase()}">${options.map((option) => html`<option>${option}</option>`)}</select></label>`;
}

/** As asked for; else as large as everything fits, within what can be read and hit. */
function sizeOf(wanted, ordered, narrow) {
  const chosen = Number(wanted);
  if (SIZES.includes(chosen)) return chosen;
  const room = Math.floor((innerWidth - labelWidth(narrow) - 70) / Math.max(1, ordered?.columns.length ?? 1));
  return between(narrow ? NARROWEST : SIZES[1], room, SIZES.at(-1));
}

const nextSize = (size, step) => (step > 0 ? SIZES.find((other) => other > size) : SIZES.findLast((other) => other < size)) ?? size;

/** Indexes of agents and tasks in the order asked for; names and cells by position. */
export function arranged(data, by, tasksBy, q) {
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const tasks = data.tasks
    .map((task, at) => ({ task, at }))
    .filter(({ task }) => words.every((word) => `${task.task} ${task.kind} level${task.level} ${task.split}`.toLowerCase().includes(word)));
  const name = ({ task }) => task.task;
  const compareNames = (a, b) => (name(a) < name(b) ? -1 : 1);
  const orders = {
    difficulty: (a, b) => (b.task.mean ?? -1) - (a.task.mean ?? -1) || compareNames(a, b),
    name: compareNames,
    level: (a, b) => a.task.level - b.task.level || compareNames(a, b),
    kind: (a, b) => (a.task.kind < b.task.kind ? -1 : a.task.kind > b.task.kind ? 1 : compareNames(a, b)),
  };
  const columns = tasks.sort(orders[tasksBy] ?? orders.difficulty).map(({ at }) => at);
  const score = (at) => data.scores[at] ?? -1;
  const rows = by === "score" ? data.lineage.toSorted((a, b) => score(b) - score(a)) : data.lineage;
  const mixed = new Map(data.mixed.map(([agent, task, passed, of]) => [agent * data.tasks.length + task, { passed, of }]));
  return { data, rows, columns, mixed };
}

/** What is known of one cell, for the picture and for words. */
export function cellAt({ data, mixed }, agent, task) {
  const value = data.cells[agent][task];
  if (value === null) return null;
  return {
    mean: value < 0 ? null : value / 100,
    n: data.attempts[agent][task],
    faults: value < 0 ? 1 : 0,
    mixed: mixed.get(agent * data.tasks.length + task),
  };
}

function words(ordered, { row, column }) {
  const { data, rows, columns } = ordered;
  const task = data.tasks[columns[column]];
  const cell = cellAt(ordered, rows[row], columns[column]);
  const result = !cell ? "not run" : cell.mean === null ? "only faults" : cell.mixed ? `sometimes: ${cell.mixed.passed} of ${cell.mixed.of}` : cell.mean === 1 ? "solved" : cell.mean === 0 ? "not solved" : `in part: ${percent(cell.mean)}`;
  return { agent: data.agents[rows[row]], task, result, attempts: cell?.n ?? 0, ran: Boolean(cell) };
}

function Sight({ ordered, size, best, onSize }) {
  const { data, rows, columns } = ordered;
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const narrow = useNarrow();
  const [cursor, setCursor] = useState(/** @type {{row: number, column: number} | null} */ (null));
  const [tip, setTip] = useState(/** @type {any} */ (null));
  const picture = useMemo(
    () => ({
      rows: rows.map((at) => ({ label: `agent/${data.agents[at]}`, note: data.scores[at] == null ? "" : percent(data.scores[at]), best: data.agents[at] === best })),
      columns: columns.map((at) => ({ label: short(data.tasks[at].task) })),
      cell: (row, column) => cellAt(ordered, rows[row], columns[column]),
      width: size,
      height: Math.min(TALLEST, Math.max(4, size)),
      cursor,
    }),
    [ordered, size, cursor, best],
  );
  const all = extent(picture, narrow);

  useLayoutEffect(() => {
    const paint = () => {
      const { clientWidth, clientHeight, scrollLeft, scrollTop } = box.current;
      const sight = { width: clientWidth, height: clientHeight };
      canvas.current.style.width = `${sight.width}px`;
      canvas.current.style.height = `${sight.height}px`;
      draw(canvas.current, picture, { left: scrollLeft, top: scrollTop }, sight, narrow);
    };
    let asked = 0;
    const soon = () => {
      asked ||= requestAnimationFrame(() => {
        asked = 0;
        paint();
      });
    };
    paint();
    const watch = new ResizeObserver(soon);
    watch.observe(box.current);
    box.current.addEventListener("scroll", soon, { passive: true });
    addEventListener("themechange", soon);
    const scrolled = box.current;
    return () => {
      cancelAnimationFrame(asked);
      watch.disconnect();
      scrolled.removeEventListener("scroll", soon);
      removeEventListener("themechange", soon);
    };
  }, [picture, narrow]);

  useEffect(() => {
    if (!cursor) return;
    const { left, top, width, height } = place(picture, cursor);
    const room = { width: box.current.clientWidth - labelWidth(narrow), height: box.current.clientHeight - headHeight(picture) };
    const { scrollLeft, scrollTop } = box.current;
    if (left < scrollLeft) box.current.scrollLeft = left;
    else if (left + width > scrollLeft + room.width) box.current.scrollLeft = left + width - room.width;
    if (top < scrollTop) box.current.scrollTop = top;
    else if (top + height > scrollTop + room.height) box.current.scrollTop = top + height - room.height;
  }, [cursor]);

  const under = (event) => {
    const edge = box.current.getBoundingClientRect();
    const at = { x: event.clientX - edge.left, y: event.clientY - edge.top };
    const cell = hit(picture, narrow, { left: box.current.scrollLeft, top: box.current.scrollTop }, at.x, at.y);
    return { cell, at };
  };
  const hover = (event) => {
    const { cell, at } = under(event);
    setTip(cell && { cell, left: Math.min(at.x + 14, box.current.clientWidth - 300), top: at.y + 18 > box.current.clientHeight - 90 ? at.y - 80 : at.y + 18 });
  };
  const open = (cell) => {
    const { agent, task, ran } = words(ordered, cell);
    if (ran) go({ view: "trace", agent, task: task.task });
  };
  const keys = (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], h: [0, -1], l: [0, 1], k: [-1, 0], j: [1, 0], PageUp: [-10, 0], PageDown: [10, 0], Home: [0, -1e6], End: [0, 1e6] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step) {
      event.preventDefault();
      const from = cursor ?? { row: 0, column: 0 };
      setCursor(cursor ? { row: between(0, from.row + step[0], rows.length - 1), column: between(0, from.column + step[1], columns.length - 1) } : from);
    } else if (event.key === "Enter" && cursor) open(cursor);
    else if (event.key === "+" || event.key === "=") onSize(1);
    else if (event.key === "-") onSize(-1);
  };
  const spoken = cursor && words(ordered, cursor);
  return html`<div class="matrix-sight" ref=${box} tabindex="0" role="application" aria-roledescription="matrix" aria-label="${rows.length} agents by ${columns.length} tasks. Arrows move, Enter opens the trace."
      onKeyDown=${keys} onMouseMove=${hover} onMouseLeave=${() => setTip(null)} onClick=${(event) => {
        const { cell } = under(event);
        if (cell) open(cell);
      }} data-testid="matrix" data-main-list data-size=${size} data-left=${labelWidth(narrow)} data-top=${headHeight(picture)}>
      <div style=${{ width: `${all.width}px`, height: `${all.height}px` }}><canvas ref=${canvas} aria-hidden="true"></canvas></div>
    </div>
    <p class="only-read" aria-live="polite" data-testid="matrix-cursor">${spoken && `agent/${spoken.agent} ${spoken.task.task}: ${spoken.result}`}</p>
    ${spoken && html`<div class="panel-head"><a href=${link({ view: "lineage", agent: spoken.agent })}>agent/${spoken.agent}</a><span>${spoken.task.task}</span><b>${spoken.result}</b><span class="quiet">${spoken.ran ? `${plural(spoken.attempts, "attempt")}; Enter opens the trace` : ""}</span></div>`}
    ${tip && html`<${Tip} ordered=${ordered} tip=${tip} top=${box.current.offsetTop} />`}`;
}

const between = (low, value, high) => Math.max(low, Math.min(high, value));

function Tip({ ordered, tip, top }) {
  const { agent, task, result, attempts, ran } = words(ordered, tip.cell);
  return html`<div class=${cls("matrix-tip")} style=${{ left: `${tip.left}px`, top: `${top + tip.top}px` }} data-testid="matrix-tip">
    <div><b>agent/${agent}</b> ${task.task}</div>
    <div>${result}${ran ? html` <span class="quiet">${plural(attempts, "attempt")}</span>` : ""}</div>
    <div class="quiet">${[task.kind, `level ${task.level}`, task.split, task.mean == null ? "" : `${percent(task.mean)} of all agents' attempts`].filter(Boolean).join(" · ")}</div>
  </div>`;
}
