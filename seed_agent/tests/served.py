"""A real HTTP server that answers from a list, and a folder to work in; what every test of the dialogue stands on."""

import json
import os
import re
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from seed import calls, loop, model, settings

SET = {name: value for name, value in vars(settings).items() if name.isupper()}


def call(name, arguments, number=0):
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": text}}


def answer(*calls, content=None, finish="tool_calls", tokens=0):
    message = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = list(calls)
    return 200, {
        "choices": [{"message": message, "finish_reason": finish}],
        "usage": {"total_tokens": tokens},
    }


def said(text, finish="stop"):
    return answer(content=text, finish=finish)


CUT = 200, None
"""A stream that begins and is closed before its end."""

SUBMIT = answer(call("submit", {"summary": "done"}))


def spoken(given):
    """The answer as a model gives it that calls in words. A call that is malformed is malformed there too."""
    choice = given["choices"][0]
    message = choice["message"]
    texts = [message["content"]] if message["content"] else []
    for made in message.get("tool_calls", ()):
        name, told = made["function"]["name"], made["function"]["arguments"]
        try:
            texts.append(calls.written(name, json.loads(told)))
        except ValueError:
            texts.append(f'<call tool="{name}">\n<command>{told}\n</call>')
    message = {"role": "assistant", "content": "\n".join(texts)}
    return {**given, "choices": [{**choice, "message": message}]}


def pieces(given):
    """An answer as the events of a stream; text and arguments come in small pieces."""
    choice = given["choices"][0]
    message = choice["message"]
    text = message["content"] or ""
    deltas = [{"role": "assistant"}, *({"content": text[at : at + 9]} for at in range(0, len(text), 9))]
    for number, made in enumerate(message.get("tool_calls", ())):
        told = made["function"]["arguments"]
        start = {**made, "index": number, "function": {"name": made["function"]["name"], "arguments": ""}}
        deltas.append({"tool_calls": [start]})
        for at in range(0, len(told), 9):
            deltas.append({"tool_calls": [{"index": number, "function": {"arguments": told[at : at + 9]}}]})
    for delta in deltas:
        yield {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]}
    yield {"choices": [], "usage": given["usage"]}


class Served(unittest.TestCase):
    def run(self, result=None):
        """Each test in both ways of calling and in both of answering, whichever the settings name."""
        for settings.PROTOCOL, settings.ANSWERS in (("native", "whole"), ("xml", "streamed")):
            super().run(result)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(folder.name)
        self.addCleanup(lambda: [setattr(settings, name, value) for name, value in SET.items()])

    def work(self, *answers, environ=None, instruction="Do it."):
        """How it ended; `asked` and `bodies` hold the requests, `agent` the agent. The last answer is repeated."""
        left, self.asked, self.bodies, self.spans = list(answers), [], [], []
        test, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    test.bodies.append(body)
                    test.asked.append(json.loads(body))
                    test.spans.append(self.headers["X-Agent-Span"])
                    status, given = left.pop(0) if len(left) > 1 else left[0]
                if settings.PROTOCOL == "xml" and given and "choices" in given:
                    given = spoken(given)
                streamed = status == 200 and test.asked[-1].get("stream")
                if given is None:
                    data = f"data: {json.dumps(next(pieces(SUBMIT[1])))}\n\n".encode()
                elif streamed:
                    told = [*(json.dumps(piece) for piece in pieces(given)), "[DONE]"]
                    data = "".join(f"data: {one}\n\n" for one in told).encode()
                else:
                    data = json.dumps(given).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/event-stream" if streamed else "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        try:
            door = model.Model(f"http://127.0.0.1:{server.server_port}/v1", "m", environ or {})
            ending, self.facts, self.agent = loop.work(instruction, door)
            return ending
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def offered(self, request):
        """The tools that a request tells of, in either way of calling."""
        asked = self.asked[request]
        if "tools" in asked:
            return {tool["function"]["name"] for tool in asked["tools"]}
        return set(re.findall(r"^## (\w+)$", self.shown(request, 0), re.MULTILINE))

    def shown(self, request=-1, message=-1):
        content = self.asked[request]["messages"][message]["content"]
        return content if isinstance(content, str) else content[0]["text"]
