"""A shell and nothing else: ask, run, show, until the model calls for nothing."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

STEPS = 40
MAX_TOKENS = 8_000
SECONDS = 15
KEPT = 12_000
"""Characters of an output that are shown, half from either end."""
SYSTEM = (
    "You work in the current directory with a shell. Do the task; when it is done, answer without a call."
)
TOOL = {
    "name": "bash",
    "description": "Run a shell command and show what it printed and its exit code.",
    "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
}


def ask(messages):
    body = {
        "model": os.environ.get("AGENT_MODEL", "default"),
        "max_tokens": MAX_TOKENS,
        "messages": messages,
        "tools": [{"type": "function", "function": TOOL}],
        "parallel_tool_calls": False,
    }
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"].rstrip("/") + "/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer bridge"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["choices"][0]["message"]


def run(command):
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=printed,
                                   stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
        try:
            ending = f"[exit code {process.wait(SECONDS)}]"
        except subprocess.TimeoutExpired:
            ending = f"[ended after {SECONDS} seconds]"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        printed.seek(0)
        text = printed.read().decode("utf-8", "replace")
    if len(text) > KEPT:
        text = f"{text[: KEPT // 2]}\n[{len(text) - KEPT} characters are not shown]\n{text[-KEPT // 2 :]}"
    text = text.removesuffix("\n")
    return f"{text}\n{ending}"


def obey(call):
    try:
        return run(json.loads(call["function"]["arguments"])["command"])
    except (ValueError, KeyError, TypeError) as error:
        return f"error: malformed call: {error!r}"


def main():
    task = Path(os.environ["TASK_INSTRUCTION_FILE"]).read_text(encoding="utf-8")
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": task}]
    for _ in range(STEPS):
        try:
            answer = ask(messages)
        except urllib.error.HTTPError as error:
            print(f"ended: {error}")  # the budget is used up
            return
        messages.append(answer)
        if not answer.get("tool_calls"):
            return
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": obey(call)}
            for call in answer["tool_calls"]
        ]


if __name__ == "__main__":
    main()
