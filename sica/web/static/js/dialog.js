/** Questions above the page, and the list of keys. The browser's own dialog keeps the focus inside and gives it back. */

import { html, useEffect, useRef, useState } from "./dom.js";
import { createStore, useStore } from "./store.js";

/** @typedef {{title: string, words: string, yes: string, field?: string, settle: (answer: string) => void}} Question */

const open = createStore({ question: /** @type {Question | null} */ (null) });

/**
 * Ask a person; "" when they turn away. With a `field` the answer is what they typed.
 * @param {Omit<Question, "settle">} question @returns {Promise<string>}
 */
export function ask(question) {
  return new Promise((settle) => open.set({ question: { ...question, settle } }));
}

export function Questions() {
  const question = useStore(open, (state) => state.question);
  return question && html`<${Asked} key=${question.title} question=${question} />`;
}

function Asked({ question }) {
  const [text, setText] = useState("");
  const end = (answer) => {
    open.set({ question: null });
    question.settle(answer);
  };
  const send = (event) => {
    event.preventDefault();
    const answer = question.field ? text.trim() : "yes";
    if (answer) end(answer);
  };
  return html`<${Dialog} label=${question.title} onClose=${() => end("")}>
    <form onSubmit=${send}>
      <h2>${question.title}</h2>
      <p class="soft">${question.words}</p>
      ${question.field && html`<div class="form"><textarea rows="4" maxlength="10000" aria-label=${question.field} value=${text} onInput=${(event) => setText(event.target.value)} data-testid="dialog-text"></textarea></div>`}
      <p class="row spread form"><button type="button" onClick=${() => end("")}>Back</button><button class="primary" data-testid="dialog-yes">${question.yes}</button></p>
    </form>
  <//>`;
}

function Dialog({ label, onClose, children }) {
  const box = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    box.current.showModal();
  }, []);
  return html`<dialog ref=${box} aria-label=${label} onClose=${onClose} onClick=${(event) => event.target === box.current && onClose()} data-testid="dialog">${children}</dialog>`;
}

const KEYS = [
  ["1 2 3 4", "lineage, matrix, live, compare"],
  ["/", "filter or search what is shown"],
  ["↑ ↓  or  j k", "next agent, block or cell"],
  ["Enter", "open what is selected"],
  ["Shift + click", "compare with the selected agent"],
  ["c", "compare the selected agent with its parent"],
  ["m", "how the selected agent was made"],
  ["e", "in a trace: expand or fold everything"],
  ["[ ]", "in a trace: earlier or later page"],
  ["f", "in an open trace: follow"],
  ["+ −", "in the matrix: larger or smaller cells"],
  ["t", "light or dark"],
  ["Esc", "back"],
];

const SIGNS = [
  ["◆", "the best agent"],
  ["○", "measured"],
  ["×", "rejected"],
  ["◌", "at work, or waiting to be measured"],
];

export function Keys({ onClose }) {
  const list = (pairs) => pairs.map(([key, words]) => html`<dt><kbd>${key}</kbd></dt><dd>${words}</dd>`);
  return html`<${Dialog} label="Keys and signs" onClose=${onClose}>
    <h2>Keys</h2>
    <dl class="keys section">${list(KEYS)}</dl>
    <h2>Signs</h2>
    <dl class="keys section">${list(SIGNS)}</dl>
    <p class="quiet section">An interval is 95%. A grey change is not more than noise. The thick lane leads from the seed to the best.</p>
    <p class="row"><span class="grow"></span><button class="primary" onClick=${onClose}>Close</button></p>
  <//>`;
}
