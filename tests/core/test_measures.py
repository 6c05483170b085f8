"""How far back a metric source is asked: from a little before what each guardrail has, and all of it at first."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guardian.core.looks import Look, Side
from guardian.core.measures import FIRST, LATE, requests
from guardian.core.model import Instant
from guardian.core.rollout import Rollout
from tests.builders import ERRORS, LATENCY, T0, policy, requested, seen
from tests.core.play import Play

BOTH = policy(guardrails=(ERRORS, LATENCY))
OVERLAP = LATE + 2.0 * BOTH.interval


def opened() -> Rollout:
    """A rollout of two guardrails, just opened."""
    play = Play(policies=(BOTH,))
    play.tell(requested())
    return play.rollout


def asked(rollout: Rollout, look: Look | None, after: float) -> dict[str, float]:
    """By guardrail, how many seconds before now the samples begin that are asked for."""
    now = Instant(rollout.opened_at + after)
    return {one.guardrail.name: now - one.since for one in requests(rollout, look, now)}


def without_latency(rollout: Rollout, *, last: float) -> Look:
    """A look with rows of errors up to `last`, and none of latency."""
    look = seen(rollout.id, at=Instant(last), guardrails=("errors", "latency"))
    none = replace(look.guardrails[1], canary=Side(), stable=Side())
    return replace(look, guardrails=(look.guardrails[0], none))


def test_at_first_all_history_is_asked_for() -> None:
    """No look yet: as far back as the policy says."""
    assert asked(opened(), None, 0.0) == {"errors": BOTH.history, "latency": BOTH.history}


@pytest.mark.parametrize(("after", "latency"), [(FIRST - 1.0, BOTH.history), (FIRST + 1.0, 5.0 + OVERLAP)])
def test_a_guardrail_without_rows_is_asked_for_its_history_for_a_while(after: float, latency: float) -> None:
    """Its query failed while the other's did not; one that never has any is not asked for all of it for ever."""
    rollout = opened()
    look = without_latency(rollout, last=rollout.opened_at + after - 5.0)
    assert asked(rollout, look, after) == pytest.approx({"errors": 5.0 + OVERLAP, "latency": latency})


def test_a_guardrail_that_lags_is_asked_from_where_it_is() -> None:
    """What failed for minutes is read again, though the other guardrail went on."""
    rollout = opened()
    look = seen(rollout.id, at=Instant(T0), guardrails=("errors", "latency"))
    behind = replace(look.guardrails[1], canary=replace(look.guardrails[1].canary, last=Instant(T0 - 400.0)))
    after = T0 - rollout.opened_at
    assert asked(rollout, replace(look, guardrails=(look.guardrails[0], behind)), after) == pytest.approx(
        {"errors": OVERLAP, "latency": 400.0 + OVERLAP}
    )
