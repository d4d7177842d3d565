"""One question, one answer: the task and the files go in, whole files come out."""

import json
import os
import re
import urllib.request
from pathlib import Path

WINDOW = 60_000
"""Characters of files that are shown."""
MAX_TOKENS = 8_000
ASKED = """{task}

Answer with every file that you change or make, whole, in the form in which files are shown here. Nothing can be run.

{files}"""


def shown():
    room, parts = WINDOW, []
    for path in sorted(p for p in Path().rglob("*") if p.is_file() and ".git" not in p.parts):
        try:
            text = path.read_bytes().decode()
        except UnicodeDecodeError:
            continue
        text += "" if text.endswith("\n") or not text else "\n"
        if len(text) <= room:
            room -= len(text)
            parts.append(f'<file path="{path}">\n{text}</file>')
    return "\n".join(parts)


def ask(message):
    body = {
        "model": os.environ.get("AGENT_MODEL", "default"),
        "max_tokens": MAX_TOKENS,
        "messages": [{"role": "user", "content": message}],
    }
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"].rstrip("/") + "/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer bridge"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["choices"][0]["message"].get("content") or ""


def write(answer):
    for path, text in re.findall(
        r'^<file path="([^"\n]+)">\n(.*?)^</file>$', answer, re.MULTILINE | re.DOTALL
    ):
        target = Path(path)
        if not target.is_absolute() and ".." not in target.parts:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())


if __name__ == "__main__":
    task = Path(os.environ["TASK_INSTRUCTION_FILE"]).read_text(encoding="utf-8")
    write(ask(ASKED.format(task=task, files=shown())))
