/** The two lines on top: where one is, and how the run stands. */

import { ask as question } from "./dialog.js";
import { cls, html } from "./dom.js";
import { duration, interval, money, percent, plural, signed } from "./format.js";
import { mayAsk, request, usePage } from "./page.js";
import { link } from "./route.js";
import { toggleTheme } from "./theme.js";

/** @type {[string, string, Partial<import("./route.js").Route>][]} */
const VIEWS = [
  ["lineage", "Lineage", { view: "lineage" }],
  ["matrix", "Matrix", { view: "matrix" }],
  ["live", "Live", { view: "live" }],
  ["compare", "Compare", { view: "compare" }],
];

export function Top({ route, onHelp }) {
  const project = usePage((page) => page.archive?.meta.project);
  return html`<header class="top">
    <a class="brand" href="#/" title=${project}>
      <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true"><path class="lane" d="M5 16V0M5 11C5 8 11 8 11 5" /><path class="mark best" d="M11 0l4 4-4 4-4-4z" /></svg>
      sica
    </a>
    <nav class="tabs" aria-label="Views">
      ${VIEWS.map(([view, label, to]) => html`<a href=${link(to)} aria-current=${route.view === view ? "page" : undefined} data-testid="view-${view}">${label}</a>`)}
    </nav>
    <div class="tools">
      <${Connection} />
      <button class="bare" onClick=${toggleTheme} title="Light or dark (t)" aria-label="Light or dark" data-testid="theme">◐</button>
      <button class="bare" onClick=${onHelp} title="Keys (?)" aria-label="Keys and signs" data-testid="help">?</button>
    </div>
  </header>`;
}

const CONNECTION = {
  loading: ["", "loading", "The archive is being read"],
  live: ["live", "live", "Changes show as they happen"],
  reconnecting: ["reconnecting", "reconnecting", "The server does not answer; the page goes on by itself when it does"],
  file: ["", "offline file", "A copy: what it shows does not change"],
};

function Connection() {
  const connection = usePage((page) => page.connection);
  const running = usePage((page) => page.status?.live);
  const [dot, word, title] = connection === "live" && running === false ? ["", "no run", "Connected; no run is going"] : CONNECTION[connection];
  return html`<span class="connection" role="status" title=${title} data-testid="connection" data-state=${connection}><span class=${cls("dot", dot)}></span><span class="word">${word}</span></span>`;
}

export function Status() {
  const status = usePage((page) => page.status);
  const archive = usePage((page) => page.archive);
  if (!status) return html`<div class="status"></div>`;
  const may = mayAsk(archive) && status.controllable;
  return html`<section class=${cls("status", may && "is-controlled")} aria-label="Run" data-testid="status">
    <dl tabindex="0">
      <${RunFact} status=${status} project=${archive?.meta.project} />
      <${PhaseFact} status=${status} />
      <${MoneyFact} status=${status} />
      <${BestFact} best=${status.best} />
      ${status.waiting.length > 0 && html`<${Fact} label="Waits for you" testid="waiting">
        ${status.waiting.map(({ agent, why }) => html`<a class="warn" key=${agent} title=${why} href=${link({ view: "lineage", agent })}>agent/${agent}</a>`)}
      <//>`}
      <${Fact} label="Archive">
        <span>${plural(status.counts.agents, "agent")}</span><span class="quiet spare">${status.counts.rejected} rejected · ${status.counts.trials.toLocaleString("en-US")} trials${status.counts.faults ? ` · ${plural(status.counts.faults, "fault")}` : ""}</span>
      <//>
    </dl>
    ${may && html`<${Controls} status=${status} />`}
  </section>`;
}

const Fact = ({ label, children, testid = undefined }) => html`<div class="fact" data-testid=${testid}><dt>${label}</dt><dd>${children}</dd></div>`;

function RunFact({ status, project }) {
  const { run, live, now } = status;
  if (!run) return html`<${Fact} label=${project ?? "Run"}>no run yet<//>`;
  const words = live ? `for ${duration(now - run.started)}` : run.ended ? `ended: ${run.reason || "done"}` : "stopped without an end";
  return html`<${Fact} label=${`Run ${run.id}`} testid="run"><span>${run.policy || run.kind}</span><span class="quiet cut" title=${run.model}>${run.model} · ${words}</span><//>`;
}

function PhaseFact({ status }) {
  const { phase, phases, tasks, eta_seconds: eta, live, paused, stopping } = status;
  if (!live) return null;
  const word = paused ? "paused" : stopping ? "stopping" : phase || "between steps";
  const all = Object.entries(phases).map(([name, n]) => `${n} ${name}`).join(", ");
  return html`<${Fact} label="Phase" testid="phase">
    <span class=${paused || stopping ? "warn" : ""} title=${all}>${word}</span>
    ${tasks.wanted > 0 && html`<${Meter} share=${tasks.done / tasks.wanted} label="trials done" /><span>${tasks.done}/${tasks.wanted}</span>`}
    ${eta != null && html`<span class="quiet">eta ${duration(eta)}</span>`}
  <//>`;
}

function MoneyFact({ status }) {
  const { spent_usd: spent, cap_usd: cap, rate_usd_per_hour: rate, forecast_usd: forecast } = status;
  const share = cap ? spent / cap : null;
  return html`<${Fact} label="Spent" testid="spent">
    <span>${money(spent)}</span>
    ${cap != null && html`<span class="quiet">of ${money(cap)}</span><${Meter} share=${share} label="of the cap spent" near=${share > 0.85} />`}
    ${rate > 0 && html`<span class="quiet">${money(rate)}/h</span>`}
    ${forecast > 0 && html`<span class=${cap != null && forecast > cap ? "warn" : "quiet"}>about ${money(forecast)} at the end</span>`}
  <//>`;
}

function BestFact({ best }) {
  if (!best) return null;
  return html`<${Fact} label="Best" testid="best">
    <a href=${link({ view: "lineage", agent: best.agent })}>agent/${best.agent}</a>
    <span>${percent(best.score)}</span><span class="quiet">${interval(best.low, best.high)}</span>
    ${best.since_seed != null && html`<span class=${best.separable ? "good" : "quiet"} title=${best.separable ? "more than noise" : "not separable from noise"}>${signed(best.since_seed)} since the seed</span>`}
  <//>`;
}

function Meter({ share, label, near = false }) {
  const part = Math.max(0, Math.min(1, share));
  return html`<span class=${cls("meter", near && "near")} role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(part * 100)}><span style=${{ width: `${part * 100}%` }}></span></span>`;
}

function Controls({ status }) {
  const ask = (kind) => () => request({ kind });
  const stop = async () => {
    const sure = await question({ title: "Stop the run?", words: "What is going now goes on to its end and is kept. The run can be resumed later.", yes: "Stop" });
    if (sure) request({ kind: "stop" });
  };
  return html`<div class="controls">
    ${status.paused
      ? html`<button class="primary" onClick=${ask("resume")} data-testid="resume">Resume</button>`
      : html`<button onClick=${ask("pause")} title="Nothing new is started; what runs goes on to its end" data-testid="pause">Pause</button>`}
    <button class="danger" onClick=${stop} disabled=${status.stopping} data-testid="stop">${status.stopping ? "Stopping" : "Stop"}</button>
  </div>`;
}
