"""A synthetic world where policies are compared: tens of thousands of trials in a second, by the very same loop.

`sica.loop` runs unchanged. An agent is a commit whose tree holds a genome, and what happens in a box is a function of
it. There are two crews for the loop: threads, on which the gate, the brief and the attempt run unchanged, too, and
simulated boxes stand behind their ports; and `Virtual`, which asks the world itself and whose time is a number, so
that eight workers with boxes of random length cost no more than one. A test holds that both come to the same, step for
step.

The world: tasks of different hardness h, and agents of latent skill and talent. An agent solves a task with chance
1 / (1 + exp(h - skill)); its true score is the mean of that over all tasks. Improving, it leaves a child with

    skill'  = skill + drift + talent - slope * (skill - the seed's) + step * N(0, 1)
    talent' = talent + inherit * N(0, 1)

or with nothing changed, or broken. Two agents' merge has what the first one won since their common ancestor, `compose`
of what the second one won, and the talent between theirs; it is broken as often as any child. Talent shows in no score
of the agent's own: only its descendants tell. All dice depend on the seed of the world and on what is asked, never on
when: the same agent meets the same luck under every policy, so that policies are compared in pairs.
"""

# ruff: noqa: ARG002, ARG005 - a simulated part needs less than a port offers

from __future__ import annotations

import gc
import json
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields
from functools import lru_cache
from hashlib import blake2b, sha256
from heapq import heappop, heappush
from math import exp
from operator import itemgetter
from pathlib import Path
from random import Random
from statistics import NormalDist, fmean
from struct import Struct
from typing import Any, TypeVar

from sica import repeats
from sica.attempt import Workplace, seeded
from sica.brief import workspace
from sica.champion import Rule, Terms
from sica.contract import HOME, INSTRUCTION
from sica.errors import SandboxError, UsageError
from sica.loop import Plan, evolve
from sica.model import (
    RETRIES,
    Agent,
    Archive,
    BoxSpec,
    Budget,
    Check,
    Ended,
    Evaluate,
    Event,
    File,
    Files,
    Finished,
    Grade,
    Improve,
    Improvement,
    Job,
    Merge,
    Merged,
    Message,
    Outcome,
    Promotion,
    Step,
    Task,
    Trial,
    Usage,
    Verdict,
)
from sica.policies import open_policy
from sica.policies.hgm import best
from sica.ports import Ask, Policy, Sandbox, Session, Trace
from sica.stats import sign_flip

GENOME = "genome.json"
MANIFEST = File(b'contract = 1\nname = "simulated"\n[run]\nargv = ["simulated"]\n')
SMOKE = "start"
UNLIMITED = Budget()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class World:
    """What is true, and what nobody in it is told."""

    tasks: int = 60
    start: float = 0.4
    """The seed's true score."""
    hardness: float = 2.0
    """Standard deviation of the tasks' hardness, in logits: most tasks are nearly always or nearly never solved."""
    drift: float = -0.1
    """What a change does to the skill on the average, with a talent of zero: most changes hurt."""
    step: float = 0.4
    """Standard deviation of what a change does."""
    inherit: float = 0.08
    """Standard deviation of the talent's change from parent to child; 0: every agent is as good an improver."""
    slope: float = 0.15
    """Share of the skill won so far that the next change loses: the better, the harder to improve."""
    broken: float = 0.25
    """Share of the children that do not work at all."""
    barren: float = 0.1
    """Share of the children that work and can no longer change code: none of their own children works."""
    empty: float = 0.05
    """Share of the improvements that change nothing."""
    compose: float = 0.5
    """Share of the second parent's gain that a merge keeps: gains do not add up."""
    faults: float = 0.01
    """Share of the boxes that fail by themselves."""
    trial_usd: float = 0.10
    improve_usd: float = 1.0
    trial_minutes: float = 4.0
    improve_minutes: float = 12.0

    def __post_init__(self) -> None:
        shares = (self.broken, self.barren, self.empty, self.broken + self.empty)
        if not (self.tasks >= 1 and 0 < self.start < 1):
            raise UsageError(f"a world of {self.tasks} tasks whose seed scores {self.start} cannot be")
        if not all(0 <= share <= 1 for share in shares) or not 0 <= self.faults < 1:
            raise UsageError("broken, barren, empty, broken + empty and faults are shares of one")
        if min(self.hardness, self.step, self.inherit, self.trial_usd, self.improve_usd) < 0:
            raise UsageError("hardness, step, inherit, trial_usd and improve_usd cannot be below zero")
        if min(self.trial_minutes, self.improve_minutes) <= 0:
            raise UsageError("trial_minutes and improve_minutes must be above zero")


@dataclass(frozen=True, slots=True)
class Genome:
    skill: float
    talent: float = 0.0
    broken: bool = False
    barren: bool = False

    def file(self) -> File:
        known = {"skill": self.skill, "talent": self.talent, "broken": self.broken, "barren": self.barren}
        return File(json.dumps(known).encode())

    @classmethod
    def of(cls, file: File) -> Genome:
        return cls(**json.loads(file.data))


class Truth:
    """The world with one seed: its tasks, its seed agent, and what happens in its boxes."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed = world, seed
        rng = Random(f"hardness:{seed}")
        self._scores: dict[Genome, float] = {}
        self.hardness = {f"t{i}": rng.gauss(0, world.hardness) for i in range(world.tasks)}
        self.adam = Genome(self._skill_for(world.start))
        self._usages: dict[tuple[str, int], Usage] = {}

    def score(self, genome: Genome) -> float:
        """The true one: what the mean of endless trials would come to."""
        if genome.broken:
            return 0.0
        skill = genome.skill
        if genome not in self._scores:
            self._scores[genome] = fmean([1 / (1 + exp(h - skill)) for h in self.hardness.values()])
        return self._scores[genome]

    def solves(self, genome: Genome, name: str, luck: float) -> bool:
        """Luck is from 0 to 1; the less, the better."""
        if genome.broken or name == SMOKE:
            return not genome.broken
        return luck < _logistic(genome.skill - self.hardness[name])

    def luck(self, tree: str, dice: int, again: int) -> tuple[float, float, float]:
        """Of the `again`th box for this code and these dice: whether it fails by itself, solves, and takes long."""
        return _chances(self.seed, tree, dice, again)

    def price(self, role: str, dice: int) -> float:
        """Dollars that a box costs: by its role, give or take."""
        usual = self.world.improve_usd if role == "improve" else self.world.trial_usd
        return usual * _give_or_take(_chances(self.seed, role, dice)[0])

    def usage(self, role: str, dice: int) -> Usage:
        if (role, dice) not in self._usages:
            self._usages[role, dice] = Usage(usd=self.price(role, dice), calls=1)
        return self._usages[role, dice]

    def minutes(self, role: str, chance: float) -> float:
        usual = self.world.improve_minutes if role == "improve" else self.world.trial_minutes
        return usual * _give_or_take(chance)

    def child(self, parent: Genome, rng: Random) -> Genome:
        world, fate, luck = self.world, rng.random(), rng.random()
        won = parent.skill - self.adam.skill
        skill = parent.skill + world.drift + parent.talent - world.slope * won + world.step * rng.gauss(0, 1)
        talent = parent.talent + world.inherit * rng.gauss(0, 1)
        if fate < world.empty:
            return parent
        broken = parent.barren or fate < world.empty + world.broken
        return Genome(skill, talent, broken, barren=luck < world.barren)

    def merged(self, ours: Genome, theirs: Genome, base: Genome, rng: Random) -> Genome:
        skill = ours.skill + self.world.compose * (theirs.skill - base.skill) + 0.1 * rng.gauss(0, 1)
        broken = rng.random() < self.world.broken
        return Genome(skill, (ours.talent + theirs.talent) / 2, broken, ours.barren or theirs.barren)

    def _skill_for(self, score: float) -> float:
        low, high = -20.0, 20.0
        while high - low > 1e-9:
            middle = (low + high) / 2
            low, high = (middle, high) if self.score(Genome(middle)) < score else (low, middle)
        return (low + high) / 2


def _logistic(x: float) -> float:
    return 1 / (1 + exp(-x))


_THREE = Struct(">QQQ")


def _chances(*words: object) -> tuple[float, float, float]:
    """Each from 0 to 1, by these words alone."""
    digest = blake2b(repr(words).encode(), digest_size=24).digest()
    first, second, third = _THREE.unpack(digest)
    return (first + 0.5) / 2**64, (second + 0.5) / 2**64, (third + 0.5) / 2**64


def _give_or_take(chance: float) -> float:
    """A factor of mean 1: lognormal, of sigma one half."""
    return exp(0.5 * _NORMAL.inv_cdf(chance) - 0.125)


_NORMAL = NormalDist()


# ── the ports ─────────────────────────────────────────────────────────────────────────────────────


class SimulatedRepo:
    """Agents as commits, in memory: trees by the hash of their files, safe for several writers."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.trees: dict[str, Files] = {}
        self.known: dict[str, Agent] = {}
        self.main = ""
        self.notes: dict[str, str] = {}
        self.genomes: dict[str, Genome] = {}
        """Those that were read."""
        self._lock = threading.Lock()

    def genome(self, tree: str) -> Genome:
        if tree not in self.genomes:
            self.genomes[tree] = Genome.of(self.trees[tree][GENOME])
        return self.genomes[tree]

    def add(self, files: Files, parents: Sequence[Agent], message: Message) -> Agent:
        tree = sha256(repr(sorted(files.items())).encode()).hexdigest()[:40]
        with self._lock:
            number = len(self.known)
            above = tuple(p.commit for p in parents)
            commit = sha256(repr((tree, above, number)).encode()).hexdigest()[:40]
            agent = Agent(number, commit, tree, above, message.subject, message.body, message.operator)
            self.trees[tree] = files
            self.known[commit] = agent
        return agent

    def agents(self) -> Iterator[Agent]:
        yield from self.known.values()

    def merge(self, ours: Agent, theirs: Agent) -> Merged:
        base = self._ancestor(ours, theirs)
        mine, other, before = (self.genome(a.tree) for a in (ours, theirs, base))
        made = self.truth.merged(mine, other, before, Random(f"{self.truth.seed}:{ours.tree}:{theirs.tree}"))
        return Merged({**self.trees[ours.tree], GENOME: made.file()})

    def _ancestor(self, ours: Agent, theirs: Agent) -> Agent:
        """The newest agent that both descend from."""
        return max((self._line(ours) & self._line(theirs)), key=lambda a: a.number)

    def _line(self, agent: Agent) -> frozenset[Agent]:
        return frozenset({agent}).union(*(self._line(self.known[p]) for p in agent.parents))

    def files(self, tree: str) -> Files:
        return self.trees[tree]

    def export(self, tree: str) -> Path:
        return Path("/simulated/trees") / tree

    def diff(self, old: str, new: str, *options: str) -> str:
        was, now = (self.trees[self.known[c].tree][GENOME].data.decode() for c in (old, new))
        return f"-{was}\n+{now}\n"

    def patch_ids(self, diffs: Mapping[str, str]) -> Mapping[str, str]:
        return diffs

    def promote(self, agent: Agent) -> str:
        self.main = agent.commit
        return agent.commit

    def champion(self) -> str:
        return self.main

    def annotate(
        self,
        scores: Mapping[str, str],
        evaluations: Mapping[str, Sequence[str]],
        reviews: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.notes |= scores


@dataclass(slots=True)
class SimulatedSession:
    """A door to a model that nobody goes through; its directory's name carries the dice to the box."""

    directory: Path
    used: Usage

    def usage(self) -> Usage:
        return self.used

    def reached(self) -> str:
        return ""

    def failure(self) -> str:
        return ""

    def waited(self) -> float:
        return 0.0

    def notice(self, text: str, span: str = "") -> None:
        raise NotImplementedError(f"no model is here to be told: {text}")

    def cancel(self, span: str, why: str) -> None:
        raise NotImplementedError(f"no sub-agent is here to be cancelled: {why}")


class SimulatedBroker:
    """Prices what a box does."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth

    def left(self) -> Budget:
        return UNLIMITED

    def asking(
        self,
        *,
        id: str,
        role: str,
        model: str,
        budget: Budget,
        seed: int,
        trace: Trace,
        run: str,
        agent: str = "",
        task: str = "",
    ) -> AbstractContextManager[Ask]:
        raise NotImplementedError("nobody watches and nobody criticises in a simulation")

    @contextmanager
    def session(
        self,
        *,
        id: str,
        role: str,
        model: str,
        budget: Budget,
        seed: int,
        trace: Trace,
        run: str,
        agent: str = "",
        task: str = "",
    ) -> Iterator[Session]:
        usd = self.truth.price(role, seed)
        yield SimulatedSession(Path("/simulated/sessions") / str(seed), Usage(usd=usd, calls=1))


class SimulatedSandbox:
    """A box is a function of the agent's genome, of the instruction and of the dice."""

    name = "simulated"

    def __init__(self, truth: Truth, repo: SimulatedRepo) -> None:
        self.truth, self.repo = truth, repo
        self._runs: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()

    def image(self) -> str:
        return "simulated"

    def probe(self) -> Mapping[str, str]:
        return {"simulated": "nothing runs"}

    def run(
        self,
        spec: BoxSpec,
        job: Job,
        cancel: threading.Event | None = None,
        stop: threading.Event | None = None,
    ) -> Ended:
        assert spec.socket is not None
        tree, dice = spec.mounts[HOME].name, int(spec.socket.name)
        told = job.files[INSTRUCTION].data.decode()
        with self._lock:
            again = self._runs[tree, dice] = self._runs.get((tree, dice), 0) + 1
        fault, luck, _ = self.truth.luck(tree, dice, again)
        if fault < self.truth.world.faults:
            raise SandboxError("the simulated box failed")
        genome = self.repo.genome(tree)
        if told.startswith("# Improve"):
            done = self._improve(genome, job, Random(f"{self.truth.seed}:{tree}:{dice}"))
        else:
            right = self.truth.solves(genome, told, luck)
            done = {"answer": File(b"right" if right else b"wrong")}
        return Ended(0, None, b"", b"", {f"{job.cwd}/{path}": file for path, file in done.items()}, (), 1.0)

    def _improve(self, genome: Genome, job: Job, rng: Random) -> Files:
        inside = job.cwd + "/"
        mine = {path.removeprefix(inside): f for path, f in job.files.items() if path.startswith(inside)}
        return {**mine, GENOME: self.truth.child(genome, rng).file()}

    def series(self) -> AbstractContextManager[Sandbox]:
        return nullcontext(self)

    def sweep(self) -> int:
        return 0


@dataclass(slots=True)
class SimulatedBenchmark:
    """Tasks whose instruction is their name, and whose answer is right or wrong."""

    names: tuple[str, ...]
    name: str = "simulated"

    def tasks(self) -> Sequence[Task]:
        return [Task(id=f"simulated/{name}", digest=f"d-{name}", instruction=name) for name in self.names]

    def prepare(self, task: Task, sandbox: Sandbox, cancel: threading.Event | None = None) -> Task:
        return task

    def workspace(self, task: Task) -> Files:
        return workspace({})

    def grade(
        self, task: Task, left: Files, sandbox: Sandbox, cancel: threading.Event | None = None
    ) -> Grade:
        return Grade(float(left[f"{task.workdir}/answer"].data == b"right"), "split")


class Virtual:
    """A crew without boxes or threads: what comes of a step is known when it starts, and told when its time comes."""

    def __init__(self, truth: Truth, repo: SimulatedRepo, tasks: Sequence[Task], seed: int) -> None:
        self.truth, self.repo, self.seed = truth, repo, seed
        self.minutes = 0.0
        """Since the run began."""
        self._tasks = {t.digest: t for t in tasks}
        self._going: list[tuple[float, int, Step, Outcome]] = []
        self._started = 0
        self._seeds: dict[tuple[str, int], int] = {}
        self._runs: dict[tuple[str, int], int] = {}

    @property
    def busy(self) -> int:
        return len(self._going)

    def start(self, step: Step, archive: Archive) -> None:
        role, dice, agent = self._asked(step, archive)
        again = self._runs[agent.tree, dice] = self._runs.get((agent.tree, dice), 0) + 1
        fault, luck, slow = self.truth.luck(agent.tree, dice, again)
        usage = self.truth.usage("improve" if role == "improve" else "main", dice)
        outcome: Outcome
        failed = fault < self.truth.world.faults
        match step:
            case Check():
                outcome = self._check(agent, usage, failed)
            case Evaluate():
                outcome = self._evaluate(step, archive, usage, failed, luck)
            case Improve():
                outcome = self._improve(agent, usage, failed, dice)
            case Merge():
                outcome = self._merge(agent, archive.agents[step.other])
        self._started += 1
        heappush(self._going, (self.minutes + self.truth.minutes(role, slow), self._started, step, outcome))

    def ended(self) -> Iterator[tuple[Step, Outcome]]:
        self.minutes, _, step, outcome = heappop(self._going)
        yield step, outcome

    def close(self) -> None:
        """There is nobody to wait for."""

    def _asked(self, step: Step, archive: Archive) -> tuple[str, int, Agent]:
        """The role, the dice and the agent at work, as an attempt has them."""
        match step:
            case Check():
                return "check", self._dice("d-" + SMOKE, 0), archive.agents[step.agent]
            case Evaluate():
                return "main", self._dice(step.task, step.attempt), archive.agents[step.agent]
            case Improve():
                parent = archive.agents[step.parent]
                return "improve", seeded(self.seed, parent.tree, step.nth), parent
            case Merge():
                parent = archive.agents[step.parent]
                return "merge", seeded(self.seed, parent.tree, archive.agents[step.other].tree), parent

    def _dice(self, task: str, attempt: int) -> int:
        if (task, attempt) not in self._seeds:
            self._seeds[task, attempt] = seeded(task, attempt)
        return self._seeds[task, attempt]

    def _check(self, agent: Agent, usage: Usage, failed: bool) -> Verdict:
        if failed:
            return Verdict(agent.commit, False, "the simulated box failed", "infra", usage)
        passed = not self.repo.genome(agent.tree).broken
        return Verdict(agent.commit, passed, "" if passed else f"fails the smoke task {SMOKE}", usage=usage)

    def _evaluate(self, step: Evaluate, archive: Archive, usage: Usage, failed: bool, luck: float) -> Trial:
        agent, task = archive.agents[step.agent], self._tasks[step.task]
        again = failed and archive.faults(step) < RETRIES
        solved = not failed and self.truth.solves(self.repo.genome(agent.tree), task.instruction, luck)
        return Trial(
            agent.commit,
            agent.tree,
            task.id,
            task.digest,
            step.attempt,
            "simulated",
            None if again else float(solved),
            "infra" if again else None,
            "infra" if again else "agent_error" if failed else "done",
            task.grading,
            usage,
            run=archive.run,
        )

    def _improve(self, parent: Agent, usage: Usage, failed: bool, dice: int) -> Improvement:
        if failed:
            return Improvement(parent.commit, None, "infra", usage, run="simulated")
        genome = self.repo.genome(parent.tree)
        made = self.truth.child(genome, Random(f"{self.truth.seed}:{parent.tree}:{dice}"))
        if made == genome:
            return Improvement(parent.commit, None, "empty", usage, run="simulated")
        files = {**self.repo.files(parent.tree), GENOME: made.file()}
        child = self.repo.add(files, [parent], Message(f"change {GENOME}"))
        self.repo.genomes[child.tree] = made
        return Improvement(parent.commit, child, "child", usage, run="simulated")

    def _merge(self, ours: Agent, theirs: Agent) -> Improvement:
        """Without a conflict, and so without a box."""
        words = Message(f"merge {theirs.name} into {ours.name}", operator="merge")
        child = self.repo.add(self.repo.merge(ours, theirs).files, [ours, theirs], words)
        return Improvement(ours.commit, child, "child", Usage(), run="simulated", other=theirs.commit)


class Recorder:
    """Counts what was spent; the loop's archive remembers the rest."""

    def __init__(self) -> None:
        self.usd = self.evaluating_usd = 0.0
        self.evaluations = self.improvements = 0

    def record(self, outcome: Outcome) -> bool:
        if isinstance(outcome, Promotion):
            return True
        self.usd += outcome.usage.usd
        if isinstance(outcome, Trial):
            self.evaluating_usd += outcome.usage.usd
            self.evaluations += outcome.score is not None
        self.improvements += isinstance(outcome, Improvement)
        return True


class Unwritten:
    """A trace of what never happened."""

    def event(self, kind: str, /, **data: Any) -> None:
        pass

    def message(self, body: Mapping[str, Any]) -> str:
        return ""

    def close(self) -> str:
        return ""


# ── one run ───────────────────────────────────────────────────────────────────────────────────────


class Simulation:
    """One policy in one world: the loop's events, and what is true of the agents that it made."""

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        policy: Policy,
        children: int = 1000,
        workers: int = 1,
        boxes: bool = False,
        race: bool = True,
        confirm: int = 0,
        promote: Rule = "separable",
        futile: float = repeats.FUTILE,
    ) -> None:
        self.truth = Truth(world, seed)
        self.repo, self.recorder = SimulatedRepo(self.truth), Recorder()
        self.boxes = boxes
        """On threads, through the gate, the brief and the attempt, into simulated boxes."""
        self.sandbox: Sandbox = SimulatedSandbox(self.truth, self.repo)
        self.cancel = threading.Event()
        benchmark = SimulatedBenchmark(tuple(self.truth.hardness))
        self.plan = Plan(
            policy=policy,
            benchmark=benchmark,
            tasks=benchmark.tasks(),
            smoke=SimulatedBenchmark((SMOKE,)),
            known=lambda agent, archive: {},
            workers=workers,
            children=children,
            race=race,
            proof=Terms(confirm, promote, futile=futile),
            seed=seed,
        )
        self.virtual = Virtual(self.truth, self.repo, self.plan.tasks, seed)
        adam = self.repo.add({"agent.toml": MANIFEST, GENOME: self.truth.adam.file()}, [], Message("seed"))
        self.start = Archive(
            {adam.commit: adam},
            tuple(self.plan.tasks),
            {},
            champion=adam.commit,
            run="simulated",
        )

    def events(self, archive: Archive | None = None) -> Iterator[Event]:
        """The loop's own, from the seed or from an archive that an earlier simulation left."""
        place = Workplace(
            repo=self.repo,
            sandbox=self.sandbox,
            broker=SimulatedBroker(self.truth),
            open_trace=lambda session: Unwritten(),
            model="simulated",
            run="simulated",
            cancel=self.cancel,
        )
        crew = None if self.boxes else self.virtual
        return evolve(self.plan, place, self.recorder, archive or self.start, crew)

    def score(self, agent: Agent) -> float:
        """The true one."""
        return self.truth.score(self.repo.genome(agent.tree))


@dataclass(frozen=True, slots=True)
class Point:
    """What a run had come to when so much was spent."""

    evaluations: int
    usd: float
    chosen: float
    """True score of the agent that the evidence so far is for: the highest 1 % quantile of its posterior."""
    found: float
    """True score of the best agent that there is, known or not."""


@dataclass(frozen=True, slots=True)
class Result:
    policy: str
    seed: int
    curve: tuple[Point, ...]
    """The last one is the end."""
    improvements: int
    agents: int
    """That work."""
    evaluating: float
    """Share of the money that went into trials."""
    hours: float = 0.0
    """That it would have taken."""

    @property
    def end(self) -> Point:
        return self.curve[-1]


@dataclass(frozen=True, slots=True)
class Spending:
    """When a simulation stops, and at how many points of the way its state is told."""

    evaluations: int = 800
    usd: float | None = None
    """Instead of evaluations."""
    points: int = 8
    improvements: int = 400
    """Where a policy is stopped that keeps asking for children that do not work."""
    workers: int = 1
    """Boxes at work at once, each for a random time."""
    race: bool = True
    """Whether children are raced against their parents (sica/economy.py)."""

    def share(self, recorder: Recorder) -> float:
        if self.usd is not None:
            return recorder.usd / self.usd
        return recorder.evaluations / self.evaluations


def simulate(words: str, world: World, seed: int, spending: Spending) -> Result:
    """Run one policy in one world until the budget is spent. The same words and seeds give the same result."""
    simulation = Simulation(
        world,
        seed,
        policy=open_policy(words),
        children=spending.improvements,
        workers=spending.workers,
        race=spending.race,
    )
    recorder, curve, archive = simulation.recorder, list[Point](), simulation.start
    for event in simulation.events():
        archive = event.archive
        if isinstance(event, Finished) and spending.share(recorder) >= (len(curve) + 1) / spending.points:
            curve.append(_point(simulation, archive))
            if len(curve) >= spending.points:
                simulation.cancel.set()
    if len(curve) < spending.points:  # the policy was done before: what it had then is what it has
        curve += [_point(simulation, archive)] * (spending.points - len(curve))
    evaluating = recorder.evaluating_usd / recorder.usd if recorder.usd else 0.0
    hours = simulation.virtual.minutes / 60
    return Result(words, seed, tuple(curve), recorder.improvements, len(archive.ready()), evaluating, hours)


def _point(simulation: Simulation, archive: Archive) -> Point:
    chosen = best(archive)
    return Point(
        simulation.recorder.evaluations,
        simulation.recorder.usd,
        simulation.score(chosen) if chosen else 0.0,
        max((simulation.score(a) for a in archive.ready()), default=0.0),
    )


# ── many runs ─────────────────────────────────────────────────────────────────────────────────────


CHUNK = 4
"""Runs that a process is given at once."""


def compare(
    policies: Sequence[str], world: World, seeds: int, spending: Spending, jobs: int = 1
) -> Iterator[Result]:
    """Every policy in the same worlds, `jobs` processes at once; in order of seed, then of policy."""
    asked = [(words, world, seed, spending) for seed in range(seeds) for words in policies]
    return every(simulate, asked, jobs)


def every(run: Callable[..., T], asked: Sequence[tuple[object, ...]], jobs: int) -> Iterator[T]:
    """What the function comes to with each of these arguments, in their order; `jobs` processes at once."""
    if jobs == 1:
        yield from (run(*one) for one in asked)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, _prepare) as pool:
        try:
            yield from pool.map(run, *zip(*asked, strict=True), chunksize=CHUNK)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _prepare() -> None:
    """Of a process of the pool: Ctrl-C is its parent's affair, and what is imported is not searched for garbage, which
    a simulation hardly leaves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.set_threshold(100_000)


@dataclass(frozen=True, slots=True)
class Mean:
    """Over the seeds, with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        means = sorted(sum(drawn(values)) / len(values) for drawn in _resamples(len(values)))
        return cls(fmean(values), means[int(0.025 * DRAWS)], means[int(0.975 * DRAWS) - 1])


DRAWS = 2000
"""Resamples of the seeds behind an interval."""


@lru_cache(maxsize=1)
def _resamples(n: int) -> Sequence[Callable[[Sequence[float]], Sequence[float]]]:
    """What each one draws of as many values: the same for whatever is averaged, so that they are drawn once."""
    rng = Random(0)
    drawn = (rng.choices(range(n), k=n) for _ in range(DRAWS))
    return [itemgetter(*places) if n > 1 else tuple for places in drawn]


@dataclass(frozen=True, slots=True)
class Standing:
    """One policy over all seeds."""

    policy: str
    chosen: Mean
    found: Mean
    against: Mean
    """Its chosen agents against the first policy's, world by world."""
    p: float
    """Two-sided, of no difference to the first policy."""
    evaluations: float
    improvements: float
    agents: float
    usd: float
    evaluating: float
    hours: float
    curve: tuple[Point, ...]
    """Means over the seeds, at equal shares of the budget."""


def standings(results: Iterable[Result]) -> Sequence[Standing]:
    """In the order in which the policies were asked for; the first is the yardstick."""
    by: dict[str, list[Result]] = {}
    for result in results:
        by.setdefault(result.policy, []).append(result)
    first = next(iter(by.values()))
    return [_standing(words, of, first) for words, of in by.items()]


def _standing(words: str, of: Sequence[Result], first: Sequence[Result]) -> Standing:
    pairs = [mine.end.chosen - other.end.chosen for mine, other in zip(of, first, strict=True)]
    return Standing(
        policy=words,
        chosen=Mean.of([r.end.chosen for r in of]),
        found=Mean.of([r.end.found for r in of]),
        against=Mean.of(pairs),
        p=sign_flip(pairs),
        evaluations=fmean(r.end.evaluations for r in of),
        improvements=fmean(r.improvements for r in of),
        agents=fmean(r.agents for r in of),
        usd=fmean(r.end.usd for r in of),
        evaluating=fmean(r.evaluating for r in of),
        hours=fmean(r.hours for r in of),
        curve=tuple(_averaged(points) for points in zip(*(r.curve for r in of), strict=True)),
    )


def _averaged(points: Sequence[Point]) -> Point:
    return Point(
        round(fmean(p.evaluations for p in points)),
        fmean(p.usd for p in points),
        fmean(p.chosen for p in points),
        fmean(p.found for p in points),
    )


def world_options() -> Mapping[str, str]:
    """Name -> type of everything about a world that can be set."""
    return {f.name: str(f.type) for f in fields(World)}
