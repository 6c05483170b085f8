"""Gauges and counts in running rollouts: as in files of samples, bit for bit after a restart, nothing from nothing."""

from __future__ import annotations

import math
from itertools import groupby, pairwise

import pytest

from guardian.core.model import Verdict
from guardian.core.offline import Offline, OfflineVerdict
from guardian.core.policy import Guardrail, Policy
from tests.builders import ERRORS
from tests.core.levels import FREE, MEMORY, METRICS, ORDERS, R, ZERO, Story, by, events, level, look, observe, opened

STORIES = {
    "healthy": Story(),
    "more memory": Story(memory=level(1.5)),
    "a leak": Story(memory=level(1.0, leak=2.0)),
    "half the orders": Story(orders=events(0.5)),
    "twice the orders": Story(orders=events(2.0)),
    "half the orders, of other pods": Story(orders=events(0.5), named=False),
}


def offline(story: Story, rules: Policy) -> OfflineVerdict:
    """What the judge of samples says."""
    batch, pods = story.batch()
    court = Offline(rules, rollouts=["r"], metrics=METRICS, pods=pods)
    court.take(batch)
    return court.finish()[0]


def live(story: Story, rules: Policy) -> tuple[Verdict, float, float]:
    """The first verdict of a fleet that looks after every scrape: what, when and on which evidence."""
    fleet, risk = opened(rules), rules.risk
    for at, scrape in groupby(story.samples(), key=lambda sample: sample[1]):
        observe(fleet, scrape)
        found = look(fleet, at)
        if found.log_harm >= -math.log(risk.false_rollback):
            return Verdict.ROLLBACK, at - ZERO, math.exp(found.log_harm)
        late = found.began is not None and found.at - found.began >= risk.earliest_promotion
        if late and found.log_safe >= -math.log(risk.false_promotion) and not found.rising:
            return Verdict.PROMOTE, at - ZERO, math.exp(found.log_safe)
    return Verdict.HOLD, at - ZERO, math.exp(found.log_harm)


@pytest.mark.parametrize("guardrails", [(ERRORS, MEMORY, ORDERS), (MEMORY, ORDERS, ERRORS)])
@pytest.mark.parametrize("name", STORIES)
def test_a_running_rollout_and_a_file_of_the_same_samples_give_the_same_verdict(
    name: str, guardrails: tuple[Guardrail, ...]
) -> None:
    """What, when and on which evidence; whichever guardrail comes first in the policy."""
    rules = by(*guardrails)
    expected = offline(STORIES[name], rules)
    verdict, at, evidence = live(STORIES[name], rules)
    assert (verdict, at) == (expected.verdict, expected.decided_at)
    assert evidence == pytest.approx(expected.evidence, rel=1e-6)
