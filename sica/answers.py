"""Whether an answer is the right one, as the authors of each data set decide it. Pure; an answer is only ever read.

number    one number: GSM8K, AIME. 1,234 is 1234, 0.50 is 1/2; two numbers are no answer
math      an expression in LaTeX: MATH. The same after spelling is made equal, or the same number
choice    one label of several: ARC, GPQA
spans     words, numbers or dates: DROP's F1
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import zip_longest

ANSWER_CHARS = 10_000
"""Of what an agent may leave as its answer; what is longer is none."""

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d{1,3})?")
_FRACTION = re.compile(r"(-?)\\frac\{(-?[\d.]+)\}\{(-?[\d.]+)\}")
_MIXED = re.compile(r"(-?)(\d+)\\frac\{(\d+)\}\{(\d+)\}")


def credit(kind: str, right: Sequence[str], data: bytes | None) -> float:
    """0..1: the best of the right answers counts. Raises KeyError for a kind that is not in KINDS."""
    score = KINDS[kind]
    if data is None or len(data) > 4 * ANSWER_CHARS:
        return 0.0
    given = data.decode("utf-8", "replace").strip()
    if not given or len(given) > ANSWER_CHARS:
        return 0.0
    return max((score(each, given) for each in right), default=0.0)


def boxed(text: str) -> str | None:
    r"""What stands in the last \boxed{...} or \fbox{...}, braces within braces kept. None when there is none."""
    start = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    if start < 0:
        return None
    opening = text.find("{", start)
    if opening < 0:
        return text[start:].partition(" ")[2].split("$")[0].strip() or None  # \boxed 5
    depth = 0
    for at in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[opening + 1 : at]
    return None


def final(text: str) -> str:
    """The answer within what was written: after ####, in a box, or the last line without its lead."""
    if "####" in text:
        return text.rpartition("####")[2].strip()
    if (inner := boxed(text)) is not None:
        return inner.strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    return re.sub(r"^(?:the )?(?:final )?answer(?: is)?\s*:?\s*", "", last, flags=re.IGNORECASE).strip()


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────


def number(text: str) -> Fraction | None:
    """The one number of a text, whatever unit stands around it. None when there is none, or there are two."""
    text = (
        text.replace("\\$", "$").replace("\\%", "%").replace("−", "-").replace("{,}", ",").replace("\\!", "")
    )
    found = list(re.finditer(r"[-+]?[\d.,]*\d(?:[eE][-+]?\d+)?(?:\s*/\s*\d+)?", text))
    if len(found) != 1:
        return None
    top, _, bottom = found[0][0].replace(" ", "").partition("/")
    return _quotient(top, bottom or "1")


def _quotient(top: str, bottom: str) -> Fraction | None:
    parts = [top.lstrip(","), bottom]
    if not all(_NUMBER.fullmatch(part) and any(map(str.isdigit, part)) for part in parts):
        return None
    above, below = (Fraction(part.replace(",", "")) for part in parts)
    return above / below if below else None


def _number(right: str, given: str) -> float:
    wanted, got = number(final(right)), number(final(given))
    return float(wanted is not None and wanted == got)


# ── mathematics ───────────────────────────────────────────────────────────────────────────────────


def _math(right: str, given: str) -> float:
    wanted, got = plain_math(final(right)), plain_math(final(given))
    return float(bool(wanted) and _equal(wanted, got))


def _equal(wanted: str, got: str) -> bool:
    if wanted == got:
        return True
    ours, theirs = _parts(wanted), _parts(got)
    if len(ours) != len(theirs) or (len(ours) > 1 and (wanted[0], wanted[-1]) != (got[0], got[-1])):
        return False
    if len(ours) > 1:
        return all(_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    value = _value(wanted)
    return value is not None and value == _value(got)


def _parts(text: str) -> list[str]:
    """The members of (a,b), [a,b) or {a,b}: intervals and tuples. A comma within a number parts nothing."""
    if len(text) < 3 or (text[0] not in "([{" and not text.startswith("\\{")) or _NUMBER.fullmatch(text):
        return [text]
    inner, depth, parts = text[1:-1].removeprefix("{").removesuffix("\\"), 0, [""]
    for char in inner:
        depth += {"{": 1, "(": 1, "}": -1, ")": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts if len(parts) > 1 else [text]


def _value(text: str) -> Fraction | None:
    if match := _MIXED.fullmatch(text):
        whole = Fraction(int(match[2])) + Fraction(int(match[3]), int(match[4]) or 1)
        return None if not int(match[4]) else -whole if match[1] else whole
    if match := _FRACTION.fullmatch(text):
        found = _quotient(match[2], match[3])
        return -found if found is not None and match[1] else found
    return _quotient(text, "1") if _NUMBER.fullmatch(text) and any(map(str.isdigit, text)) else None


def plain_math(text: str) -> str:
    r"""One spelling of a LaTeX answer: \dfrac12, \frac{1}{2} and 1/2 are one; so are 5\text{ cm} and 5."""
    text = text.strip().strip("$").strip().rstrip(".")
    for old, new in _SPELLINGS:
        text = text.replace(old, new)
    text = re.sub(r"\\(?:text|mbox|textbf|mathrm)\{\s*(?:and|or)\s*\}", ",", text)
    text = re.sub(r"(?<=[\d}])\s*\\(?:text|mbox|mathrm)\{[^{}]*\}(?:\^\{?\d\}?)?$", "", text)  # a unit
    text = re.sub(r"\\(?:text|mbox|textbf|mathrm)\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\s+", "", text)
    text = re.sub(r"^[A-Za-z]=", "", text)
    text = re.sub(r"\\sqrt(\w)", r"\\sqrt{\1}", text)
    text = re.sub(r"\\frac(\w)(\w)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac(\w)\{", r"\\frac{\1}{", text)
    text = re.sub(r"(\\frac\{[^{}]*\})(\w)", r"\1{\2}", text)
    text = re.sub(r"^(-?)(\d+)/(-?\d+)$", r"\1\\frac{\2}{\3}", text)
    return re.sub(r"(?<!\d)\.(\d)", r"0.\1", text)


_SPELLINGS = (
    ("\\left", ""), ("\\right", ""), ("\\!", ""), ("\\,", ""), ("\\;", ""), ("\\ ", " "), ("~", " "),
    ("\\$", ""), ("\\%", ""), ("%", ""), ("{,}", ","), ("tfrac", "frac"), ("dfrac", "frac"), ("^{\\circ}", ""),
    ("^\\circ", ""), ("\\cdot", "*"), ("\\leq", "\\le"), ("\\geq", "\\ge"), ("\\infty", "∞"), ("−", "-"),
)  # fmt: skip


# ── choices ───────────────────────────────────────────────────────────────────────────────────────


def _choice(right: str, given: str) -> float:
    """One label and nothing else but its dress: C, (c), **C.**"""
    match = re.fullmatch(r"[\s(\[*`]*([A-Za-z]|\d)[\s)\].:*`]*", final(given))
    return float(bool(match) and match is not None and match[1].upper() == right.strip().upper())


# ── spans ─────────────────────────────────────────────────────────────────────────────────────────

SEPARATOR = "\n"
"""Between the spans of one answer."""


def _spans(right: str, given: str) -> float:
    """DROP's F1: bags of words, each of the right spans against the best of the given ones, one to one."""
    ours = [bag for span in right.split(SEPARATOR) if (bag := words(span))]
    theirs = [bag for span in given.split(SEPARATOR) if (bag := words(span))]
    if not ours or not theirs:
        return 0.0
    return round(_best(ours, theirs) / max(len(ours), len(theirs)), 2)


def _best(ours: list[frozenset[str]], theirs: list[frozenset[str]]) -> float:
    """The one-to-one pairing with the largest sum (the Hungarian method, shortest augmenting paths)."""
    n = max(len(ours), len(theirs))
    pairs = [*zip_longest(range(n), ())]
    gain = [
        [_f1(ours[i], theirs[j]) if i < len(ours) and j < len(theirs) else 0.0 for j in range(n)]
        for i, _ in pairs
    ]
    row_price, column_price, row_of = [0.0] * (n + 1), [0.0] * (n + 1), [0] * (n + 1)
    for row in range(1, n + 1):
        row_of[0], column = row, 0
        least, before, used = [float("inf")] * (n + 1), [0] * (n + 1), [False] * (n + 1)
        while row_of[column]:
            used[column] = True
            mine, step, following = row_of[column], float("inf"), 0
            for j in range(1, n + 1):
                if used[j]:
                    continue
                cost = -gain[mine - 1][j - 1] - row_price[mine] - column_price[j]
                if cost < least[j]:
                    least[j], before[j] = cost, column
                if least[j] < step:
                    step, following = least[j], j
            for j in range(n + 1):
                if used[j]:
                    row_price[row_of[j]] += step
                    column_price[j] -= step
                else:
                    least[j] -= step
            column = following
        while column:
            row_of[column] = row_of[before[column]]
            column = before[column]
    return sum(gain[row_of[j] - 1][j - 1] for j in range(1, n + 1))


def _f1(ours: frozenset[str], theirs: frozenset[str]) -> float:
    numbers = {word for word in ours if _is_number(word)}
    if numbers and not numbers & theirs:
        return 0.0
    common = len(ours & theirs)
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def words(span: str) -> frozenset[str]:
    """A span's bag: lower case, no article, no punctuation but a number's own."""
    found = set()
    for word in re.split(r"[ \-\t\n]", span.lower()):
        bare = word if _is_number(word) else "".join(c for c in word if c not in string.punctuation)
        bare = str(float(bare)) if _is_number(bare) else re.sub(r"\b(a|an|the)\b", "", bare).strip()
        found |= {bare} if bare else set()
    return frozenset(found)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


KINDS: Mapping[str, Callable[[str, str], float]] = {
    "number": _number,
    "math": _math,
    "choice": _choice,
    "spans": _spans,
}


# ── what a program printed ────────────────────────────────────────────────────────────────────────


def same_output(wanted: str, got: str) -> bool:
    """Line by line without the white space at the ends; a line of numbers may spell them in another way."""
    ours, theirs = ([line.strip() for line in text.strip().split("\n")] for text in (wanted, got))
    return len(ours) == len(theirs) and all(
        a == b or _same_numbers(a, b) for a, b in zip(ours, theirs, strict=True)
    )


def _same_numbers(wanted: str, got: str) -> bool:
    ours, theirs = wanted.split(), got.split()
    if len(ours) != len(theirs):
        return False
    plain = re.compile(r"[-+]?\d{1,400}(?:\.\d{1,400})?(?:[eE][-+]?\d{1,3})?")
    if not all(map(plain.fullmatch, [*ours, *theirs])):
        return False
    return all(Fraction(a) == Fraction(b) for a, b in zip(ours, theirs, strict=True))


def counted(labels: Sequence[str]) -> list[str]:
    """Labels that stand more than once."""
    return sorted(label for label, n in Counter(labels).items() if n > 1)
