"""What it takes to be crowned, by simulation: runs of four children that are all better by so many points, or equal.

The loop, racing, the policy `iid` and the proof are the real ones; only the boxes are simulated (sica/simulate.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sica import repeats
from sica.champion import Rule
from sica.model import Evaluate, Finished, Promoted
from sica.policies import open_policy
from sica.simulate import Genome, Simulation, Truth, World, every

POINTS = (0, 4, 8, 14)
CHILDREN = 4
WORLDS = 60


@dataclass(frozen=True, slots=True)
class Proof:
    tasks: int
    fresh: int
    rule: Rule = "separable"
    futile: float = repeats.FUTILE


PROOFS = (
    Proof(14, 1, "mean", 0),
    Proof(14, 2, futile=0),
    Proof(14, 2),
    Proof(14, 4, futile=0),
    Proof(14, 4),
    Proof(60, 2, futile=0),
    Proof(60, 2),
)


@dataclass(frozen=True, slots=True)
class Crowned:
    proof: Proof
    shares: Mapping[int, float]
    """By points: in how many runs somebody was crowned."""
    trials: Mapping[int, float]
    """By points: fresh trials of one run."""


def figures(proofs: Sequence[Proof] = PROOFS, worlds: int = WORLDS, jobs: int = 1) -> Iterator[Crowned]:
    """Proofs on as many tasks meet the same children with the same luck; `jobs` processes at once."""
    asked = [(proof, points, seed) for proof in proofs for points in POINTS for seed in range(worlds)]
    ended = every(_run, asked, jobs)
    for proof in proofs:
        runs = {points: [next(ended) for _ in range(worlds)] for points in POINTS}
        yield Crowned(
            proof,
            {points: fmean(crowned for crowned, _ in of) for points, of in runs.items()},
            {points: fmean(trials for _, trials in of) for points, of in runs.items()},
        )


def _run(proof: Proof, points: int, seed: int) -> tuple[bool, int]:
    """Whether somebody was crowned, and the fresh trials that were made."""
    simulation = Simulation(
        _world(proof.tasks, points, seed),
        seed,
        policy=open_policy("iid"),
        children=CHILDREN,
        confirm=proof.fresh,
        promote=proof.rule,
        futile=proof.futile,
    )
    crowned, trials = False, 0
    for event in simulation.events():
        crowned |= isinstance(event, Promoted)
        if isinstance(event, Finished) and isinstance(event.step, Evaluate):
            trials += event.step.attempt >= event.archive.attempts
    return crowned, trials


def _world(tasks: int, points: int, seed: int) -> World:
    """Every child of the seed works and is so many points better; it never is the very same code."""
    truth = Truth(World(tasks=tasks), seed)
    wanted, low, high = truth.score(truth.adam) + points / 100, 0.0, 12.0
    while points and high - low > 1e-6:
        by = (low + high) / 2
        low, high = (by, high) if truth.score(Genome(truth.adam.skill + by)) < wanted else (low, by)
    return World(tasks=tasks, drift=low, step=1e-9, inherit=0, slope=0, barren=0, empty=0, broken=0)
