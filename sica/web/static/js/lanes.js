/**
 * Lanes of the lineage as one small SVG a row. Which agent stands in which lane is the server's answer
 * (sica.report.lanes, the same as `sica log`); here it only becomes lines.
 */

import { html, cls } from "./dom.js";

export const LANE = 14;
/** Pixels from lane to lane. */

/**
 * @typedef {object} Place
 * @property {number} column
 * @property {boolean} tip no lane arrives from above
 * @property {boolean} root its lane ends here
 * @property {{start: number, end: number, closes: boolean, opens: boolean}[]} turns
 */

/**
 * What one row draws: lanes that pass by, where the own lane comes and goes, and edges from the mark to other lanes.
 * @typedef {{column: number, above: boolean, below: boolean, passing: number[], edges: {to: number, opens: boolean}[]}} Strip
 */

/** @param {Place[]} places newest first @returns {{strips: Strip[], width: number}} */
export function strips(places) {
  const open = new Set();
  let width = 1;
  const drawn = places.map((place) => {
    const passing = [...open].filter((column) => column !== place.column);
    let below = !place.root;
    /** Lanes opened by this row that join another at once: the edge then runs to where they end. */
    const edges = new Map();
    for (const { start, end, closes, opens } of place.turns) {
      edges.delete(start);
      edges.set(end, { to: end, opens });
      if (closes) open.delete(start);
      if (closes && start === place.column) below = false;
      if (opens) open.add(end);
      width = Math.max(width, start + 1, end + 1);
    }
    if (below) open.add(place.column);
    else open.delete(place.column);
    width = Math.max(width, place.column + 1);
    return { column: place.column, above: !place.tip, below, passing, edges: [...edges.values()] };
  });
  return { strips: drawn, width };
}

const x = (column) => column * LANE + LANE / 2 + 1;

/** A bend from the mark down into another lane. */
function bend(from, to, height) {
  const middle = height / 2;
  return `M${x(from)} ${middle}C${x(from)} ${height - 3} ${x(to)} ${middle + 3} ${x(to)} ${height}`;
}

/**
 * @param {object} props
 * @param {Strip} props.strip
 * @param {number} props.width lanes shown; what lies further right is cut and marked
 * @param {number} props.height
 * @param {string} props.mark best | evaluated | rejected | running | ready
 * @param {{above: boolean, below: boolean, lane?: number, edge?: number}} [props.path] which pieces lie on the way from the seed to the best
 */
export function Lanes({ strip, width, height, mark, path = { above: false, below: false } }) {
  const middle = height / 2;
  const at = Math.min(strip.column, width - 1);
  return html`<svg class="lanes" width=${width * LANE + 4} height=${height} aria-hidden="true" focusable="false">
    ${strip.passing
      .filter((column) => column < width)
      .map((column) => html`<path class=${cls("lane", path.lane === column && "on-path")} d="M${x(column)} 0V${height}" />`)}
    ${strip.edges.filter((edge) => edge.to < width).map((edge) => html`<path class=${cls("lane", path.edge === edge.to && "on-path")} d=${bend(at, edge.to, height)} />`)}
    ${strip.above && html`<path class=${cls("lane", path.above && "on-path")} d="M${x(at)} 0V${middle}" />`}
    ${strip.below && html`<path class=${cls("lane", path.below && "on-path")} d="M${x(at)} ${middle}V${height}" />`}
    <${Mark} kind=${mark} x=${x(at)} y=${middle} />
  </svg>`;
}

/** The same signs as the terminal's: a filled diamond, a ring, a cross, a dotted ring. */
export function Mark({ kind, x: left, y: top }) {
  switch (kind) {
    case "best":
      return html`<path class="mark best" d="M${left} ${top - 6}l6 6-6 6-6-6z" />`;
    case "rejected":
      return html`<g class="mark rejected"><circle cx=${left} cy=${top} r="6" class="mark-back" /><path d="M${left - 4} ${top - 4}l8 8m0-8l-8 8" /></g>`;
    default:
      return html`<circle class=${cls("mark", kind)} cx=${left} cy=${top} r="4.5" />`;
  }
}
