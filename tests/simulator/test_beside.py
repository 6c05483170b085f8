"""Services beside the scenario's own: their rollouts, what one's failures do to the other, and what files may say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from guardian.core.model import Instant, Verdict, Weight
from guardian.errors import ScenarioError
from simulator.gates import Naive
from simulator.gates.walk import run_gate
from simulator.grains import worlds_of
from simulator.library import find, load
from simulator.outcome import Run, compare
from simulator.request.language import Grain
from simulator.run import Simulation, run
from simulator.scenario import Scenario
from simulator.truth import Happening
from simulator.world import World
from tests.simulator.worlds import shipped

TEXT = find("S20")[0].read_text(encoding="utf-8")


def _shares(world: World, *, minutes: float, weight: float) -> tuple[float, float]:
    """Return the shares of failed requests of stable and of the canary, so long after the canary got a weight."""
    world.start_canary(Instant(world.opening))
    world.serve(Weight(weight), Instant(world.opening))
    world.advance(Instant(world.opening + 60.0 * minutes))
    first = next(number for number, one in enumerate(world.rounds) if one.time.min() > world.opening)
    counts = [np.vstack([getattr(one, name) for one in world.rounds[first:]]) for name in ("bad", "total")]
    bad, total = (one[-1] - one[0] for one in counts)
    groups = world.topology.groups[:2]
    stable, canary = (bad[group.slots].sum() / total[group.slots].sum() for group in groups)
    return float(stable), float(canary)


@pytest.mark.parametrize(("text", "stable", "canary"), [("", 0.004, 0.033), (", keeps_track: false", 0.0186, 0.0186)])
def test_the_callee_s_failures_show_at_the_caller(text: str, stable: float, canary: float, tmp_path: Path) -> None:
    """Half of web's requests call payment, half of whose traffic fails 6 %: on web's canary, or spread over both."""
    file = tmp_path / "x.yaml"
    file.write_text(TEXT.replace(", keeps_track: true", text), encoding="utf-8")
    worlds = worlds_of(load(file), 1)
    payment, web = worlds["payment"], worlds["web"]
    payment.start_canary(payment.opening)
    payment.serve(Weight(0.5), Instant(web.opening))
    assert _shares(web, minutes=60, weight=0.2) == pytest.approx((stable, canary), rel=0.12)


def test_the_caller_meets_the_callee_as_it_is_at_that_moment() -> None:
    """Nothing of it before payment's canary has users, nothing once they are gone: no count is smeared over a jump."""
    worlds = worlds_of(shipped("S20"), 1)
    payment, web = worlds["payment"], worlds["web"]
    payment.start_canary(payment.opening)
    payment.serve(Weight(0.5), Instant(web.opening + 300.0))
    payment.serve(Weight(0.0), Instant(web.opening + 600.0))
    canary = web.topology.canary.slots
    for at, share in ((299.0, 0.004), (301.0, 0.033), (599.0, 0.033), (601.0, 0.004)):
        now = Instant(web.opening + at)
        held = web.conditions(np.full(len(web.topology.names), at), at=now)
        assert held.errors[canary] == pytest.approx(share, rel=0.02)
    assert {web.opening + 300.0, web.opening + 600.0} <= set(web.jumps)


def _did(one: Run, happening: Happening, of: Iterable[str | None]) -> list[int]:
    return [one.count(happening, of=name) for name in of]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_one_that_breaks_goes_back_and_the_one_that_shows_it_goes_on(seed: int) -> None:
    """S20; a gate of thresholds blames web as well. Web's events are told with its name."""
    one = shipped("S20")
    played = run(one, seed)
    assert compare(one, played).ok
    assert _did(played, Happening.ROLLBACK, (None, "web")) == [1, 0]
    assert _did(played, Happening.PROMOTE, (None, "web")) == [0, 1]
    naive = run_gate(one, seed, Naive)
    assert _did(naive, Happening.ROLLBACK, (None, "web")) == [1, 1]
    assert compare(one, naive).wrong


def test_it_is_the_same_story_request_by_request() -> None:
    """Web's requests fail as often as payment's canary makes them fail."""
    worlds = worlds_of(load(find("S20")[0], grain=Grain.REQUEST), 1)
    payment, web = worlds["payment"], worlds["web"]
    payment.start_canary(payment.opening)
    payment.serve(Weight(0.5), Instant(web.opening))
    assert _shares(web, minutes=5, weight=0.5) == pytest.approx((0.004, 0.033), rel=0.2)


def test_without_depends_on_the_caller_is_blamed() -> None:
    """What keeps web is that its policy says whom it calls."""
    one = shipped("S20")
    web = replace(one.policies[0], depends_on=())
    assert run(replace(one, policies=(web,)), 1).count(Happening.ROLLBACK, of="web") == 1


def test_services_of_one_run_meet_noise_of_their_own() -> None:
    """The same seed for both would have their pods born alike."""
    worlds = worlds_of(shipped("S20"), 1)
    first, second = (world.temper.errors[:9] for world in worlds.values())
    assert not np.allclose(first, second)


def test_a_run_is_that_of_its_scenario_whatever_is_beside_it() -> None:
    """Payment alone: the same users, the same verdict at the same second."""
    one = shipped("S20")
    alone: Scenario = replace(one, policies=(), spec=one.spec.model_copy(update={"beside": ()}))
    both, single = run(one, 3), Simulation(alone, 3).play()
    assert (both.verdict, both.decided_at) == (single.verdict, single.decided_at)
    assert both.verdict is Verdict.ROLLBACK


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("\n---\n" + TEXT.rpartition("\n---\n")[2], "\n", r"holds 2 YAML documents; a scenario of 2 services is 3"),
        (
            "        name: web\n",
            "        name: payment\n",
            r"yaml:\d+.* two services are named 'payment'; name each once",
        ),
        ("  match: {service: web,", "  match: {service: shop,", r"matches service 'shop', the scenario's is 'web'"),
        ("share: 50%", "share: 150%", r"yaml:\d+.*150%"),
    ],
)
def test_mistakes_are_told_with_their_line(old: str, new: str, words: str, tmp_path: Path) -> None:
    """As those of one service are."""
    file = tmp_path / "x.yaml"
    assert old in TEXT
    file.write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises(ScenarioError, match=words):
        load(file)
