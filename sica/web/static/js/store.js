/** One place for what the page knows; a component redraws when the part that it picked has changed. */

import { useEffect, useState } from "./dom.js";

/** @template S @typedef {{get: () => S, set: (patch: Partial<S>) => void, subscribe: (tell: () => void) => () => void}} Store */

/** @template S @param {S} initial @returns {Store<S>} */
export function createStore(initial) {
  let state = initial;
  const listeners = new Set();
  return {
    get: () => state,
    set(patch) {
      state = { ...state, ...patch };
      for (const tell of [...listeners]) tell();
    },
    subscribe(tell) {
      listeners.add(tell);
      return () => listeners.delete(tell);
    },
  };
}

/** @template S, T @param {Store<S>} store @param {(state: S) => T} pick @returns {T} */
export function useStore(store, pick) {
  const [, redraw] = useState(0);
  const picked = pick(store.get());
  useEffect(() => {
    let last = pick(store.get());
    if (last !== picked) redraw((n) => n + 1); // it changed between drawing and listening
    return store.subscribe(() => {
      const now = pick(store.get());
      if (now !== last) {
        last = now;
        redraw((n) => n + 1);
      }
    });
  }, [store]);
  return picked;
}
