/** The selected agent: what it is, why, what it changed in code and in outcomes, what it cost, what people said of it. */

import { mayAsk, request, scoped, usePage } from "./page.js";
import { useAnswer } from "./api.js";
import { Diff } from "./diff.js";
import { cls, html, useState } from "./dom.js";
import { ago, count, day, duration, interval, money, percent, short, signed } from "./format.js";
import { link } from "./route.js";

const TABS = [
  ["", "Summary"],
  ["diff", "Diff"],
  ["tasks", "Tasks"],
  ["cost", "Cost"],
  ["review", "Review"],
];

export function AgentPane({ route, agent, missing }) {
  const outcomes = usePage((page) => page.archive);
  const { data, error } = useAnswer(missing ? null : scoped(`/api/agent/${agent}`), outcomes, 80);
  const tab = TABS.some(([name]) => name === route.tab) ? route.tab : "";
  return html`<aside class="panel agent" aria-label="agent/${agent}" id="agent-pane" tabindex="-1" data-testid="agent-pane" data-agent=${agent} data-loaded=${data ? "yes" : "no"}>
    ${missing && html`<p class="problem">There is no agent/${agent} in this archive.</p><p class="empty"><a href="#/">All agents</a></p>`}
    ${error && html`<p class="problem">${error.message}</p>`}
    ${data && html`<${Head} data=${data} route=${route} />
      <div class="tabs" role="tablist" aria-label="About agent/${agent}">
        ${TABS.map(([name, label]) => html`<a key=${name} role="tab" aria-selected=${tab === name} href=${link({ ...route, view: "lineage", tab: name || undefined, event: undefined })} data-testid="tab-${name || "summary"}">${label}${extra(name, data)}</a>`)}
      </div>
      <div class="panel-body" role="tabpanel" tabindex="0" data-testid="tab-body">
        ${tab === "" && html`<${Summary} data=${data} />`}
        ${tab === "diff" && html`<${DiffTab} agent=${agent} data=${data} />`}
        ${tab === "tasks" && html`<${Tasks} data=${data} />`}
        ${tab === "cost" && html`<${Cost} data=${data} />`}
        ${tab === "review" && html`<${Review} data=${data} />`}
      </div>`}
    ${!data && !error && !missing && html`<p class="empty" aria-busy="true">…</p>`}
  </aside>`;
}

function extra(tab, data) {
  if (tab === "review" && data.reviews.length) return html` <span class="quiet">${data.reviews.length}</span>`;
  if (tab === "tasks" && data.trials.length) return html` <span class="quiet">${new Set(data.trials.map((trial) => trial.task)).size}</span>`;
  return null;
}

function Head({ data, route }) {
  const { row } = data;
  const best = usePage((page) => page.archive.best);
  return html`<div class="agent-head">
    <div class="row">
      <a class="back button" href=${link({ view: "lineage", filter: route.filter })}>‹ Lineage</a>
      <span class="soft">agent/${row.agent}</span>
      ${row.best && html`<span class="tag best">best</span>`}
      ${row.status === "rejected" && html`<span class="tag bad">rejected</span>`}
      ${row.doing && html`<span class="tag">${row.doing}</span>`}
      <span class="grow"></span>
      ${row.parents.length > 0 && html`<a href=${link({ view: "compare", pair: [row.parents[0], row.agent] })}>vs parent</a>`}
      ${best != null && best !== row.agent && html`<a href=${link({ view: "compare", pair: [Math.min(best, row.agent), Math.max(best, row.agent)] })}>vs best</a>`}
    </div>
    <h2>${row.subject}</h2>
    ${row.status === "rejected"
      ? html`<p class="bad prose">${row.reason}</p>`
      : html`<div class="headline">
          <span class="figure">${percent(row.score)}</span>
          <span class="quiet">${interval(row.low, row.high)}${row.n ? ` n=${row.n}` : ""}</span>
          ${data.changes && html`<${Difference} words="against agent/${data.changes.against}" comparison=${data.changes.comparison} />`}
          ${data.since_seed && html`<${Difference} words="since the seed" comparison=${data.since_seed} />`}
        </div>`}
    ${data.approval === "waiting" && data.can_approve && html`<${Approval} row=${row} />`}
  </div>`;
}

function Difference({ words, comparison }) {
  if (comparison.difference == null) return null;
  const look = !comparison.separable ? "soft" : comparison.difference > 0 ? "good" : "bad";
  return html`<span title=${comparison.words}><b class=${look}>${signed(comparison.difference)}</b> <span class="quiet">${words}${comparison.separable ? "" : ", not separable"}</span></span>`;
}

function Approval({ row }) {
  const archive = usePage((page) => page.archive);
  if (!mayAsk(archive)) return null;
  return html`<div class="row wrap" data-testid="approval">
    <span class="warn grow">It would be the new best and waits for a person.</span>
    <button class="primary" onClick=${() => request({ kind: "approve", agent: row.agent, text: "approved in the viewer" })} data-testid="approve">Approve</button>
    <a href=${link({ view: "lineage", agent: row.agent, tab: "review" })}>Reject with a reason</a>
  </div>`;
}

function Summary({ data }) {
  const { row } = data;
  const now = usePage((page) => page.status?.now);
  return html`
    ${data.body && html`<div class="section prose" data-testid="why">${paragraphs(data.body)}</div>`}
    <dl class="pairs section">
      <dt>${row.parents.length > 1 ? "Parents" : "Parent"}</dt>
      <dd>${data.parents.length ? data.parents.map((parent) => html`<div><a href=${link({ view: "lineage", agent: parent.agent })}>agent/${parent.agent}</a> <span class="quiet">${percent(parent.score)} ${parent.subject}</span></div>`) : "none: a seed"}</dd>
      ${data.children.length > 0 && html`<dt>Children</dt><dd>${data.children.map((child) => html`<a href=${link({ view: "lineage", agent: child.agent })} title=${child.subject}>${child.agent}</a>${" "}<span class="quiet">${child.status === "rejected" ? "×" : percent(child.score)}</span>${"  "}`)}</dd>`}
      <dt>Made</dt><dd>${row.operator}, ${ago((now ?? Date.now() / 1000) - row.created)} <span class="quiet">${day(row.created)}</span>${data.made && html` · <a href=${link({ view: "trace", agent: row.agent, task: "" })} data-testid="made">how it was made</a>`}</dd>
      ${row.model && html`<dt>Model</dt><dd>${row.model}</dd>`}
      <dt>Run</dt><dd>${row.run ? `${row.run}, ` : ""}generation ${row.generation}</dd>
      <dt>Commit</dt><dd class="mono">${row.commit}</dd>
      <dt>Tree</dt><dd class="mono">${data.tree}</dd>
      <dt>Cost</dt><dd>${money(row.cost_usd)}${data.per_solved_usd != null && html` <span class="quiet">${money(data.per_solved_usd)} for each of ${data.solved} solved</span>`}</dd>
      ${row.faults > 0 && html`<dt>Faults</dt><dd>${row.faults} <span class="quiet">of the harness or the provider, not counted as wrong</span></dd>`}
    </dl>
    ${data.changes && html`<${Outcomes} changes=${data.changes} agent=${row.agent} />`}
    ${data.promotions.map((promotion) => html`<p class="section"><span class="tag best">became best</span> ${promotion.why} <span class="quiet">${day(promotion.at)}</span></p>`)}
    ${data.verdicts.map((verdict) => html`<p class="quiet">gate: ${verdict.fault ? `broke (${verdict.fault})` : verdict.passed ? "passed" : "turned it down"}${verdict.reason ? `: ${verdict.reason}` : ""}</p>`)}`;
}

/** The commit's body; the words that CHANGE.md begins its parts with stand out. */
function paragraphs(body) {
  return body.split(/\n{2,}/).map((text) => {
    const [, label, rest] = text.match(/^(Why|What|Expect):\s*([^]*)$/) ?? [];
    return html`<p>${label ? html`<b>${label}</b>  ${rest}` : text}</p>`;
  });
}

/** Which tasks it solves now that its parent did not, and the other way round. */
function Outcomes({ changes, agent }) {
  const { comparison } = changes;
  const list = (tasks, look) => tasks.map((task, at) => html`${at > 0 && ", "}<a class=${look} href=${link({ view: "compare", pair: [changes.against, agent], task })}>${short(task)}</a>`);
  return html`<section class="section">
    <h3>Tasks against agent/${changes.against}</h3>
    <dl class="pairs">
      <dt>Gained ${comparison.gained.length}</dt><dd>${list(comparison.gained, "good")}</dd>
      <dt>Lost ${comparison.lost.length}</dt><dd>${list(comparison.lost, "bad")}</dd>
      <dt>Same ${comparison.same}</dt><dd class="quiet">${comparison.words}</dd>
    </dl>
  </section>`;
}

function DiffTab({ agent, data }) {
  const [against, setAgainst] = useState("");
  const seed = usePage((page) => page.archive.seed);
  const best = usePage((page) => page.archive.best);
  const { data: diff, error } = useAnswer(scopedDiff(agent, against));
  const others = [...new Set([seed, best])].filter((other) => other != null && other !== agent && other !== data.row.parents[0]);
  return html`
    ${others.length > 0 && html`<p class="row section"><label class="quiet" for="against">against</label>
      <select id="against" value=${against} onChange=${(event) => setAgainst(event.target.value)}>
        <option value="">${data.row.parents.length ? `agent/${data.row.parents[0]}, its parent` : "nothing"}</option>
        ${others.map((other) => html`<option value=${other}>agent/${other}${other === seed ? ", the seed" : ", the best"}</option>`)}
      </select></p>`}
    ${error && html`<p class="problem">${error.message}</p>`}
    ${diff ? html`<${Diff} diff=${diff} />` : !error && html`<p class="quiet" aria-busy="true">…</p>`}`;
}

const scopedDiff = (agent, against) => `/api/agent/${agent}/diff${against === "" ? "" : `?against=${against}`}`;

const STATES = { solved: (trial) => trial.score === 1, part: (trial) => trial.score > 0 && trial.score < 1, failed: (trial) => trial.score === 0, fault: (trial) => trial.score == null };

function Tasks({ data }) {
  const [state, setState] = useState("");
  const { agent } = data.row;
  const trials = [...data.trials].sort((a, b) => (a.score ?? -1) - (b.score ?? -1) || (a.task < b.task ? -1 : 1));
  const shown = state ? trials.filter(STATES[state]) : trials;
  const changed = new Map((data.changes?.tasks ?? []).map((task) => [task.task, task.difference]));
  if (!trials.length) return html`<p class="quiet">Not measured yet.</p>`;
  return html`
    <div class="segments section" role="group" aria-label="Which trials">
      <button aria-pressed=${state === ""} onClick=${() => setState("")}>all ${trials.length}</button>
      ${Object.entries(STATES).map(([name, fits]) => html`<button key=${name} aria-pressed=${state === name} onClick=${() => setState(name)}>${name} ${trials.filter(fits).length}</button>`)}
    </div>
    <table class="list" data-testid="trials">
      <thead><tr><th>Task</th><th class="number">Score</th><th class="number" title="mean difference to the parent">Δ</th><th>Ending</th><th class="number">Cost</th><th class="number">Time</th></tr></thead>
      <tbody>${shown.map((trial) => html`<tr key=${`${trial.task}#${trial.attempt}#${trial.session}`}>
        <td>${trial.trace ? html`<a href=${link({ view: "trace", agent, task: trial.task, attempt: trial.attempt })}>${short(trial.task)}</a>` : short(trial.task)}${data.trials.some((other) => other.task === trial.task && other !== trial) && html` <span class="quiet">#${trial.attempt}</span>`}
          ${trial.why && html`<div class="quiet">${trial.why}</div>`}
          ${trial.findings.map((finding) => html`<div class="bad">${finding}</div>`)}</td>
        <td class=${cls("number", trial.score == null && "quiet")}>${trial.score == null ? trial.fault : trial.score.toFixed(2)}</td>
        <td class="number"><${Delta} value=${changed.get(trial.task)} /></td>
        <td class="soft">${trial.ending}</td>
        <td class="number soft">${money(trial.usd)}</td>
        <td class="number soft">${duration(trial.seconds)}</td>
      </tr>`)}</tbody>
    </table>`;
}

export const Delta = ({ value }) => (value ? html`<span class=${value > 0 ? "good" : "bad"}>${value > 0 ? "+" : "−"}${Math.abs(value).toFixed(2)}</span>` : null);

const SHADES = ["var(--accent)", "var(--pass)", "var(--fail)", "var(--fault)", "var(--lane)"];

function Cost({ data }) {
  const { making, measuring, costs } = data;
  const total = making.usd + measuring.usd;
  const spent = costs.reduce((sum, line) => sum + line.usd, 0);
  return html`
    <table class="list section">
      <thead><tr><th></th><th class="number">Dollars</th><th class="number">Tokens</th><th class="number">Calls</th><th class="number">Box time</th></tr></thead>
      <tbody>${[["making it", making], ["measuring it", measuring]].map(([words, used]) => html`<tr><td>${words}</td><td class="number">${money(used.usd)}</td><td class="number">${count(used.tokens)}</td><td class="number">${count(used.calls)}</td><td class="number">${duration(used.seconds)}</td></tr>`)}
      <tr><td><b>in all</b></td><td class="number"><b>${money(total)}</b></td><td class="number">${count(making.tokens + measuring.tokens)}</td><td class="number">${count(making.calls + measuring.calls)}</td><td class="number">${duration(making.seconds + measuring.seconds)}</td></tr></tbody>
    </table>
    <section class="section">
      <h3>By role and model</h3>
      ${spent > 0 && costs.length > 1 && html`<div class="stack" aria-hidden="true">${costs.map((line, at) => html`<span style=${{ width: `${(100 * line.usd) / spent}%`, background: SHADES[at % SHADES.length] }}></span>`)}</div>`}
      <table class="list">
        <thead><tr><th>Role</th><th>Model</th><th class="number">Calls</th><th class="number">Prompt</th><th class="number">Cached</th><th class="number">Answer</th><th class="number">Dollars</th></tr></thead>
        <tbody>${costs.map((line, at) => html`<tr>
          <td>${spent > 0 && costs.length > 1 && html`<span class="swatch" style=${{ background: SHADES[at % SHADES.length] }}></span> `}${line.role}</td><td>${line.model}</td><td class="number">${count(line.calls)}</td>
          <td class="number">${count(line.prompt_tokens)}</td><td class="number">${line.prompt_tokens ? `${Math.round((100 * line.cached_tokens) / line.prompt_tokens)}%` : ""}</td>
          <td class="number">${count(line.completion_tokens)}</td><td class="number">${money(line.usd)}</td></tr>`)}</tbody>
      </table>
    </section>`;
}

function Review({ data }) {
  const archive = usePage((page) => page.archive);
  const { agent } = data.row;
  return html`
    ${data.approval && html`<p class="section">Promotion: <span class="tag">${data.approval}</span></p>`}
    ${data.reviews.length === 0 && html`<p class="quiet">Nobody has said anything about agent/${agent} yet. Comments are kept as git notes (<code>refs/notes/sica/review</code>).</p>`}
    <ul class="notes" data-testid="reviews">${data.reviews.map((review) => html`<li>
      <div class="row"><b>${review.by || "unknown"}</b><span class=${cls("tag", review.kind === "reject" && "bad", review.kind === "ruling" && "warn")}>${review.action || review.kind}</span><span class="quiet">${day(review.at)}</span>
        ${review.kind === "ruling" && html`<span class="quiet">${review.task ? html`<a href=${link({ view: "trace", agent, task: review.task, attempt: review.attempt })}>${short(review.task)}</a>` : review.of}${review.span && review.span !== "main" ? ` ${review.span}` : ""}</span>`}</div>
      <div class="prose">${review.text}</div></li>`)}</ul>
    ${mayAsk(archive) && html`<${Say} data=${data} />`}`;
}

const SAYINGS = [
  ["comment", "Comment", "kept as a git note on this agent", ""],
  ["hint", "Hint", "goes into the brief of this agent's next improvement", ""],
  ["approve", "Approve", "may become the best", "can_approve"],
  ["reject", "Reject", "turns the agent down for good", "can_reject"],
];

function Say({ data }) {
  const [kind, setKind] = useState("comment");
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const possible = SAYINGS.filter(([, , , needs]) => !needs || data[needs]);
  const [, label, effect] = possible.find(([name]) => name === kind) ?? possible[0];
  const send = async (event) => {
    event.preventDefault();
    setBusy(true);
    if (await request({ kind, agent: data.row.agent, text: text.trim() })) setText("");
    setBusy(false);
  };
  return html`<form class="form" onSubmit=${send} data-testid="say">
    <div class="segments" role="group" aria-label="What to send" style=${{ justifySelf: "start" }}>
      ${possible.map(([name, words]) => html`<button key=${name} type="button" aria-pressed=${kind === name} onClick=${() => setKind(name)} data-testid="say-${name}">${words}</button>`)}
    </div>
    <textarea rows="3" maxlength="10000" aria-label=${label} placeholder=${effect} value=${text} onInput=${(event) => setText(event.target.value)} data-testid="say-text"
      onKeyDown=${(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && text.trim() && send(event)}></textarea>
    <div class="row"><button class=${kind === "reject" ? "danger" : "primary"} disabled=${busy || !text.trim()} data-testid="say-send">${label}</button><span class="quiet">${effect}</span></div>
  </form>`;
}

