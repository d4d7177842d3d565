"""Three small programs with known faults. They are data: texts that end up in workspaces."""

from __future__ import annotations

from random import Random

from sica.suites._truth import Probe

Fault = tuple[str, str, str]

# ── formula: a calculator of lines with names ─────────────────────────────────────────────────────

_TOKENS = '''"""Text to tokens."""

SIGNS = "+-*/%(),=<>"


def tokens(text):
    """(kind, text) pairs; kinds are number, name and sign."""
    found = []
    at = 0
    while at < len(text):
        char = text[at]
        if char.isspace():
            at += 1
        elif char.isdigit():
            end = at
            while end < len(text) and (text[end].isdigit() or text[end] == "_"):
                end += 1
            found.append(("number", text[at:end].replace("_", "")))
            at = end
        elif char.isalpha():
            end = at
            while end < len(text) and (text[end].isalnum() or text[end] == "."):
                end += 1
            found.append(("name", text[at:end]))
            at = end
        elif char in SIGNS:
            found.append(("sign", char))
            at += 1
        else:
            raise ValueError(f"what is {char!r}?")
    return found
'''
_TREE = '''"""Tokens to a tree: numbers, names and lists such as ["+", left, right]."""

from formula.tokens import tokens

BINDING = {"<": 1, ">": 1, "+": 2, "-": 2, "*": 3, "/": 3, "%": 3}


class Reader:
    def __init__(self, text):
        self.left = tokens(text)

    def peek(self):
        return self.left[0][1] if self.left else ""

    def take(self):
        if not self.left:
            raise ValueError("ends too early")
        return self.left.pop(0)

    def expect(self, sign):
        if self.peek() != sign:
            raise ValueError(f"no {sign!r}")
        self.take()


def parse(text):
    reader = Reader(text)
    tree = climb(reader, 0)
    if reader.left:
        raise ValueError(f"too much: {reader.peek()}")
    return tree


def climb(reader, least):
    left = atom(reader)
    while BINDING.get(reader.peek(), -1) > least:
        sign = reader.take()[1]
        right = climb(reader, BINDING[sign])
        left = [sign, left, right]
    return left


def atom(reader):
    kind, text = reader.take()
    if kind == "number":
        return int(text)
    if kind == "name":
        return call(reader, text) if reader.peek() == "(" else text
    if text == "-":
        return ["negative", atom(reader)]
    if text == "(":
        inside = climb(reader, 0)
        reader.expect(")")
        return inside
    raise ValueError(f"not here: {text}")


def call(reader, name):
    reader.expect("(")
    given = []
    while reader.peek() != ")":
        given.append(climb(reader, 0))
        if reader.peek() == ",":
            reader.take()
    reader.expect(")")
    return ["call", name, *given]
'''
_VALUES = '''"""Names and what they stand for, scope in scope."""


class Scope:
    def __init__(self, outer=None):
        self.outer = outer
        self.known = {}

    def find(self, name):
        scope = self
        while scope is not None:
            if name in scope.known:
                return scope.known[name]
            scope = scope.outer
        raise KeyError(name)

    def set(self, name, value):
        self.known[name] = value

    def depth(self):
        return 0 if self.outer is None else 1 + self.outer.depth()


def common(names):
    """The part that dotted names share: a.b.c and a.b.d share a.b."""
    parts = [name.split(".") for name in names]
    shared = []
    for column in zip(*parts):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return ".".join(shared)
'''
_WORK = '''"""Trees to numbers."""

from formula.tree import parse
from formula.values import Scope

MOST = {most}


def apply(name, given):
    if name == "largest":
        return max(given)
    if name == "smallest":
        return min(given)
    if name == "between":
        low, value, high = given
        return max(low, min(value, high))
    if name == "average":
        return sum(given) // len(given)
    raise ValueError(f"no function {{name}}")


def value(tree, scope):
    if isinstance(tree, int):
        return tree
    if isinstance(tree, str):
        return scope.find(tree)
    head, *rest = tree
    if head == "call":
        return apply(rest[0], [value(each, scope) for each in rest[1:]])
    if head == "negative":
        return -value(rest[0], scope)
    left, right = (value(each, scope) for each in rest)
    return operate(head, left, right)


def operate(sign, left, right):
    if sign == "+":
        return min(left + right, MOST)
    if sign == "-":
        return left - right
    if sign == "*":
        return min(left * right, MOST)
    if sign == "<":
        return int(left < right)
    if sign == ">":
        return int(left > right)
    if right == 0:
        return 0
    return left // right if sign == "/" else left % right


def run(lines):
    """What each line gives; `name = formula` remembers, `begin` and `end` open and close a scope."""
    scope = Scope()
    shown = []
    for line in lines:
        word = line.strip()
        if word == "begin":
            scope = Scope(scope)
        elif word == "end":
            scope = scope.outer
        elif "=" in word:
            name, _, text = word.partition("=")
            scope.set(name.strip(), value(parse(text), scope))
        elif word:
            shown.append(value(parse(word), scope))
    return shown


def report(lines):
    """The results as a table with a sum."""
    results = run(lines)
    width = max([len(str(each)) for each in results] + [len(str(sum(results)))])
    rows = [f"{{n}}: {{str(each).rjust(width)}}" for n, each in enumerate(results, 1)]
    return rows + [f"=: {{str(sum(results)).rjust(width)}}"]
'''


def formula(dice: Random) -> dict[str, str]:
    return {
        "formula/__init__.py": '"""A calculator of lines."""\n',
        "formula/tokens.py": _TOKENS,
        "formula/tree.py": _TREE,
        "formula/values.py": _VALUES,
        "formula/work.py": _WORK.format(most=dice.choice((5000, 9000, 20000))),
    }


FORMULA_FAULTS: tuple[tuple[Fault, ...], ...] = (
    (
        ("formula/work.py", "return sum(given) // len(given)", "return sum(given) // given.count"),
        ("formula/work.py", "low, value, high = given", "low, high = given"),
        ("formula/tree.py", 'return ["call", name, *given]', 'return ["call", given[4], *given]'),
    ),
    (
        (
            "formula/tree.py",
            "right = climb(reader, BINDING[sign])",
            "right = climb(reader, BINDING[sign] - 1)",
        ),
        ("formula/tree.py", '"+": 2, "-": 2, "*": 3', '"+": 2, "-": 2, "*": 2'),
        ("formula/work.py", "return max(low, min(value, high))", "return min(low, min(value, high))"),
        ("formula/work.py", "return sum(given) // len(given)", "return sum(given) % len(given)"),
    ),
    (
        (
            "formula/values.py",
            "            scope = scope.outer\n        raise",
            "            scope = None\n        raise",
        ),
        ("formula/tokens.py", 'text[at:end].replace("_", "")', 'text[at:end].partition("_")[0]'),
        ("formula/values.py", "self.known[name] = value", "self.known.setdefault(name, value)"),
    ),
)


def formula_probes(dice: Random) -> list[Probe]:
    def number() -> str:
        return dice.choice((str(dice.randrange(2, 60)), f"{dice.randrange(1, 9)}_{dice.randrange(100, 999)}"))

    def atom(names: list[str]) -> str:
        return dice.choice(names) if names and dice.random() < 0.5 else number()

    def text(names: list[str], depth: int) -> str:
        if depth == 0:
            return atom(names)
        form = dice.randrange(6)
        one, two = text(names, depth - 1), text(names, depth - 1)
        if form == 0:
            return f"between({one}, {two}, {number()})"
        if form == 1:
            return f"average({one}, {two}, {number()}, {number()})"
        if form == 2:
            return f"({one} {dice.choice('+-')} {two}) * {atom(names)}"
        return f"{one} {dice.choice('+-*/')} {two} {dice.choice('-/+*')} {atom(names)}"

    probes: list[Probe] = []
    for n in range(26):
        names = ["rate", "tax.low"]
        lines = [f"rate = {number()}", f"tax.low = {number()}"]
        if n % 3 == 0:
            lines += ["begin", f"rate = {number()}", text(names, 1), "end"]
        if n % 4 == 1:
            lines.append(f"rate = rate + {number()}")
        lines += [text(names, 1 + n % 2) for _ in range(1 + n % 2)]
        probes.append({"call": "formula.work.report" if n % 4 == 3 else "formula.work.run", "args": [lines]})
    probes += [
        {"call": "formula.work.run", "args": [[dice.choice(("3 + $", "(4", "7 8", "nobody + 1"))]]}
        for _ in range(2)
    ]
    probes += [
        {"call": "formula.work.run", "args": [[f"{dice.randrange(9)} {sign} {dice.randrange(9)}"]]}
        for sign in "+-<>"
    ]
    dice.shuffle(probes)
    return probes


# ── stockroom: goods, a journal that can be undone, and a cache ───────────────────────────────────

_CACHE = '''"""The last few answers, the least recently used one leaves."""


class Cache:
    def __init__(self, room):
        self.room = room
        self.kept = {}

    def get(self, key):
        if key not in self.kept:
            return None
        value = self.kept.pop(key)
        self.kept[key] = value
        return value

    def put(self, key, value):
        self.kept.pop(key, None)
        self.kept[key] = value
        while len(self.kept) > self.room:
            oldest = next(iter(self.kept))
            del self.kept[oldest]

    def forget(self, key):
        self.kept.pop(key, None)

    def keys(self):
        return list(self.kept)
'''
_JOURNAL = '''"""What was done, so that it can be undone."""


class Journal:
    def __init__(self):
        self.entries = []
        self.marks = []

    def note(self, kind, name, before):
        self.entries.append((kind, name, before))

    def mark(self):
        self.marks.append(len(self.entries))

    def since_mark(self):
        """Entries after the last mark, newest first; the mark is gone then."""
        if not self.marks:
            raise ValueError("nothing to undo")
        start = self.marks.pop()
        taken = self.entries[start:]
        del self.entries[start:]
        return taken[::-1]

    def size(self):
        return len(self.entries)
'''
_SHELF = '''"""Goods by name, with how many there are and how many are promised."""

from stockroom.cache import Cache
from stockroom.journal import Journal


class Shelf:
    def __init__(self, room={room}):
        self.there = {{}}
        self.promised = {{}}
        self.journal = Journal()
        self.cache = Cache(room)

    def free(self, name):
        known = self.cache.get(name)
        if known is not None:
            return known
        found = self.there.get(name, 0) - self.promised.get(name, 0)
        self.cache.put(name, found)
        return found

    def change(self, table, kind, name, by):
        before = table.get(name, 0)
        if before + by < 0:
            raise ValueError(f"too few of {{name}}")
        self.journal.note(kind, name, before)
        table[name] = before + by
        self.cache.forget(name)

    def bring(self, name, count):
        self.change(self.there, "there", name, count)

    def take(self, name, count):
        if self.free(name) < count:
            raise ValueError(f"no {{count}} of {{name}} are free")
        self.change(self.there, "there", name, -count)

    def promise(self, name, count):
        if self.free(name) < count:
            raise ValueError(f"no {{count}} of {{name}} are free")
        self.change(self.promised, "promised", name, count)

    def release(self, name, count):
        self.change(self.promised, "promised", name, -min(count, self.promised.get(name, 0)))

    def undo(self):
        entries = self.journal.since_mark()
        for kind, name, before in entries:
            table = self.there if kind == "there" else self.promised
            table[name] = before
            self.cache.forget(name)
        return len(entries)
'''
_DESK = '''"""Orders as lines of text."""

from stockroom.shelf import Shelf


def run(lines):
    """One answer a line: ok, a number, or why not."""
    shelf = Shelf()
    return [answer(shelf, line) for line in lines]


def answer(shelf, line):
    word, *rest = line.split()
    name = rest[0] if rest else ""
    count = int(rest[1]) if len(rest) > 1 else 1
    try:
        if word == "free":
            return shelf.free(name)
        if word == "mark":
            shelf.journal.mark()
        elif word == "undo":
            return shelf.undo()
        elif word == "seen":
            return shelf.cache.keys()
        else:
            getattr(shelf, word)(name, count)
    except ValueError as error:
        return str(error)
    return "ok"


def summary(lines):
    """How the day ends: `name: there (promised)` in order, and how much is noted."""
    shelf = Shelf()
    for line in lines:
        answer(shelf, line)
    names = sorted(set(shelf.there) | set(shelf.promised))
    rows = [f"{name}: {shelf.there.get(name, 0)} ({shelf.promised.get(name, 0)})" for name in names]
    return rows + [f"noted: {shelf.journal.size()}"]
'''


def stockroom(dice: Random) -> dict[str, str]:
    return {
        "stockroom/__init__.py": '"""Goods on shelves."""\n',
        "stockroom/cache.py": _CACHE,
        "stockroom/journal.py": _JOURNAL,
        "stockroom/shelf.py": _SHELF.format(room=dice.choice((2, 3))),
        "stockroom/desk.py": _DESK,
    }


STOCKROOM_FAULTS: tuple[tuple[Fault, ...], ...] = (
    (
        (
            "stockroom/desk.py",
            "count = int(rest[1]) if len(rest) > 1 else 1",
            "count = int(rest[1]) if len(rest) > 0 else 1",
        ),
        (
            "stockroom/cache.py",
            "        value = self.kept.pop(key)\n",
            "        value = self.kept[key].pop(key)\n",
        ),
        ("stockroom/desk.py", "{shelf.promised.get(name, 0)}", "{shelf.promised[name]}"),
    ),
    (
        (
            "stockroom/shelf.py",
            "self.there.get(name, 0) - self.promised.get(name, 0)",
            "self.there.get(name, 0) + self.promised.get(name, 0)",
        ),
        (
            "stockroom/shelf.py",
            "-min(count, self.promised.get(name, 0))",
            "-max(count, self.promised.get(name, 0))",
        ),
        ("stockroom/journal.py", "return taken[::-1]", "return taken"),
        ("stockroom/cache.py", "while len(self.kept) > self.room:", "while len(self.kept) >= self.room:"),
    ),
    (
        ("stockroom/journal.py", "del self.entries[start:]", "del self.entries[start + 1 :]"),
        (
            "stockroom/shelf.py",
            "            table[name] = before\n            self.cache.forget(name)\n",
            "            table[name] = before\n",
        ),
        (
            "stockroom/cache.py",
            "        value = self.kept.pop(key)\n        self.kept[key] = value\n",
            "        value = self.kept[key]\n",
        ),
        (
            "stockroom/shelf.py",
            "        table[name] = before + by\n        self.cache.forget(name)\n",
            "        table[name] = before + by\n",
        ),
    ),
)


def stockroom_probes(dice: Random) -> list[Probe]:
    goods = dice.sample(("rope", "nails", "paint", "glass", "cord", "bolts"), 4)
    probes: list[Probe] = []
    for n in range(26):
        lines = [f"bring {name} {dice.randrange(3, 20)}" for name in goods[: 2 + n % 3]]
        lines += [f"free {goods[0]}", "mark"]
        for _ in range(4 + n % 5):
            name = dice.choice(goods)
            word = dice.choice(("bring", "take", "promise", "release", "free", "promise", "take"))
            lines.append(f"{word} {name}" + ("" if word == "free" else f" {dice.randrange(1, 9)}"))
        if n % 3:
            lines += ["undo", f"free {dice.choice(goods)}", f"bring {goods[1]} 2"]
        if n % 4 == 1:
            lines += ["mark", f"take {goods[0]} 1", f"free {goods[0]}", "undo", f"free {goods[0]}"]
        if n % 4 == 3:
            lines += [f"free {name}" for name in (*goods[:2], goods[0], goods[2])] + ["seen"]
        if n % 5 == 2:
            lines += ["undo"]
        probes.append(
            {"call": "stockroom.desk.summary" if n % 3 == 2 else "stockroom.desk.run", "args": [lines]}
        )
    probes += [
        {"call": "stockroom.desk.run", "args": [[f"bring {name} {dice.randrange(2, 9)}"]]} for name in goods
    ]
    probes += [
        {"call": "stockroom.desk.summary", "args": [[f"bring {name} {dice.randrange(2, 9)}"] * 2]}
        for name in goods[:2]
    ]
    dice.shuffle(probes)
    return probes


# ── planner: what comes after what, on which day ──────────────────────────────────────────────────

_ORDER = '''"""Which step comes after which."""


def order(steps):
    """Names so that each stands after what it needs; among those that could be next, the alphabet decides."""
    needs = {name: set(step["needs"]) for name, step in steps.items()}
    done = []
    while needs:
        able = sorted(name for name, missing in needs.items() if missing <= set(done))
        if not able:
            raise ValueError("a circle: " + ", ".join(sorted(needs)))
        done.append(able[0])
        del needs[able[0]]
    return done


def all_needs(steps, name):
    """Everything that has to be done before this step."""
    found = []
    todo = list(steps[name]["needs"])
    while todo:
        need = todo.pop(0)
        if need not in found:
            found.append(need)
            todo.extend(steps[need]["needs"])
    return sorted(found)
'''
_DAYS = '''"""Days are numbers from 0; some of each week are free."""

WEEK = {week}


def is_free(day, free):
    return day % WEEK in free


def next_day(day, free):
    """The first day of work from this one on."""
    if len(set(free)) >= WEEK:
        raise ValueError("no day of work")
    while is_free(day, free):
        day += 1
    return day


def after(day, count, free):
    """The day on which work that starts on a day and takes so many days of work ends."""
    day = next_day(day, free)
    while count > 1:
        day = next_day(day + 1, free)
        count -= 1
    return day
'''
_PLAN = '''"""Steps on days, for one crew or several."""

from planner.days import after, next_day
from planner.order import order


class Crews:
    def __init__(self, count):
        self.ready = [0] * count

    def first(self):
        """The crew that is ready first."""
        return self.ready.index(min(self.ready))

    def busy(self, crew, until):
        self.ready[crew] = until + 1


def plan(steps, free, crews=1):
    """name -> [first day, last day, crew]."""
    team = Crews(crews)
    made = {}
    for name in order(steps):
        crew = team.first()
        ready = max([made[need][1] + 1 for need in steps[name]["needs"]] + [team.ready[crew]])
        start = next_day(ready, free)
        end = after(start, steps[name]["days"], free)
        team.busy(crew, end)
        made[name] = [start, end, crew]
    return made


def length(steps, free, crews=1):
    return max(last for _, last, _ in plan(steps, free, crews).values()) + 1
'''
_SHOW = '''"""Plans as text."""

from planner.order import all_needs
from planner.plan import plan


def bar(start, end, scale):
    return " " * (start // scale) + "#" * max(1, (end - start + 1) // scale)


def chart(steps, free, crews=1, scale=1):
    """A bar for each step, the earliest first."""
    made = plan(steps, free, crews)
    width = max(len(name) for name in made)
    rows = sorted(made, key=lambda name: (made[name][0], name))
    return [f"{name.ljust(width)} |{bar(made[name][0], made[name][1], scale)}" for name in rows]


def because(steps, name):
    needs = all_needs(steps, name)
    return f"{name} waits for {', '.join(needs)}" if needs else f"{name} can start"
'''


def planner(dice: Random) -> dict[str, str]:
    return {
        "planner/__init__.py": '"""Steps on days."""\n',
        "planner/order.py": _ORDER,
        "planner/days.py": _DAYS.format(week=dice.choice((6, 7, 8))),
        "planner/plan.py": _PLAN,
        "planner/show.py": _SHOW,
    }


PLANNER_FAULTS: tuple[tuple[Fault, ...], ...] = (
    (
        ("planner/order.py", 'todo.extend(steps[need]["needs"])', 'todo.extend(steps[name["needs"]])'),
        ("planner/show.py", "width = max(len(name) for name in made)", "width = max(name for name in made)"),
        ("planner/plan.py", "self.ready[crew] = until + 1", "self.ready[crew + 1] = until + 1"),
    ),
    (
        ("planner/days.py", "    while count > 1:", "    while count > 0:"),
        (
            "planner/plan.py",
            "return self.ready.index(min(self.ready))",
            "return self.ready.index(max(self.ready))",
        ),
        ("planner/plan.py", "start = next_day(ready, free)", "start = next_day(ready - 1, free)"),
    ),
    (
        ("planner/days.py", "return day % WEEK in free", "return day // WEEK in free"),
        (
            "planner/order.py",
            "done.append(able[0])\n        del needs[able[0]]",
            "done.append(able[-1])\n        del needs[able[-1]]",
        ),
        ("planner/plan.py", "self.ready[crew] = until + 1", "self.ready[crew] = until"),
        ("planner/days.py", "        day = next_day(day + 1, free)\n", "        day = day + 1\n"),
    ),
)


def planner_probes(dice: Random) -> list[Probe]:
    words = ("dig", "pour", "frame", "roof", "wire", "paint", "tile", "plan", "clear", "gate")
    probes: list[Probe] = []
    for n in range(26):
        names = dice.sample(words, 2 + n % 5)
        steps = {
            name: {
                "days": dice.randrange(1, 5),
                "needs": sorted(dice.sample(names[:k], min(k, dice.randrange(3)))),
            }
            for k, name in enumerate(names)
        }
        free = sorted(dice.sample(range(5), n % 3))
        form = n % 4
        if form == 3:
            probes.append({"call": "planner.show.because", "args": [steps, names[-1]]})
        else:
            call = ("planner.plan.plan", "planner.show.chart", "planner.plan.length")[form]
            probes.append({"call": call, "args": [steps, free, 1 + n % 2]})
    one = {"days": 1, "needs": []}
    probes += [{"call": "planner.show.because", "args": [{name: one}, name]} for name in words[:3]]
    probes += [{"call": "planner.order.order", "args": [{name: one}]} for name in words[3:5]]
    probes.append(
        {
            "call": "planner.order.order",
            "args": [{"a": {"days": 1, "needs": ["b"]}, "b": {"days": 1, "needs": ["a"]}}],
        }
    )
    dice.shuffle(probes)
    return probes
