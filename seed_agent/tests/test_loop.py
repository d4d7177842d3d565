"""The loop against a real HTTP server that answers from a list."""

import json
import os
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from seed import loop, model, settings


def call(name, arguments, number=0):
    return {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def answer(*calls, content=None, finish="tool_calls"):
    message = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = list(calls)
    return 200, {"choices": [{"message": message, "finish_reason": finish}]}


SUBMIT = answer(call("submit", "{}"))


class Loop(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(folder.name)

    def work(self, *answers):
        left, self.asked = list(answers), []
        test = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                test.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                status, body = left.pop(0) if len(left) > 1 else left[0]
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            return loop.work("Do it.", model.Model(f"http://127.0.0.1:{server.server_port}/v1", "m"))
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def test_a_call_is_done_and_its_result_shown(self):
        ending, _ = self.work(answer(call("overwrite", '{"path": "a", "content": "b"}')), SUBMIT)
        self.assertEqual((ending, Path("a").read_text()), (loop.SUBMITTED, "b"))
        self.assertEqual(self.asked[1]["messages"][-1]["role"], "tool")
        self.assertEqual(self.asked[1]["messages"][:-2], self.asked[0]["messages"])

    def test_a_malformed_call_gets_a_result(self):
        ending, facts = self.work(answer(call("bash", '{"command": "ec')), SUBMIT)
        self.assertEqual((ending, facts["malformed calls"]), (loop.SUBMITTED, 1))
        self.assertIn("malformed", self.asked[1]["messages"][-1]["content"])

    def test_only_malformed_calls_end_it(self):
        ending, _ = self.work(answer(call("bash", "{")))
        self.assertIn(ending, ("too many malformed calls", loop.STEP_LIMIT))

    def test_the_step_limit_ends_it(self):
        ending, facts = self.work(answer(call("bash", '{"command": "true"}')))
        self.assertEqual((ending, facts["steps"]), (loop.STEP_LIMIT, settings.MAX_STEPS))

    def test_a_spent_budget_ends_it_in_order(self):
        ending, _ = self.work((429, {"error": {"code": "budget_exhausted", "message": "calls"}}))
        self.assertIn(ending, loop.ORDERLY)
        self.assertEqual(len(self.asked), 1)

    def test_a_refused_request_is_an_error(self):
        ending, _ = self.work((400, {"error": {"message": "no"}}))
        self.assertNotIn(ending, loop.ORDERLY)

    def test_a_cut_answer_is_counted(self):
        _, facts = self.work(answer(call("bash", '{"comm'), finish="length"), SUBMIT)
        self.assertEqual(facts["answers cut"], 1)
        self.assertIn("answers cut: 1", loop.last_line("x", facts))

    def test_an_answer_without_a_call_finishes(self):
        self.assertEqual(self.work(answer(content="Done.", finish="stop"))[0], loop.FINISHED)


if __name__ == "__main__":
    unittest.main()
