"""What follows from burn rates in a rollout, what is said of them, and what an amendment may not loosen."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.amend import loosened
from guardian.core.attribution import Suspect, lasts
from guardian.core.burning import worse
from guardian.core.explain import explain
from guardian.core.looks import Breach, Burn, BurnPair, Look
from guardian.core.model import Instant, Phase, RolloutId, Seconds
from guardian.core.policy import BurnRate, Slo
from tests.builders import ERRORS, T0, policy, requested, seen
from tests.core.play import Play

SLO = Slo(target=0.999, breached="below", burn_rate=BurnRate())
PAGES = Burn(
    period=Seconds(2_592_000.0), seen=Seconds(400.0), breach=Breach.CRITICAL, stable=False,
    pairs=(
        BurnPair(long=Seconds(3600.0), short=Seconds(300.0), limit=14.4, rates=(52.0, 48.0), found=True),
        BurnPair(long=Seconds(21600.0), short=Seconds(1800.0), limit=6.0, rates=(52.0, 52.0), found=False),
    ),
)  # fmt: skip
HOLDS = replace(
    PAGES, breach=Breach.WARNING, seen=Seconds(30000.0),
    pairs=(BurnPair(long=Seconds(259200.0), short=Seconds(21600.0), limit=1.0, rates=(1.5, None), found=True),),
)  # fmt: skip


def shown(burn: Burn, *, until: float = math.inf) -> Play:
    """A rollout whose looks have this burn rate from five minutes on."""
    calm = replace(burn, breach=Breach.NONE, pairs=tuple(replace(pair, found=False) for pair in burn.pairs))

    def show(rollout: RolloutId, now: Instant) -> Look:
        told = burn if 300.0 <= now - T0 < until else calm
        breach, stable = worse(Breach.NONE, False, told)
        at = seen(rollout, at=now, harm=0.5, breach=breach, stable_breach=stable)
        return replace(at, guardrails=tuple(replace(one, burn=told) for one in at.guardrails))

    asks = policy(guardrails=(replace(ERRORS, objective=SLO),))
    play = Play(policies=(asks,), show=show)
    play.tell(requested())
    return play.until(600)


def test_a_budget_that_burns_rolls_back_and_says_how_fast() -> None:
    """Without any threshold beside it, and with the windows that say so."""
    play = shown(PAGES)
    assert play.phase() is Phase.ROLLED_BACK
    (ordered,) = play.all(r.RollbackOrdered)
    assert (ordered.why, ordered.guardrail) == (r.Why.OBJECTIVE, "errors")
    assert ordered.reason == (
        "checkout 2.1.0 breaks its critical objective 'errors' (error budget of 30 days: burn rate 48 over 5m, 52 over "
        "6m40s so far, too fast from 14.4 over 1h and 5m on), and stable does not. This rule is about the user's pain; "
        "the risk of false rollbacks does not cover it."
    )


def test_a_budget_that_stable_burns_as_well_holds_and_pages_once() -> None:
    """Nothing goes back."""
    play = shown(replace(PAGES, stable=True))
    assert play.phase() is Phase.PROGRESSING
    (held,), (page,) = play.all(r.Held), play.all(r.Paged)
    assert (held.hold, page.key) == (r.Hold.SHARED_INCIDENT, "shared-errors")
    assert "broken on stable as well, or was before: not this rollout's doing; error budget of 30 days" in held.reason


def test_a_slow_burn_holds_until_it_ends() -> None:
    """As a warning objective does: nobody is called."""
    play = shown(HOLDS, until=700.0)
    (held,) = play.all(r.Held)
    assert held.hold is r.Hold.WARNING
    assert held.reason == (
        "warning objective of 'errors' is broken: error budget of 30 days: burn rate unknown over 6h, 1.5 over 8h20m "
        "so far, too fast from 1 over 72h and 6h on"
    )
    assert not play.all(r.Paged)
    assert not play.until(750).held()


def test_an_explanation_tells_burn_rates_that_are_no_trouble() -> None:
    """In words, and as numbers."""
    play = shown(PAGES, until=400.0 - 100.0)
    told = explain(play.rollout, play.engine.look(play.rollout.id), play.now).guardrails[0]
    assert told.sentence.endswith("; error budget of 30 days: burn rate 48 over 5m, 52 over 6m40s so far")
    assert told.burn is not None
    assert told.burn.pairs[0].rates == (52.0, 48.0)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"burn_rate": None}, "burn_rate is gone"),
        ({"burn_rate": BurnRate(period=Seconds(8e6))}, "burn_rate is for a longer period"),
        ({"target": 0.99}, "the target is looser"),
    ],
)
def test_an_amendment_does_not_loosen_the_budget(change: dict[str, Any], what: str) -> None:
    """A shorter period, a larger share of good requests, and a burn rate where there was none are tighter."""
    asks, new = (policy(guardrails=(replace(ERRORS, objective=one),)) for one in (SLO, replace(SLO, **change)))
    assert what in "\n".join(loosened(asks, new))
    assert loosened(new, asks) == ()


def test_a_dependency_may_be_to_blame_for_as_long_as_its_time_is_in_a_short_window() -> None:
    """Half an hour of the slow pair, and two intervals in which rows still come in."""
    rollout = shown(PAGES, until=0.0).rollout
    suspected = Suspect(
        rollout=RolloutId("payment-1"), service="payment", revision=rollout.revision, text="", over=T0
    )  # fmt: skip
    assert lasts(suspected, rollout, Instant(T0 + 1819.0))
    assert not lasts(suspected, rollout, Instant(T0 + 1821.0))
