"""Blue-green: a preview without users, the switch, and the old revision kept for a while."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.effects import MakeStable, SetWeight, StartCanary, StopCanary
from guardian.core.facts import Order
from guardian.core.fleet import Fleet
from guardian.core.looks import Breach, Look, Observed, Part, SeriesKey
from guardian.core.model import Instant, Phase, Ready, RolloutId, Seconds, Track, Weight
from guardian.core.policy import Adapter, Policy
from guardian.core.strategies import Approval, BlueGreen
from guardian.core.world import fold
from tests.builders import ERRORS, OBJECTIVE, policy, requested, seen
from tests.core.play import Play
from tests.core.test_orders import order

PREVIEW, KEEP = Seconds(300.0), Seconds(600.0)
GUARDED = replace(ERRORS, objective=OBJECTIVE)


def blue_green(**changes: Any) -> Policy:
    """A policy that previews for five minutes and keeps blue for ten."""
    strategy = BlueGreen(preview=PREVIEW, keep=KEEP, approval=changes.pop("approval", None))
    base = policy(guardrails=(GUARDED,), workload=Adapter(kind="memory"))
    return replace(base, strategy=strategy, **changes)


def silent(rollout: RolloutId, now: Instant) -> Look | None:
    """Nobody measures anything."""
    return None


def test_green_has_no_users_in_the_preview_and_all_of_them_after_it() -> None:
    """No metrics of a green that nobody calls are no reason to hold; blue is there until the last bake is over."""
    play = Play(policies=(blue_green(),), show=silent, ready=Ready(canary=2, stable=2))
    play.tell(requested())
    assert play.until(290).router == 0.0
    assert play.rollout.held is None
    assert play.until(320).router == 1.0
    assert play.phase() is Phase.BAKING
    assert play.until(330).rollout.promoted_at is not None
    play.show = calm
    play.until(1000)
    assert play.phase() is Phase.VERIFIED
    assert [type(one) for one in play.performed[1:]] == [
        StartCanary, SetWeight, SetWeight, MakeStable, SetWeight, StopCanary
    ]  # fmt: skip
    assert play.weights == [0.0, 1.0, 0.0]
    assert [name for name in play.events() if name not in {"held", "resumed"}] == [
        "queued", "started", "advanced", "advanced", "promoted", "verified"
    ]  # fmt: skip


def calm(rollout: RolloutId, now: Instant) -> Look | None:
    """Metrics are there, and nothing is compared."""
    return seen(rollout, at=now, harm=1.0, safe=1.0)


def harmful(rollout: RolloutId, now: Instant) -> Look | None:
    """Evidence that would roll any canary back."""
    return seen(rollout, at=now, harm=1e6, safe=1.0)


def critical(rollout: RolloutId, now: Instant) -> Look | None:
    """Green breaks its critical objective, and blue does not."""
    look = seen(rollout, at=now, harm=1.0, safe=1.0)
    return replace(look, guardrails=tuple(replace(one, breach=Breach.CRITICAL) for one in look.guardrails))


def test_nothing_is_compared_whatever_the_evidence_says() -> None:
    """Test calls to green beside the users of blue are no fair pair."""
    play = Play(policies=(blue_green(),), show=harmful)
    play.tell(requested())
    play.until(600)
    assert play.phase() is Phase.BAKING
    assert play.all(r.Judged) == []


def test_a_green_that_breaks_its_objective_in_the_preview_never_gets_users() -> None:
    """There is no weight to take back, and nothing to drain: it is stopped at once."""
    play = Play(policies=(blue_green(),), show=critical)
    play.tell(requested())
    play.until(60)
    assert play.phase() is Phase.ROLLED_BACK
    assert set(play.weights) == {0.0}
    assert isinstance(play.performed[-1], StopCanary)
    assert play.rollout.settled
    assert "advanced" in play.events()


def test_after_the_switch_the_objective_takes_all_users_back() -> None:
    """Blue is still there; green is stopped when it has drained."""
    play = Play(policies=(blue_green(),), show=calm)
    play.tell(requested())
    play.until(400)
    assert play.router == 1.0
    play.show = critical
    play.until(420)
    assert play.router == 0.0
    assert play.phase() is Phase.ROLLED_BACK
    assert not any(isinstance(one, StopCanary) for one in play.performed)
    play.until(500)
    assert isinstance(play.performed[-1], StopCanary)


def test_the_switch_waits_for_its_approval() -> None:
    """Without one it follows the preview; with one a person agrees, or it is aborted in the end."""
    play = Play(policies=(blue_green(approval=Approval(expires=Seconds(900.0))),), show=calm)
    play.tell(requested())
    play.until(600)
    assert play.router == 0.0
    assert play.rollout.awaiting is not None
    order(play, Order.APPROVE)
    play.until(620)
    assert play.router == 1.0
    late = Play(policies=(blue_green(approval=Approval(expires=Seconds(900.0))),), show=calm)
    late.tell(requested())
    late.until(1500)
    assert late.phase() is Phase.ABORTED
    assert set(late.weights) <= {0.0}


def test_an_abort_in_the_preview_moves_nobody() -> None:
    """Ordered by a person: green is stopped."""
    play = Play(policies=(blue_green(),), show=calm)
    play.tell(requested())
    play.until(100)
    order(play, Order.ABORT)
    play.until(110)
    assert play.phase() is Phase.ABORTED
    assert set(play.weights) == {0.0}
    assert isinstance(play.performed[-1], StopCanary)


def test_the_journal_folds_to_the_same_world() -> None:
    """Strategy and preview are part of the policy that was adopted."""
    play = Play(policies=(blue_green(),), show=calm)
    play.tell(requested())
    play.until(350)
    assert fold(play.records) == play.engine.world


def test_a_look_holds_green_against_nothing_while_blue_serves() -> None:
    """Rows of both tracks come; evidence is neither for nor against, and the share of requests is not judged."""
    fleet, name, rules = Fleet(), RolloutId("r"), blue_green()
    fleet.open(name, rules)
    fleet.expect(name, weight=Weight(0.0), now=Instant(0.0))
    sums = {Track.STABLE: [0.0, 0.0], Track.CANARY: [0.0, 0.0]}
    for tick in range(1, 300):
        for track in (Track.STABLE, Track.CANARY) if tick > 200 else (Track.STABLE,):
            sums[track][0] += 1000.0
            sums[track][1] += 300.0 if track is Track.CANARY else 5.0
            for part, value in zip((Part.TOTAL, Part.BAD), sums[track], strict=True):
                key = SeriesKey(rollout=name, guardrail="errors", track=track, pod="p", part=part)
                series, time = fleet.series(key), Instant(10.0 * tick)
                fleet.observe(observed(series, time, value))
        fleet.settle()
    look = fleet.look([name], now=Instant(3000.0))[name]
    assert math.isnan(look.log_harm)
    assert math.isnan(look.of("errors").log_harm)
    assert look.allocation.value == "unknown"
    assert look.of("errors").breach is Breach.CRITICAL


def observed(series: int, time: Instant, value: float) -> Observed:
    """One sample."""
    return Observed(series=np.array([series]), time=np.array([float(time)]), value=np.array([value]))
