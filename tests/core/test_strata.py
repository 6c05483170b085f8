"""Like compared with like: a canary that gets another mix of requests is no worse for it, and no better."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace

from guardian.config.comparison import RATIO
from guardian.core.fleet import STRATA, Fleet
from guardian.core.looks import Look, Observed, Part, SeriesKey
from guardian.core.model import Instant, RolloutId, Track
from guardian.core.policy import Policy
from tests.builders import ERRORS, policy

R = RolloutId("r")
STEP, BEGAN, END = 10.0, 1800.0, 3000.0
ZONES = {"zone=a": 0.002, "zone=b": 0.02}
"""Error share of each."""
MIXES = {Track.CANARY: {"zone=a": 40.0, "zone=b": 160.0}, Track.STABLE: {"zone=a": 1440.0, "zone=b": 360.0}}
"""Requests in ten seconds."""
PODS = {Track.CANARY: 2, Track.STABLE: 4}


def rules(*labels: str) -> Policy:
    """A policy of one ratio that names these labels."""
    errors = replace(ERRORS, compare=replace(ERRORS.compare or RATIO, strata=labels))
    return replace(policy(), guardrails=(errors,))


class Service:
    """A fleet that watches one service with two zones; spread: every pod serves both."""

    def __init__(self, *, named: bool = True, spread: bool = False, worse: float = 1.0, seed: int = 1) -> None:
        self.policy = rules(*("zone",) * named)
        self.fleet = Fleet()
        self.fleet.open(R, self.policy)
        self._named, self._spread, self._worse = named, spread, worse
        self._random = np.random.default_rng(seed)
        self._sums: dict[tuple[Track, str, int], list[float]] = {}

    def scrape(self, time: float) -> None:
        """What all pods show at one time."""
        keys, values = [], []
        for track, count in PODS.items():
            if track is Track.CANARY and time < BEGAN:
                continue
            for zone, share in ZONES.items():
                for pod in range(count):
                    sums = self._sums.setdefault((track, zone, pod), [0.0, 0.0])
                    asked = self._random.poisson(MIXES[track][zone] / count)
                    sums[0] += asked
                    sums[1] += self._random.binomial(asked, share * (self._worse if track is Track.CANARY else 1.0))
                    name = f"p{pod}" if self._spread else f"{zone[-1]}{pod}"
                    stratum = zone if self._named else ""
                    for part, value in zip((Part.TOTAL, Part.BAD), sums, strict=True):
                        keys.append(
                            SeriesKey(
                                rollout=R, guardrail="errors", track=track, pod=name, part=part, stratum=stratum,
                                labels=zone,
                            )
                        )  # fmt: skip
                        values.append(value)
        series = np.array([self.fleet.series(key) for key in keys])
        self.fleet.observe(Observed(series=series, time=np.full(len(keys), time), value=np.array(values)))

    def until(self, end: float, *, restarts: bool = False) -> Look:
        """How the rollout stands after all scrapes up to `end`."""
        for time in np.arange(0.0, end + 1.0, STEP).tolist():
            self.scrape(time)
            self.fleet.settle()
            if restarts and time % 300.0 == 0.0:
                again = Fleet()
                again.restore(R, self.policy, self.fleet.checkpoint(R))
                self.fleet = again
        return self.fleet.look([R], now=Instant(end))[R]


@pytest.mark.parametrize("spread", [False, True])
def test_another_mix_is_no_harm_and_can_be_promoted(*, spread: bool) -> None:
    """Sums over both zones say six times as many errors; within each zone there is nothing."""
    at = Service(spread=spread).until(END)
    errors = at.of("errors")
    assert (errors.canary.level or 0.0) > 2.0 * (errors.stable.level or 1.0)
    assert at.log_harm < math.log(10.0)
    assert at.log_safe > math.log(20.0)


def test_without_the_label_the_mix_speaks_against_the_canary() -> None:
    """Pods that serve both zones: nothing tells their requests apart."""
    at = Service(named=False, spread=True).until(END)
    assert at.log_harm > math.log(100.0)


@pytest.mark.parametrize("spread", [False, True])
def test_what_is_worse_in_its_zones_is_found(*, spread: bool) -> None:
    """Three times the errors, whatever the mix."""
    at = Service(spread=spread, worse=3.0).until(END)
    assert at.log_harm > math.log(100.0)
    assert not at.log_safe > 0.0


def test_a_pod_in_several_strata_is_one_pod() -> None:
    """Of two canary pods and four stable ones, and one word in the evidence for how much a pod differs."""
    service = Service(spread=True)
    errors = service.until(BEGAN + 300.0).of("errors")
    assert (errors.canary.pods, errors.stable.pods) == (2, 4)
    sheet = service.fleet.opened[R].sheets["errors"]
    contest = service.fleet.roster.contests[sheet.contest]
    assert list(sheet.strata) == ["zone=a", "zone=b"]
    assert len({int(contest.members["whole"][pod.member]) for pod in sheet.pods.values()}) == 6


@pytest.mark.parametrize("spread", [False, True])
def test_a_restart_goes_on_in_each_stratum(*, spread: bool) -> None:
    """Baseline and pods of every stratum come back."""
    assert Service(spread=spread, worse=1.5).until(BEGAN + 600.0, restarts=True) == Service(
        spread=spread, worse=1.5
    ).until(BEGAN + 600.0)


def test_a_closed_rollout_leaves_no_stratum_behind() -> None:
    """Its rows are used again, and a panel without strata is a plain one."""
    service = Service()
    service.until(BEGAN)
    sheet = service.fleet.opened[R].sheets["errors"]
    panel = service.fleet.roster.contests[sheet.contest].panel
    assert len(panel.strata.of(np.array([sheet.cell])).strata) == 2
    service.fleet.close(R)
    assert panel.strata.plain
    assert not panel.strata.rows["memory"].any()


def test_too_many_strata_share_the_last_one() -> None:
    """An endpoint label with an id in it must not fill the memory."""
    fleet = Fleet()
    fleet.open(R, rules("endpoint"))
    for number in range(3 * STRATA):
        fleet.series(
            SeriesKey(
                rollout=R,
                guardrail="errors",
                track=Track.STABLE,
                pod="p",
                part=Part.TOTAL,
                stratum=f"endpoint={number}",
            )
        )
    strata = fleet.opened[R].sheets["errors"].strata
    assert len(strata) == STRATA + 1
    assert list(strata)[-1] == "others"
