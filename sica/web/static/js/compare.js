/** Two agents side by side: numbers, the tasks that both were measured on, the code between them, and their traces at one task. */

import { scoped, usePage } from "./page.js";
import { useAnswer } from "./api.js";
import { Delta } from "./agent.js";
import { Diff } from "./diff.js";
import { cls, html, useState } from "./dom.js";
import { count, duration, interval, money, percent, plural, short, signed } from "./format.js";
import { go, link } from "./route.js";
import { Trace } from "./trace.js";
import { trialsAt } from "./trace-view.js";

export function Compare({ route }) {
  const archive = usePage((page) => page.archive);
  const [a, b] = route.pair;
  const known = (agent) => archive.agents.some((row) => row.agent === agent);
  const both = known(a) && known(b) && a !== b;
  const { data, error } = useAnswer(both ? scoped(`/api/compare/${a}/${b}`) : null, archive);
  return html`<main class="view compare" id="main">
    <section class="panel" aria-label="What is compared">
      <div class="verdict" data-testid="verdict">
        <div class="row"><${Pick} label="Old agent" agents=${archive.agents} value=${a} onPick=${(agent) => go({ ...route, pair: [agent, b ?? archive.best ?? archive.agents[0].agent] })} />
          <span class="quiet">→</span><${Pick} label="New agent" agents=${archive.agents} value=${b} onPick=${(agent) => go({ ...route, pair: [a ?? archive.seed, agent] })} />
          ${both && html`<button class="bare" title="Swap" aria-label="Swap the two" onClick=${() => go({ ...route, pair: [b, a] })}>⇄</button>`}</div>
        ${data && html`<${Verdict} data=${data} />`}
      </div>
    </section>
    ${error && html`<p class="problem">${error.message}${error.hint ? `: ${error.hint}` : ""}</p>`}
    ${both && !data && !error && html`<p class="empty" aria-busy="true">…</p>`}
    ${!both && html`<section class="panel"><p class="empty">Choose two agents above; or select one in the lineage and <kbd>Shift</kbd>-click another.
      ${archive.best !== archive.seed && archive.best != null && html`<br /><a href=${link({ view: "compare", pair: [archive.seed, archive.best] })}>The seed and the best</a>`}</p></section>`}
    ${data && (route.task ? html`<${Traces} key=${route.task} route=${route} data=${data} />` : html`<${Sides} route=${route} data=${data} />`)}
  </main>`;
}

function Pick({ label, agents, value, onPick }) {
  return html`<select aria-label=${label} value=${value ?? ""} onChange=${(event) => onPick(Number(event.target.value))} data-testid=${label.split(" ")[0].toLowerCase()}>
    ${value === undefined && html`<option value="">agent…</option>`}
    ${agents.map((row) => html`<option value=${row.agent}>agent/${row.agent}  ${row.status === "rejected" ? "rejected" : percent(row.score)}${row.best ? "  best" : ""}</option>`)}
  </select>`;
}

function Verdict({ data }) {
  const { comparison, needed } = data;
  const look = !comparison.separable ? "" : comparison.difference > 0 ? "good" : "bad";
  if (comparison.difference == null) return html`<span class="soft">No task in common: nothing can be said.</span>`;
  return html`<span class=${cls("figure", look)}>${signed(comparison.difference)}</span>
    <span class="soft">${comparison.words}<br /><span class="quiet">${comparison.test} on ${plural(comparison.tasks, "task")}${needed && !comparison.separable ? `; about ${needed.toLocaleString("en-US")} paired tasks would tell them apart` : ""}${kinship(data)}</span></span>`;
}

function kinship({ a, b, common_ancestor: ancestor }) {
  if (ancestor == null) return "";
  if (ancestor === a.agent) return `; agent/${b.agent} descends from agent/${a.agent}`;
  if (ancestor === b.agent) return `; agent/${a.agent} descends from agent/${b.agent}`;
  return html`; both descend from <a href=${link({ view: "lineage", agent: ancestor })}>agent/${ancestor}</a>`;
}

function Sides({ route, data }) {
  return html`<div class="sides">
    <section class="panel" aria-label="Numbers and tasks">
      <div class="panel-body">
        <${Numbers} data=${data} />
        <${Paired} route=${route} data=${data} />
      </div>
    </section>
    <section class="panel" aria-label="Code">
      <div class="panel-head"><h2>Code from agent/${data.a.agent} to agent/${data.b.agent}</h2></div>
      <div class="panel-body" tabindex="0"><${Code} a=${data.a.agent} b=${data.b.agent} /></div>
    </section>
  </div>`;
}

function Code({ a, b }) {
  const { data, error } = useAnswer(`/api/agent/${b}/diff?against=${a}`);
  if (error) return html`<p class="problem">${error.message}</p>`;
  return data ? html`<${Diff} diff=${data} empty="Both run the same code." />` : html`<p class="quiet" aria-busy="true">…</p>`;
}

function Numbers({ data }) {
  const { a, b, a_measuring: of_a, b_measuring: of_b } = data;
  const solved = (row) => (row.score ? `${money(row.cost_usd / (row.score * row.n || 1))}` : "");
  /** @type {[string, (row: any, used: any) => any][]} */
  const lines = [
    ["Score", (row) => html`<b>${percent(row.score)}</b> <span class="quiet">${interval(row.low, row.high)}</span>`],
    ["Trials", (row) => `${row.n}${row.faults ? `, ${plural(row.faults, "fault")}` : ""}`],
    ["Cost", (row) => html`${money(row.cost_usd)} <span class="quiet">${solved(row) && `${solved(row)} for each solved`}</span>`],
    ["Tokens", (_, used) => count(used.tokens)],
    ["Model calls", (_, used) => count(used.calls)],
    ["Box time", (_, used) => duration(used.seconds)],
    ["Generation", (row) => row.generation],
    ["Operator", (row) => row.operator],
    ["Change", (row) => row.subject],
  ];
  return html`<table class="list section" data-testid="numbers">
    <thead><tr><th></th>${[a, b].map((row) => html`<th><a href=${link({ view: "lineage", agent: row.agent })}>agent/${row.agent}</a>${row.best ? " (best)" : ""}</th>`)}</tr></thead>
    <tbody>${lines.map(([label, show]) => html`<tr><td class="quiet">${label}</td><td>${show(a, of_a)}</td><td>${show(b, of_b)}</td></tr>`)}</tbody>
  </table>`;
}

const attempts = (scores) => scores.map((score) => (score == null ? "!" : score === 1 ? "✓" : score === 0 ? "✗" : score.toFixed(2))).join(" ");

const SHOWN = {
  different: (task) => task.difference !== 0 && !task.only,
  gained: (task) => task.difference > 0,
  lost: (task) => task.difference < 0,
  all: () => true,
};

function Paired({ route, data }) {
  const counts = Object.fromEntries(Object.entries(SHOWN).map(([name, fits]) => [name, data.tasks.filter(fits).length]));
  const [which, setWhich] = useState("different");
  const tasks = data.tasks.filter(SHOWN[which]).sort((x, y) => (x.difference ?? 9) - (y.difference ?? 9) || (x.task < y.task ? -1 : 1));
  return html`<section>
    <div class="row section"><h3 style=${{ margin: 0 }}>Same tasks</h3><span class="grow"></span>
      <div class="segments" role="group" aria-label="Which tasks">${Object.keys(SHOWN).map((name) => html`<button key=${name} aria-pressed=${which === name} onClick=${() => setWhich(name)}>${name} ${counts[name]}</button>`)}</div></div>
    ${tasks.length === 0 && html`<p class="quiet">None.</p>`}
    ${tasks.length > 0 && html`<table class="list" data-testid="paired">
      <thead><tr><th>Task</th><th>agent/${data.a.agent}</th><th>agent/${data.b.agent}</th><th class="number">Δ</th></tr></thead>
      <tbody>${tasks.map((task) => html`<tr key=${task.task}>
        <td>${task.only ? short(task.task) : html`<a href=${link({ ...route, view: "compare", task: task.task, filter: {} })}>${short(task.task)}</a>`}</td>
        <td class="number" style=${{ textAlign: "left" }}>${attempts(task.old)}</td><td class="number" style=${{ textAlign: "left" }}>${attempts(task.new)}</td>
        <td class="number">${task.only ? html`<span class="quiet">only ${task.only === "a" ? data.a.agent : data.b.agent}</span>` : html`<${Delta} value=${task.difference} />`}</td></tr>`)}</tbody>
    </table>`}
  </section>`;
}

/** The two traces at one task, each with its own search and page. */
function Traces({ route, data }) {
  const found = data.tasks.find((task) => trialsAt([task], route.task).length);
  if (!found) return html`<p class="empty">Neither tried ${route.task}. <a href=${link({ ...route, task: undefined })}>All tasks</a></p>`;
  const at = data.tasks.indexOf(found);
  const other = (step) => data.tasks[at + step] && link({ ...route, task: data.tasks[at + step].task });
  return html`<div class="sides" data-testid="both-traces">
    ${[[data.a, found.old_trace, found.old], [data.b, found.new_trace, found.new]].map(([row, trace, scores], side) =>
      trace
        ? html`<${Side} key=${trace} row=${row} trace=${trace} scores=${scores} task=${found.task} route=${route} step=${other(side ? 1 : -1)} side=${side} />`
        : html`<section class="panel"><p class="empty">agent/${row.agent} has no trace of ${found.task}.</p></section>`,
    )}
  </div>`;
}

function Side({ row, trace, scores, task, route, step, side }) {
  const [filter, setFilter] = useState({});
  const head = html`<div class="panel-head">
    ${side === 0 && html`<a class="button" href=${link({ ...route, task: undefined })}>‹ All tasks</a>`}
    <h2 class="cut">agent/${row.agent} ${short(task)}</h2><span class="soft">${attempts(scores)}</span><span class="grow"></span>
    ${step && html`<a class="button wide" href=${step}>${side ? "Next task ›" : "‹ Previous task"}</a>`}
  </div>`;
  return html`<${Trace} name=${trace} filter=${filter} compact onChange=${setFilter} linkTo=${(event) => link({ view: "trace", agent: row.agent, task, event })} head=${head} />`;
}
