"""Clients that wait for their answers: who is slow is asked less, and by nobody else instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guardian.core.model import Instant, Weight
from simulator.chance import Chance
from simulator.request.language import Grain
from simulator.request.world import RequestWorld
from tests.simulator.worlds import SERVICE, refused, scenario, written

MEAN = 0.1
"""Seconds of work of a request: log-normal with a sigma of 0."""
SAME = {"body": [{"share": "100%", "median": "100ms", "sigma": 0}], "tail": {"median": "1s", "sigma": 0, "share": 0}}
SLOW = {"kind": "latency_shift", "on": "canary", "factor": 3}


def _world(
    loop: dict[str, Any], *, faults: list[dict[str, Any]], request: dict[str, Any] | None = None
) -> RequestWorld:
    """Return five minutes of a canary with a fifth of the clients; nobody else asks."""
    spec: dict[str, Any] = {
        "service": {**SERVICE, "errors": {"share": "0%"}, "latency": SAME},
        "traffic": {"kind": "steady", "rate": 0},
        "history": "1m",
        "grain": "request",
        "request": {"loops": [loop], **(request or {})},
    }
    world = RequestWorld(scenario(faults=faults, **spec).played(Grain.REQUEST), Chance(1))
    world.start_canary(world.opening)
    world.serve(Weight(0.2), world.opening)
    world.advance(Instant(world.opening + 300))
    return world


def _asked(world: RequestWorld) -> tuple[float, float]:
    """Return requests a second of users to stable and to the canary."""
    harm = world.harm
    return (harm.total - harm.fresh_total) / 300, harm.fresh_total / 300


def test_a_client_asks_once_per_thought_and_answer() -> None:
    """Little's law: 50 clients, 0.4 s of thought and 0.1 s of work are 100 requests a second."""
    stable, canary = _asked(_world({"clients": 50, "thinks": "400ms"}, faults=[]))
    assert stable + canary == pytest.approx(50 / (0.4 + MEAN), rel=0.03)
    assert canary / (stable + canary) == pytest.approx(0.2, abs=0.01)


def test_a_slow_canary_is_asked_less_by_those_who_stay_with_it() -> None:
    """10 clients wait 0.3 s instead of 0.1 s; stable's 40 ask as before."""
    stable, canary = _asked(_world({"clients": 50, "thinks": "400ms"}, faults=[SLOW]))
    assert stable == pytest.approx(40 / (0.4 + MEAN), rel=0.04)
    assert canary == pytest.approx(10 / (0.4 + 3 * MEAN), rel=0.05)


def test_clients_that_go_anywhere_are_slowed_down_on_both_tracks() -> None:
    """The share stays that of the weight; all ask less."""
    stable, canary = _asked(_world({"clients": 50, "thinks": "400ms", "keeps_track": False}, faults=[SLOW]))
    assert canary / (stable + canary) == pytest.approx(0.2, abs=0.015)
    assert stable + canary == pytest.approx(50 / (0.4 + 1.4 * MEAN), rel=0.04)


def test_clients_never_ask_more_at_once_than_they_are() -> None:
    """A queue in front of one worker holds them all, and no more come."""
    world = _world({"clients": 30, "thinks": "10ms"}, faults=[], request={"workers": 1})
    waiting = [pod.busy + len(pod.waiting) for pod in world.pods]
    assert 25 <= sum(waiting) <= 30
    assert sum(_asked(world)) == pytest.approx(6 / MEAN, rel=0.15)  # six pods, a worker each


def test_loops_in_flow_grain_are_refused_with_the_way_out(tmp_path: Path) -> None:
    """Flow grain counts requests of whoever comes."""
    text = "extends: S02\nspec: {request: {loops: [{clients: 5, thinks: 1s}]}}\n"
    error = refused(written(tmp_path, text))
    assert "flow grain counts requests only" in error.what
    assert "grain: request" in error.remedy
    assert "mine.yaml:5:" in error.where


@pytest.mark.parametrize(
    ("loop", "what"),
    [
        ("{clients: 0, thinks: 1s}", "0 is not allowed"),
        ("{clients: 5, thinks: 0s}", "not allowed"),
        ("{clients: 5}", "'thinks' is missing"),
    ],
)
def test_a_loop_that_cannot_be_is_refused_at_its_line(tmp_path: Path, loop: str, what: str) -> None:
    """Nobody, no time to think: a loop without end."""
    error = refused(written(tmp_path, f"extends: S02\nspec: {{grain: request, request: {{loops: [{loop}]}}}}\n"))
    assert what in error.what
    assert "mine.yaml:5:" in error.where
