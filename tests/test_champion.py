"""Who becomes champion, on archives typed in the test."""

from __future__ import annotations

from dataclasses import replace

from archives import archive, trial

from sica.champion import confirmations, promotion
from sica.model import Archive, Evaluate


def fresh(known: Archive, **scores: float) -> Archive:
    """The archive after one fresh attempt at every task, each agent scoring the same everywhere."""
    for name, score in scores.items():
        for what in known.tasks:
            known = known.plus(trial(known.agents[name], what, score, attempt=1))
    return known


def test_a_better_agent_must_first_prove_itself_on_fresh_attempts() -> None:
    known = archive({"a": [0, 0], "b": [1, 1]})
    assert promotion(known, 1, "mean") is None
    assert set(confirmations(known, 1)) == {Evaluate(n, f"d-t{i}", 1) for n in "ab" for i in (0, 1)}


def test_it_is_promoted_when_the_fresh_attempts_agree() -> None:
    won = promotion(fresh(archive({"a": [0, 0], "b": [1, 1]}), a=0.0, b=0.5), 1, "mean")
    assert won is not None
    assert won.agent == "b"


def test_a_lucky_draw_is_not_promoted_and_does_not_block_the_next_best() -> None:
    known = fresh(archive({"a": [0, 0.5], "b": [1, 1], "c": [0.5, 0.5]}), a=0.25, b=0.25)
    assert promotion(known, 1, "mean") is None
    assert {s.agent for s in confirmations(known, 1)} == {"c"}


def test_equal_is_not_better() -> None:
    assert promotion(archive({"a": [1, 0], "b": [0, 1]}), 0, "mean") is None


def test_a_flagged_agent_is_never_promoted() -> None:
    known = archive({"a": [0], "b": [1]})
    b = known.agents["b"]
    marked = replace(known.trials[b.tree][0], ending="integrity")
    assert promotion(replace(known, trials={**known.trials, b.tree: (marked,)}), 0, "mean") is None


def test_a_flag_of_another_benchmark_counts_though_its_scores_do_not() -> None:
    known = archive({"a": [0], "b": [1]})
    assert promotion(known, 0, "mean") is not None
    assert promotion(replace(known, flagged=frozenset({known.agents["b"].tree})), 0, "mean") is None


def test_separable_asks_for_more_than_a_higher_mean() -> None:
    small = archive({"a": [0, 0], "b": [1, 0]})
    assert promotion(small, 0, "mean") is not None
    assert promotion(small, 0, "separable") is None
    large = archive({"a": [0] * 12, "b": [1] * 12})
    assert promotion(large, 0, "separable") is not None


def test_nothing_is_decided_while_trials_are_missing() -> None:
    assert promotion(archive({"a": [0, 0], "b": [1]}), 0, "mean") is None
