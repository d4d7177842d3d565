/** The lineage as a node-link tree, for up to 150 agents: fill = score, diamond = best, thick ring = much evidence. */

import { cls, html, useEffect, useMemo, useRef } from "./dom.js";
import { percent } from "./format.js";

export const MOST = 150;
const STEP = { x: 46, y: 64 };

/**
 * Tidy enough: leaves stand side by side in order of birth, a parent above the middle of its children.
 * Second parents of a crossover are drawn as edges and do not move anybody.
 * @param {{agent: number, parents: number[]}[]} rows
 */
export function layout(rows) {
  const known = new Set(rows.map((row) => row.agent));
  const children = new Map(rows.map((row) => [row.agent, []]));
  const oldest = [...rows].sort((a, b) => a.agent - b.agent);
  const roots = [];
  for (const row of oldest) {
    const parent = row.parents.find((p) => known.has(p));
    if (parent === undefined) roots.push(row.agent);
    else children.get(parent).push(row.agent);
  }
  const spots = new Map();
  let leaves = 0;
  let deepest = 0;
  // Two passes over a stack of our own: lineages may be deeper than the browser's call stack allows.
  const stack = roots.reverse().map((agent) => ({ agent, depth: 0, seen: false }));
  while (stack.length) {
    const { agent, depth, seen } = stack.pop();
    const below = children.get(agent);
    deepest = Math.max(deepest, depth);
    if (!seen && below.length) {
      stack.push({ agent, depth, seen: true });
      for (const child of [...below].reverse()) stack.push({ agent: child, depth: depth + 1, seen: false });
      continue;
    }
    const across = below.length ? (spots.get(below[0]).x + spots.get(below.at(-1)).x) / 2 : leaves++;
    spots.set(agent, { x: across, y: depth });
  }
  return { spots, width: Math.max(1, leaves), depth: deepest + 1 };
}

export function Tree({ rows, selected, path, onSelect, onCompare }) {
  const { spots, width, depth } = useMemo(() => layout(rows), [rows]);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [low, high] = range(rows);
  const x = (n) => 32 + spots.get(n).x * STEP.x;
  const y = (n) => 30 + spots.get(n).y * STEP.y;

  useEffect(() => {
    if (spots.has(selected)) box.current.querySelector(`[data-agent="${selected}"]`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [selected, spots]);

  const edges = rows.flatMap((row) => row.parents.filter((p) => spots.has(p)).map((p, at) => ({ from: p, to: row.agent, second: at > 0 })));
  const most = Math.max(1, ...rows.map((row) => row.n));
  return html`<div class="tree" ref=${box} data-testid="tree">
    <svg width=${width * STEP.x + 64} height=${depth * STEP.y + 20} role="listbox" aria-label="Lineage as a tree">
      ${edges.map(({ from, to, second }) => {
        const middle = (y(from) + y(to)) / 2;
        return html`<path class=${cls("edge", !second && path.has(from) && path.has(to) && "on-path")} stroke-dasharray=${second ? "3 3" : undefined}
          d="M${x(from)} ${y(from)}C${x(from)} ${middle} ${x(to)} ${middle} ${x(to)} ${y(to)}" />`;
      })}
      ${rows.map((row) => {
        const here = row.agent === selected;
        const act = (event) => (event.shiftKey ? onCompare : onSelect)(row.agent);
        return html`<g key=${row.agent} data-agent=${row.agent} role="option" aria-selected=${here} tabindex=${here || (selected === undefined && row.best) ? 0 : -1}
          aria-label="agent/${row.agent}, ${row.status === "rejected" ? "rejected" : percent(row.score)}: ${row.subject}"
          onClick=${act} onKeyDown=${(event) => (event.key === "Enter" ? act(event) : walk(event, row, rows, onSelect))}>
          <title>agent/${row.agent}  ${row.status === "rejected" ? "rejected" : percent(row.score)}  ${row.subject}</title>
          <circle class="halo" cx=${x(row.agent)} cy=${y(row.agent)} r="16" />
          <${Spot} row=${row} x=${x(row.agent)} y=${y(row.agent)} share=${row.score == null ? null : (row.score - low) / (high - low || 1)} ring=${0.8 + 2.7 * Math.sqrt(row.n / most)} />
          <text x=${x(row.agent)} y=${y(row.agent) + 25}>${row.agent}</text>
        </g>`;
      })}
    </svg>
  </div>`;
}

function Spot({ row, x, y, share, ring }) {
  const fill = share == null ? "var(--panel)" : `color-mix(in oklab, var(--pass) ${Math.round(share * 100)}%, var(--fail))`;
  const look = { class: "spot", style: { fill, strokeWidth: `${ring}px` } };
  if (row.status === "rejected") {
    return html`<g class="mark rejected"><circle class="mark-back" cx=${x} cy=${y} r="9" /><path d="M${x - 5} ${y - 5}l10 10m0-10l-10 10" /></g>`;
  }
  if (row.best) return html`<path ...${look} d="M${x} ${y - 13}l13 13-13 13-13-13z" />`;
  return html`<circle ...${look} cx=${x} cy=${y} r="9" />`;
}

function range(rows) {
  const scores = rows.map((row) => row.score).filter((score) => score != null);
  return scores.length ? [Math.min(...scores), Math.max(...scores)] : [0, 1];
}

/** Arrows: up to the parent, down to the first child, sideways to the siblings. */
function walk(event, row, rows, onSelect) {
  const siblings = rows.filter((other) => other.parents[0] === row.parents[0]).map((other) => other.agent).sort((a, b) => a - b);
  const beside = siblings.indexOf(row.agent);
  const next = {
    ArrowUp: () => row.parents[0],
    ArrowDown: () => rows.findLast((other) => other.parents[0] === row.agent)?.agent,
    ArrowLeft: () => siblings[beside - 1],
    ArrowRight: () => siblings[beside + 1],
  }[event.key]?.();
  if (next === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  onSelect(next);
  requestAnimationFrame(() => /** @type {SVGElement | null} */ (document.querySelector(`.tree [data-agent="${next}"]`))?.focus());
}
