/** One trace: what an agent was told, said and did, block by block; sub-agents nested, everything long folded. */

import { get, offline, useAnswer, useCalm } from "./api.js";
import { cls, html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./dom.js";
import { brief, bytes, clean, count, duration, money, plural } from "./format.js";
import { usePage } from "./page.js";
import { LAST, nested, tracePage, traceUrl } from "./trace-data.js";

const TOLD = new Set(["call", "notice", "overseer", "failed", "refused", "retry", "ended", "grade", "swept"]);
const LINE = 110;

/** Whether a block is shown whole unasked: what was said and what went wrong, where that is more than its line has room for. */
function tells(block) {
  const text = block.text || block.why || "";
  return TOLD.has(block.kind) && (text.length > LINE || text.trim().includes("\n") || Boolean(block.kind === "call" && block.why));
}

/**
 * @param {object} props
 * @param {string} props.name
 * @param {Record<string, string>} props.filter kind, q, span, page
 * @param {number} [props.event] the block that the address points at
 * @param {(filter: Record<string, string | undefined>, event?: number) => void} props.onChange
 * @param {(event: number) => string} props.linkTo
 * @param {boolean} [props.compact] without outline: beside another trace
 * @param {any} [props.head]
 */
export function Trace({ name, filter, event, onChange, linkTo, compact = false, head = null }) {
  const [everything, setEverything] = useState(/** @type {boolean | null} */ (null));
  const [follow, setFollow] = useState(false);
  const newest = useCalm(usePage((page) => page.latest[name]), 500);
  const span = filter.span === undefined ? undefined : Number(filter.span);
  const page = filter.page === undefined ? undefined : Number(filter.page);
  const at = follow ? LAST : page === undefined ? event : undefined;
  const wants = { at, kind: filter.kind, page, q: filter.q, span };
  const { data, error } = useAnswer(traceUrl(name, wants), newest, 0, () => tracePage(name, wants));
  const shown = useRef(null);
  if (data) shown.current = data; // while the next page is on its way the last one stays
  const trace = data ?? (shown.current?.name === name || shown.current?.session === name ? shown.current : null);
  const blocks = useRef(/** @type {HTMLElement | null} */ (null));

  useLayoutEffect(() => {
    if (!data) return;
    if (follow) blocks.current.scrollTop = blocks.current.scrollHeight;
    else if (event === undefined) blocks.current.scrollTop = 0;
  }, [data?.page, data?.name, follow && data]);

  useLayoutEffect(() => {
    if (event === undefined || !data) return;
    const target = blocks.current.querySelector(`[data-e="${nearest(data.blocks, event)}"]`);
    const show = () => target?.scrollIntoView({ block: "start" });
    show();
    requestAnimationFrame(() => requestAnimationFrame(show)); // blocks that came into sight have got their true heights
    /** @type {HTMLElement | null} */ (target?.querySelector("summary"))?.focus({ preventScroll: true });
  }, [event, data !== null, name]);

  const linked = trace && event !== undefined ? nearest(trace.blocks, event) : undefined;
  const keys = (press) => {
    if (press.ctrlKey || press.metaKey || press.altKey || press.target.matches("input, select, textarea")) return;
    const act = {
      j: () => step(blocks.current, 1),
      k: () => step(blocks.current, -1),
      e: () => setEverything((all) => (all ? null : true)),
      "]": () => trace && trace.page + 1 < trace.pages && turn(trace.page + 1),
      "[": () => trace && trace.page > 0 && turn(trace.page - 1),
      f: () => trace?.open && setFollow((on) => !on),
    }[press.key];
    if (!act) return;
    press.preventDefault();
    act();
  };
  const turn = (to) => {
    setFollow(false);
    onChange({ ...filter, page: String(to) }, undefined);
  };

  if (error && !trace) return html`<section class="panel"><p class="problem">${error.message}${error.hint ? `: ${error.hint}` : ""}</p></section>`;
  if (!trace) return html`<section class="panel" aria-busy="true"><p class="empty">…</p></section>`;
  return html`
    ${!compact && html`<${Outline} trace=${trace} filter=${filter} onChange=${onChange} linkTo=${linkTo} event=${linked} />`}
    <section class="panel" aria-label="Trace" onKeyDown=${keys} data-testid="trace" data-name=${trace.name} data-open=${trace.open ? "yes" : "no"}>
      ${head}
      <${Bar} trace=${trace} name=${name} filter=${filter} everything=${everything} setEverything=${setEverything} follow=${follow} setFollow=${setFollow}
        onChange=${(changes) => onChange({ ...filter, page: undefined, ...changes }, undefined)} />
      <div class="blocks" ref=${blocks} tabindex="0" role="region" aria-label="Events of the trace" data-testid="blocks" data-main-list>
        ${trace.blocks.length === 0 && html`<p class="empty">${trace.all ? "Nothing here fits the filter." : "Nothing has happened yet."}</p>`}
        <${Items} items=${nested(trace.blocks, trace.spans, span ?? 0)} context=${{ name, event: linked, everything, linkTo, q: filter.q ?? "", turns: new Map(trace.spans.map((one) => [one.span, one.turns])), filtered: Boolean(filter.q || filter.kind) }} />
        ${trace.pages > 1 && html`<${Pages} trace=${trace} turn=${turn} />`}
        ${trace.open && html`<p class="row quiet"><span class="dot running"></span> this box is still at work</p>`}
      </div>
    </section>`;
}

/** The block that an address means: blocks stand in the order in which they began, their numbers may not. */
const nearest = (blocks, event) => (blocks.find((block) => block.e === event) ?? blocks.findLast((block) => block.e < event))?.e;

function step(box, direction) {
  const heads = /** @type {HTMLElement[]} */ ([...box.querySelectorAll("summary")]).filter((head) => head.offsetParent);
  const at = heads.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const next = heads[at < 0 ? 0 : at + direction];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function Bar({ trace, name, filter, everything, setEverything, follow, setFollow, onChange }) {
  const kinds = filter.kind ? filter.kind.split(",") : [];
  const pick = (kind) => {
    const next = kinds.includes(kind) ? kinds.filter((other) => other !== kind) : [...kinds, kind];
    onChange({ kind: next.join(",") || undefined });
  };
  const { totals } = trace;
  return html`<div class="panel-head wrap">
      <span class="number soft" data-testid="trace-totals">${plural(totals.turns, "turn")} · ${count(totals.prompt_tokens)} → ${count(totals.completion_tokens)} tokens${totals.cached_tokens ? ` (${Math.round((100 * totals.cached_tokens) / totals.prompt_tokens)}% cached)` : ""} · ${money(totals.usd)} · ${brief(totals.seconds)}</span>
      <span class="grow"></span>
      <${Search} q=${filter.q ?? ""} onSearch=${(q) => onChange({ q: q || undefined })} />
      <button onClick=${() => setEverything(everything ? null : true)} title="e" data-testid="expand">${everything ? "Fold" : "Expand"} all</button>
      ${trace.open && html`<button aria-pressed=${follow} class=${follow ? "primary" : ""} onClick=${() => setFollow(!follow)} title="f" data-testid="follow">Follow</button>`}
      ${!offline && html`<a class="button wide" href="/raw/trace/${name}" download title=${bytes(totals.bytes)}>Raw</a>`}
    </div>
    <div class="panel-head wrap kinds" role="group" aria-label="Kinds of events">
      ${Object.entries(trace.kinds).map(([kind, n]) => html`<button key=${kind} class="bare" aria-pressed=${kinds.includes(kind)} onClick=${() => pick(kind)} data-testid="kind-${kind}">
        <span class=${cls("kind", look(kind))}>${kind}</span> <span class="quiet">${n}</span></button>`)}
      ${filter.span !== undefined && html`<button onClick=${() => onChange({ span: undefined })}>only ${trace.spans.find((s) => s.span === Number(filter.span))?.label ?? "one conversation"} ×</button>`}
      ${(filter.kind || filter.q) && html`<span class="quiet" data-testid="kept">${trace.total} of ${trace.all}</span><button class="bare" onClick=${() => onChange({ kind: undefined, q: undefined, span: undefined })}>clear</button>`}
    </div>`;
}

function Search({ q, onSearch }) {
  const [text, setText] = useState(q);
  useEffect(() => setText(q), [q]);
  useEffect(() => {
    if (text === q) return undefined;
    const timer = setTimeout(() => onSearch(text), 250);
    return () => clearTimeout(timer);
  }, [text]);
  const keys = (event) => {
    if (event.key === "Enter") onSearch(text);
    if (event.key === "Escape" && text) {
      event.stopPropagation();
      setText("");
    } else if (event.key === "Escape") event.target.blur();
  };
  return html`<input class="filter" type="search" placeholder="Search  /" aria-label="Search this trace" value=${text} onInput=${(event) => setText(event.target.value)} onKeyDown=${keys} data-testid="search" data-filter />`;
}

function Pages({ trace, turn }) {
  return html`<nav class="row" aria-label="Pages">
    <button disabled=${trace.page === 0} onClick=${() => turn(trace.page - 1)} title="[">‹ Earlier</button>
    <span class="quiet number">${trace.first + 1} to ${trace.first + trace.blocks.length} of ${trace.total}</span>
    <button disabled=${trace.page + 1 >= trace.pages} onClick=${() => turn(trace.page + 1)} title="]" data-testid="next-page">Later ›</button>
  </nav>`;
}

const look = (kind) => (kind === "call" ? "model" : kind);

/** The conversations as a tree, and the turns of this page. */
function Outline({ trace, filter, onChange, linkTo, event }) {
  const calls = trace.blocks.filter((block) => block.kind === "call");
  return html`<nav class="panel outline" aria-label="Outline" data-testid="outline">
    ${trace.spans.length > 1 && html`<div class="panel-head"><h2>Conversations</h2><span class="quiet">${trace.spans.length}</span></div>
      <${CallGraph} spans=${trace.spans} chosen=${filter.span} onChoose=${(span) => onChange({ ...filter, page: undefined, span: span === 0 || String(span) === filter.span ? undefined : String(span) }, undefined)} />`}
    <div class="panel-head"><h2>Turns</h2><span class="quiet">${calls.length < trace.totals.turns ? `${calls.length} of ${trace.totals.turns} here` : calls.length}</span></div>
    <div class="turns">
      ${calls.map((block) => html`<a key=${block.e} href=${linkTo(block.e)} aria-current=${block.e === event ? "true" : undefined} style=${{ paddingLeft: `${12 + 10 * depthOf(trace.spans, block.span)}px` }}>
        <span class="number quiet">${block.turn}</span><span class="cut">${firstLine(block.text) || (block.tools ? plural(block.tools, "tool call") : block.state)}</span><span class="number quiet">${brief(block.seconds)}</span></a>`)}
    </div>
  </nav>`;
}

const depthOf = (spans, number) => spans.find((span) => span.span === number)?.depth ?? 0;

/** Who called whom: an agent's own conversation and its sub-agents', with what each took. */
export function CallGraph({ spans, chosen = undefined, onChoose }) {
  return html`<ul class="callgraph" aria-label="Call graph" data-testid="callgraph">
    ${spans.map((span) => html`<li key=${span.span} style=${{ paddingLeft: `${8 + 14 * span.depth}px` }}>
      <button class="bare row" aria-pressed=${String(span.span) === chosen} onClick=${() => onChoose(span.span)}>
        <span class=${cls("dot", span.open && "running")}></span><span class="cut grow">${span.label}</span>
        <span class="quiet number" title="${count(span.tokens)} tokens, ${brief(span.seconds)}">${plural(span.turns, "turn")} · ${money(span.usd)}</span>
      </button></li>`)}
  </ul>`;
}

const firstLine = (text) => (text ?? "").trimStart().split("\n", 1)[0].slice(0, 300);

function Items({ items, context }) {
  return items.map((item) =>
    item.block ? html`<${Block} key=${item.block.e} block=${item.block} context=${context} />` : html`<${Span} key=${`s${item.span.span}`} span=${item.span} items=${item.items} context=${context} />`,
  );
}

function Span({ span, items, context }) {
  const holds = (list) => list.some((item) => (item.block ? item.block.e === context.event : holds(item.items)));
  const wanted = context.everything ?? (context.filtered || holds(items));
  const [open, setOpen] = useState(wanted);
  useEffect(() => setOpen(wanted), [wanted]);
  return html`<details class="block" open=${open} onToggle=${(event) => setOpen(event.currentTarget.open)} data-testid="span" data-span=${span.span}>
    <summary>
      <span class="kind tool">${span.label}</span>
      <span class="quiet cut grow">${plural(span.blocks ?? items.length, "event")}</span>
      <span class="meta">${span.turns != null && html`<span>${plural(span.turns, "turn")}</span><span>${count(span.tokens)} tokens</span><span>${money(span.usd)}</span><span>${brief(span.seconds)}</span>`}</span>
    </summary>
    ${open && html`<div class="block-body"><div class="inner"><${Items} items=${items} context=${context} /></div></div>`}
  </details>`;
}

function Block({ block, context }) {
  const here = block.e === context.event;
  const wanted = here || (context.everything ?? (context.q !== "" || tells(block) || (block.kind === "tool" && context.filtered)));
  const [open, setOpen] = useState(wanted);
  const [whole, setWhole] = useState(/** @type {any} */ (null));
  const [raw, setRaw] = useState(false);
  useEffect(() => setOpen(wanted), [wanted]);
  const all = async () => {
    setWhole(whole ?? (await get(`/api/trace/${context.name}/block/${block.e}`)));
  };
  const shown = whole?.block ?? block;
  return html`<details class=${cls("block", here && "is-linked")} open=${open} onToggle=${(event) => setOpen(event.currentTarget.open)} data-testid="block" data-e=${block.e} data-kind=${block.kind}>
    <summary>
      <span class=${cls("kind", block.by ? "overseer" : look(block.kind))}>${title(block)}</span>
      <span class=${cls("cut grow", block.kind !== "call" && "soft")}>${open ? "" : preview(block)}</span>
      <${Meta} block=${block} linkTo=${context.linkTo} />
    </summary>
    ${open && html`<div class="block-body">
      <${Body} block=${shown} q=${context.q} />
      <p class="row foot">
        ${block.cut > 0 && !whole && html`<button onClick=${all} disabled=${offline} data-testid="whole">Show the ${block.cut.toLocaleString("en-US")} characters left out</button>`}
        <span class="cut grow">${foot(block, context.turns)}</span>
        ${!offline && html`<button class="bare" onClick=${() => all().then(() => setRaw(!raw))} aria-pressed=${raw} data-testid="raw">JSON</button>`}
      </p>
      ${raw && whole && html`<pre class="text out" data-testid="raw-json">${whole.raw}</pre>`}
    </div>`}
  </details>`;
}

function title(block) {
  switch (block.kind) {
    case "call":
      return `turn ${block.turn}`;
    case "tool":
      return block.tool || "tool";
    case "message":
      return block.role || "message";
    case "notice":
      return block.by ? `notice by ${block.by}` : "notice";
    case "other":
      return block.type;
    default:
      return block.kind;
  }
}

function preview(block) {
  if (block.kind === "tool") return `${firstLine(block.input)}${block.result == null ? "  (running)" : `  →  ${firstLine(block.result)}`}`;
  if (block.kind === "call") return firstLine(block.text) || (block.tools ? plural(block.tools, "tool call") : "");
  return firstLine(block.text);
}

function Meta({ block, linkTo }) {
  return html`<span class="meta">
    ${block.kind === "call" && block.state !== "done" && html`<span class=${block.state === "open" ? "warn" : "bad"}>${block.state === "open" ? "waiting for the model" : block.state}</span>`}
    ${block.kind === "call" && html`<span title="prompt → answer tokens">${count(block.prompt_tokens)} → ${count(block.completion_tokens)}</span>${block.usd > 0 && html`<span>${money(block.usd)}</span>`}`}
    ${block.kind === "grade" && block.score != null && html`<b>${block.score.toFixed(2)}</b>`}
    ${block.seconds >= 0.005 && html`<span title="it took">${brief(block.seconds)}</span>`}
    <span class="wide" title="since the trace began">+${duration(block.at)}</span>
    <a class="anchor" href=${linkTo(block.e)} aria-label="Link to event ${block.e}" onClick=${(event) => event.stopPropagation()}>#${block.e}</a>
  </span>`;
}

/** What is worth knowing of a block and not worth a column. */
function foot(block, turns) {
  if (block.kind === "call") {
    return [block.model, `turn ${block.turn} of ${turns.get(block.span) ?? block.turn}`, block.cached_tokens ? `${count(block.cached_tokens)} tokens cached` : "", block.tools ? plural(block.tools, "tool call") : ""].filter(Boolean).join(" · ");
  }
  return block.kind === "ended" ? [block.how, block.exit_code != null ? `exit code ${block.exit_code}` : ""].filter(Boolean).join(" · ") : "";
}

function Body({ block, q }) {
  switch (block.kind) {
    case "call":
      return html`${block.thought && html`<details><summary class="quiet">thought</summary><${Text} text=${block.thought} q=${q} /></details>`}
        ${block.text && html`<${Text} text=${block.text} q=${q} look="said" />`}
        ${block.why && html`<p class="bad prose">${block.why}</p>`}
        ${!block.text && !block.why && html`<p class="quiet">${block.state === "open" ? "waiting for the model" : `no text; asked for ${plural(block.tools, "tool call")}`}</p>`}`;
    case "tool":
      return html`<${Text} text=${block.input} q=${q} />${block.result == null ? html`<p class="quiet">no result yet</p>` : html`<${Text} text=${block.result} q=${q} look="out" />`}`;
    case "overseer":
      return html`${block.action && html`<p class="warn">${block.action}</p>`}<${Text} text=${block.text} q=${q} />`;
    default:
      return html`<${Text} text=${block.text ?? ""} q=${q} />`;
  }
}

/** Text of an agent, what was searched for marked in it. */
export function Text({ text, q = "", look: kind = "" }) {
  const parts = useMemo(() => found(clean(text), q), [text, q]);
  return html`<div class=${cls("text", kind)} dir="ltr">${parts}</div>`;
}

function found(text, q) {
  if (!q) return text;
  const needle = q.toLowerCase();
  const lower = text.toLowerCase();
  if (lower.length !== text.length) return text; // a letter whose small form is longer: positions would be wrong
  const parts = [];
  let from = 0;
  for (let at = lower.indexOf(needle); at >= 0 && parts.length < 2000; at = lower.indexOf(needle, from)) {
    parts.push(text.slice(from, at), html`<mark>${text.slice(at, at + q.length)}</mark>`);
    from = at + q.length;
  }
  parts.push(text.slice(from));
  return parts;
}
