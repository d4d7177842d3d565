/** A unified diff that the server has cut into files, hunks and lines; drawn as text. */

import { html, useState } from "./dom.js";
import { plural } from "./format.js";

const LONG = 400;
/** Lines of one file drawn unasked: a generated file must not freeze the page. */

export function Diff({ diff, empty = "No file differs." }) {
  if (!diff.files.length) return html`<p class="quiet">${empty}</p>`;
  return html`<div class="diff" data-testid="diff">
    <p class="soft section">${plural(diff.files.length, "file")}, <span class="good">+${diff.added}</span> <span class="bad">−${diff.removed}</span></p>
    ${diff.files.map((file) => html`<${FileDiff} key=${file.path} file=${file} open=${diff.files.length <= 12} />`)}
    ${diff.truncated && html`<p class="quiet">The rest is left out: it is too long for the page. <code>sica diff ${diff.old ?? ""} ${diff.new}</code> has all of it.</p>`}
  </div>`;
}

function FileDiff({ file, open }) {
  const total = file.hunks.reduce((sum, hunk) => sum + hunk.lines.length, 0);
  const [whole, setWhole] = useState(total <= LONG);
  let room = whole ? Infinity : LONG;
  return html`<details class="file" open=${open}>
    <summary>
      <span class="path">${file.old_path && file.old_path !== file.path ? `${file.old_path} → ${file.path}` : file.path}</span>
      ${file.status !== "changed" && html`<span class="tag">${file.status}</span>`}
      <span class="good">+${file.added}</span><span class="bad">−${file.removed}</span>
    </summary>
    ${file.binary && html`<p class="quiet block-body">a binary file</p>`}
    ${file.hunks.map((hunk) => {
      if (room <= 0) return null;
      const lines = hunk.lines.slice(0, room);
      room -= lines.length;
      return html`<${Hunk} hunk=${hunk} lines=${lines} />`;
    })}
    ${!whole && html`<p class="row block-body"><button onClick=${() => setWhole(true)}>Show all ${total.toLocaleString("en-US")} lines</button></p>`}
    ${file.cut > 0 && html`<p class="quiet block-body">${plural(file.cut, "line")} left out: too long for the page</p>`}
  </details>`;
}

const LOOKS = { "+": "add", "-": "del", "\\": "quiet" };

function Hunk({ hunk, lines }) {
  return html`<div class="hunk-head">${hunk.header} ${hunk.section}</div>
    <div class="hunk" tabindex="0" role="region" aria-label=${hunk.header}>
      <table>
        ${lines.map(([sign, old, now, text]) => html`<tr class=${LOOKS[sign]}>
          <td class="at">${old}</td><td class="at">${now}</td><td class="sign">${sign}</td><td>${text}</td>
        </tr>`)}
      </table>
    </div>`;
}
