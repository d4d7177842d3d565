"""shell: work in a terminal: output that is far too long, programs that wait for a word or never end, a server that has to
run beside, trees of thousands of files, archives, tables and logs.

Ladder: small; 200 kB; 5 MB; all at once. The volume is made by a small script in the workspace, not shipped. What is asked for
cannot be read off the script: it has to be run. Graded by the files that are left.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from random import Random
from typing import Any

from sica.histories import PEOPLE
from sica.suites._made import Made
from sica.suites._words import Names

LINES = (300, 4_000, 90_000, 200_000)
"""Of output: about 15 kB, 200 kB, 5 MB and 11 MB."""
TREE = (60, 1_000, 6_000, 12_000)
"""Files."""


def task(dice: Random, level: int, nth: int) -> Made:
    return (output, dialogue, forensics)[nth % 3](dice, level)


def _run(source: str, name: str, *given: Any) -> Any:
    """What a function of our own script gives."""
    known: dict[str, Any] = {"__name__": "made"}
    exec(source, known)  # noqa: S102  a text of this file
    return known[name](*given)


# ── long output ───────────────────────────────────────────────────────────────────────────────────

_REPORT = '''"""Checks the {thing} and tells what it sees, line by line."""

import zlib

STEPS = {steps}
{more}

def code(n):
    return f"{{zlib.crc32(f'{seed}-{{n}}'.encode()):08x}}"


def lines():
    for n in range(STEPS):
        if n in PLACES:
            yield f"{{PLACES[n]}} at step {{n}}: code {{code(n)}}"
        else:
            yield f"step {{n}} ok, {word} {{code(n)[:4]}} of {{n % 97}}"


if __name__ == "__main__":
    for line in lines():
{show}
'''
_SHOWS = (
    "        print(line)",
    "        print(line)",
    '        print(f"\\r\\033[2K{line[:20]}\\r" + "\\033[32m" + line + "\\033[0m")',
    '        print(f"\\r\\033[2K{line[:20]}\\r" + "\\033[32m" + line + "\\033[0m", flush=True)',
)


def output(dice: Random, level: int) -> Made:
    """A few of very many lines matter; they are in the middle."""
    names = Names(dice)
    thing, word, seed = names.thing(), names.thing(), dice.randrange(10**6)
    steps = LINES[level - 1]
    at = sorted(dice.sample(range(steps // 3, steps // 3 * 2), 1 + level))
    kinds = ["WARNING", *["REFUSED"] * level]
    dice.shuffle(kinds)
    # The places are worked out when it runs, so that reading the script does not tell what the lines say.
    places = f"PLACES = {dict(zip(at, kinds, strict=True))!r}\n"
    script = _REPORT.format(
        thing=thing, steps=steps, more=places, seed=seed, word=word, show=_SHOWS[level - 1]
    )
    told = [line for line in _run(script, "lines") if line.startswith("REFUSED")]
    codes = [line.rpartition(" ")[2] for line in told]
    if level == 1:
        question = "Which line of the output of `python3 report.py` contains `REFUSED`? Write the line to `answer.txt`."
        checks: list[dict[str, Any]] = [{"id": "line", "file": "answer.txt", "accept": {told[0]: 1.0}}]
        answer = told
    else:
        colours = " Colours and what a carriage return wipes out do not count." if level > 2 else ""
        question = f"Which lines of the output of `python3 report.py` contain `REFUSED`? Write the codes at their ends to `answer.txt`, one a line.{colours}"
        checks = [{"id": "codes", "file": "answer.txt", "lines": codes}]
        answer = codes
    return Made(
        family="output",
        description=f"What matters stands in the middle of {steps} lines.",
        instruction=f"`python3 report.py` checks the {thing}. {question}",
        workspace={"report.py": script},
        solution={"answer.txt": "\n".join(answer) + "\n"},
        checks=checks,
    )


# ── programs that want something ──────────────────────────────────────────────────────────────────

_ASK = '''"""Closes the books of the {thing}. It asks before it does."""

import sys
import zlib

QUESTIONS = {questions!r}


def receipt(given):
    return f"{{zlib.crc32(repr(given).encode()):08x}}"


def main():
    given = []
    for question, wanted in QUESTIONS:
        print(question, "[" + "/".join(wanted) + "]", flush=True)
        line = sys.stdin.readline().strip()
        if line not in wanted:
            print("that is none of them")
            return 1
        given.append(line)
    with open("receipt.txt", "w", encoding="utf-8") as file:
        file.write(receipt(given) + "\\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
'''
_SERVE = '''"""The {thing}'s desk: it serves until it is ended, and never says a word."""

import http.server
import zlib


def badge(name):
    return f"{{zlib.crc32(f'{seed}/{{name}}'.encode()):08x}}"


class Desk(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = badge(self.path.strip("/")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", {port}), Desk).serve_forever()
'''
_COLLECT = '''"""Asks the desk for a badge of each name in names.txt and writes badges.txt."""

import time
import urllib.request

NAMES = open("names.txt", encoding="utf-8").read().split()
with open("badges.txt", "w", encoding="utf-8") as file:
    for name in NAMES:
        time.sleep({pause})
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{{name}}", timeout=5) as answer:
            file.write(f"{{name}} {{answer.read().decode()}}\\n")
'''
_STUCK = '''"""Waits for the {thing} to be ready, which it says in ready/. Then it goes on."""

import pathlib
import time
import zlib

while not pathlib.Path("ready/{flag}").exists():
    time.sleep(0.05)
pathlib.Path("stamp.txt").write_text(f"{{zlib.crc32(b'{seed}'):08x}}\\n")
'''


def dialogue(dice: Random, level: int) -> Made:
    """Level 1 asks, 2 needs a server beside it, 3 waits for a file, 4 does all of it and takes its time."""
    names = Names(dice)
    thing, seed, port, flag = (
        names.thing(),
        dice.randrange(10**6),
        dice.randrange(20_000, 30_000),
        names.thing(),
    )
    workspace: dict[str, str] = {}
    solution: list[str] = []
    checks: list[dict[str, Any]] = []
    told: list[str] = []
    if level in (1, 4):
        questions = [
            (f"Close the {names.thing()}?", ("yes", "no")),
            (f"Which {names.thing()}?", tuple(names.thing() for _ in range(3))),
            ("Really?", ("yes", "no")),
        ]
        given = ["yes", dice.choice(questions[1][1]), "yes"]
        workspace["close.py"] = _ASK.format(thing=thing, questions=questions)
        told.append(
            f"Run `python3 close.py` and answer its questions with `{given[0]}`, `{given[1]}` and `{given[2]}`. It leaves `receipt.txt`."
        )
        solution.append(f"printf '{given[0]}\\n{given[1]}\\n{given[2]}\\n' | python3 close.py")
        checks.append(
            {
                "id": "receipt",
                "file": "receipt.txt",
                "accept": {_run(workspace["close.py"], "receipt", given): 1.0},
            }
        )
    if level in (2, 4):
        clients = [names.thing() for _ in range(5 if level == 2 else 30)]
        workspace["serve.py"] = _SERVE.format(thing=thing, seed=seed, port=port)
        workspace["collect.py"] = _COLLECT.format(port=port, pause=0 if level == 2 else 0.2)
        workspace["names.txt"] = "\n".join(clients) + "\n"
        told.append(
            "Have `serve.py` run in the background while `python3 collect.py` runs. That leaves `badges.txt`."
        )
        solution.append(
            "python3 serve.py >/dev/null 2>&1 &\nserver=$!\nfor n in 1 2 3 4 5 6 7 8 9; do sleep 0.2; python3 collect.py 2>/dev/null && break; done\nkill $server"
        )
        badges = [f"{name} {_run(workspace['serve.py'], 'badge', name)}" for name in clients]
        checks.append({"id": "badges", "file": "badges.txt", "lines": badges})
    if level in (3, 4):
        workspace["wait.py"] = _STUCK.format(thing=thing, flag=flag, seed=seed)
        told.append(
            "`python3 wait.py` never ends. Find out what it waits for, give it that, and let it end. It leaves `stamp.txt`."
        )
        solution.append(f"mkdir -p ready\ntouch ready/{flag}\npython3 wait.py")
        checks.append(
            {"id": "stamp", "file": "stamp.txt", "accept": {f"{zlib.crc32(str(seed).encode()):08x}": 1.0}}
        )
    return Made(
        family="dialogue",
        description="Programs that wait for something.",
        instruction="\n".join(told),
        workspace=workspace,
        solution={},
        script="\n".join(solution),
        checks=checks,
        seconds=60,
    )


# ── forensics ─────────────────────────────────────────────────────────────────────────────────────

_TREE = '''"""Makes {place}: {count} files as they were found. Run it once."""

import pathlib
import zlib

COUNT = {count}


def text(n):
    code = zlib.crc32(f"{seed}-{{n}}".encode())
    owner = PEOPLE[code % len(PEOPLE)]
    return f"id: {{n}}\\nowner: {{owner}}\\nweight: {{code % 900}}\\nstate: {{STATES[code // 7 % len(STATES)]}}\\n"


PEOPLE = {people!r}
STATES = {states!r}


def all_texts():
    return [text(n) for n in range(COUNT)]


if __name__ == "__main__":
    for n in range(COUNT):
        folder = pathlib.Path("{place}") / f"{{n % 37:02}}" / f"{{n % 11:02}}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{{n:05}}.txt").write_text(text(n))
'''
_BASE = '''"""Makes stock.db, a table of moves, and stock.log, what the program said."""

import sqlite3
import zlib


def moves():
    for n in range({count}):
        code = zlib.crc32(f"{seed}/{{n}}".encode())
        yield n, GOODS[code % len(GOODS)], code // 9 % 50 - 20, code // 450 % 30


GOODS = {goods!r}


def all_moves():
    return list(moves())


if __name__ == "__main__":
    with sqlite3.connect("stock.db") as base:
        base.execute("create table moves (id integer, good text, change integer, day integer)")
        base.executemany("insert into moves values (?, ?, ?, ?)", moves())
    with open("stock.log", "w", encoding="utf-8") as log:
        for n, good, change, day in moves():
            log.write(f"day={{day:02}} move={{n}} {{'skipped' if n % {skip} == 0 else 'done'}}\\n")
'''


def forensics(dice: Random, level: int) -> Made:
    return (_tree if level in (1, 3) else _base)(dice, level)


def _fields(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.splitlines())


def _tree(dice: Random, level: int) -> Made:
    names, count, seed = Names(dice), TREE[level - 1], dice.randrange(10**6)
    people = dice.sample(PEOPLE, 7)
    states = tuple(names.thing() for _ in range(5))
    place = f"/tmp/{names.thing()}-{names.thing()}"
    script = _TREE.format(place=place, count=count, seed=seed, people=people, states=states)
    records = [_fields(text) for text in _run(script, "all_texts")]
    person, state = people[2], states[1]
    mine = [r for r in records if r["owner"] == person and r["state"] == state]
    heaviest = max(records, key=lambda r: (int(r["weight"]), -int(r["id"])))
    total = sum(int(r["weight"]) for r in mine)
    facts = {"count.txt": str(len(mine)), "weight.txt": str(total), "heaviest.txt": heaviest["weight"]}
    return Made(
        family="forensics",
        description=f"Three numbers from {count} files.",
        instruction=(
            f"`python3 make_tree.py` makes `{place}` with {count} small files. Then write three numbers, each alone in its file:\n"
            f"`count.txt`: how many files have the owner {person} and the state {state};\n`weight.txt`: the sum of their weights;\n"
            "`heaviest.txt`: the greatest weight of any file."
        ),
        workspace={"make_tree.py": script},
        solution={name: f"{value}\n" for name, value in facts.items()},
        checks=[{"id": name, "file": name, "accept": {value: 1.0}} for name, value in facts.items()],
        disk_mb=512,
    )


def _base(dice: Random, level: int) -> Made:
    names, seed, skip = Names(dice), dice.randrange(10**6), dice.choice((7, 9, 11))
    goods = [names.thing() for _ in range(12)]
    count = LINES[level - 1] // 4
    script = _BASE.format(count=count, seed=seed, goods=goods, skip=skip)
    moves: Sequence[tuple[int, str, int, int]] = _run(script, "all_moves")
    done = [(good, change, day) for n, good, change, day in moves if n % skip]
    stock = {good: sum(change for g, change, _ in done if g == good) for good in goods}
    days = [sum(change for _, change, day in done if day == d) for d in range(30)]
    worst = min(range(30), key=lambda d: (days[d], d))
    lines = [f"{good} {stock[good]}" for good in goods]
    return Made(
        family="forensics",
        description=f"A table and a log of {count} moves.",
        instruction=(
            "`python3 make_stock.py` makes `stock.db` (sqlite, a table `moves` with id, good, change and day) and `stock.log`. A move that the log "
            "calls skipped never happened.\nWrite to `stock.txt` one line for each good: its name, a space, and the sum of its changes that "
            "happened.\nWrite to `day.txt` the day with the smallest sum of changes that happened; the earliest of equal ones."
        ),
        workspace={"make_stock.py": script},
        solution={"stock.txt": "\n".join(lines) + "\n", "day.txt": f"{worst}\n"},
        checks=[
            {"id": "stock", "file": "stock.txt", "lines": lines, "weight": 3},
            {"id": "day", "file": "day.txt", "accept": {str(worst): 1.0}},
        ],
    )
