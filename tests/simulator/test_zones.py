"""Zones of a simulated service: who serves where, what is different there, and what the guardian reads of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from guardian.adapters._series import key_of, wanted_of
from guardian.core import records as r
from guardian.core.model import Instant, RolloutId, Track, Verdict
from guardian.errors import ScenarioError
from simulator.bound import bound
from simulator.library import LIBRARY, load
from simulator.outcome import Run
from simulator.run import Simulation, run
from simulator.scenario import Scenario
from simulator.telemetry import series_keys
from simulator.truth import Happening
from simulator.world import World
from tests.simulator.worlds import SERVICE, scenario, shifted, shipped

EAST = {"name": "east", "stable": 3, "canary": 1}
WEST = {"name": "west", "stable": 1, "canary": 3, "load": 2.0, "errors": 4.0, "slow": 3.0}
ZONED = {**SERVICE, "pods": {"stable": 4, "canary": 4}, "zones": [EAST, WEST]}
EAST_STABLE, WEST_STABLE, EAST_CANARY, WEST_CANARY = slice(0, 3), slice(3, 4), slice(4, 5), slice(5, 8)
ALL = (EAST_STABLE, WEST_STABLE, EAST_CANARY, WEST_CANARY)


def _served(*faults: dict[str, Any], minutes: float = 30, weight: float = 0.5) -> list[np.ndarray]:
    """Requests, failures and latencies by bucket of each part since the shift, in the order of ALL."""
    world = shifted(scenario(service=ZONED, faults=list(faults)), weight=weight, minutes=minutes)
    live = [one for one in world.rounds if one.time.shape[0] == 1]
    last = np.column_stack([live[-1].total[0], live[-1].bad[0], live[-1].buckets[0]])
    first = np.column_stack([live[0].total[0], live[0].bad[0], live[0].buckets[0]])
    return [(last - first)[part].sum(axis=0) for part in ALL]


def _without_strata(one: Scenario) -> Scenario:
    rules = tuple(
        replace(guardrail, compare=replace(guardrail.compare, strata=()))
        for guardrail in one.policy.guardrails
        if guardrail.compare is not None
    )
    return replace(one, policy=replace(one.policy, guardrails=rules))


def _holds(scenario: Scenario, seed: int) -> tuple[Run, set[r.Hold]]:
    """Play a seed; return it and all reasons for which it held."""
    simulation = Simulation(scenario, seed)
    played = simulation.play()
    return played, {record.hold for record in simulation.driver.journal if isinstance(record, r.Held)}


def test_a_zone_serves_by_its_pods_and_their_load() -> None:
    """Stable: 3 pods in the east, 1 in the west that gets twice as much; the canary: 1 and 3."""
    asked = [float(part[0]) for part in _served()]
    requests = 200.0 * 1800 / 2
    for got, part in zip(asked, (3 / 5, 2 / 5, 1 / 7, 6 / 7), strict=True):
        assert got == pytest.approx(requests * part, rel=0.02)


def test_a_zone_fails_and_answers_in_its_own_way_on_both_tracks() -> None:
    """Four times the errors, three times the latency: for stable's pods and the canary's alike."""
    served = _served()
    for east, west in ((served[0], served[1]), (served[2], served[3])):
        assert east[1] / east[0] == pytest.approx(0.005, rel=0.25)
        assert west[1] / west[0] == pytest.approx(0.02, rel=0.25)
        medians = [int(np.searchsorted(np.cumsum(part[2:]), part[2:].sum() / 2)) for part in (east, west)]
        assert medians == [4, 5]  # 80 ms is within (50, 100], 240 ms within (100, 250]


@pytest.mark.parametrize(
    ("on", "hit"), [("canary", [3]), ("stable", [1]), ("both", [1, 3])], ids=["canary", "stable", "both"]
)
def test_a_fault_hits_one_zone_of_the_tracks_it_is_on(on: str, hit: list[int]) -> None:
    """Nothing happens elsewhere, to the request: the other parts are drawn as without it."""
    calm, struck = _served(), _served({"kind": "error_step", "on": on, "zone": "west", "share": "30%"})
    for number, (before, after) in enumerate(zip(calm, struck, strict=True)):
        if number in hit:
            assert after[1] / after[0] == pytest.approx(0.3, rel=0.1)
        else:
            assert after[1] / after[0] == pytest.approx(before[1] / before[0], abs=0.003)
        assert after[0] == before[0]


def test_a_scrape_that_fails_and_a_process_that_restarts_know_their_zone() -> None:
    """The Prometheus of a zone is down; its pods restart: those of the other zone are read on, and count on."""
    gap = {"kind": "metrics_gap", "at": "2m", "lasts": "4m", "zone": "west"}
    reset = {"kind": "counter_reset", "at": "8m", "zone": "east", "on": "stable", "pods": 2}
    world = shifted(scenario(service=ZONED, faults=[gap, reset]), weight=0.5)
    live = [one for one in world.rounds if one.time.shape[0] == 1]
    missed = np.vstack([~one.seen[:, :8] for one in live]).sum(axis=0)
    fell = (np.diff(np.vstack([one.total[:, :8] for one in live]), axis=0) < 0).sum(axis=0)
    assert [missed[part].min() >= 23 for part in ALL] == [False, True, False, True]
    assert [missed[part].max() <= 2 for part in ALL] == [True, False, True, False]
    assert fell.tolist() == [1, 1, 0, 0, 0, 0, 0, 0]


def test_after_a_promotion_the_new_revision_is_where_stable_was() -> None:
    """A fault of the revision in one zone goes with it to the pods that take stable's place there."""
    one = scenario(service=ZONED, faults=[{"kind": "error_step", "zone": "west", "share": "30%"}])
    world = shifted(one, minutes=5)
    world.hand_over(Instant(world.opening + 300))
    conditions = world.conditions(np.full(world.width, 400.0), at=world.opening + 400)
    assert world.topology.slots.zones[8:].tolist() == ["east", "east", "east", "west"]
    assert conditions.errors[8:].tolist() == pytest.approx([0.005, 0.005, 0.005, 0.3])


def test_series_of_a_zone_are_named_as_a_real_source_names_them() -> None:
    """What was simulated is what runs: same stratum for the same label."""
    one = shipped("S26a")
    world = World(one, Simulation(one, 1).chance)
    (guardrail, _), labels = one.policy.guardrails, one.policy.labels
    (wanted, _) = wanted_of(
        rollout=RolloutId("r"), service="checkout", guardrail=guardrail, labels=labels, everywhere={}
    )
    real = [
        key_of({labels.track: labels.stable, labels.pod: "p", "zone": zone}, wanted, ()) for zone in ("a", "b", "c")
    ]
    simulated = [key for key in series_keys(world, RolloutId("r"), guardrail) if key.track is Track.STABLE]
    assert sorted({key.stratum for key in simulated}) == [key.stratum for key in real if key is not None]
    assert all(sum(key.stratum == f"zone={zone}" for key in simulated) == 6 for zone in "abc")  # 3 pods, 2 series each


def test_without_strata_in_the_policy_zones_are_told_to_nobody() -> None:
    """A label that the policy does not name makes no stratum."""
    one = _without_strata(shipped("S26a"))
    keys = series_keys(World(one, Simulation(one, 1).chance), RolloutId("r"), one.policy.guardrails[0])
    assert {key.stratum for key in keys} == {""}


def test_region_skew_is_promoted_within_strata_and_never_without() -> None:
    """S11: as a sum over regions the canary is half as slow again, and regions look like pods that differ."""
    one = shipped("S11")
    assert run(one, 1).verdict is Verdict.PROMOTE
    summed = run(_without_strata(one), 1)
    assert summed.verdict in {Verdict.HOLD, Verdict.ROLLBACK}
    assert "'latency'" in summed.seen[-1].reason


@pytest.mark.parametrize("seed", [1, 2])
def test_one_zone_that_only_the_canary_fails_in_is_found_by_the_comparison(seed: int) -> None:
    """S26 a: before the average breaks any objective for its minute."""
    played = run(shipped("S26a"), seed)
    assert played.verdict is Verdict.ROLLBACK
    assert played.decided_at < 60
    (back,) = [seen for seen in played.seen if seen.event == "rollback"]
    assert back.guardrail == "errors"
    assert "fails more than the margin" in back.reason


@pytest.mark.parametrize("name", ["S26b", "S26c"])
def test_one_zone_that_fails_for_both_holds_and_pages_as_a_shared_incident(name: str) -> None:
    """The objective is broken on stable as well, c: in the canary's mix; the first weight stays after its 5 min."""
    played, holds = _holds(shipped(name), 1)
    assert played.verdict is Verdict.HOLD
    assert r.Hold.SHARED_INCIDENT in holds
    assert played.count(Happening.ROLLBACK) == 0
    assert played.count(Happening.ADVANCED) == 1
    assert played.count(Happening.PAGED, before=240) == 1


def test_a_healthy_release_in_the_same_zones_goes_on(tmp_path: Path) -> None:
    """What holds S26 b is the incident: without it the second step begins when the first is over."""
    text = (LIBRARY / "S26b_shared_zone.yaml").read_text(encoding="utf-8")
    fault = "  faults:\n    - {kind: error_step, on: both, zone: b, share: 9%}\n"
    assert fault in text
    file = tmp_path / "calm.yaml"
    file.write_text(text.replace(fault, ""), encoding="utf-8")
    played = run(load(file), 1)
    assert played.count(Happening.ADVANCED) == 2
    assert played.count(Happening.HELD) == 0


def test_the_bound_knows_what_the_zone_of_a_request_tells() -> None:
    """S26 a: only requests of zone b tell the tracks apart, a third of 200/s at weight 10 %."""
    mixed = 0.1 * 0.09 + 0.9 * 0.005

    def kl(p: float, q: float) -> float:
        return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))

    information = 200 / 3 * (0.1 * kl(0.09, mixed) + 0.9 * kl(0.005, mixed))
    assert bound(shipped("S26a")) == pytest.approx(math.log(100) / information, rel=1e-6)


def test_a_zone_without_stable_tells_nothing() -> None:
    """Where one track does not serve there is nothing to compare with, however bad it is there."""
    alone = [{"name": "a", "stable": 4, "canary": 1}, {"name": "b", "canary": 1}]
    truth = {"verdict": "rollback", "within": "60s"}
    fault = {"kind": "error_step", "share": "50%", "zone": "b"}
    one = scenario(service={**SERVICE, "zones": alone}, faults=[fault], truth=truth)
    assert bound(one) == math.inf


@pytest.mark.parametrize(
    ("old", "new", "what", "remedy"),
    [
        ("zone: b, share", "zone: bb, share", "no zone 'bb'", "did you mean 'b'"),
        ("name: c, stable: 3", "name: c, stable: 4", "10 pods of stable, `pods` says 9", "{stable: 10}"),
        ("name: c", "name: b", "two zones are named 'b'", "name each once"),
        ("kind: error_step, on: canary,", "kind: no_traffic,", "unknown key 'zone'", ""),
    ],
    ids=["unknown", "count", "twice", "everywhere"],
)
def test_impossible_zones_are_refused(tmp_path: Path, old: str, new: str, what: str, remedy: str) -> None:
    """A fault in a zone that is not there would make every gate look good."""
    error = _refused(tmp_path, old, new)
    assert what in error.what
    assert remedy in error.remedy
    assert error.where.count(":") >= 2


def test_a_policy_that_compares_within_a_label_nobody_has_is_refused(tmp_path: Path) -> None:
    """All would be one stratum, and the scenario would say nothing about it."""
    error = _refused(tmp_path, "strata: [zone]", "strata: [region]")
    assert "no metrics of this service have the label 'region'" in error.what
    assert "compare within `zone`" in error.remedy


def _refused(folder: Path, old: str, new: str) -> ScenarioError:
    text = (LIBRARY / "S26a_one_zone.yaml").read_text(encoding="utf-8")
    assert old in text
    file = folder / "x.yaml"
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load(file)
    return caught.value
