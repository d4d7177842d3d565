"""Questions with one right answer: GSM8K, AIME, MATH, ARC, GPQA, DROP. The agent writes its answer into answer.txt."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from sica import answers
from sica.benchmarks._imported import Made, Problem, plain_name, text
from sica.benchmarks._rows import Row, first, rows

FORM = (
    "rows of gsm8k (openai/gsm8k or github.com/openai/grade-school-math), MATH or MATH-500, aime, ai2_arc, "
    "gpqa_diamond.csv, or drop_dataset_dev.json; JSON lines, JSON, CSV or Parquet as published"
)


@dataclass(frozen=True, slots=True)
class Question:
    words: str
    right: tuple[str, ...]
    """Any of them will do."""
    kind: str
    """Of scorer, a key of answers.KINDS."""
    tell: str
    """What the answer must look like."""
    level: int = 1


def fits(path: Path) -> bool:
    if path.is_dir():
        one = next((file for file in sorted(path.glob("*/*.json"))), None)
        return one is not None and _reader(first(one)) is _math
    return _reader(first(path)) is not None


def problems(path: Path) -> Iterator[Problem]:
    for row in _flat(rows(path)):
        id = row.data.get("id") or row.data.get("unique_id") or row.data.get("Record ID") or row.number
        name = plain_name(
            f"{row.data.get('', '')}{id}".removeprefix("/"), f"{row.path}: row {row.number}: id"
        )
        yield Problem(name, partial(_made, row))


def _flat(every: Iterator[Row]) -> Iterator[Row]:
    """DROP's own file is one table of passages with their questions; each question becomes a row."""
    for row in every:
        passages = list(row.data.values())
        if not all(isinstance(each, dict) and "qa_pairs" in each for each in passages):
            yield row
            continue
        for passage in passages:
            for pair in Row(row.path, row.number, passage).list_of("qa_pairs"):
                if not isinstance(pair, dict):
                    raise row.wrong("qa_pairs", "a question that is no table")
                yield Row(
                    row.path,
                    row.number,
                    {**pair, "passage": passage.get("passage"), "id": pair.get("query_id")},
                )


def _reader(data: Mapping[str, Any]) -> Callable[[Row], Question] | None:
    """Whose rows these are, by their fields."""
    there = data.keys()
    if there >= {"question", "choices", "answerKey"} or isinstance(data.get("question"), dict):
        return _arc
    if there >= {"Question", "Correct Answer", "Incorrect Answer 1"}:
        return _gpqa
    if there >= {"passage", "question"} or any(
        isinstance(v, dict) and "qa_pairs" in v for v in data.values()
    ):
        return _drop
    if there >= {"question", "answer"} and "####" in str(data["answer"]):
        return _gsm8k
    if {"problem", "Problem", "Question"} & there:
        if (
            {"answer", "Answer"} & there
            and not {"solution", "Solution"} & there - {"solution"}
            and _whole(data)
        ):
            return _aime
        if {"solution", "answer"} & there:
            return _math
    return None


def _whole(data: Mapping[str, Any]) -> bool:
    found = str(data.get("answer", data.get("Answer", ""))).strip()
    return found.isascii() and found.isdigit() and len(found) <= 3 and "subject" not in data


def _made(row: Row) -> Made:
    read = _reader(row.data)
    if read is None:
        raise row.wrong("question", "the row is of no known form", "name a file whose rows are alike")
    found = read(row)
    if not found.words.strip():
        raise row.wrong("question", "is empty")
    rules = {"file": "answer.txt", "kind": found.kind, "right": list(found.right)}
    return Made(
        instruction=f"{found.words.strip()}\n\nWrite {found.tell} into the file `answer.txt`, and nothing else.",
        tests={"answer.json": text(json.dumps(rules))},
        answer={"answer.txt": text(_given(found) + "\n")},
        ours={"grading": "answer", "kind": "answer", "level": found.level},
    )


def _given(found: Question) -> str:
    return found.right[0]


# ── one reader a form ─────────────────────────────────────────────────────────────────────────────


def _gsm8k(row: Row) -> Question:
    return _numeric(row, row.text("question"), answers.final(row.text("answer")), "answer")


def _aime(row: Row) -> Question:
    field = "answer" if "answer" in row.data else "Answer"
    words = row.text(
        next(name for name in ("problem", "Problem", "question", "Question") if name in row.data)
    )
    return _numeric(row, words, str(row.data[field]), field)


def _numeric(row: Row, words: str, right: str, field: str) -> Question:
    if answers.number(right) is None:
        raise row.wrong(field, f"{right[:60]!r} is no number")
    return Question(words, (right,), "number", "the number")


def _math(row: Row) -> Question:
    if "answer" in row.data:
        right = row.text("answer")
    else:
        found = answers.boxed(row.text("solution"))
        if not found:
            raise row.wrong("solution", "holds no \\boxed{} answer")
        right = found
    level = str(row.data.get("level", 1)).rpartition(" ")[2]
    return Question(
        row.text("problem", "question"), (right,), "math", "the answer in LaTeX, as it would stand in \\boxed{}",
        level=int(level) if level in "12345" and level else 1,
    )  # fmt: skip


def _arc(row: Row) -> Question:
    inner = row.data["question"]
    stem, choices = (
        (inner.get("stem"), inner.get("choices"))
        if isinstance(inner, dict)
        else (inner, row.data.get("choices"))
    )
    if isinstance(choices, dict):
        pairs = list(zip(choices.get("label") or (), choices.get("text") or (), strict=False))
    else:
        pairs = [(c.get("label"), c.get("text")) for c in choices or () if isinstance(c, dict)]
    if not isinstance(stem, str) or not pairs or not all(isinstance(x, str) for pair in pairs for x in pair):
        raise row.wrong("choices", "are no labels with texts")
    return _labelled(row, stem, pairs, row.text("answerKey"))


def _gpqa(row: Row) -> Question:
    """The right answer stands first in every row: they are shuffled by the question, alike in every run."""
    right = row.text("Correct Answer").strip()
    wrong = [row.text(f"Incorrect Answer {n}").strip() for n in (1, 2, 3)]
    order = [right, *wrong]
    random.Random(sha256(row.text("Question").encode()).digest()).shuffle(order)  # no secret
    return _labelled(
        row, row.text("Question"), list(zip("ABCD", order, strict=True)), "ABCD"[order.index(right)]
    )


def _labelled(row: Row, stem: str, pairs: Sequence[tuple[str, str]], right: str) -> Question:
    labels = [label for label, _ in pairs]
    if right not in labels or answers.counted(labels) or not all(len(label) == 1 for label in labels):
        raise row.wrong("answerKey", f"{right!r} is not one of {', '.join(labels)}")
    listed = "\n".join(f"({label}) {words}" for label, words in pairs)
    return Question(
        f"{stem.strip()}\n\n{listed}", (right,), "choice", f"one of the letters {', '.join(labels)}"
    )


def _drop(row: Row) -> Question:
    known = [row.data.get("answer"), *(row.data.get("validated_answers") or ())]
    spans = row.data.get("answers_spans")
    if isinstance(spans, dict) and isinstance(spans.get("spans"), list):
        known.append({"spans": spans["spans"]})
    right = tuple(dict.fromkeys(filter(None, map(_span_text, known))))
    if not right:
        raise row.wrong("answer", "holds neither number, date nor spans")
    words = f"{row.text('passage').strip()}\n\n{row.text('question').strip()}"
    return Question(words, right, "spans", "the answer (several spans: one a line)")


def _span_text(found: Any) -> str:
    if not isinstance(found, dict):
        return ""
    if number := found.get("number"):
        return str(number)
    spans = found.get("spans")
    if isinstance(spans, list) and spans and all(isinstance(span, str) for span in spans):
        return answers.SEPARATOR.join(span.replace(answers.SEPARATOR, " ") for span in spans)
    date = found.get("date")
    if isinstance(date, dict):
        return " ".join(str(date[part]) for part in ("day", "month", "year") if date.get(part))
    return ""
