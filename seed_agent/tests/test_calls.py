"""What is taken as a call, in both ways of calling, and what is told of a tool."""

import unittest
from pathlib import Path

from seed import calls, loop, settings
from seed.tools import modules

from tests.served import SUBMIT, Served, answer, call, said

TOOL = {
    "name": "t",
    "description": "Does a thing.",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "count": {"type": "integer"}, "all": {"type": "boolean"}},
        "required": ["path"],
    },
    "example": {"path": "a", "count": 2},
}


class Arguments(unittest.TestCase):
    def setUp(self):
        self.addCleanup(setattr, settings, "PROTOCOL", settings.PROTOCOL)
        settings.PROTOCOL = "native"

    def refused(self, raw):
        with self.assertRaises(calls.Malformed) as caught:
            calls.arguments(raw, TOOL)
        return str(caught.exception)

    def test_small_slips_are_repaired(self):
        for raw in (
            '{"path": "a", "count": 2,}',
            '```json\n{"path": "a", "count": "2"}\n```',
            '{"path": "a", "count": 2}',
        ):
            self.assertEqual(calls.arguments(raw, TOOL), {"path": "a", "count": 2})
        self.assertEqual(calls.arguments('{"path": "a\nb"}', TOOL), {"path": "a\nb"})

    def test_what_is_not_clear_is_refused_with_the_reason(self):
        self.assertIn("no JSON", self.refused('{"path": "a'))
        self.assertIn("object", self.refused('["a"]'))
        self.assertIn("'path' is missing", self.refused('{"count": 2}'))
        self.assertIn("t takes: path, count, all", self.refused('{"path": "a", "file": "b"}'))
        self.assertIn("type integer", self.refused('{"path": "a", "count": "two"}'))
        self.assertIn("type integer", self.refused('{"path": "a", "count": true}'))

    def test_xml_values_are_taken_as_they_are(self):
        settings.PROTOCOL = "xml"
        text = '<call tool="t">\n<path>\n<b> & "</path> </b>\n</path>\n<count>3</count>\n</call>'
        ((_, name, raw),) = calls.asked_for({"role": "assistant", "content": f"I will.\n{text}"})
        self.assertEqual(
            (name, calls.arguments(raw, TOOL)), ("t", {"path": '<b> & "</path> </b>', "count": 3})
        )

    def test_xml_that_is_not_clear_is_refused(self):
        settings.PROTOCOL = "xml"
        self.assertIn("not closed", self.refused("<path>a"))
        self.assertIn("parameter", self.refused("<path>a</path> and more"))
        self.assertEqual(calls.asked_for({"content": "<call tool=t><path>a"})[0][1], "")

    def test_a_call_written_out_is_read_back(self):
        settings.PROTOCOL = "xml"
        for tool in [TOOL, *(module.TOOL for module in modules().values())]:
            ((_, name, raw),) = calls.asked_for({"content": calls.written(tool["name"], tool["example"])})
            self.assertEqual((name, calls.arguments(raw, tool)), (tool["name"], tool["example"]))


class Documents(unittest.TestCase):
    def test_both_ways_tell_the_same_in_the_same_order(self):
        every = [module.TOOL for module in modules().values()]
        text, native = calls.document(every), calls.schemas(every[::-1])
        self.assertEqual(
            [line[3:] for line in text.splitlines() if line.startswith("## ")],
            [s["function"]["name"] for s in native],
        )
        for schema in native:
            self.assertIn(schema["function"]["description"].split(" Example:")[0], text)


class Xml(Served):
    def test_the_same_tools_work_by_text(self):
        settings.PROTOCOL = "xml"
        write = said(calls.written("overwrite", {"path": "a", "content": "x < y\n"}))
        self.assertEqual(self.work(write, said(calls.written("submit", {}))), loop.SUBMITTED)
        self.assertNotIn("tools", self.asked[0])
        self.assertIn('<result tool="overwrite">', self.shown())
        self.assertEqual(Path("a").read_text(), "x < y\n")

    def test_a_call_that_was_cut_off_is_continued(self):
        settings.PROTOCOL = "xml"
        whole = calls.written("overwrite", {"path": "a", "content": "one\ntwo\n"})
        self.work(said(whole[:50], "length"), said(whole[50:]), said(calls.written("submit", {})))
        self.assertEqual(Path("a").read_text(), "one\ntwo\n")

    def test_a_server_without_tool_calls_is_spoken_to_in_xml(self):
        settings.PROTOCOL = "native"
        refusal = (400, {"error": {"message": "this model does not support tools"}})
        self.assertEqual(self.work(refusal, said(calls.written("submit", {}))), loop.SUBMITTED)
        self.assertIn("## open_file", self.shown(message=0))

    def test_an_unknown_tool_is_told_which_there_are(self):
        self.work(answer(call("fly", {})), SUBMIT)
        self.assertIn("there is no tool 'fly'; there are:", self.shown())


if __name__ == "__main__":
    unittest.main()
