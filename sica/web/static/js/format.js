/** Numbers and text for people, in the words of `sica log`; the same functions as sica/report.py has for the terminal. */

const MINUS = "\u2212";

export const percent = (score) => (score == null ? "\u2026" : `${(100 * score).toFixed(1)}%`);

/** 56.0% ±6.5: ± is half the 95% interval. */
export const withMargin = (score, low, high) =>
  score == null || low == null || high == null ? percent(score) : `${percent(score)} \u00b1${(50 * (high - low)).toFixed(1)}`;

export const interval = (low, high) =>
  low == null || high == null ? "" : `[${(100 * low).toFixed(1)}, ${(100 * high).toFixed(1)}]`;

/** Points of a percentage with a sign. */
export function signed(change, digits = 1) {
  if (change == null) return "";
  const points = (100 * change).toFixed(digits);
  return points.startsWith("-") ? MINUS + points.slice(1) : `+${points}`;
}

export function money(usd) {
  if (usd == null) return "";
  if (usd === 0) return "$0";
  if (usd > 0 && usd < 0.005) return "<$0.01";
  const digits = Math.abs(usd) < 1000 ? 2 : 0;
  return `$${usd.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

/** 38.0M, 12.4k, 950. */
export function count(number) {
  if (number == null) return "";
  for (const [unit, size] of /** @type {[string, number][]} */ ([["G", 1e9], ["M", 1e6], ["k", 1e3]])) {
    if (number >= size) return `${(number / size).toFixed(1)}${unit}`;
  }
  return `${Math.round(number)}`;
}

/** 48s, 6m12s, 2h05m, 3d04h. */
export function duration(seconds) {
  if (seconds == null) return "";
  const whole = Math.round(Math.max(0, seconds));
  const two = (n) => String(n).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86400)}d${two(Math.floor((whole % 86400) / 3600))}h`;
}

/** Of something short: 0.31s, then as `duration`. */
export const brief = (seconds) => (seconds == null ? "" : seconds < 10 ? `${seconds.toFixed(seconds < 1 ? 2 : 1)}s` : duration(seconds));

export function ago(seconds) {
  for (const [unit, size] of /** @type {[string, number][]} */ ([["d", 86400], ["h", 3600], ["min", 60]])) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return "just now";
}

/** The time of today, the day and time of another. */
export function clock(at) {
  if (!at) return "";
  const then = new Date(at * 1000);
  const time = then.toLocaleTimeString("en-GB");
  return then.toDateString() === new Date().toDateString() ? time : `${then.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${time.slice(0, 5)}`;
}

export function day(at) {
  return at ? new Date(at * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) : "";
}

export function bytes(size) {
  for (const [unit, step] of /** @type {[string, number][]} */ ([["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])) {
    if (size >= step) return `${(size / step).toFixed(1)} ${unit}`;
  }
  return `${size} bytes`;
}

export const plural = (number, noun, many = `${noun}s`) => `${number.toLocaleString("en-US")} ${number === 1 ? noun : many}`;

/** A p value as papers print it. */
export const chance = (p) => (p == null ? "" : p < 0.001 ? "p < 0.001" : `p ${p.toFixed(p < 0.1 ? 3 : 2)}`);

/** The task without its benchmark. */
export const short = (task) => String(task).slice(String(task).lastIndexOf("/") + 1);

const ESCAPES =
  // eslint-disable-next-line no-control-regex
  /\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]?/g;
const CONTROLS = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/**
 * Text of an agent that shows and does not steer: no escapes, controls or bidirectional marks.
 * The server cleans too; raw JSON and exported traces pass here only.
 */
export const clean = (text) => String(text ?? "").replace(ESCAPES, "").replace(/\r\n?/g, "\n").replace(CONTROLS, "");
