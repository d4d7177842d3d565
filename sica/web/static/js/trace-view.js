/** The page of one trace: finds which trace the address means, and says whose it is and how it came out. */

import { offline, useAnswer } from "./api.js";
import { cls, html } from "./dom.js";
import { money, short } from "./format.js";
import { ask } from "./dialog.js";
import { mayAsk, request, scoped, usePage, useRunning } from "./page.js";
import { go, link } from "./route.js";
import { Trace } from "./trace.js";

/** Trials at a task; `.` may stand for `/` in its name, and the benchmark may be left out where that is no question. */
export function trialsAt(trials, task) {
  const exact = trials.filter((trial) => trial.task === task);
  if (exact.length) return exact;
  const near = trials.filter((trial) => trial.task === task.replaceAll(".", "/") || short(trial.task) === task || trial.task.replaceAll("/", ".").endsWith(`.${task}`) || trial.task.replaceAll("/", ".") === task);
  return new Set(near.map((trial) => trial.task)).size === 1 ? near : [];
}

export function TraceView({ route }) {
  const archive = usePage((page) => page.archive);
  const { data: agent, error } = useAnswer(route.agent === undefined ? null : scoped(`/api/agent/${route.agent}`), archive);
  const closed = usePage((page) => page.closed[route.trace]);
  const onChange = (filter, event) => go({ ...route, filter, event }, { replace: true });
  const linkTo = (event) => link({ ...route, event, filter: { ...route.filter, page: "" } });
  const show = (name, head) => html`<main class="view trace" id="main"><${Trace} key=${name} name=${name} filter=${route.filter} event=${route.event} onChange=${onChange} linkTo=${linkTo} head=${head} /></main>`;

  if (route.trace) return show(closed ?? route.trace, html`<${BoxHead} session=${route.trace} closed=${closed !== undefined} />`);
  if (error) return html`<main class="view" id="main"><p class="problem">${error.message}</p></main>`;
  if (!agent) return html`<main class="view" id="main"><p class="empty" aria-busy="true">…</p></main>`;
  if (!route.task) {
    const made = agent.made || agent.made_box;
    return made
      ? show(made, html`<${MadeHead} row=${agent.row} />`)
      : html`<main class="view" id="main"><p class="empty">No trace was kept of how agent/${route.agent} was made${agent.parents.length ? "" : ": it is a seed"}. <a href=${link({ view: "lineage", agent: route.agent })}>Back</a></p></main>`;
  }
  const trials = trialsAt(agent.trials, route.task);
  const trial = route.attempt === undefined ? trials.at(-1) : trials.findLast((other) => other.attempt === route.attempt);
  if (!trial) {
    return html`<main class="view" id="main"><p class="empty">agent/${route.agent} has ${trials.length ? `no attempt ${route.attempt} at` : "not tried"} ${route.task}. <a href=${link({ view: "lineage", agent: route.agent, tab: "tasks" })}>What it tried</a></p></main>`;
  }
  const name = trial.trace || trial.session;
  if (!name) return html`<main class="view" id="main"><p class="empty">No trace was kept of this attempt.</p></main>`;
  return show(name, html`<${TrialHead} agent=${agent} trial=${trial} trials=${trials} route=${route} />`);
}

const Home = ({ agent, tab = undefined }) => html`<a class="button" href=${link({ view: "lineage", agent, tab })}>‹ agent/${agent}</a>`;

function MadeHead({ row }) {
  return html`<div class="panel-head"><${Home} agent=${row.agent} /><h2>how it was made</h2><span class="soft cut">${row.subject}</span></div>`;
}

function TrialHead({ agent, trial, trials, route }) {
  const against = agent.row.parents[0];
  return html`<div class="panel-head wrap" data-testid="trial-head">
    <${Home} agent=${agent.row.agent} tab="tasks" />
    <h2>${trial.task}</h2>
    <b class=${cls("number", trial.score === 1 ? "good" : "")}>${trial.score == null ? trial.fault : trial.score.toFixed(2)}</b>
    <span class="quiet">${trial.ending} · ${money(trial.usd)}</span>
    <span class="grow"></span>
    ${trials.length > 1 && html`<label class="quiet row">attempt <select value=${trial.attempt} onChange=${(event) => go({ ...route, attempt: Number(event.target.value), event: undefined })} data-testid="attempt">
      ${[...new Set(trials.map((other) => other.attempt))].map((attempt) => html`<option value=${attempt}>${attempt}</option>`)}</select></label>`}
    ${against !== undefined && html`<a class="wide" href=${link({ view: "compare", pair: [against, agent.row.agent], task: trial.task })}>beside agent/${against}</a>`}
  </div>
  ${trial.why && html`<div class="panel-head"><span class="soft prose">${trial.why}</span></div>`}
  ${trial.findings.map((finding) => html`<div class="panel-head"><span class="bad prose">${finding}</span></div>`)}`;
}

function BoxHead({ session, closed }) {
  const box = useRunning().data?.boxes.find((other) => other.session === session);
  const archive = usePage((page) => page.archive);
  return html`<div class="panel-head wrap">
    <a class="button" href=${link({ view: "live", tab: "running" })}>‹ Running</a>
    <h2>${box ? boxTitle(box) : session}</h2>
    ${closed && html`<span class="tag">has ended</span>`}
    <span class="grow"></span>
    ${box && !offline && mayAsk(archive) && html`<${BoxControls} session=${session} />`}
  </div>`;
}

/** Whose box it is; one that has only just been made has not said so yet. */
export const boxTitle = (box) => (box.agent == null ? `box ${box.session.slice(0, 8)}` : `agent/${box.agent} ${box.task ? short(box.task) : box.for}${box.attempt ? ` #${box.attempt}` : ""}`);

/** Say something to a running box, or end it. */
export function BoxControls({ session }) {
  const hint = async () => {
    const text = await ask({ title: "What should this agent be told?", words: "It is put before its next model call.", field: "Hint", yes: "Send" });
    if (text) request({ kind: "hint", session, text });
  };
  const cancel = async () => {
    const sure = await ask({ title: "End this box?", words: "Its step counts as cancelled, never as a zero.", yes: "End it" });
    if (sure) request({ kind: "cancel", session });
  };
  return html`<button onClick=${hint} data-testid="hint">Hint</button><button class="danger" onClick=${cancel} data-testid="cancel">Cancel</button>`;
}
