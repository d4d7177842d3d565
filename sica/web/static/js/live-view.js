/** What happens now: every running box from one place, who called whom in it, and the events as they come. */

import { cls, html, useMemo, useState } from "./dom.js";
import { offline, useAnswer } from "./api.js";
import { clock, count, duration, money, plural } from "./format.js";
import { KEPT, mayAsk, usePage, useRunning } from "./page.js";
import { go, link } from "./route.js";
import { CallGraph } from "./trace.js";
import { BoxControls, boxTitle } from "./trace-view.js";

export function Live({ route }) {
  return html`<main class="view live" id="main">
    <${Running} />
    <${Events} route=${route} />
  </main>`;
}

function Running() {
  const { data, error } = useRunning();
  const live = usePage((page) => page.status?.live);
  const archive = usePage((page) => page.archive);
  const boxes = data?.boxes.filter((box) => box.alive) ?? [];
  const orphans = (data?.boxes.length ?? 0) - boxes.length;
  return html`<section class="panel" aria-label="Running boxes" data-testid="running">
    <div class="panel-head"><h2>Running</h2><span class="quiet">${data ? plural(boxes.length, "box", "boxes") : ""}</span></div>
    ${error && html`<p class="problem">${error.message}</p>`}
    <div class="boxes">
      ${boxes.map((box) => html`<${Box} key=${box.session} box=${box} may=${mayAsk(archive)} />`)}
      ${data && !boxes.length && html`<p class="empty">${offline ? "Nothing ran when this file was made." : live ? "Between two steps." : "No run is going. sica evolve starts one; this page notices."}</p>`}
      ${orphans > 0 && html`<p class="quiet">${plural(orphans, "trace")} of a run that was killed; the next run closes ${orphans === 1 ? "it" : "them"}.</p>`}
    </div>
  </section>`;
}

function Box({ box, may }) {
  const [graph, setGraph] = useState(false);
  const now = usePage((page) => page.status?.now) ?? Date.now() / 1000;
  return html`<article class="box" aria-label=${boxTitle(box)} data-testid="box" data-session=${box.session}>
    <div class="row wrap">
      <span class="dot running"></span>
      <a href=${link({ view: "trace", trace: box.session })}><b>${boxTitle(box)}</b></a>
      ${box.for !== "trial" && box.task && html`<span class="tag">${box.for}</span>`}
      ${box.doing && html`<span class="tag">${box.doing}</span>`}
      <span class="quiet number">turn ${box.turns} · ${count(box.tokens)} · ${money(box.usd)} ${box.started ? ` · ${duration(now - box.started)}` : ""}</span>
      ${box.quiet > 30 && html`<span class="tag warn" title="seconds without an event">quiet for ${duration(box.quiet)}</span>`}
      ${box.notices > 0 && html`<span class="tag warn">${plural(box.notices, "notice")}</span>`}
      <span class="acts">
        ${box.spans.length > 1 && html`<button aria-pressed=${graph} onClick=${() => setGraph(!graph)}>${plural(box.spans.length - 1, "sub-agent")}</button>`}
        ${may && html`<${BoxControls} session=${box.session} />`}
      </span>
    </div>
    ${graph && html`<${CallGraph} spans=${box.spans} onChoose=${(span) => go({ view: "trace", trace: box.session, filter: { span: span ? String(span) : "" } })} />`}
    <pre tabindex="0" aria-label="Last thing it did">${box.text || box.doing}</pre>
  </article>`;
}

const KINDS = ["trial", "improvement", "verdict", "promotion", "request", "trace"];
const ALSO = { answer: "request", run: "promotion" };
/** Which button shows the kinds that have none of their own. */

function Events({ route }) {
  const events = usePage((page) => page.events);
  const received = usePage((page) => page.received);
  const [held, setHeld] = useState(/** @type {any[] | null} */ (null));
  const kinds = route.filter.kind ? route.filter.kind.split(",") : KINDS.filter((kind) => kind !== "trace");
  const { data: log } = useAnswer("/api/log");
  const now = held ?? events;
  const shown = useMemo(() => {
    const wanted = new Set(kinds);
    const fits = (event) => wanted.has(ALSO[event.kind] ?? event.kind);
    const have = new Set(now.map(nameOf));
    const before = (log?.events ?? []).filter((event) => !have.has(nameOf(event)));
    return [...now, ...before].filter(fits).slice(0, KEPT);
  }, [now, log, route.filter.kind]);
  const toggle = (kind) => {
    const next = kinds.includes(kind) ? kinds.filter((other) => other !== kind) : [...kinds, kind];
    go({ ...route, view: "live", filter: { ...route.filter, kind: next.join(",") } }, { replace: true });
  };
  const hold = () => setHeld(Object.assign([...events], { at: sum(received) }));
  return html`<section class="panel" aria-label="Events" data-testid="events" data-trials=${received.trial ?? 0} data-traced=${received.trace ?? 0} data-held=${held ? "yes" : "no"}>
    <div class="panel-head wrap">
      <h2>Events</h2>
      <span class="quiet" role="status">${held ? `held; ${sum(received) - held.at} more since` : ""}</span>
      <span class="grow"></span>
      <div class="segments" role="group" aria-label="Kinds of events">
        ${KINDS.map((kind) => html`<button key=${kind} aria-pressed=${kinds.includes(kind)} onClick=${() => toggle(kind)} data-testid="events-${kind}">${kind}</button>`)}
      </div>
    </div>
    <div class="events" role="log" aria-live="off" aria-label="Events, newest first" tabindex="0" data-main-list
      onMouseEnter=${hold} onMouseLeave=${() => setHeld(null)} onFocus=${hold} onBlur=${() => setHeld(null)}>
      ${shown.length === 0 && html`<p class="empty">Nothing has happened since this page was opened.</p>`}
      ${shown.map((event) => html`<${Line} key=${event.id ?? nameOf(event)} event=${event} />`)}
    </div>
  </section>`;
}

/** The log of what was before the page and the stream of what came after may meet in an event. */
const nameOf = (event) => `${event.kind} ${event.at} ${event.session ?? ""} ${event.text}`;

const sum = (received) => Object.values(received).reduce((all, n) => all + n, 0);

function Line({ event }) {
  const to = target(event);
  const bad = event.fault || event.passed === false || event.state === "refused";
  return html`<div class="event" data-testid="event" data-kind=${event.kind}>
    <span class="number quiet">${clock(event.at)}</span>
    <span class=${cls("kind", event.kind === "trace" ? "" : event.kind === "promotion" ? "model" : event.kind === "request" || event.kind === "answer" ? "overseer" : "tool")}>${event.kind}</span>
    <span class=${cls("words", bad && "bad")}>${event.kind === "trace" && html`<b>${boxTitle(event)}</b> <span class="quiet">${event.type}</span> `}${to ? html`<a href=${to}>${event.text}</a>` : event.text}</span>
  </div>`;
}

function target(event) {
  switch (event.kind) {
    case "trial":
      return event.trace ? link({ view: "trace", agent: event.agent, task: event.task, attempt: event.attempt }) : null;
    case "improvement":
      return event.child != null ? link({ view: "lineage", agent: event.child }) : event.trace ? link({ view: "trace", trace: event.trace }) : null;
    case "trace":
      return link({ view: "trace", trace: event.session, event: event.e });
    default:
      return event.agent == null ? null : link({ view: "lineage", agent: event.agent });
  }
}
