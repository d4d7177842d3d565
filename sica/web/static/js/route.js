/**
 * What is shown, as the part of the address after #, so that a link, Back, a reload and a file restore it.
 *
 *   #/                                     the lineage and its progress
 *   #/agent/11                             with an agent selected; /diff, /tasks, /cost, /review: that tab
 *   #/agent/11/made                        the trace of its making
 *   #/agent/11/task/core%2Fforth           the trace of its last attempt at a task; /0: of attempt 0
 *   #/box/SESSION   #/trace/sha256:...     a trace by name; every trace address + /e/132: that block of it
 *   #/matrix   #/running   #/events
 *   #/compare/4/11                         two agents; /diff; /task/core%2Fforth: both at that task
 *
 * followed by ?name=value for filters.
 */

import { useEffect, useState } from "./dom.js";

/**
 * @typedef {object} Route
 * @property {"lineage" | "matrix" | "live" | "compare" | "trace"} view
 * @property {number} [agent]
 * @property {string} [tab]
 * @property {string} [task] in a trace: empty for the agent's making
 * @property {number} [attempt] the last one when absent
 * @property {string} [trace] a session or sha256:..., where no agent says which trace
 * @property {number} [event]
 * @property {number[]} [pair]
 * @property {Record<string, string>} filter
 */

const number = (text) => (/^\d+$/.test(text ?? "") ? Number(text) : undefined);
/** A second tool of the same answer has a thousandth more than the first. */
const block = (text) => (/^\d+(\.\d+)?$/.test(text ?? "") ? Number(text) : undefined);

/** A part that is no valid escape is taken as it stands: a link typed by hand must not break the page. */
function unescaped(part) {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    if (error instanceof URIError) return part;
    throw error;
  }
}

/** @param {string} hash @returns {Route} */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(unescaped);
  const filter = Object.fromEntries(new URLSearchParams(query));
  const event = parts.at(-2) === "e" ? block(parts.at(-1)) : undefined;
  const rest = event === undefined ? parts : parts.slice(0, -2);
  return { ...named(rest), event, filter };
}

/** @param {string[]} parts @returns {any} */
function named(parts) {
  switch (parts[0]) {
    case "agent":
      return ofAgent(number(parts[1]), parts.slice(2));
    case "box":
    case "trace":
      return parts[1] ? { view: "trace", trace: parts[1] } : { view: "lineage" };
    case "matrix":
      return { view: "matrix" };
    case "running":
    case "events":
      return { view: "live", tab: parts[0] };
    case "compare": {
      const pair = parts.slice(1, 3).map(number).filter((n) => n !== undefined);
      return { view: "compare", pair, tab: parts[3] === "task" ? undefined : parts[3], task: parts[3] === "task" ? parts[4] : undefined };
    }
  }
  return { view: "lineage" };
}

/** @param {number | undefined} agent @param {(string | undefined)[]} rest */
function ofAgent(agent, [what, task, attempt]) {
  if (agent === undefined) return { view: "lineage" };
  if (what === "made") return { view: "trace", agent, task: "" };
  if (what === "task" && task) return { view: "trace", agent, task, attempt: number(attempt) };
  return { view: "lineage", agent, tab: what };
}

/** @param {Partial<Route>} route @returns {string} */
export function link(route) {
  const query = new URLSearchParams(Object.entries(route.filter ?? {}).filter(([, value]) => value)).toString();
  const event = route.event === undefined ? [] : ["e", route.event];
  const path = [...parts(route), ...event].map((part) => encodeURIComponent(part).replaceAll("%3A", ":")).join("/");
  return `#/${path}${query ? `?${query}` : ""}`;
}

/** @returns {(string | number)[]} */
function parts(route) {
  const tab = route.tab ? [route.tab] : [];
  switch (route.view) {
    case "trace": {
      if (route.agent === undefined) return [route.trace.startsWith("sha256:") ? "trace" : "box", route.trace];
      if (!route.task) return ["agent", route.agent, "made"];
      return ["agent", route.agent, "task", route.task, ...(route.attempt === undefined ? [] : [route.attempt])];
    }
    case "compare":
      return ["compare", ...(route.pair ?? []), ...(route.task ? ["task", route.task] : tab)];
    case "matrix":
      return ["matrix"];
    case "live":
      return [route.tab ?? "running"];
    default:
      return route.agent === undefined ? [] : ["agent", route.agent, ...tab];
  }
}

/** @param {Partial<Route>} route @param {{replace?: boolean}} [how] replace: no step for Back */
export function go(route, how = {}) {
  const hash = link(route);
  if (hash === (location.hash || "#/")) return;
  if (!how.replace) {
    location.hash = hash;
    return;
  }
  history.replaceState(null, "", hash);
  dispatchEvent(new Event("hashchange"));
}

/** @returns {Route} */
export function useRoute() {
  const [route, setRoute] = useState(() => parse(location.hash));
  useEffect(() => {
    const follow = () => setRoute(parse(location.hash));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return route;
}
