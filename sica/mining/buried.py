"""A made-up history in which a bug came with one commit among many that no test can tell.

It ends in the repository with the bug; before the first of these commits lies a rougher version of it, and each of them
brings some lines to what they are. None of the repository's own commits, authors or dates is in it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from random import Random

from sica.histories import History
from sica.mining.harmless import Rough, harmless, roughened, roughs
from sica.mining.mutants import Edit
from sica.mining.running import Bench, is_source
from sica.model import File, Files

TAG = "v1.0"
COMMITS = (12, 24, 40)
FEWEST = 8
MOST_EACH = 3
"""Changes of one commit."""
APART = 3
"""Lines between what the bug's commit changed and what others did, so that it can be reverted alone."""
OFTEN = 0.4
"""Share of the commits that change the file of the bug: it must not be told by that."""

Pool = Mapping[str, Sequence[Rough]]


@dataclass(frozen=True, slots=True)
class Step:
    """One commit after the tag."""

    path: str
    made: tuple[Rough, ...]

    @property
    def message(self) -> str:
        """Of the first change alone; that of the bug's commit is told in the same way and says nothing of the bug."""
        first = self.made[0]
        said = {
            "comment": f"Explain a place in {PurePosixPath(self.path).stem}",
            "docstring": f"Say it better in the docstring of {first.about}",
            "brackets": f"Drop brackets in {first.about}",
            "name": f"Give a better name to a value in {first.about}",
        }[first.kind]
        return said if len(self.made) == 1 else f"{said}, and tidy"


@dataclass(frozen=True)
class Story:
    """The commits after the tag, and which of them brings the bug as well."""

    files: Files
    """As they are, without the bug."""
    bug: Edit
    steps: Sequence[Step]
    at: int

    def tree(self, n: int) -> Files:
        """After so many commits; none is the tag."""
        missing: dict[str, list[tuple[tuple[int, int, bytes], ...]]] = defaultdict(list)
        for step in self.steps[n:]:
            missing[step.path] += [each.spans for each in step.made]
        if n > self.at:
            missing[self.steps[self.at].path].append(((self.bug.start, self.bug.end, self.bug.text),))
        return {
            **self.files,
            **{path: File(roughened(self.files[path].data, spans), self.files[path].executable)
               for path, spans in missing.items()},
        }  # fmt: skip

    @cached_property
    def before(self) -> Files:
        """What the commits changed, as it was at the tag."""
        tree = self.tree(0)
        return {path: tree[path] for path in sorted({step.path for step in self.steps})}

    @cached_property
    def kept(self) -> Sequence[tuple[str, Mapping[str, int]]]:
        """What other commits than the bug's wrote: path, and how often each line is there at least.

        Of what the tag has as well nothing is asked.
        """
        last = self.tree(len(self.steps))
        found = []
        for n, step in enumerate(self.steps):
            right, now, tag = (_lines(each[step.path]) for each in (self.files, last, self.before))
            wrote = {line for each in step.made for line in _written(self.files[step.path], each)}
            lines = {line: min(right[line], now[line]) for line in sorted(wrote)}
            lines = {line: count for line, count in lines.items() if tag[line] < count}
            if n != self.at and lines:
                found.append((step.path, lines))
        return found

    def opened(self, dice: Random) -> Files:
        """The two files that make the repository around main's files, under names that are free."""
        history = History(dice)
        last = history.commit(self.tree(0), "Release 1.0")
        history.refs[f"refs/tags/{TAG}"] = last.id
        for n, step in enumerate(self.steps, 1):
            last = history.commit(self.tree(n), step.message, last)
        history.refs["refs/heads/main"] = last.id
        names = free(self.files, "open.sh"), free(self.files, "history.txt")
        return {name: File(data) for name, data in history.opened_around(*names).items()}


def pool(files: Files) -> Pool:
    """What could be changed in a repository's own code, by path."""
    found = {}
    for path in sorted(filter(is_source, files)):
        try:
            files[path].data.decode()
            found[path] = roughs(files[path].data)
        except (UnicodeDecodeError, SyntaxError, ValueError):
            continue
    return found


def story(files: Files, path: str, bug: Edit, there: Pool, dice: Random) -> Story | None:
    """None when too little can be changed around the bug, or some change is none that tests cannot tell."""
    taken = _near(files[path].data, bug)
    own = _apart(there.get(path, ()), dice, taken)
    others = {each: _apart(found, dice) for each, found in there.items() if each != path}
    wanted = dice.choice(COMMITS)
    if not own:
        return None
    hiding = Step(path, tuple(own.pop() for _ in range(min(len(own), dice.randint(1, 2)))))
    beside = _around(line for each in hiding.made for line in each.lines)
    own = [each for each in own if not each.lines & beside]
    steps = list(_steps({path: own, **others}, path, wanted - 1, dice))
    at = dice.randint(len(steps) // 4, 3 * len(steps) // 4)
    steps.insert(at, hiding)
    made: dict[str, list[Rough]] = defaultdict(list)
    for step in steps:
        made[step.path] += step.made
    if len(steps) < FEWEST or not all(harmless(files[each].data, changes) for each, changes in made.items()):
        return None
    told = Story(files, bug, steps, at)
    return told if told.kept else None


def _steps(left: Mapping[str, list[Rough]], path: str, most: int, dice: Random) -> Iterator[Step]:
    for _ in range(most):
        paths = sorted(each for each in left if left[each])
        if not paths:
            return
        here = path if left[path] and dice.random() < OFTEN else dice.choice(paths)
        several = min(len(left[here]), dice.randint(1, MOST_EACH))
        yield Step(here, tuple(left[here].pop() for _ in range(several)))


def _apart(found: Sequence[Rough], dice: Random, taken: frozenset[int] = frozenset()) -> list[Rough]:
    """Changes that share no line, in the dice's order."""
    chosen: list[Rough] = []
    for each in dice.sample(found, len(found)):
        if not each.lines & taken:
            chosen.append(each)
            taken |= each.lines
    return chosen


def _near(source: bytes, bug: Edit) -> frozenset[int]:
    first, last = (source.count(b"\n", 0, at) + 1 for at in (bug.start, bug.end))
    return _around(range(first, last + 1))


def _around(lines: Iterable[int]) -> frozenset[int]:
    return frozenset(near for line in lines for near in range(line - APART, line + APART + 1))


def _lines(file: File) -> Counter[str]:
    return Counter(file.data.decode().split("\n"))


def _written(file: File, made: Rough) -> list[str]:
    text = file.data.decode().split("\n")
    return [text[line - 1] for line in sorted(made.lines) if text[line - 1].strip()]


def tells(
    told: Story, bench: Bench, failing: frozenset[str], kept: frozenset[str], modules: Sequence[str]
) -> bool:
    """Whether each test that the bug fails passes up to its commit and fails from it on, wherever `git bisect` stops,
    and the others of these modules hold at the tag, right before the bug and with it.
    """
    for n in (0, told.at, told.at + 1):
        passed = bench.run(told.tree(n), modules).passed
        if not kept <= passed or passed & failing != (failing if n <= told.at else frozenset()):
            return False
    for n in range(1, len(told.steps)):
        if n not in (told.at, told.at + 1):
            passed = bench.run(told.tree(n), sorted(failing)).passed
            if passed & failing != (failing if n <= told.at else frozenset()):
                return False
    return True


def stays(told: Story) -> tuple[str, File, Sequence[str]]:
    """A test module that the agent does not see: its path, and the ids of what it asks.

    Without it, going back to the tag would mend everything.
    """
    path = free(told.files, f"test_since_{TAG.replace('.', '_')}.py")
    rules = "".join(f"    ({each!a}, {lines!a}),\n" for each, lines in told.kept)
    text = (
        f'"""What commits after {TAG} wrote is there."""\n\n'
        "import pathlib\n\nimport pytest\n\nHERE = pathlib.Path(__file__).resolve().parent\n"
        f"KEPT = [\n{rules}]\n\n\n"
        '@pytest.mark.parametrize("n", range(len(KEPT)))\n'
        "def test_stays(n):\n"
        "    path, lines = KEPT[n]\n"
        '    there = (HERE / path).read_bytes().decode().split("\\n")\n'
        "    assert [line for line, count in lines.items() if there.count(line) < count] == []\n"
    )
    ids = [f"{path}::test_stays[{n}]" for n in range(len(told.kept))]
    return path, File(text.encode()), ids


def free(files: Files, name: str) -> str:
    """A name at the top that no file or folder has."""
    there = {path.partition("/")[0] for path in files}
    stem, dot, end = name.rpartition(".")
    return next(
        each for each in (name, *(f"{stem}_{n}{dot}{end}" for n in range(2, 99))) if each not in there
    )
