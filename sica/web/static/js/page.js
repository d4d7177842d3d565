/** What the page knows, and how it stays true: loaded once, then told by events what to ask again. */

import { ask, forget, get, offline, url, useAnswer, useCalm } from "./api.js";
import { listen } from "./live.js";
import { createStore, useStore } from "./store.js";

export const KEPT = 500;
/** Events in sight; the log has the rest. */
const CALM = 1500;
/** Milliseconds between two loads of the same thing, however much happens. */

/**
 * @typedef {object} Page
 * @property {any} archive
 * @property {any} status
 * @property {any} progress
 * @property {any[]} events newest first
 * @property {number} outcomes how many events since the page was opened changed the archive
 * @property {Record<string, number>} received how many there were, by kind
 * @property {Record<string, number>} latest by session: the newest event of an open trace
 * @property {Record<string, string>} closed by session: the name of a trace that was closed while the page looked on
 * @property {"loading" | "live" | "reconnecting" | "file"} connection
 * @property {Error | null} problem
 * @property {{id: number, text: string, bad: boolean}[]} toasts
 */

/** @type {import("./store.js").Store<Page>} */
export const page = createStore({
  archive: null,
  status: null,
  progress: null,
  events: [],
  outcomes: 0,
  received: {},
  latest: {},
  closed: {},
  connection: offline ? "file" : "loading",
  problem: null,
  toasts: [],
});

/** @template T @param {(state: Page) => T} pick */
export const usePage = (pick) => useStore(page, pick);

/** @type {Record<string, string>} which benchmark and setting, as in `sica log` */
let scope = {};
export const scoped = (path, more = {}) => url(path, { ...scope, ...more });

export async function start(chosen) {
  scope = { bench: chosen.bench ?? "", under: chosen.under ?? "" };
  await Promise.all([load("archive"), load("status"), load("progress")]);
  const { archive } = page.get();
  if (!archive || offline) return;
  listen({
    after: archive.cursor,
    events: taken,
    status: (status) => page.set({ status }),
    connection: connected,
    reset: () => location.reload(),
  });
}

/** @param {"live" | "reconnecting"} connection */
function connected(connection) {
  const back = connection === "live" && page.get().connection === "reconnecting";
  page.set({ connection, problem: null });
  if (!back) return;
  forget(); // a server that was started again takes another token
  load("archive");
  load("progress");
}

/** @param {"archive" | "status" | "progress"} what */
async function load(what) {
  try {
    page.set({ [what]: await get(what === "status" ? "/api/status" : scoped(`/api/${what}`)) });
  } catch (error) {
    page.set({ problem: /** @type {Error} */ (error) });
  }
}

const CHANGES = new Set(["trial", "improvement", "verdict", "promotion", "answer", "run"]);

function taken(events) {
  const { outcomes, events: last, latest, closed } = page.get();
  const received = { ...page.get().received };
  for (const event of events) received[event.kind] = (received[event.kind] ?? 0) + 1;
  const changed = events.filter((event) => CHANGES.has(event.kind)).length;
  const inside = events.filter((event) => event.kind === "trace");
  const ended = events.filter((event) => event.session && event.trace);
  page.set({
    events: [...events.slice(-KEPT).reverse(), ...last].slice(0, KEPT),
    received,
    outcomes: outcomes + changed,
    latest: inside.length ? { ...latest, ...Object.fromEntries(inside.map((event) => [event.session, event.e])) } : latest,
    closed: ended.length ? { ...closed, ...Object.fromEntries(ended.map((event) => [event.session, event.trace])) } : closed,
  });
  for (const event of events) {
    if (event.kind === "answer") tell(event.text || `request ${event.id}: ${event.state}`, event.state === "refused");
  }
  if (changed) reload();
}

let waiting = 0;
let lastLoad = 0;

/** The tables that outcomes change: at once when it was quiet, else at the end of the pause. */
function reload() {
  if (waiting) return;
  waiting = setTimeout(() => {
    waiting = 0;
    lastLoad = Date.now();
    load("archive");
    load("progress");
  }, Math.max(0, lastLoad + CALM - Date.now()));
}

let toasts = 0;

/** A line at the edge of the page that goes away by itself. */
export function tell(text, bad = false) {
  const toast = { id: ++toasts, text, bad };
  page.set({ toasts: [...page.get().toasts, toast].slice(-4) });
  setTimeout(() => page.set({ toasts: page.get().toasts.filter((other) => other.id !== toast.id) }), 6000);
}

const ASKED = {
  pause: "asked to pause: what runs goes on to its end",
  resume: "asked to go on",
  stop: "asked to stop after what runs",
  cancel: "asked to cancel the box",
  hint: "the hint is on its way",
  comment: "comment sent",
  approve: "approval sent",
  reject: "rejection sent",
};

/** Send a person's request; true when the server took it. */
export async function request(what) {
  try {
    await asked(what);
  } catch (error) {
    tell(error.hint ? `${error.message}: ${error.hint}` : error.message, true);
    return false;
  }
  tell(ASKED[what.kind]);
  return true;
}

/** Every box at work, asked again at most once a second while something happens in them. */
export function useRunning() {
  const moved = usePage((state) => (state.received.trace ?? 0) + state.outcomes);
  return useAnswer("/api/running", useCalm(moved, 1000));
}

/** A server that was started again a moment ago refuses the token of the last one: its own is fetched, once. */
async function asked(what) {
  const { token } = page.get().archive.meta;
  try {
    return await ask(token, what);
  } catch (error) {
    if (error.status !== 403) throw error;
    forget();
    await load("archive");
    if (page.get().archive.meta.token === token) throw error;
    return ask(page.get().archive.meta.token, what);
  }
}

/** Whether people may change anything from here. */
export const mayAsk = (archive) => Boolean(archive?.meta.token) && !archive.meta.readonly;
