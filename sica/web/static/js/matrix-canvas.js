/**
 * The picture of the matrix: agents down, tasks across, drawn on a canvas that is as large as the sight only, so that
 * 500 x 225 cells cost what fits on the screen. No state of the page is known here.
 */

import { colour } from "./theme.js";

/**
 * @typedef {{mean: number | null, n: number, faults: number, mixed: boolean}} Cell mean: null when no trial has a score
 * @typedef {object} Picture
 * @property {{label: string, note: string, best: boolean}[]} rows
 * @property {{label: string}[]} columns
 * @property {(row: number, column: number) => Cell | null} cell
 * @property {number} width of a cell in pixels
 * @property {number} height
 * @property {{row: number, column: number} | null} cursor
 */

const GAP_FROM = 9;
/** Cells smaller than this touch: a grid of gaps would be all there is to see. */
const NAMES_FROM = 10;
/** Columns narrower than this have no names above them; hovering says them. */

export const labelWidth = (narrow) => (narrow ? 62 : 132);
export const headHeight = (picture) => (picture.width >= NAMES_FROM ? 96 : 10);

/** Of everything, in pixels. */
export function extent(picture, narrow) {
  return {
    width: labelWidth(narrow) + picture.columns.length * picture.width + 28,
    height: headHeight(picture) + picture.rows.length * picture.height + 8,
  };
}

/** Which cell lies at a point of the sight; null beside the cells. */
export function hit(picture, narrow, scroll, x, y) {
  const left = labelWidth(narrow);
  const top = headHeight(picture);
  if (x < left || y < top) return null;
  const column = Math.floor((x - left + scroll.left) / picture.width);
  const row = Math.floor((y - top + scroll.top) / picture.height);
  return column < picture.columns.length && row < picture.rows.length && row >= 0 && column >= 0 ? { row, column } : null;
}

/** Where a cell lies in the whole picture, without the frozen labels. */
export const place = (picture, { row, column }) => ({
  left: column * picture.width,
  top: row * picture.height,
  width: picture.width,
  height: picture.height,
});

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Picture} picture
 * @param {{left: number, top: number}} scroll
 * @param {{width: number, height: number}} sight
 */
export function draw(canvas, picture, scroll, sight, narrow) {
  const scale = devicePixelRatio || 1;
  canvas.width = Math.round(sight.width * scale);
  canvas.height = Math.round(sight.height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const paint = palette();
  pen.fillStyle = paint.panel;
  pen.fillRect(0, 0, sight.width, sight.height);
  const view = { left: labelWidth(narrow), top: headHeight(picture), height: picture.height };
  const first = { row: Math.floor(scroll.top / view.height), column: Math.floor(scroll.left / picture.width) };
  const last = {
    row: Math.min(picture.rows.length - 1, Math.floor((scroll.top + sight.height - view.top) / view.height)),
    column: Math.min(picture.columns.length - 1, Math.floor((scroll.left + sight.width - view.left) / picture.width)),
  };
  cells(pen, picture, paint, view, scroll, first, last);
  rowNames(pen, picture, paint, view, scroll, first, last, narrow);
  columnNames(pen, picture, paint, view, scroll, first, last, sight);
}

function palette() {
  const names = ["pass", "fail", "fault", "unrun", "panel", "ink", "ink-2", "ink-3", "accent", "line", "selected"];
  /** @type {Record<string, any>} */
  const paint = Object.fromEntries(names.map((name) => [name, colour(name)]));
  // Partial credit in eleven steps: mixing colours for each of 50,000 cells would take longer than drawing them.
  paint.steps = Array.from({ length: 11 }, (_, tenth) => `color-mix(in oklab, ${paint.pass} ${tenth * 10}%, ${paint.fail})`);
  paint.sans = colour("sans");
  return paint;
}

function cells(pen, picture, paint, view, scroll, first, last) {
  const gap = picture.width >= GAP_FROM ? 1 : 0;
  const high = view.height >= GAP_FROM ? 1 : 0;
  pen.save();
  pen.beginPath();
  pen.rect(view.left, view.top, 1e5, 1e5);
  pen.clip();
  for (let row = first.row; row <= last.row; row++) {
    for (let column = first.column; column <= last.column; column++) {
      const x = view.left + column * picture.width - scroll.left;
      const y = view.top + row * view.height - scroll.top;
      cell(pen, picture.cell(row, column), paint, x, y, picture.width - gap, view.height - high);
    }
  }
  if (picture.cursor) {
    const { left, top, width, height } = place(picture, picture.cursor);
    pen.strokeStyle = paint.ink;
    pen.lineWidth = 2;
    pen.strokeRect(view.left + left - scroll.left - 0.5, view.top + top - scroll.top - 0.5, width, height);
  }
  pen.restore();
}

function cell(pen, known, paint, x, y, width, height) {
  if (!known) {
    pen.fillStyle = paint.unrun;
    pen.fillRect(x, y, width, height);
  } else if (known.mean == null) {
    pen.fillStyle = paint.fault;
    pen.fillRect(x, y, width, height);
    if (width > 5 && height > 5) {
      pen.fillStyle = paint.panel;
      pen.fillRect(x + 2, y + 2, width - 4, height - 4);
    }
  } else if (known.mixed && width > 5) {
    halves(pen, paint, x, y, width, height);
  } else {
    pen.fillStyle = paint.steps[Math.round(known.mean * 10)];
    pen.fillRect(x, y, width, height);
  }
}

/** Sometimes solved, sometimes not: both colours, whatever the share. */
function halves(pen, paint, x, y, width, height) {
  pen.fillStyle = paint.fail;
  pen.fillRect(x, y, width, height);
  pen.fillStyle = paint.pass;
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(x + width, y);
  pen.lineTo(x, y + height);
  pen.fill();
}

function rowNames(pen, picture, paint, view, scroll, first, last, narrow) {
  pen.fillStyle = paint.panel;
  pen.fillRect(0, 0, view.left, 1e5);
  if (view.height < 10) return; // no room for a name a row
  pen.textBaseline = "middle";
  for (let row = first.row; row <= last.row; row++) {
    const { label, note, best } = picture.rows[row];
    const y = view.top + row * view.height - scroll.top + view.height / 2;
    if (y < view.top - view.height / 2) continue;
    pen.font = `${best ? 600 : 400} ${Math.min(12, view.height - 1)}px ${paint.sans}`;
    pen.fillStyle = best ? paint.accent : paint.ink;
    pen.textAlign = "left";
    pen.fillText(narrow ? label.replace("agent/", "") : label, 10, y);
    if (narrow) continue;
    pen.fillStyle = paint["ink-3"];
    pen.textAlign = "right";
    pen.fillText(note, view.left - 10, y);
  }
}

function columnNames(pen, picture, paint, view, scroll, first, last, sight) {
  pen.fillStyle = paint.panel;
  pen.fillRect(0, 0, sight.width, view.top - 1);
  if (picture.width < NAMES_FROM) return;
  pen.save();
  pen.beginPath();
  pen.rect(view.left - 4, 0, sight.width, view.top);
  pen.clip();
  pen.font = `${Math.min(11, picture.width)}px ${paint.sans}`;
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  for (let column = Math.max(0, first.column); column <= last.column; column++) {
    const x = view.left + (column + 0.5) * picture.width - scroll.left;
    pen.save();
    pen.translate(x, view.top - 6);
    pen.rotate(-Math.PI / 3.2);
    pen.fillStyle = picture.cursor?.column === column ? paint.ink : paint["ink-2"];
    pen.fillText(fit(pen, picture.columns[column].label, 100), 0, 0);
    pen.restore();
  }
  pen.restore();
}

function fit(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let kept = text;
  while (kept && pen.measureText(`${kept}\u2026`).width > width) kept = kept.slice(0, -1);
  return `${kept}\u2026`;
}
