"""Routers that are slow, down or forget their weight, headers, open connections, pods that take long to end."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from simpy import Event, Interrupt

from guardian.core.model import Instant, Weight
from guardian.errors import Unavailable
from simulator.bridge import awaited
from simulator.outcome import Run, compare
from simulator.run import run
from simulator.scenario import Reactions
from simulator.truth import Happening
from tests.simulator.test_platform import NEW, TARGET, Stage
from tests.simulator.worlds import scenario, shifted, shipped


def _canary_up(**changed: Any) -> Stage:
    """Return a stage whose canary has had 20 % for a minute."""
    stage = Stage(scenario(**changed))
    stage.call(stage.platform.start_canary(TARGET, NEW))
    stage.call(stage.platform.set_weight(TARGET, Weight(0.2)))
    stage.later(60)
    return stage


def _served(stage: Stage, seconds: float) -> float:
    """Return the canary's share of requests in the seconds to come."""
    since = stage.environment.now
    stage.later(seconds)
    stage.world.advance(Instant(stage.environment.now))
    return stage.world.observed_share(since).share


def test_a_router_that_is_down_goes_on_serving() -> None:
    """It can neither be told nor asked; before the shift and after its return it answers."""
    stage = _canary_up(faults=[{"kind": "router_down", "at": "30s", "lasts": "5m"}])
    with pytest.raises(Unavailable, match="refused"):
        stage.call(stage.platform.set_weight(TARGET, Weight(0.0)))
    with pytest.raises(Unavailable, match="refused"):
        stage.call(stage.platform.accepted_weight(TARGET))
    assert _served(stage, 120) == pytest.approx(0.2, abs=0.02)
    stage.later(180)
    stage.call(stage.platform.set_weight(TARGET, Weight(0.0)))
    assert stage.call(stage.platform.accepted_weight(TARGET)) == 0.0


def test_a_slow_router_takes_its_time() -> None:
    """For what it is told and for what it is asked."""
    stage = _canary_up(faults=[{"kind": "router_slow", "at": "30s", "answers": "7s"}])
    began = stage.environment.now
    assert stage.call(stage.platform.accepted_weight(TARGET)) == 0.2
    assert stage.environment.now - began == pytest.approx(7.0)


def test_a_weight_that_was_reset_is_read_back_and_served() -> None:
    """Until somebody sets it again."""
    stage = _canary_up(faults=[{"kind": "weight_reset", "at": "2m", "weight": "0%"}])
    assert stage.call(stage.platform.accepted_weight(TARGET)) == 0.2
    stage.later(70)
    assert stage.call(stage.platform.accepted_weight(TARGET)) == 0.0
    assert _served(stage, 60) < 0.01
    stage.call(stage.platform.set_weight(TARGET, Weight(0.2)))
    stage.later(20)
    assert _served(stage, 60) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(("weight", "share"), [(0.2, 0.04), (0.5, 0.04), (0.0, 0.0), (1.0, 1.0)])
def test_a_header_decides_who_is_on_the_canary_whatever_the_weight(weight: float, share: float) -> None:
    """But for none and all."""
    assert Reactions.model_validate({"header": "4%"}).served(Weight(weight)) == share


def test_open_connections_keep_their_share_for_a_time() -> None:
    """A fifth of what was taken away; none once the canary's pods have ended."""
    platform = {"connections": {"share": "20%", "lasts": "3m"}}
    world = shifted(scenario(platform=platform), weight=0.5)
    fell = Instant(world.opening + 600.0)
    world.serve(Weight(0.0), fell)
    at = np.zeros(len(world.topology.names))
    shares = [world.conditions(at, at=fell + later).share[0] for later in (1.0, 179.0, 181.0)]
    assert shares == pytest.approx([0.1, 0.1, 0.0])
    world.stop_canary(Instant(fell + 60.0))
    assert world.conditions(at, at=fell + 61.0).share[0] == 0.0
    with pytest.raises(ValidationError, match="remove one of the two"):
        Reactions.model_validate({"session": "10m", **platform})


def test_pods_that_end_slowly_end_when_they_would_have_whoever_asks_again() -> None:
    """An attempt that was cut short has begun it."""
    stage = _canary_up(platform={"stops": "90s"})
    began = stage.environment.now
    call = stage.platform.stop_canary(TARGET)
    process = stage.environment.process(_cut(call))
    stage.later(60)
    process.interrupt()
    stage.call(stage.platform.stop_canary(TARGET))
    assert stage.environment.now - began == pytest.approx(90.2)
    assert not stage.world.topology.canary.alive(stage.environment.now)


def _cut(call: Coroutine[Any, Any, None]) -> Generator[Event, Any, None]:
    try:
        yield from awaited(call)
    except Interrupt:
        call.close()


def _played(name: str) -> Run:
    one = shipped(name)
    played = run(one, 1)
    assert compare(one, played).ok
    return played


@pytest.mark.parametrize(("name", "told"), [("S10", "same kind of traffic"), ("S52", "same kind of traffic")])
def test_what_cannot_be_compared_is_held_and_told(name: str, told: str) -> None:
    """However good the canary looks."""
    assert any(one.event == "paged" and told in one.reason for one in _played(name).seen)


def test_a_rollback_is_tried_until_the_router_answers() -> None:
    """Every two seconds; a person hears of it after five minutes."""
    seen = _played("S50").seen
    pages = [one for one in seen if one.happening is Happening.PAGED]
    assert any("connection refused" in one.reason for one in pages)
    assert [one.at for one in seen if one.happening is Happening.ROLLED_BACK] == [pytest.approx(600.0, abs=3.0)]


def test_a_router_slower_than_a_look_keeps_nobody_from_looking() -> None:
    """Answers count at the look after they came: S51 is promoted at its earliest time and nobody is called."""
    assert _played("S51").decided_at == pytest.approx(900.0, abs=15.0)
