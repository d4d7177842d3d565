"""Answers that come in pieces: how they are joined, and what is done about one that does not come to its end."""

import json
import unittest

from seed import loop, settings, stream

from tests.served import CUT, SUBMIT, Served, answer, call


def events(*pieces, end="data: [DONE]"):
    return "\n\n".join([*(f"data: {json.dumps(piece)}" for piece in pieces), end]).encode().splitlines(True)


def delta(finish=None, **fields):
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def part(arguments, **fields):
    name = {"name": fields.pop("name")} if "name" in fields else {}
    return delta(tool_calls=[{**fields, "function": {**name, "arguments": arguments}}])


class Joining(unittest.TestCase):
    def message(self, *pieces):
        return stream.whole(events(*pieces))["choices"][0]["message"]

    def test_calls_that_come_mixed_up_in_pieces_are_told_apart_by_their_number(self):
        made = self.message(
            delta(role="assistant", content=None),
            part("", index=0, id="a", name="bash"),
            part("", index=1, id="b", name="search"),
            part('{"comm', index=0),
            part('{"pattern": ', index=1),
            part('and": "ls"}', index=0),
            part('"x"}', index=1),
            delta("tool_calls"),
        )["tool_calls"]
        self.assertEqual(
            [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in made],
            [("a", "bash", {"command": "ls"}), ("b", "search", {"pattern": "x"})],
        )

    def test_calls_without_a_number_begin_with_their_id(self):
        made = self.message(
            part('{"a"', id="a", name="t"), part(": 1}"), part("{}", id="b", name="u"), delta("tool_calls")
        )["tool_calls"]
        self.assertEqual([c["function"]["arguments"] for c in made], ['{"a": 1}', "{}"])

    def test_words_and_thoughts_go_on_where_they_stopped(self):
        message = self.message(
            delta(role="assistant", reasoning_content="I "), delta(reasoning_content="think"), delta(content="Yes"),
            delta(content=", é."), delta("stop", content=None),
        )  # fmt: skip
        self.assertEqual((message["reasoning_content"], message["content"]), ("I think", "Yes, é."))

    def test_usage_comes_last_and_comments_are_passed_over(self):
        lines = [
            b": waiting\n",
            b"\n",
            *events(delta("stop", content="x"), {"choices": [], "usage": {"total_tokens": 7}}),
        ]
        self.assertEqual(stream.whole(lines)["usage"], {"total_tokens": 7})

    def test_what_ends_early_or_in_an_error_is_no_answer(self):
        with self.assertRaisesRegex(stream.Cut, "in the middle"):
            stream.whole(events(delta(content="half"), end=""))
        with self.assertRaisesRegex(stream.Cut, "overloaded"):
            stream.whole(events(delta(content="half"), {"error": {"message": "overloaded"}}, end=""))


class Streaming(Served):
    def setUp(self):
        super().setUp()
        settings.ANSWERS, settings.RETRY_SECONDS = "streamed", 0.01

    def test_usage_is_asked_for_and_counted(self):
        self.work(
            answer(call("bash", {"command": "true"}), tokens=60),
            SUBMIT,
            environ={"AGENT_TOKEN_BUDGET": "100"},
        )
        self.assertEqual(
            (self.asked[0]["stream"], self.asked[0]["stream_options"]), (True, {"include_usage": True})
        )
        self.assertEqual(self.agent.door.meter.used["tokens"], 60)

    def test_a_stream_that_is_cut_is_asked_for_again(self):
        self.assertEqual(self.work(CUT, SUBMIT), loop.SUBMITTED)
        self.assertEqual((self.facts["requests repeated"], self.bodies[0]), (1, self.bodies[1]))

    def test_one_that_is_cut_every_time_is_an_error_that_says_so(self):
        self.assertIn("the stream ended in the middle", self.work(CUT))


if __name__ == "__main__":
    unittest.main()
