/** Progress: the best so far as a staircase with its interval, a dot with an interval for every agent, names on new bests. */

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./dom.js";
import { duration, money, percent, withMargin } from "./format.js";
import { usePage } from "./page.js";
import { colour } from "./theme.js";

/** @type {any} uPlot comes as a classic script: its module build is three times as large. */
const Plot = /** @type {any} */ (globalThis).uPlot;

const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
const CLOCK = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 604800];
const AXES = {
  agent: { label: "Agent", at: (point) => point.agent, words: (x) => `${x}`, incrs: WHOLE },
  generation: { label: "Generation", at: (point) => point.generation, words: (x) => `${x}`, incrs: WHOLE },
  dollars: { label: "Dollars", at: (point) => point.usd, words: money },
  time: { label: "Time", at: (point) => point.seconds, words: duration, incrs: CLOCK },
};

/** Points with a score in order of the axis, and the running best among them. */
export function staircase(points, axis) {
  const at = (AXES[axis] ?? AXES.agent).at;
  const shown = points.filter((point) => point.score != null).sort((a, b) => at(a) - at(b) || a.agent - b.agent);
  let best = null;
  const steps = shown.map((point) => {
    const better = best === null || point.score > best.score;
    if (better) best = point;
    return { point, best, better };
  });
  return { xs: shown.map(at), steps };
}

export function ProgressChart({ selected, onSelect, axis = "agent", onAxis, onHide }) {
  const progress = usePage((page) => page.progress);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const drawing = useRef(/** @type {any} */ (null));
  const [tip, setTip] = useState(/** @type {any} */ (null));
  const [theme, setTheme] = useState(0);
  const chosen = useRef(selected);
  chosen.current = selected;
  const stairs = useMemo(() => staircase(progress?.points ?? [], axis), [progress, axis]);
  const kind = AXES[axis] ?? AXES.agent;

  useEffect(() => {
    const again = () => setTheme((n) => n + 1);
    addEventListener("themechange", again);
    return () => removeEventListener("themechange", again);
  }, []);

  useLayoutEffect(() => {
    if (!stairs.xs.length) return undefined;
    const size = () => ({ width: box.current.clientWidth - 8, height: box.current.clientHeight - 6 });
    const plot = new Plot(options(stairs, kind, size(), chosen, setTip), series(stairs), box.current);
    drawing.current = plot;
    const watch = new ResizeObserver(() => plot.setSize(size()));
    watch.observe(box.current);
    return () => {
      watch.disconnect();
      plot.destroy();
    };
  }, [stairs, theme]);

  useEffect(() => drawing.current?.redraw(false), [selected]);

  const click = () => tip && onSelect(tip.point.agent);
  const first = stairs.steps[0];
  const last = stairs.steps.at(-1);
  const words = last ? `${percent(first.best.score)} at agent/${first.best.agent}, ${percent(last.best.score)} at agent/${last.best.agent}, the best of ${stairs.xs.length}` : "nothing measured yet";
  return html`<section class="panel chart" aria-label="Progress" data-testid="progress">
    <div class="panel-head">
      <h2>Progress</h2>
      <span class="quiet cut wide">best so far and its 95% interval</span>
      <span class="grow"></span>
      <div class="segments" role="group" aria-label="Horizontal axis">
        ${Object.entries(AXES).map(([name, { label }]) => html`<button key=${name} aria-pressed=${name === (AXES[axis] ? axis : "agent")} onClick=${() => onAxis(name === "agent" ? "" : name)} data-testid="axis-${name}">${label}</button>`)}
      </div>
      <button class="bare" onClick=${onHide} aria-label="Hide the chart" title="Hide the chart">×</button>
    </div>
    <div class="chart-body" ref=${box} role="img" aria-label="Best score: ${words}" onClick=${click}>
      ${last === undefined && html`<p class="empty">Nothing is measured yet.</p>`}
      ${tip && html`<${Tip} tip=${tip} kind=${kind} />`}
    </div>
  </section>`;
}

function Tip({ tip, kind }) {
  const { point } = tip;
  return html`<div class="chart-tip" style=${{ left: `${tip.left}px`, top: `${tip.top}px` }}>
    <b>agent/${point.agent}</b> ${withMargin(point.score, point.low, point.high)} <span class="quiet">n=${point.n} · ${kind.label.toLowerCase()} ${kind.words(kind.at(point))}</span>
    <div class="cut soft">${point.subject}</div>
  </div>`;
}

function series({ xs, steps }) {
  return [xs, steps.map((s) => 100 * s.best.score), steps.map((s) => percentOf(s.best.high)), steps.map((s) => percentOf(s.best.low)), steps.map((s) => 100 * s.point.score)];
}

const percentOf = (score) => (score == null ? null : 100 * score);

function options(stairs, kind, size, chosen, setTip) {
  const paint = Object.fromEntries(["ink", "ink-2", "ink-3", "line", "lane", "accent", "panel"].map((name) => [name, colour(name)]));
  const font = `11px ${colour("sans")}`;
  const stepped = Plot.paths.stepped({ align: 1 });
  const band = { stroke: "transparent", paths: stepped, points: { show: false } };
  const axis = { font, stroke: paint["ink-3"], grid: { stroke: paint.line, width: 1 }, ticks: { show: false } };
  const [low, high] = ends(stairs.steps.map((s) => s.point));
  return {
    ...size,
    padding: [14, 14, 0, 4],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, dist: 6 } },
    scales: { x: { time: false, range: wide(stairs.xs) }, y: { range: [low, high] } },
    axes: [
      { ...axis, size: 26, incrs: kind.incrs, values: (_, ticks) => ticks.map(kind.words) },
      { ...axis, size: 44, space: 26, values: (_, ticks) => ticks.map((y) => `${y}%`) },
    ],
    series: [
      {},
      { stroke: paint.accent, width: 2, paths: stepped, points: { show: false } },
      band,
      band,
      { stroke: "transparent", paths: () => null, points: { show: false } },
    ],
    bands: [{ series: [2, 3], fill: `color-mix(in srgb, ${paint.accent} 13%, transparent)` }],
    hooks: {
      draw: [(plot) => dots(plot, stairs.steps, stairs.xs, paint, chosen.current)],
      setCursor: [(plot) => setTip(nearest(plot, stairs))],
    },
  };
}

/** A little air at both ends; a single agent stands in the middle. */
function wide(xs) {
  const [low, high] = [xs[0], xs.at(-1)];
  if (low === high) return () => [low - 1, high + 1];
  const air = (high - low) * 0.015;
  return (_, from, to) => (from === low && to === high ? [low - air, high + air] : [from, to]);
}

function ends(points) {
  const low = Math.min(...points.map((p) => p.low ?? p.score));
  const high = Math.max(...points.map((p) => p.high ?? p.score));
  return [Math.max(0, Math.floor(100 * low - 2)), Math.min(100, Math.ceil(100 * high + 2))];
}

function dots(plot, steps, xs, paint, chosen) {
  const pen = plot.ctx;
  const scale = devicePixelRatio || 1;
  const crowded = steps.length > plot.bbox.width / scale / 6;
  const y = (score) => plot.valToPos(100 * score, "y", true);
  pen.save();
  pen.beginPath();
  pen.rect(plot.bbox.left - 6 * scale, plot.bbox.top - 14 * scale, plot.bbox.width + 12 * scale, plot.bbox.height + 20 * scale);
  pen.clip();
  steps.forEach(({ point, better }, at) => {
    const x = plot.valToPos(xs[at], "x", true);
    const strong = better || point.agent === chosen;
    if (point.low != null && (!crowded || strong)) {
      pen.strokeStyle = strong ? paint.accent : paint.lane;
      pen.globalAlpha = strong ? 0.9 : 0.4;
      pen.lineWidth = scale;
      pen.beginPath();
      pen.moveTo(x, y(point.low));
      pen.lineTo(x, y(point.high));
      pen.stroke();
    }
    pen.globalAlpha = 1;
    pen.fillStyle = strong ? paint.accent : paint.lane;
    pen.beginPath();
    pen.arc(x, y(point.score), (strong ? 3.2 : crowded ? 1.6 : 2.4) * scale, 0, 7);
    pen.fill();
    if (point.agent === chosen) {
      pen.strokeStyle = paint.ink;
      pen.lineWidth = 1.5 * scale;
      pen.beginPath();
      pen.arc(x, y(point.score), 6 * scale, 0, 7);
      pen.stroke();
    }
  });
  names(plot, steps, xs, paint, y, scale);
  pen.restore();
}

/** The numbers of new bests, the later ones first: where two would overlap, the better keeps its name. */
function names(plot, steps, xs, paint, y, scale) {
  const pen = plot.ctx;
  pen.font = `600 ${11 * scale}px ${colour("sans")}`;
  pen.textAlign = "center";
  pen.fillStyle = paint["ink-2"];
  let free = Infinity;
  for (let at = steps.length - 1; at >= 0; at--) {
    if (!steps[at].better) continue;
    const name = `${steps[at].point.agent}`;
    const half = pen.measureText(name).width / 2 + 4 * scale;
    const x = plot.valToPos(xs[at], "x", true);
    if (x + half > free) continue;
    pen.lineWidth = 3 * scale;
    pen.strokeStyle = paint.panel;
    pen.strokeText(name, x, y(steps[at].point.score) - 8 * scale);
    pen.fillText(name, x, y(steps[at].point.score) - 8 * scale);
    free = x - half;
  }
}

/** The dot under the pointer, and where its words go. */
function nearest(plot, { steps, xs }) {
  const { left, top } = plot.cursor;
  if (left == null || left < 0) return null;
  let found = /** @type {any} */ (null);
  let best = 30 ** 2;
  steps.forEach(({ point }, at) => {
    const x = plot.valToPos(xs[at], "x");
    const y = plot.valToPos(100 * point.score, "y");
    const distance = (x - left) ** 2 + ((y - top) / 2) ** 2;
    if (distance < best) {
      best = distance;
      found = { point, x, y };
    }
  });
  if (!found) return null;
  const { over } = plot;
  const right = found.x > over.clientWidth / 2;
  return { point: found.point, left: over.offsetLeft + (right ? Math.max(4, found.x - 290) : found.x + 12), top: Math.max(2, found.y - 24) };
}
