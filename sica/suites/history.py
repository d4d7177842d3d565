"""history: git archaeology in histories made up for it: which commit broke it, what a merge lost, who wrote it and why, what is
left of what nobody points at any more.

Ladder: 20 linear commits; 80 with renames; 200 with merges and commits that do not run; 400, rewritten and with conflicts.
The repository is made in the box, of a text; git is never run on it outside.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from sica.histories import Commit, History, near
from sica.suites._made import Made
from sica.suites._words import Names

COMMITS = (20, 80, 200, 400)
OPEN = "`sh open.sh` makes the repository `repo/`."


def task(dice: Random, level: int, nth: int) -> Made:
    return (broken, lost, told)[nth % 3](dice, level)


def _module(names: list[str], numbers: dict[str, int]) -> str:
    return '"""Rates."""\n' + "".join(
        f"\n\ndef {name}(value):\n    return value * {numbers[name]}\n" for name in names
    )


class Story:
    """A project that grows: each commit changes one number, adds a function, writes a note or renames a file."""

    def __init__(self, dice: Random, level: int) -> None:
        self.dice, self.level = dice, level
        self.names = Names(dice)
        self.history = History(dice)
        self.files: dict[str, str] = {"README.md": "# Rates\n"}
        self.rates: dict[str, dict[str, int]] = {}
        for _ in range(3):
            self._new_module()
        self.head: Commit = self.history.commit(self.files, "Begin")

    def _new_module(self) -> None:
        path = f"src/{self.names.module()}.py"
        self.rates[path] = {self.names.function(): self.dice.randrange(2, 40) for _ in range(4)}

    def texts(self) -> dict[str, str]:
        return {**self.files, **{path: _module(list(rates), rates) for path, rates in self.rates.items()}}

    def keep(self, message: str, *more: Commit, author: str = "") -> Commit:
        self.head = self.history.commit(self.texts(), message, self.head, *more, author=author)
        return self.head

    def step(self, spared: str = "") -> Commit:
        """One ordinary commit, which leaves a spared file as it is."""
        path = self.dice.choice(sorted(p for p in self.rates if p != spared))
        rates = self.rates[path]
        match self.dice.randrange(5):
            case 0:
                rates[self.names.function()] = self.dice.randrange(2, 40)
                return self.keep(f"Add a rate to {path}")
            case 1:
                note = f"notes/{self.names.key()}.md"
                self.files[note] = f"About the {self.names.thing()}.\n"
                return self.keep(f"Note on {note}")
            case 2 if self.level >= 2:
                new = f"src/{self.names.module()}.py"
                self.rates[new] = self.rates.pop(path)
                return self.keep(f"Rename {path} to {new}")
            case _:
                name = self.dice.choice(sorted(rates))
                rates[name] = rates[name] + self.dice.choice((-1, 1)) if rates[name] > 2 else 5
                return self.keep(f"Adjust {name}")

    def steps(self, count: int, spared: str = "") -> None:
        for _ in range(count):
            self.step(spared)

    def made(
        self,
        family: str,
        description: str,
        question: str,
        answer: dict[str, str],
        checks: list[dict[str, Any]],
    ) -> Made:
        self.history.refs["refs/heads/main"] = self.head.id
        return Made(family, description, f"{OPEN} {question}", self.history.opened("repo"), answer, checks)


# ── what broke it ─────────────────────────────────────────────────────────────────────────────────


def broken(dice: Random, level: int) -> Made:
    """Level 1: a text that came with one commit. Above: a sum that changed, found by running; some commits do not run."""
    story = Story(dice, level)
    count = COMMITS[level - 1]
    bad = dice.randrange(count // 3, count * 3 // 4)
    if level == 1:
        return _phrase(story, count, bad)
    crash = {n for n in range(4, count) if level >= 3 and abs(n - bad) > 1 and dice.random() < 0.15}
    path = "src/total.py"
    parts = {story.names.function(): dice.randrange(3, 30) for _ in range(6)}
    story.files["check.py"] = (
        '"""Whether the total is right: ends with 0 when it is, 1 when not, and 125 when this commit does not run."""\n\nimport sys\n\nsys.dont_write_bytecode = True\n'
        f"try:\n    from src.total import total\nexcept SyntaxError:\n    sys.exit(125)\nsys.exit(total(10) != {10 * sum(parts.values())})\n"
    )
    culprit = story.head
    for n in range(count):
        if n == bad:
            first = next(iter(parts))
            parts[first] += 1
        lines = [f"    made += value * {number}  # {name}" for name, number in parts.items()]
        dice.shuffle(lines)  # every commit touches the file, so that its log tells nothing
        torn = "    made +=\n" if n in crash else ""
        story.files[path] = (
            f"def total(value):\n    made = 0\n{torn}" + "\n".join(lines) + "\n    return made\n"
        )
        if level >= 3 and n % 25 == 10 and abs(n - bad) > 2:
            side = story.history.commit(
                {**story.texts(), f"notes/side-{n}.md": "Beside.\n"}, f"Side work {n}", story.head
            )
            story.files[f"notes/side-{n}.md"] = "Beside.\n"
            made = story.keep(f"Merge side work {n}", side)
        else:
            made = story.step()
        culprit = made if n == bad else culprit
    skip = " Some commits do not run; it ends with 125 there." if crash else ""
    return story.made(
        "broken", f"The commit among {count} that changed a sum.",
        f"`python3 check.py` in it fails now and did not at first.{skip} Which commit broke it? Write its whole name, 40 digits, to `answer.txt`.",
        {"answer.txt": f"{culprit.id}\n"}, [{"id": "commit", "file": "answer.txt", "accept": near(story.history.commits, culprit)}],
    )  # fmt: skip


def _phrase(story: Story, count: int, at: int) -> Made:
    word = f"{story.names.thing()} {story.names.thing()} {story.names.thing()}"
    culprit = story.head
    for n in range(count):
        if n == at:
            story.files["README.md"] += f"\nMind the {word}.\n"
            culprit = story.step()
        elif n == at + 2:
            story.files["README.md"] = story.files["README.md"].replace("# Rates", "# Rates and more")
            story.step()
        else:
            story.step()
    question = f"Which commit added the text `{word}` to `README.md`? Write its whole name, 40 digits, to `answer.txt`."
    return story.made("broken", f"The commit among {count} that added a text.", question, {"answer.txt": f"{culprit.id}\n"},
                      [{"id": "commit", "file": "answer.txt", "accept": near(story.history.commits, culprit)}])  # fmt: skip


# ── what was lost ─────────────────────────────────────────────────────────────────────────────────


def lost(dice: Random, level: int) -> Made:
    """A file that is wanted again: deleted; lost in a merge; stashed; held by nothing but a dangling commit."""
    story = Story(dice, level)
    count = COMMITS[level - 1]
    name = story.names.function()
    path = f"tools/{story.names.module()}.py"
    versions = [
        f'"""A tool."""\n\n\ndef {name}(value):\n    return value * {n} + {dice.randrange(99)}\n'
        for n in range(3, 6)
    ]
    story.steps(count // 3)
    if level == 1:
        question = _deleted(story, path, versions, count)
    elif level == 2:
        question = _merged(story, path, versions, count)
    elif level == 3:
        question = _stashed(story, path, versions, count)
    else:
        question = _dangling(story, path, versions, count)
    probe = f"repo.{path.removesuffix('.py').replace('/', '.')}.{name}"
    wanted = versions[-1]
    known: dict[str, Any] = {}
    exec(wanted, known)  # noqa: S102  the text above
    made = story.made(
        "lost", f"A file that went lost in {count} commits.", question, {f"repo/{path}": wanted},
        [{"id": "file", "file": f"repo/{path}", "expected": f"expected/{path}"}]
        + [{"id": f"works-{n}", "call": probe, "args": [n], "returns": known[name](n), "weight": 0.25} for n in (3, 8)],
    )  # fmt: skip
    return replace(made, tests={f"expected/{path}": wanted})


def _deleted(story: Story, path: str, versions: list[str], count: int) -> str:
    for n, text in enumerate(versions):
        story.files[path] = text
        story.keep(f"Work on the tool, part {n + 1}")
        story.steps(2)
    del story.files[path]
    story.keep("Tidy up")
    story.steps(count // 3)
    return f"Once it had a file `{path}`. Put it back to that place as it was last, byte for byte. No commit is needed."


def _merged(story: Story, path: str, versions: list[str], count: int) -> str:
    base = story.head
    side = story.history.commit({**base.files, path: versions[0]}, "Start the tool", base)
    side = story.history.commit({**side.files, path: versions[1]}, "Go on with the tool", side)
    story.steps(count // 5)
    story.files[path] = versions[1]
    story.keep("Merge the tool", side)
    last = story.history.commit({**side.files, path: versions[2]}, "Finish the tool", side)
    del story.files[path]
    story.keep("Merge what is finished", last)
    story.steps(count // 3)
    return f"A merge lost the file `{path}`. Put it back to that place as the side that was merged had it last, byte for byte. No commit is needed."


def _stashed(story: Story, path: str, versions: list[str], count: int) -> str:
    story.files[path] = versions[0]
    story.keep("Begin a tool")
    story.steps(count // 3)
    base = story.head
    index = story.history.commit(base.files, f"index on main: {base.id[:7]}", base)
    kept = story.history.commit({**base.files, path: versions[2]}, f"WIP on main: {base.id[:7]}", base, index)
    other = story.history.commit(
        {**base.files, path: versions[1]}, f"WIP on main: {base.id[:7]}", base, index
    )
    story.history.after += [
        f"git stash store -m 'the finished tool' {kept.id}",
        f"git stash store -m 'a try at the tool' {other.id}",
    ]
    return f"Work on `{path}` was put aside (stashed) when the tool was finished. Put that version of the file to its place, byte for byte. No commit is needed."


def _dangling(story: Story, path: str, versions: list[str], count: int) -> str:
    """The branch is deleted; only the reflog of HEAD, or the objects themselves, still tell of it."""
    base = story.head
    tip = base
    for n, text in enumerate(versions):
        tip = story.history.commit({**tip.files, path: text}, f"Tool, part {n + 1}", tip)
    story.history.commit({**tip.files, path: versions[0]}, "Tool, all anew", base)
    story.steps(count // 3)
    story.history.after += [f"git checkout -q {tip.id}", "git checkout -q main"]
    return (
        f"The branch with `{path}` was deleted before it was merged, when somebody had it checked out last. Put the file to its place as it was then, "
        "byte for byte. No commit is needed."
    )


# ── who, when and why ─────────────────────────────────────────────────────────────────────────────


def told(dice: Random, level: int) -> Made:
    """Who wrote a line that others moved since, when, and for which ticket."""
    story = Story(dice, level)
    count = COMMITS[level - 1]
    path = f"src/{story.names.module()}.conf"
    keys = [story.names.key() for _ in range(6)]
    values = {key: dice.randrange(10, 90) for key in keys}

    def write(order: list[str], indent: str) -> None:
        story.files[path] = "".join(f"{indent}{key} = {values[key]}\n" for key in order)

    write(keys, "")
    story.keep("Settings")
    story.steps(count // 3)
    key, ticket = dice.choice(keys), f"R-{dice.randrange(100, 999)}"
    wrong = f"R-{dice.randrange(100, 999)}"
    values[key] += 7
    write(keys, "")
    culprit = story.keep(
        f"Raise {key}\n\nThe tests at the {story.names.thing()} asked for it.\n\nTicket: {ticket}"
    )
    story.steps(count // 5)
    other = next(k for k in keys if k != key)
    values[other] += 1
    write(keys, "")
    story.keep(f"Raise {other}, not {key}\n\nTicket: {wrong}")
    if level >= 2:  # the line moves, and its white space changes
        dice.shuffle(keys)
        write(keys, "  ")
        story.keep("Indent and sort the settings")
    if level >= 3:
        new = f"etc/{story.names.module()}.conf"
        story.files[new] = story.files.pop(path)
        path = new
        story.keep("Move the settings")
    if (
        level == 4
    ):  # raised and taken back on the way: the last change of the text is not the last of the value
        values[key] += 1
        write(keys, "  ")
        story.keep(f"Try {key} higher\n\nTicket: {wrong}")
        values[key] -= 1
        write(keys, "  ")
        story.keep(f'Revert "Try {key} higher"')
    story.steps(count // 4)
    since = " A change that was reverted does not count." if level == 4 else ""
    return story.made(
        "told", f"Who set a value, and why, among {count} commits.",
        f"In `{path}`, `{key}` is {values[key]}. Which commit gave it that value?{since} Write three files: `commit.txt` with its whole name, "
        "`author.txt` with the name of its author, `ticket.txt` with the ticket that its message names.",
        {"commit.txt": f"{culprit.id}\n", "author.txt": f"{culprit.author}\n", "ticket.txt": f"{ticket}\n"},
        [{"id": "commit", "file": "commit.txt", "accept": near(story.history.commits, culprit), "weight": 2},
         {"id": "author", "file": "author.txt", "accept": {culprit.author: 1.0}},
         {"id": "ticket", "file": "ticket.txt", "accept": {ticket: 1.0}}],
    )  # fmt: skip
