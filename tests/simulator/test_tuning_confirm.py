"""When fresh seeds bear a recommendation out, and when they do not."""

from __future__ import annotations

import numpy as np

from guardian.core.model import Verdict
from simulator.commands.tuned import change_it
from simulator.tuning.confirm import Confirmation, confirmed
from simulator.tuning.trial import Tried

SEEDS = tuple(range(12))
TRUTHS = {"broken": Verdict.ROLLBACK, "healthy": Verdict.PROMOTE}


def runs(*, lateness: float, wrong: int = 0, noise: int = 0, hurt: int = 100) -> dict[str, list[Tried]]:
    """Runs of both scenarios; the first `wrong` healthy ones are rolled back, delays differ from seed to seed."""
    chance = np.random.default_rng(noise)
    return {
        name: [
            Tried(
                seed=seed, verdict=truth.value, wrong=name == "healthy" and seed < wrong,
                lateness=lateness * chance.uniform(0.5, 1.5), decided_at=60.0, bad_requests=hurt,
                slow_requests=10, pages=0,
            )
            for seed in SEEDS
        ]
        for name, truth in TRUTHS.items()
    }  # fmt: skip


def proof(before: dict[str, list[Tried]], after: dict[str, list[Tried]]) -> Confirmation:
    """Compare both on twelve seeds."""
    return confirmed(before, after, TRUTHS, SEEDS)


def test_half_the_delay_is_proved() -> None:
    """On twelve seeds whose delays vary by half."""
    found = proof(runs(lateness=2.0), runs(lateness=1.0, noise=1))
    assert found.holds
    assert {one.objective.name for one in found.differences if one.better} == {"delay", "promotion"}


def test_a_price_is_told_in_the_first_sentence() -> None:
    """A policy that is twice as fast and hurts three in a hundred more: the reader decides, and must know."""
    found = proof(runs(lateness=2.0), runs(lateness=1.0, noise=1, hurt=103))
    assert found.holds
    assert change_it(found) == (
        "Change it: delay and promotion proved better on 12 fresh seeds a scenario, verdicts no worse. "
        "Proved worse: hurt."
    )


def test_what_looked_better_by_luck_is_not_recommended() -> None:
    """Two sets of runs that differ by chance only."""
    assert not any(proof(runs(lateness=1.0, noise=n), runs(lateness=1.0, noise=n + 100)).holds for n in range(20))


def test_what_did_not_change_is_neither_better_nor_worse() -> None:
    """The same runs twice."""
    found = proof(runs(lateness=1.0), runs(lateness=1.0))
    assert not found.holds
    assert not any(one.better or one.worse for one in found.differences)


def test_one_more_wrong_verdict_undoes_it_however_fast_it_is() -> None:
    """A release rolled back for nothing is not paid for by seconds."""
    found = proof(runs(lateness=2.0), runs(lateness=1.0, wrong=1, noise=1))
    assert any(one.better for one in found.differences)
    assert not found.holds


def test_many_more_wrong_verdicts_are_called_worse() -> None:
    """Nine of twelve healthy releases are rolled back."""
    found = proof(runs(lateness=1.0), runs(lateness=1.0, wrong=9))
    assert next(one.objective.name for one in found.differences if one.worse) == "false rollbacks"
