/** What the page asks: of the server, or of the data inside a file that was exported. docs/web-api.md is the contract. */

import { useEffect, useRef, useState } from "./dom.js";

const inside = document.getElementById("data");
/** @type {Record<string, any> | null} */
const exported = inside ? JSON.parse(inside.textContent) : null;

/** Whether this page is a file without a server. */
export const offline = exported !== null;

/** An answer that says no; `message` and `hint` are for people. */
export class Refused extends Error {
  constructor(status, error, hint = "") {
    super(error);
    this.status = status;
    this.hint = hint;
  }
}

/** A path with its parameters in the one order that makes it a key of the export: alphabetical, empty ones left out. */
export function url(path, parameters = {}) {
  const query = Object.entries(parameters)
    .filter(([, value]) => value !== undefined && value !== null && value !== "")
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join("&");
  return query ? `${path}?${query}` : path;
}

/** Answers that carried an ETag: an unchanged one costs a 304 and keeps its identity, so nothing redraws. */
const known = new Map();

/** Another server may stand at the address now: what the last one said of itself is no longer true. */
export const forget = () => known.clear();

/** @param {string} address @returns {Promise<any>} */
export async function get(address) {
  if (exported) {
    if (!(address in exported)) throw new Refused(404, "not in this export", "export again with --traces all to have it");
    return exported[address];
  }
  const last = known.get(address);
  const response = await fetch(address, { headers: last ? { "If-None-Match": last.tag } : {} });
  if (response.status === 304) return last.data;
  const data = await read(response);
  const tag = response.headers.get("ETag");
  if (tag) known.set(address, { tag, data });
  return data;
}

/** Ask the run for something: pause, resume, stop, cancel, hint, approve, reject, comment. */
export async function ask(token, request) {
  const response = await fetch("/api/requests", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Sica-Token": token },
    body: JSON.stringify(request),
  });
  return (await read(response)).request;
}

async function read(response) {
  const data = await response.json();
  if (!response.ok) throw new Refused(response.status, data.error, data.hint);
  return data;
}

/**
 * An answer as state. It is asked again when the address or `version` changes; while the same address is asked again
 * the last answer stays in sight.
 * @param {string | null} address null: nothing to ask
 * @param {any} [version]
 * @param {number} [patience] milliseconds to wait first, for addresses that change with every key press
 * @param {(address: string) => Promise<any>} [ask]
 * @returns {{data: any, error: Refused | null}}
 */
export function useAnswer(address, version = 0, patience = 0, ask = get) {
  const [answer, setAnswer] = useState({ address, data: null, error: null });
  useEffect(() => {
    if (address === null) return undefined;
    let wanted = true;
    const settle = (data, error) => wanted && setAnswer({ address, data, error });
    const load = () => ask(address).then((data) => settle(data, null), (error) => settle(null, error));
    const timer = patience ? setTimeout(load, patience) : void load();
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [address, version]);
  return answer.address === address ? answer : { data: null, error: null };
}

/** A value that changes often, taken over at most once in so many milliseconds; the last one always arrives. */
export function useCalm(value, gap) {
  const [calm, setCalm] = useState(value);
  const last = useRef(0);
  useEffect(() => {
    if (Object.is(value, calm)) return undefined;
    const timer = setTimeout(() => {
      last.current = Date.now();
      setCalm(value);
    }, Math.max(0, last.current + gap - Date.now()));
    return () => clearTimeout(timer);
  }, [value, calm]);
  return calm;
}
