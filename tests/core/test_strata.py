"""Like compared with like: a canary that gets another mix of requests is no worse for it, and no better."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from msgspec.structs import replace

from guardian.config.comparison import COUNT
from guardian.core.fleet import Fleet
from guardian.core.gates import promotable
from guardian.core.looks import Look, Observed, Part, SeriesKey
from guardian.core.model import Instant, Seconds, Track
from guardian.core.policy import CountSli, Guardrail, Policy, WarmUp
from guardian.core.rollout import Rollout
from guardian.core.strata import STRATA, Strata
from tests.builders import T0, policy, requested, seen
from tests.core.play import Play
from tests.core.zones import BEGAN, END, PODS, STEP, R, Service, rules


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


Rows = list[tuple[SeriesKey, float]]


def line(track: Track, pod: str, part: Part, stratum: str, guardrail: str = "errors") -> SeriesKey:
    """A series of one pod in one stratum."""
    return SeriesKey(rollout=R, guardrail=guardrail, track=track, pod=pod, part=part, stratum=stratum, labels=stratum)


def give(fleet: Fleet, time: float, rows: Rows) -> None:
    """Have the fleet take one scrape."""
    series = np.array([fleet.series(key) for key, _ in rows])
    value = np.array([value for _, value in rows], dtype=np.float64)
    fleet.observe(Observed(series=series, time=np.full(len(rows), time), value=value))
    fleet.settle()


def stands(fleet: Fleet, now: float = END) -> Look:
    """How R stands."""
    return fleet.look([R], now=Instant(now))[R]


def played(
    serves: Callable[[Track, str, float], float], *, guarded: Policy | None = None,
    strata: tuple[str, ...] = ("a", "b"), pods: dict[Track, int] = PODS, end: float = END, asked: float = 100.0,
    every: float = STEP,
) -> tuple[Fleet, Look]:  # fmt: skip
    """A fleet and how it stands at the end; serves: error share of track, stratum and time, below 0 for no rows."""
    random, fleet = np.random.default_rng(1), Fleet()
    fleet.open(R, guarded or rules("zone"))
    sums: dict[tuple[Track, str, int], list[float]] = {}
    for time in np.arange(0.0, end + 1.0, every).tolist():
        rows: Rows = []
        for track, count in pods.items():
            for name in strata if track is Track.STABLE or time >= BEGAN else ():
                share = serves(track, name, time)
                for pod in range(count) if share >= 0.0 else ():
                    total = sums.setdefault((track, name, pod), [0.0, 0.0])
                    new = random.poisson(asked * every / STEP)
                    total[0] += new
                    total[1] += random.binomial(new, share)
                    parts = zip((Part.TOTAL, Part.BAD), total, strict=True)
                    rows += [(line(track, f"p{pod}", part, name), value) for part, value in parts]
        give(fleet, time, rows)
    return fleet, stands(fleet, end)


def test_a_stratum_that_comes_late_has_a_word_in_the_verdict() -> None:
    """A zone that opens half a minute after the canary has no history; four times the errors there are found."""

    def share(track: Track, zone: str, time: float) -> float:
        if zone == "b" and time < BEGAN + 30.0:
            return -1.0
        return 0.04 if track is Track.CANARY and zone == "b" else 0.01

    at = played(share)[1]
    assert at.log_harm > math.log(100.0)
    assert not at.log_safe > 0.0


def test_what_only_the_canary_serves_promotes_nothing() -> None:
    """Requests that are held against nothing are not shown to be good."""

    def share(track: Track, path: str, _: float) -> float:
        only = {"a": None, "new": Track.CANARY, "old": Track.STABLE}[path]
        return -1.0 if only not in {None, track} else 0.4 if path == "new" else 0.01

    at = played(share, strata=("a", "new", "old"))[1].of("errors")
    assert at.unmatched == pytest.approx(0.5, abs=0.05)
    assert at.log_safe > math.log(20.0)
    look = seen(R, at=Instant(T0 + 1e5), harm=1.0, safe=100.0)
    rollout = judged_in(policy())
    assert promotable(rollout, look)
    unlike = replace(look, guardrails=tuple(replace(one, unmatched=at.unmatched) for one in look.guardrails))
    assert not promotable(rollout, unlike)


def judged_in(rules: Policy) -> Rollout:
    """A rollout under a policy."""
    play = Play(policies=(rules,))
    play.tell(requested())
    return play.rollout


@pytest.mark.parametrize("weight", [0.5, 0.97, 0.99])
def test_a_large_weight_is_no_other_mix(weight: float) -> None:
    """Stable serves little then, and of each kind its part."""
    strata = Strata(1)
    strata.add_cell(0)
    groups = (strata.add(0), strata.of(np.array([0])))[1]
    canary = np.array([100.0, 300.0])
    strata.serve(groups, canary, canary * (1.0 - weight) / weight, seconds=np.array([10.0]))
    assert strata.unmatched(0) == 0.0


def test_a_stratum_that_is_not_compared_is_unmatched() -> None:
    """The canary's own endpoint may come when all strata are taken."""
    fleet = Fleet()
    fleet.open(R, rules("path"))
    paths = [f"/{number}" for number in range(STRATA)]
    for scrape in range(200, 260):
        at = STEP * scrape
        rows: Rows = [(line(Track.STABLE, "s", Part.TOTAL, path), 100.0 * scrape) for path in paths]
        if scrape >= 210:
            rows += [(line(Track.CANARY, "c", Part.TOTAL, path), 10.0 * scrape) for path in paths]
            rows += [(line(Track.CANARY, "c", Part.TOTAL, "/new"), 640.0 * scrape)]
        give(fleet, at, rows)
    assert stands(fleet).of("errors").unmatched == pytest.approx(0.5, abs=0.02)


def test_a_pod_is_one_whatever_stratum_it_shows_first() -> None:
    """Also where its first one is beyond those that are compared."""
    fleet = Fleet()
    fleet.open(R, rules("path"))
    for number in range(STRATA):
        fleet.series(line(Track.STABLE, "s", Part.TOTAL, f"/{number}"))
    for path in ("/new", "/0", "/1"):
        fleet.series(line(Track.CANARY, "c", Part.TOTAL, path))
    sheet = fleet.opened[R].sheets["errors"]
    members = [pod.member for pod in sheet.pods.values() if pod.track is Track.CANARY]
    whole = fleet.roster.contests[sheet.contest].members["whole"]
    assert members[0] == -1
    assert whole[members[1:]].tolist() == [members[1], members[1]]


def test_a_first_scrape_that_was_lost_is_no_appearance() -> None:
    """Counters that are days old do not count from 0 because one scrape of a zone is missing."""
    fleet = Fleet()
    fleet.open(R, rules("zone"))
    for scrape in range(12):
        zones = ("a", "b") if scrape else ("a",)
        give(fleet, STEP * scrape, [(line(Track.STABLE, "p", Part.TOTAL, z), 1e6 + 100.0 * scrape) for z in zones])
    sheet = fleet.opened[R].sheets["errors"]
    memory = fleet.roster.contests[sheet.contest].panel.strata.memory(np.array([sheet.cell]))[0]
    assert memory[1] == pytest.approx(2100.0, rel=0.1)


def test_many_strata_are_no_more_pods() -> None:
    """How much three pods differ is known as well as three pods tell it, in however many strata they serve."""
    many = tuple(f"s{number}" for number in range(12))
    pods = {Track.CANARY: 1, Track.STABLE: 2}
    fleets = [
        played(lambda *_: 0.01, strata=strata, pods=pods, asked=600.0 / len(strata), every=60.0)[0]
        for strata in (many, ("one",))
    ]
    known = []
    for fleet in fleets:
        sheet = fleet.opened[R].sheets["errors"]
        cells = fleet.roster.contests[sheet.contest].panel.noise.cells
        known.append((float(cells["pods"][sheet.cell]), float(cells["posterior"][sheet.cell][0, 0])))
    assert known[0][0] == known[1][0] == 2.0
    assert known[0][1] == pytest.approx(known[1][1], abs=0.1)


def test_a_pod_warms_up_once() -> None:
    """An old pod that begins to serve another zone is no young one there."""
    errors = replace(rules("zone").guardrails[0], warm_up=WarmUp(lasts=Seconds(600.0), factor=10.0))

    def share(track: Track, zone: str, time: float) -> float:
        if track is Track.STABLE:
            return 0.01
        return 0.01 if zone == "a" else 0.04 if time >= BEGAN + 800.0 else -1.0

    at = played(share, guarded=replace(policy(), guardrails=(errors,)), end=BEGAN + 1300.0)[1]
    assert at.log_harm > math.log(100.0)


def test_the_first_events_of_a_new_stratum_count() -> None:
    """The pod was there before; what its new series shows is new."""
    fleet = Fleet()
    fleet.open(R, rules("path"))
    for scrape in range(1, 20):
        rows: Rows = [(line(Track.CANARY, "p", Part.TOTAL, "/"), 100.0 * scrape)]
        for path in range(8, scrape):
            rows += [
                (line(Track.CANARY, "p", part, f"/{path}"), value) for part, value in ((Part.TOTAL, 50), (Part.BAD, 40))
            ]
        give(fleet, STEP * scrape, rows)
    at = stands(fleet).of("errors")
    assert (at.canary.requests, at.canary.bad) == (1800.0 + 11 * 50.0, 11 * 40.0)


def test_events_are_judged_by_the_requests_of_their_pod_in_all_strata() -> None:
    """A count without strata beside a ratio with them."""
    counting = Guardrail(name="logins", sli=CountSli(events="logins_total"), compare=COUNT)
    both = replace(policy(), guardrails=(rules("zone").guardrails[0], counting))
    fleet = Fleet()
    fleet.open(R, both)
    for scrape in range(60):
        rows: Rows = [(line(Track.STABLE, "p", Part.COUNT, "", "logins"), 5.0 * scrape)]
        for zone, rate in (("a", 90.0), ("b", 10.0)):
            rows += [(line(Track.STABLE, "p", Part.TOTAL, zone), rate * scrape)]
        give(fleet, STEP * scrape, rows)
    sheet = fleet.opened[R].sheets["logins"]
    memory = fleet.roster.contests[sheet.contest].panel.strata.memory(np.array([sheet.cell]))[0]
    assert memory[0] == pytest.approx(100.0 * 58, rel=0.05)


def test_too_many_strata_are_not_compared() -> None:
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
    sheet = fleet.opened[R].sheets["errors"]
    assert len(sheet.strata) == STRATA
    assert sum(pod.member >= 0 for pod in sheet.pods.values()) == STRATA


@pytest.mark.parametrize("spread", [False, True])
def test_a_rollout_is_judged_as_if_none_had_been_before(*, spread: bool) -> None:
    """Numbers of pods that are gone come back in another order; no pod may be there twice for it."""
    alone, later = (Service(spread=spread, worse=1.5) for _ in range(2))
    warming = Service(spread=spread, worse=3.0, seed=7)
    warming.until(BEGAN + 300.0)
    warming.fleet.close(R)
    later.fleet = warming.fleet
    later.fleet.open(R, later.policy)
    first, second = alone.until(BEGAN + 600.0), later.until(BEGAN + 600.0)
    assert second.log_harm == pytest.approx(first.log_harm, rel=1e-9)
    assert second.log_safe == pytest.approx(first.log_safe, rel=1e-9)
