"""Objectives on canary and stable: who is to blame for what both suffer."""

from __future__ import annotations

import numpy as np

from guardian.core.looks import Breach
from guardian.core.model import Seconds
from guardian.core.objectives import Objectives
from guardian.core.policy import Level, Slo

SLO = Slo(target=0.99, breached="below", critical=Level(bound=0.97, lasts=Seconds(15.0)))


def told(canary: list[int], stable: list[int]) -> list[tuple[Breach, bool]]:
    """Give failures of 20 requests a second, one count a second, and return what each look says."""
    objectives = Objectives()
    row = objectives.add(SLO)
    said = []
    for second, bad in enumerate(zip(canary, stable, strict=True), start=1):
        counts = np.array([[[20.0, each, each] for each in bad]])
        objectives.take(np.array([row]), time=np.array([float(second)]), counts=counts, live=np.array([1.0]))
        said.append((objectives.breach(row), objectives.stable_breach(row)))
    return said


def test_a_short_incident_of_both_is_not_the_canarys_fault() -> None:
    """The windows of both hold it for as long as they are; the one that lets go first still was part of it."""
    quiet, hit = [0] * 30, [5] * 8
    said = told([*quiet, *hit, 5, 5, *[0] * 28], [*quiet, *hit, *[0] * 30])
    critical = [shared for breach, shared in said if breach is Breach.CRITICAL]
    assert critical
    assert all(critical)


def test_what_only_the_canary_suffers_is_its_own() -> None:
    """Stable is well all the time."""
    said = told([0] * 30 + [3] * 38, [0] * 68)
    critical = [shared for breach, shared in said if breach is Breach.CRITICAL]
    assert critical
    assert not any(critical)


def test_an_incident_long_over_excuses_nothing() -> None:
    """Stable was breached and recovered before the canary's breach began."""
    said = told([0] * 60 + [3] * 40, [3] * 10 + [0] * 90)
    assert said[-1] == (Breach.CRITICAL, False)
