"""One agent's dialogue: how it goes on, what it survives, how it ends."""

import json
import time
import unittest
from pathlib import Path

from seed import loop, settings
from seed.context import text_of

from tests.served import SUBMIT, Served, answer, call, said

TRUE = answer(call("bash", {"command": "true"}))


class Dialogue(Served):
    def test_a_call_is_done_and_its_result_shown(self):
        ending = self.work(answer(call("overwrite", {"path": "a", "content": "b"})), SUBMIT)
        self.assertEqual((ending, Path("a").read_text()), (loop.SUBMITTED, "b"))
        self.assertIn("wrote", self.shown())

    def test_each_request_begins_with_the_one_before_it_byte_for_byte(self):
        Path("a").write_text("one\n")
        self.work(
            answer(call("open_file", {"path": "a"})),
            answer(call("bash", {"command": "echo two >> a"})),
            TRUE,
            SUBMIT,
        )
        for earlier, later in zip(self.bodies, self.bodies[1:]):
            self.assertTrue(later.startswith(earlier[: -len("]}")]))

    def test_the_cache_marks_are_at_most_four_and_stay(self):
        settings.MAX_STEPS = 50
        self.work(*[TRUE] * 45, SUBMIT)
        marked = [n for n, m in enumerate(self.asked[-1]["messages"]) if isinstance(m["content"], list)]
        self.assertTrue(2 <= len(marked) <= 4)
        self.assertTrue(self.bodies[-1].startswith(self.bodies[0][: -len("]}")]))

    def test_a_malformed_call_gets_a_result(self):
        ending = self.work(answer(call("bash", '{"command": "ec')), SUBMIT)
        self.assertEqual((ending, self.facts["malformed calls"]), (loop.SUBMITTED, 1))
        self.assertIn("malformed", self.shown())

    def test_only_malformed_calls_end_it(self):
        self.assertIn(self.work(answer(call("bash", "{"))), ("too many malformed calls", loop.STEP_LIMIT))

    def test_the_step_limit_ends_it(self):
        ending = self.work(TRUE)
        self.assertEqual((ending, self.facts["steps"]), (loop.STEP_LIMIT, settings.MAX_STEPS))

    def test_a_spent_budget_ends_it_in_order(self):
        ending = self.work((429, {"error": {"code": "budget_exhausted", "message": "calls"}}))
        self.assertIn(ending, loop.ORDERLY)
        self.assertEqual(len(self.asked), 1)

    def test_a_refused_request_is_an_error(self):
        self.assertNotIn(self.work((400, {"error": {"message": "no"}})), loop.ORDERLY)

    def test_a_server_that_fails_once_is_asked_again(self):
        settings.RETRY_SECONDS = 0.01
        self.assertEqual(self.work((503, {}), SUBMIT), loop.SUBMITTED)
        self.assertEqual(self.facts["requests repeated"], 1)

    def test_an_answer_without_a_call_finishes(self):
        self.assertEqual(self.work(said("Done.")), loop.FINISHED)
        self.assertEqual(self.agent.answer, "Done.")

    def test_giving_up_is_an_ending_of_its_own(self):
        ending = self.work(answer(call("give_up", {"reason": "there is no such file"})))
        self.assertEqual((ending, self.agent.answer), (loop.GAVE_UP, "gave up: there is no such file"))

    def test_starting_over_keeps_the_task_and_the_lesson_alone(self):
        self.work(TRUE, answer(call("start_over", {"lesson": "it is not the cache"})), SUBMIT)
        self.assertEqual([m["role"] for m in self.asked[-1]["messages"]], ["system", "user"])
        self.assertIn("Do it.", self.shown())
        self.assertIn("it is not the cache", self.shown())


class Length(Served):
    def test_a_cut_call_is_counted_and_not_obeyed(self):
        self.work(answer(call("bash", '{"comm'), finish="length"), SUBMIT)
        self.assertIn("answers cut: 1", loop.last_line("x", self.facts))

    def test_an_answer_in_words_is_continued_where_it_was_cut(self):
        self.assertEqual(self.work(said("One ", "length"), said("two.")), loop.FINISHED)
        self.assertEqual(self.agent.answer, "One two.")

    def test_continuing_has_an_end(self):
        self.work(said("More ", "length"))
        self.assertEqual(len(self.asked), 1 + settings.CONTINUATIONS)

    def test_a_dialogue_over_the_window_is_compacted_and_goes_on(self):
        refusal = (400, {"error": {"message": "maximum context length exceeded"}})
        ending = self.work(*[TRUE] * 9, refusal, SUBMIT)
        self.assertEqual((ending, self.facts["dialogues compacted"]), (loop.SUBMITTED, 1))
        self.assertLess(len(self.asked[-1]["messages"]), len(self.asked[-2]["messages"]))
        note = self.shown(message=2)
        self.assertRegex(note, r"\n- bash .*true")
        self.assertNotIn("<result", note)

    def test_no_result_is_left_without_its_call(self):
        settings.NEWEST_KEPT, settings.WINDOW_TOKENS = 3, 400
        self.work(*[TRUE] * 11, SUBMIT)
        self.assertGreater(self.facts["dialogues compacted"], 0)
        for request in self.asked:
            known = {c["id"] for m in request["messages"] for c in m.get("tool_calls", ())}
            self.assertTrue(
                all(m["tool_call_id"] in known for m in request["messages"] if m["role"] == "tool")
            )

    def test_diffs_are_folded_once_into_what_the_file_holds_now(self):
        settings.FOLD_AT = 60
        Path("a").write_text("one\n")
        change = answer(call("bash", {"command": "echo another line that is long enough to be told >> a"}))
        self.work(answer(call("open_file", {"path": "a"})), change, TRUE, SUBMIT)
        self.assertEqual(self.facts["diffs folded"], 1)
        text = json.dumps(self.asked[-1]["messages"])
        self.assertEqual(text.count("another line that is long enough to be told\\n"), 0)
        self.assertEqual(text.count("\\tanother line that is long"), 1)


class Budget(Served):
    def test_notices_come_once_each_at_50_80_90_and_95_percent(self):
        settings.MAX_STEPS = 30
        self.work(*[TRUE] * 19, SUBMIT, environ={"AGENT_CALL_BUDGET": "20"})
        told = [text_of(m) for m in self.asked[-1]["messages"] if "[budget: " in text_of(m)]
        self.assertEqual([t.split(" %")[0] for t in told], [f"[budget: {n}" for n in (50, 80, 90, 95)])

    def test_tokens_and_time_are_told_of_too(self):
        soon = str(time.time() + 0.001)
        self.work(
            answer(call("bash", {"command": "true"}), tokens=60),
            SUBMIT,
            environ={"AGENT_TOKEN_BUDGET": "100", "AGENT_DEADLINE": soon},
        )
        told = [text_of(m) for m in self.asked[-1]["messages"] if "[budget: " in text_of(m)]
        self.assertTrue(any("50 % of the tokens" in t for t in told))
        self.assertTrue(any("95 % of the time" in t for t in told))

    def test_debugging_keeps_every_request_as_it_was_sent(self):
        self.work(TRUE, SUBMIT, environ={"AGENT_DEBUG": "1", "AGENT_LOGS": "logs"})
        self.assertEqual([p.read_bytes() for p in sorted(Path("logs/requests").iterdir())], self.bodies)


if __name__ == "__main__":
    unittest.main()
