/** Pages of one trace: from the server, which filters; or from an exported file, where the page filters itself. */

import { get, offline, url } from "./api.js";

export const PAGE = 200;
export const LAST = 1_000_000_000;
/** As `at`: the newest page. */

/**
 * @typedef {{at?: number, kind?: string, page?: number, q?: string, span?: number}} Wants
 * @param {string} name @param {Wants} wants
 */
export const traceUrl = (name, wants) => url(`/api/trace/${name}`, wants);

/** @param {string} name @param {Wants} wants @returns {Promise<any>} */
export async function tracePage(name, wants) {
  if (!offline) return get(traceUrl(name, wants));
  const first = await get(traceUrl(name, {}));
  const pages = [first];
  for (let page = 1; page < first.pages; page++) pages.push(await get(traceUrl(name, { page })));
  return picked(first, pages.flatMap((page) => page.blocks), wants);
}

/** What the server would have answered. */
export function picked(first, blocks, wants) {
  const kinds = wants.kind ? wants.kind.split(",") : null;
  const spans = wants.span === undefined ? null : within(first.spans, wants.span);
  const text = (wants.q ?? "").toLowerCase();
  const kept = blocks.filter(
    (block) =>
      (!kinds || kinds.includes(block.kind)) && (!spans || spans.has(block.span)) && (!text || JSON.stringify(block).toLowerCase().includes(text)),
  );
  const pages = Math.max(1, Math.ceil(kept.length / PAGE));
  const at = wants.at === undefined ? -1 : kept.findLastIndex((block) => block.e <= wants.at);
  const page = Math.min(pages - 1, at >= 0 ? Math.floor(at / PAGE) : (wants.page ?? 0));
  return { ...first, page, pages, total: kept.length, first: page * PAGE, blocks: kept.slice(page * PAGE, (page + 1) * PAGE) };
}

/** A span and all that are nested in it. */
function within(spans, top) {
  const inside = new Set([top]);
  for (const span of spans) if (inside.has(span.parent)) inside.add(span.span);
  return inside;
}

/**
 * Blocks in order, with each sub-agent's blocks under one head: where the tool call that started it stands, or else
 * where its first block is.
 * @returns {{block?: any, span?: any, items?: any[]}[]}
 */
export function nested(blocks, spans, top = 0) {
  const byNumber = new Map(spans.map((span) => [span.span, span]));
  const lists = new Map([[top, []]]);
  const root = lists.get(top);
  const listOf = (number) => {
    const known = lists.get(number);
    if (known) return known;
    const span = byNumber.get(number);
    const items = [];
    lists.set(number, items);
    const above = span && span.parent !== null && span.parent !== number ? listOf(span.parent) : root;
    above.push({ span: span ?? { span: number, label: `span ${number}` }, items });
    return items;
  };
  for (const block of blocks) {
    const items = listOf(block.span);
    items.push({ block });
    if (block.starts != null && !lists.has(block.starts) && byNumber.has(block.starts)) {
      const inner = [];
      lists.set(block.starts, inner);
      items.push({ span: byNumber.get(block.starts), items: inner });
    }
  }
  return root;
}
