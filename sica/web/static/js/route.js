/**
 * What is shown, as the part of the address after #, so that a link, Back and a reload restore it.
 *
 *   #/                                        the lineage
 *   #/agent/11                                with an agent selected; /tasks, /cost, /comments: that tab
 *   #/agent/11/made                           the trace of its making
 *   #/agent/11/task/core%2Fforth              its last attempt at a task; /attempt/0: that one; /e/132: that event
 *   #/matrix   #/live   #/compare/4/11   #/compare/4/11/task/core%2Fforth
 * followed by ?name=value for filters.
 */

import { useEffect, useState } from "./dom.js";

/**
 * @typedef {object} Route
 * @property {"lineage" | "matrix" | "live" | "compare" | "trace"} view
 * @property {number} [agent]
 * @property {string} [tab]
 * @property {string} [task] empty or absent in a trace: the agent's making
 * @property {number} [attempt]
 * @property {number} [event]
 * @property {number[]} [pair]
 * @property {Record<string, string>} filter
 */

const number = (text) => (/^\d+$/.test(text ?? "") ? Number(text) : undefined);

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
  const named = (name) => parts[parts.indexOf(name, 2) + 1];
  switch (parts[0]) {
    case "agent": {
      const agent = number(parts[1]);
      if (agent === undefined) break;
      if (parts[2] !== "task" && parts[2] !== "made") return { view: "lineage", agent, tab: parts[2], filter };
      const trace = { view: /** @type {const} */ ("trace"), agent, filter, event: parts.includes("e", 2) ? number(named("e")) : undefined };
      if (parts[2] === "made") return { ...trace, task: "" };
      return { ...trace, task: parts[3] ?? "", attempt: parts.includes("attempt", 4) ? number(named("attempt")) : undefined };
    }
    case "matrix":
    case "live":
      return { view: parts[0], filter };
    case "compare":
      return {
        view: "compare",
        pair: [number(parts[1]), number(parts[2])].filter((n) => n !== undefined),
        task: parts[3] === "task" ? parts[4] : undefined,
        filter,
      };
  }
  return { view: "lineage", filter };
}

/** @param {Partial<Route>} route @returns {string} */
export function link(route) {
  const query = new URLSearchParams(Object.entries(route.filter ?? {}).filter(([, value]) => value)).toString();
  return `#/${path(route)}${query ? `?${query}` : ""}`;
}

function path(route) {
  switch (route.view) {
    case "trace": {
      const what = route.task ? `task/${encodeURIComponent(route.task)}` : "made";
      const attempt = route.task && route.attempt !== undefined ? `/attempt/${route.attempt}` : "";
      return `agent/${route.agent}/${what}${attempt}${route.event !== undefined ? `/e/${route.event}` : ""}`;
    }
    case "compare":
      return ["compare", ...(route.pair ?? []), ...(route.task ? ["task", encodeURIComponent(route.task)] : [])].join("/");
    case "matrix":
    case "live":
      return route.view;
    default:
      return route.agent === undefined ? "" : `agent/${route.agent}${route.tab ? `/${route.tab}` : ""}`;
  }
}

/** @param {Partial<Route>} route @param {{replace?: boolean}} [how] replace: not a step for Back */
export function go(route, how = {}) {
  const hash = link(route);
  if (hash === location.hash) return;
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
