/** What happens while the page is open: one stream of events that survives a server that is started again. */

import { offline } from "./api.js";

const KINDS = ["run", "trial", "improvement", "verdict", "promotion", "request", "answer", "trace"];
const GATHER = 100;
/** Milliseconds: two hundred events a second are ten redraws a second. */
const AGAIN = 2000;

/**
 * @param {object} to
 * @param {string} to.after cursor of what the page already has
 * @param {(events: any[]) => void} to.events in order, each exactly once, a tenth of a second's worth at a time
 * @param {(status: any) => void} to.status
 * @param {() => void} to.reset the archive is another one: everything is to be loaded again
 * @param {(state: "live" | "reconnecting") => void} to.connection
 * @returns {() => void} stop listening
 */
export function listen(to) {
  if (offline) return () => {};
  let cursor = to.after;
  let gathered = [];
  let flush = 0;
  let retry = 0;
  /** @type {EventSource} */
  let source;

  const hand = () => {
    flush = 0;
    const events = gathered;
    gathered = [];
    to.events(events);
  };
  const take = (message) => {
    cursor = message.lastEventId || cursor;
    gathered.push({ ...JSON.parse(message.data), id: message.lastEventId });
    flush ||= setTimeout(hand, GATHER);
  };
  const open = () => {
    source = new EventSource(`/api/events?after=${encodeURIComponent(cursor)}`);
    source.onopen = () => to.connection("live");
    source.onerror = () => {
      to.connection("reconnecting");
      if (source.readyState === EventSource.CLOSED) retry = setTimeout(open, AGAIN); // the browser has given up
    };
    for (const kind of KINDS) source.addEventListener(kind, take);
    source.addEventListener("status", (message) => to.status(JSON.parse(message.data)));
    source.addEventListener("reset", (message) => {
      cursor = message.lastEventId || cursor;
      to.reset();
    });
  };
  open();
  return () => {
    source.close();
    clearTimeout(flush);
    clearTimeout(retry);
  };
}
