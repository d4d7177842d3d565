/** A list of which only the rows in sight exist: ten thousand agents cost as much as forty. */

import { html, useLayoutEffect, useRef, useState } from "./dom.js";

const SPARE = 8;
/** Rows kept above and below the sight, so that a fast scroll shows no gap. */

/**
 * @param {object} props
 * @param {number} props.count
 * @param {number} props.height of one row in pixels, the same for all
 * @param {(at: number) => any} props.row
 * @param {number} [props.current] index to keep in sight when it changes
 * @param {Record<string, any>} [props.attributes] of the scrolling element
 */
export function Virtual({ count, height, row, current = -1, attributes = {} }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [sight, setSight] = useState({ top: 0, height: 600 });
  const look = () => {
    const { scrollTop, clientHeight } = box.current;
    setSight((was) => (was.top === scrollTop && was.height === clientHeight ? was : { top: scrollTop, height: clientHeight }));
  };

  useLayoutEffect(() => {
    look();
    const watch = new ResizeObserver(look);
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);

  useLayoutEffect(() => {
    if (current < 0) return;
    const { scrollTop, clientHeight } = box.current;
    const top = current * height;
    if (top < scrollTop) box.current.scrollTop = top;
    else if (top + height > scrollTop + clientHeight) box.current.scrollTop = top + height - clientHeight;
    look();
  }, [current, height]);

  const first = Math.max(0, Math.floor(sight.top / height) - SPARE);
  const last = Math.min(count, Math.ceil((sight.top + sight.height) / height) + SPARE);
  const rows = [];
  for (let at = first; at < last; at++) rows.push(row(at));
  return html`<div ref=${box} class="virtual" onScroll=${look} ...${attributes}>
    <div class="virtual-all" style=${{ height: `${count * height}px` }} role="presentation">
      <div style=${{ transform: `translateY(${first * height}px)` }} role="presentation">${rows}</div>
    </div>
  </div>`;
}
