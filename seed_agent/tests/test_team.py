"""Sub-agents: what they are told, what comes back, what they may use."""

import json
import unittest
from pathlib import Path

from seed import agents, calls, loop, settings
from seed.agents import reasoner, review

from tests.served import SUBMIT, Served, answer, call, said

WRITE = answer(call("overwrite", {"path": "a", "content": "b"}))
CODE = answer(call("coder", {"task": "Write a.", "requirements": "a holds b", "previous": "c was wrong"}))


class Team(Served):
    def test_a_sub_agent_is_told_its_work_and_its_caller_is_shown_what_it_did(self):
        self.assertEqual(self.work(CODE, WRITE, SUBMIT, SUBMIT), loop.SUBMITTED)
        told = self.asked[1]["messages"][1]["content"][0]["text"]
        self.assertEqual(told, "Write a.\n\nRequirements:\na holds b\n\nWhat was tried before:\nc was wrong")
        result = self.shown(request=3)
        self.assertIn(
            "[main/coder-1: submitted after 2 steps]\ndone\n[what it did]\n  overwrite a; b\n  submit done",
            result,
        )
        self.assertEqual(self.spans, ["main", "main/coder-1", "main/coder-1", "main"])
        self.assertEqual(self.agent.tree[0].split()[0], "coder")
        self.assertEqual(self.agent.tree[1], "  overwrite a; b")

    def test_it_has_its_own_tools_only(self):
        self.work(answer(call("solver", {"task": "Find it."})), SUBMIT, SUBMIT)
        offered = self.offered(1)
        self.assertTrue({"coder", "reasoner", "search"} <= offered)
        self.assertFalse({"overwrite", "solver", "review"} & offered)

    def test_nobody_is_asked_deeper_than_allowed(self):
        settings.TEAM_DEPTH = 1
        self.work(answer(call("solver", {"task": "Find it."})), SUBMIT, SUBMIT)
        self.assertNotIn("coder", self.offered(1))

    def test_it_inherits_what_its_caller_says(self):
        Path("f").write_text("seen\n")
        opened = answer(call("open_file", {"path": "f"}), content="I look at f.")
        for inherit, files, words in (("nothing", 0, 0), ("files", 1, 0), ("dialogue", 1, 1)):
            self.work(opened, answer(call("coder", {"task": "Go on.", "inherit": inherit})), SUBMIT, SUBMIT)
            text = json.dumps(self.asked[2]["messages"])
            self.assertEqual(("\\tseen" in text, "I look at f." in text), (bool(files), bool(words)), inherit)

    def test_a_wrong_handoff_is_told_what_would_be_right(self):
        self.work(answer(call("coder", {"task": "x", "inherit": "all"})), SUBMIT)
        self.assertIn("inherit is one of nothing, files, dialogue", self.shown())

    def test_its_step_limit_is_its_own(self):
        settings.TEAM_TURNS = 2
        true = answer(call("bash", {"command": "true"}))
        self.assertEqual(self.work(CODE, true, true, SUBMIT), loop.SUBMITTED)
        self.assertIn("[main/coder-1: step limit reached after 2 steps]", self.shown())

    def test_a_budget_that_a_sub_agent_spends_is_spent_for_all(self):
        self.assertEqual(self.work(CODE, (429, {"error": {"code": "budget_exhausted"}})), loop.BUDGET)
        self.assertEqual(len(self.asked), 2)

    def test_the_archivist_is_there_where_an_archive_is(self):
        self.work(SUBMIT)
        self.assertEqual("archivist" in self.offered(0), Path("/archive").exists())
        self.assertEqual(set(agents.modules()), {"archivist", "coder", "reasoner", "review", "solver"})


class Reasoner(Served):
    def test_each_step_has_its_own_tool_and_no_other(self):
        settings.PROTOCOL = "native"
        steps = [name for name, _ in reasoner.STRUCTURES["hypotheses"]]
        thoughts = [answer(call(name, {"thought": f"thought of {name}"})) for name in steps]
        self.work(
            answer(call("reasoner", {"question": "Why?", "structure": "hypotheses"})), *thoughts, SUBMIT
        )
        offered = [[t["function"]["name"] for t in request["tools"]] for request in self.asked[1:-1]]
        self.assertEqual(offered, [[name] for name in steps])
        self.assertIn("conclude: thought of conclude", self.shown())

    def test_words_are_a_thought_too_and_in_xml_the_steps_are_the_same(self):
        settings.PROTOCOL = "xml"
        ask = said(calls.written("reasoner", {"question": "Why?", "structure": "plan"}))
        steps = [said(calls.written("state_goal", {"thought": "a < b"})), *[said("just words")] * 3]
        self.work(ask, *steps, said(calls.written("submit", {})))
        self.assertIn("state_goal: a < b", self.shown())
        self.assertIn("conclude: just words", self.shown())


class Review(Served):
    def test_every_reader_sees_the_work_and_all_opinions_come_back(self):
        self.work(
            answer(call("review", {"task": "Add.", "work": "+ 1"})),
            *[said("Looks right.")] * len(review.PERSONAS),
            SUBMIT,
        )
        readers = {span.rpartition("/")[2] for span in self.spans if "review-1" in span}
        self.assertEqual(readers, set(review.PERSONAS))
        for persona in review.PERSONAS:
            self.assertIn(f"{persona}: Looks right.", self.shown())


if __name__ == "__main__":
    unittest.main()
