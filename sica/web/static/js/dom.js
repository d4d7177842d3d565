/** What the page is drawn with: Preact, its hooks and htm's templates. Text from anywhere becomes a text node, never markup. */

import { Fragment, h, render } from "../vendor/preact.js";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-hooks.js";
import htm from "../vendor/htm.js";

/** @type {(strings: TemplateStringsArray, ...values: any[]) => any} */
export const html = htm.bind(h);
export { Fragment, render, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState };

/** Class names from those that apply: cls("row", selected && "is-selected"). */
export const cls = (...names) => names.filter(Boolean).join(" ");
