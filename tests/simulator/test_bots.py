"""Bots: their requests are counted on both tracks, in both grains alike, and hurt nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guardian.core.looks import Ints
from simulator.world import World
from tests.simulator.worlds import SERVICE, refused, scenario, shifted, written

CALM = {**SERVICE, "errors": {"share": "0%"}}
BURSTS = {"kind": "on_off", "rate": 80, "on": "1m", "off": "1m"}


def _world(bots: list[dict[str, Any]], *, grain: str = "flow", **changed: Any) -> World:
    """Return four minutes of a canary with half of the traffic; users never fail."""
    settings: dict[str, Any] = {"service": CALM, "traffic": {"kind": "steady", "rate": 40}, "history": "1m", **changed}
    one = scenario(bots=bots, **settings)
    return shifted(one.played(type(one.spec.grain)(grain)), weight=0.5, minutes=4)


def _counted(world: World, *, after: float, before: float) -> tuple[Ints, Ints]:
    """Return requests and failures that each pod counted between two times after the shift."""
    total, bad = (np.concatenate([getattr(one, name)[:, :6] for one in world.rounds]) for name in ("total", "bad"))
    end = np.concatenate([one.time.max(axis=1) for one in world.rounds]) - world.opening
    first, last = np.searchsorted(end, after), np.searchsorted(end, before)
    return total[last] - total[first], bad[last] - bad[first]


@pytest.mark.parametrize("grain", ["flow", "request"])
def test_bots_come_in_their_rhythm_to_both_tracks_and_fail_by_themselves(grain: str) -> None:
    """80 requests a second and a quarter of them bad while they are there, beside 40 that never fail."""
    world = _world([{"traffic": BURSTS, "errors": "25%"}], grain=grain)
    for begin, rate, share in ((0, 120.0, 80 / 120 * 0.25), (60, 40.0, 0.0), (120, 120.0, 80 / 120 * 0.25)):
        total, bad = _counted(world, after=begin + 12, before=begin + 50)
        assert total.sum() / 40 == pytest.approx(rate, rel=0.1)
        assert total[:4].sum() / total.sum() == pytest.approx(0.5, abs=0.05)
        assert bad.sum() / total.sum() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("grain", ["flow", "request"])
def test_bots_are_nobody_hurt(grain: str) -> None:
    """Half of their requests fail; users are counted, and none of theirs did."""
    world = _world([{"traffic": {"kind": "steady", "rate": 80}, "errors": "50%"}], grain=grain)
    assert world.harm.bad == world.harm.fresh_bad == 0
    assert world.harm.total == pytest.approx(40 * 240, rel=0.06)


@pytest.mark.parametrize("grain", ["flow", "request"])
def test_what_the_release_does_wrong_it_does_to_bots_too(grain: str) -> None:
    """1 - (1 - 20 %)(1 - 50 %) of their requests fail on the canary, and 20 % on stable; cheap pages stay cheap."""
    faults = [{"kind": "error_step", "on": "canary", "share": "50%"}]
    bots = [{"traffic": {"kind": "steady", "rate": 80}, "errors": "20%", "slow": 0.1}]
    world = _world(bots, grain=grain, faults=faults, traffic={"kind": "steady", "rate": 0})
    total, bad = _counted(world, after=12, before=230)
    assert bad[:4].sum() / total[:4].sum() == pytest.approx(0.2, abs=0.02)
    assert bad[4:].sum() / total[4:].sum() == pytest.approx(0.6, abs=0.02)
    buckets = world.rounds[-1].buckets.sum(axis=(0, 1))
    assert buckets[:3].sum() / buckets.sum() > 0.9  # within 25 ms, users take 80


def test_users_are_the_same_with_and_without_bots() -> None:
    """Bots have random numbers of their own."""
    alone, beside = _world([]), _world([{"traffic": BURSTS}])
    assert alone.harm == beside.harm


def test_bots_that_cannot_be_are_refused_at_their_line(tmp_path: Path) -> None:
    """What, where, and what to write."""
    for spec, what in (
        ("{bots: [{errors: 5%}]}", "'traffic' is missing"),
        ("{bots: [{traffic: {kind: steady, rate: 5}, errors: 105%}]}", "105%"),
        ("{bots: [{traffic: {kind: steady, rate: 5}, rhythm: 5m}]}", "unknown key 'rhythm'"),
    ):
        error = refused(written(tmp_path, f"extends: S02\nspec: {spec}\n"))
        assert what in error.what
        assert "mine.yaml:5:" in error.where
