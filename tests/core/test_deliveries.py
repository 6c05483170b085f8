"""However samples are delivered, counts and verdict are the same; what cannot be used is never a verdict."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guardian.core.fleet import Fleet
from guardian.core.looks import Look, Part, SeriesKey
from guardian.core.model import Track
from guardian.core.series import STALE_MARKER
from tests.core.pods import BEGAN, POLICY, STEP, R, Sample, key, look, observe, opened, scrapes, tick_by_tick

ROLLBACK, PROMOTE = math.log(100.0), math.log(20.0)
STORIES: dict[str, dict[str, Any]] = {"healthy": {}, "errors": {"worse": 3.0}, "slower": {"slower": 2.0}}


@functools.cache
def story(name: str) -> tuple[Sample, ...]:
    """Samples of one of the stories; ten minutes of the canary."""
    return tuple(scrapes(lasts=600.0, rate=60.0, **STORIES[name]))


@functools.cache
def at_once(name: str) -> Look:
    """What the story says when it is delivered in one go."""
    fleet = opened()
    observe(fleet, story(name))
    return look(fleet)


def told_in_any_order(name: str, random: np.random.Generator) -> tuple[list[Sample], list[Sample]]:
    """The story with the series of each scrape in any order, and its last scrape by itself."""
    samples = story(name)
    mixed = [
        samples[place]
        for place in np.lexsort((random.random(len(samples)), np.array([sample[1] for sample in samples])))
    ]
    end = samples[-1][1]
    return [sample for sample in mixed if sample[1] < end], [sample for sample in mixed if sample[1] == end]


def counts(at: Look) -> list[float]:
    """Requests and errors of both tracks, of both guardrails."""
    sides = [(each.canary, each.stable) for each in at.guardrails]
    return [number for pair in sides for side in pair for number in (side.requests, side.bad)]


def restarted(fleet: Fleet) -> Fleet:
    """The fleet as the next process has it."""
    again = Fleet()
    again.restore(R, POLICY, fleet.checkpoint(R))
    return again


@settings(max_examples=25)
@given(
    name=st.sampled_from(sorted(STORIES)), cuts=st.lists(st.integers(0, 12_000), max_size=6),
    overlap=st.integers(0, 900), restarts=st.lists(st.booleans(), min_size=7, max_size=7), seed=st.integers(0, 9),
)  # fmt: skip
def test_any_cut_overlap_and_restart_gives_the_same_counts_and_verdict(
    name: str, cuts: list[int], overlap: int, restarts: list[bool], seed: int
) -> None:
    """Cut anywhere, in the middle of a histogram too, repeated in part, in any order, resumed from a checkpoint."""
    random = np.random.default_rng(seed)
    samples, last = told_in_any_order(name, random)
    edges = [0, *sorted(min(cut, len(samples)) for cut in cuts), len(samples)]
    fleet = opened()
    for (begin, end), restart in zip(pairwise(edges), restarts, strict=False):
        piece = samples[max(begin - overlap, 0) : end]
        observe(fleet, [piece[place] for place in random.permutation(len(piece))])
        look(fleet)
        if restart:
            fleet = restarted(fleet)
    observe(fleet, last)  # what a cut left waiting comes with the next scrape
    found, whole = look(fleet), at_once(name)
    assert counts(found) == counts(whole)
    assert (found.log_harm >= ROLLBACK, found.worst if name != "healthy" else "") == (
        name != "healthy",
        {"healthy": "", "errors": "errors", "slower": "latency"}[name],
    )
    assert (whole.log_harm >= ROLLBACK) == (name != "healthy")


def test_what_a_look_took_of_stable_before_the_canary_was_seen_stays_past() -> None:
    """The row that a look between the two scrapes takes, and no more; nothing of the canary is lost."""
    found = []
    for halfway in (False, True):
        fleet = opened()
        for scrape in range(10):
            busy, at = float(max(scrape - 5, 0)), STEP * scrape
            observe(fleet, [(key(Track.STABLE, 0, Part.TOTAL), at + 1.0, 100.0 * busy)])
            if halfway:
                look(fleet, at + 3.0)
            observe(fleet, [(key(Track.CANARY, 0, Part.TOTAL), at + 6.0, 10.0 * busy)])
            look(fleet, at + 7.0)
        last = look(fleet).of("errors")
        found.append((last.canary.requests, last.stable.requests))
    assert found == [(40.0, 400.0), (40.0, 300.0)]


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("name", sorted(STORIES))
@pytest.mark.parametrize("seed", [1, 2])
def test_series_that_lag_behind_each_other_give_the_same_counts(name: str, seed: int, *, restarts: bool) -> None:
    """Each series of a pod comes by a way of its own, up to two scrapes late, once the canary has traffic."""
    random, samples = np.random.default_rng(seed), story(name)
    of: dict[SeriesKey, list[Sample]] = {}
    for sample in samples:
        of.setdefault(sample[0], []).append(sample)
    fleet, end = opened(), samples[-1][1]
    for now in [*np.arange(BEGAN, end, STEP / 2.0).tolist(), end + 100.0]:
        piece = []
        for mine in of.values():
            seen = now - random.uniform(0.0, 2.4 * STEP) * (BEGAN + 2 * STEP < now < end)
            while mine and mine[0][1] <= seen:
                piece.append(mine.pop(0))
        observe(fleet, piece)
        at = look(fleet, now)
        assert [each.anomalies for each in at.guardrails] == [{}, {}]
        fleet = restarted(fleet) if restarts else fleet
    assert counts(look(fleet)) == counts(at_once(name))


def test_a_series_that_ends_holds_its_pod_up_for_a_moment_only() -> None:
    """A quarter of a minute beyond its usual step; then the others go on, until it is back."""
    fleet, total, bad = opened(), key(Track.STABLE, 0, Part.TOTAL), key(Track.STABLE, 0, Part.BAD)
    requests = []
    for scrape in range(12):
        at = STEP * scrape
        errors = [] if 3 <= scrape < 8 else [(bad, at, float(scrape))]
        observe(fleet, [(total, at, 100.0 * scrape), *errors])
        requests.append(look(fleet).of("errors").stable.last)
    assert requests == [0.0, 10.0, 20.0, 20.0, 20.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0, 110.0]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_series_that_shows_itself_now_and_then_holds_its_pod_up_for_little(*, restarts: bool) -> None:
    """However far apart its last two samples were; a restart makes no difference."""
    fleet, lags = opened(), []
    total, bad = key(Track.STABLE, 0, Part.TOTAL), key(Track.STABLE, 0, Part.BAD)
    for time in np.arange(0.0, 1500.0, STEP).tolist():
        rare = [(replace(bad, labels="599"), time, 1.0)] if time in {100.0, 110.0, 700.0} else []
        observe(fleet, [(total, time, 10.0 * time), (bad, time, time / 10.0), *rare])
        lags.append(time - (look(fleet).of("errors").stable.last or 0.0))
        fleet = restarted(fleet) if restarts else fleet
    assert max(lags) == 60.0 + STEP
    assert lags[-1] == 0.0


@pytest.mark.parametrize("every", [60.0, 110.0])
def test_errors_that_come_late_and_many_at_a_time_all_count(every: float) -> None:
    """Their way is far behind that of the requests: they wait for a row with requests to belong to."""
    samples, fleet = story("errors"), opened()
    errors, requests = ([sample for sample in samples if sample[0].part is part] for part in (Part.BAD, Part.TOTAL))
    times = sorted({sample[1] for sample in samples})
    for time in times[:-1]:
        observe(fleet, [sample for sample in requests if sample[1] == time])
        if time % every == 0.0 or time <= BEGAN + STEP:
            observe(fleet, [sample for sample in errors if sample[1] <= time])
            errors = [sample for sample in errors if sample[1] > time]
        look(fleet)
    observe(fleet, errors)
    look(fleet)
    observe(fleet, [sample for sample in requests if sample[1] == times[-1]])
    found, whole = look(fleet).of("errors"), at_once("errors").of("errors")
    assert found.anomalies == {}
    assert found.canary.bad == whole.canary.bad
    assert look(fleet).log_harm >= ROLLBACK


def test_errors_that_come_too_late_leave_no_promotion() -> None:
    """More than two minutes behind, their rows are lost; what is left has few errors, and the look says how many."""
    samples, fleet = scrapes(lasts=2400.0, rate=60.0, worse=3.0), opened()
    waiting: list[Sample] = []
    for time in sorted({sample[1] for sample in samples}):
        now = [sample for sample in samples if sample[1] == time]
        late = [sample for sample in now if sample[0].part is Part.BAD and sample[0].track is Track.CANARY]
        waiting += late
        observe(fleet, [sample for sample in now if sample not in late])
        if time % 200.0 == 0.0:
            observe(fleet, waiting)
            waiting = []
        look(fleet)
    assert look(fleet).of("errors").refused > 0.2


def test_a_closed_rollout_leaves_no_sample_that_waits() -> None:
    """Its numbers are used again; and a restore does not double what waits."""
    fleet, total, bad = opened(), key(Track.STABLE, 0, Part.TOTAL), key(Track.STABLE, 0, Part.BAD)
    observe(fleet, [(total, 0.0, 1.0), (bad, 0.0, 0.0)])
    look(fleet)
    observe(fleet, [(total, 10.0, 9.0)])
    look(fleet)
    blob = fleet.checkpoint(R)
    for _ in range(3):
        fleet.restore(R, POLICY, fleet.checkpoint(R))
    assert fleet.checkpoint(R) == blob
    assert fleet.table.waiting is not None
    assert len(fleet.table.waiting.series) == 1
    fleet.close(R)
    assert len(fleet.table.waiting.series) == 0


def test_a_series_that_its_source_ends_is_not_waited_for() -> None:
    """Prometheus says so with a marker."""
    fleet, total, bad = opened(), key(Track.STABLE, 0, Part.TOTAL), key(Track.STABLE, 0, Part.BAD)
    marker = float(np.array([STALE_MARKER], dtype=np.int64).view(np.float64)[0])
    for time in (0.0, 10.0, 20.0):
        observe(fleet, [(total, time, 10.0 * time), (bad, time, 0.0)])
        look(fleet)
    observe(fleet, [(total, 30.0, 300.0), (bad, 30.0, marker)])
    assert look(fleet).of("errors").stable.last == 30.0


@settings(max_examples=10)
@given(name=st.sampled_from(sorted(STORIES)), cuts=st.lists(st.integers(0, 240), max_size=5), seed=st.integers(0, 9))
def test_deliveries_of_whole_scrapes_give_the_same_evidence(name: str, cuts: list[int], seed: int) -> None:
    """With a restart after each: to nine digits, for both guardrails and both questions."""
    samples, random = story(name), np.random.default_rng(seed)
    edges = [-1.0, *sorted(cut * STEP for cut in cuts), 1e9]
    fleet = opened()
    for begin, end in pairwise(edges):
        piece = [sample for sample in samples if begin < sample[1] <= end]
        observe(fleet, [piece[place] for place in random.permutation(len(piece))])
        look(fleet)
        fleet = restarted(fleet)
    for one, other in zip(look(fleet).guardrails, at_once(name).guardrails, strict=True):
        assert one.log_harm == pytest.approx(other.log_harm, rel=1e-9, abs=1e-9, nan_ok=True)
        assert one.log_safe == pytest.approx(other.log_safe, rel=1e-9, abs=1e-9, nan_ok=True)


def test_samples_twice_and_samples_of_the_past_count_once() -> None:
    """Duplicate rows, and a time that goes back with other values: the first reading of each time counts."""
    samples = list(story("errors"))
    late = [(series, time, value / 2.0) for series, time, value in samples if time < BEGAN + 300.0]
    fleet = opened()
    observe(fleet, [sample for sample in samples for _ in range(2)])
    look(fleet)
    observe(fleet, late)
    observe(fleet, samples)
    assert counts(look(fleet)) == counts(at_once("errors"))
    assert look(fleet).log_harm == at_once("errors").log_harm


Change = Callable[[list[Sample]], list[Sample]]


def gone(track: Track, *, after: float = math.inf, before: float = -math.inf) -> Change:
    """Without a track's rows after or before a time."""
    return lambda samples: [
        sample for sample in samples if sample[0].track is not track or before <= sample[1] <= after
    ]  # fmt: skip


def changed(value: Callable[[Sample], float], *, part: Part, after: float = BEGAN) -> Change:
    """With other values of the canary's series of one kind after a time."""
    return lambda samples: [
        (s[0], s[1], value(s)) if s[0].track is Track.CANARY and s[0].part is part and s[1] > after else s
        for s in samples
    ]


def renamed(samples: list[Sample]) -> list[Sample]:
    """The canary's processes have other bounds five minutes on."""
    other = {0.1: 0.2, 0.25: 0.4}
    return [
        (key(s[0].track, int(s[0].pod[1:]), Part.BUCKET, other[s[0].le]), s[1], s[2])
        if s[0].le in other and s[0].track is Track.CANARY and s[1] > BEGAN + 300.0
        else s
        for s in samples
    ]


WITHOUT: dict[str, dict[str, Any]] = {
    "no pods at all": {"canary": 0, "stable": 0},
    "no canary pod": {"canary": 0},
    "no stable pod": {"stable": 0},
    "an hour of zeros": {"rate": 0.0, "lasts": 3600.0},
}


@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_nothing_is_no_evidence(name: str) -> None:
    """At no look: neither for a rollback nor for a promotion."""
    for at in tick_by_tick(scrapes(**{"lasts": 300.0, "rate": 60.0} | WITHOUT[name])):
        for each in at.guardrails:
            assert not each.log_harm > 1e-12
            assert not each.log_safe > 1e-12


HEALTHY: dict[str, tuple[dict[str, Any], Change]] = {
    "a canary that vanishes": ({}, gone(Track.CANARY, after=BEGAN + 200.0)),
    "a stable track that vanishes": ({}, gone(Track.STABLE, after=BEGAN + 200.0)),
    "a stable track that appears late": ({}, gone(Track.STABLE, before=BEGAN + 200.0)),
    "a canary that appears late": ({}, gone(Track.CANARY, before=BEGAN + 300.0)),
    "history of two minutes": ({"history": 120.0}, list),
    "no history": ({"history": 0.0}, list),
    "one pod a track": ({"canary": 1, "stable": 1}, list),
    "a million million requests a tick": ({"rate": 60.0}, lambda samples: [(k, t, v * 1e12) for k, t, v in samples]),
    "more bad than requests": ({}, changed(lambda s: s[2] + 1e6 * (s[1] - BEGAN), part=Part.BAD)),
    "not a number": ({}, changed(lambda _: math.nan, part=Part.TOTAL, after=BEGAN + 100.0)),
    "negative": ({}, changed(lambda s: -s[2] - 1.0, part=Part.TOTAL, after=BEGAN + 100.0)),
    "buckets that are not cumulative": ({}, changed(lambda s: s[2] * (s[0].le < 1.0), part=Part.BUCKET)),
    "bounds that change": ({}, renamed),
}


@pytest.mark.parametrize("name", sorted(HEALTHY))
def test_bad_input_on_a_healthy_rollout_is_no_rollback(name: str) -> None:
    """At no look, whatever the rows are; totals stay finite and evidence is a number or NaN, never infinite."""
    shape, change = HEALTHY[name]
    samples = change(scrapes(**{"lasts": 400.0, "rate": 60.0, **shape}))
    for at in tick_by_tick(samples):
        assert not at.log_harm >= ROLLBACK, f"{name} at {at.at}"
        for each in at.guardrails:
            assert not math.isinf(each.log_harm) or each.log_harm < 0
            assert all(map(math.isfinite, (each.canary.requests, each.stable.requests, each.canary.bad)))


@pytest.mark.parametrize("track", [Track.CANARY, Track.STABLE])
def test_a_track_that_vanished_adds_nothing_and_is_told(track: Track) -> None:
    """Its totals stand still, and the look says that the guardrail cannot be compared any more."""
    found = tick_by_tick(gone(track, after=BEGAN + 200.0)(scrapes(lasts=600.0, rate=60.0)))
    settled = [at.guardrails for at in found if at.at >= BEGAN + 400.0]
    assert settled
    for one, after in pairwise(settled):
        for each, later in zip(one, after, strict=True):
            side = "canary" if track is Track.CANARY else "stable"
            assert not later.comparable
            assert getattr(later, side) == getattr(each, side)
            assert later.log_harm < 1.0


@pytest.mark.parametrize(
    ("name", "guardrail"),
    [("more bad than requests", "errors"), ("buckets that are not cumulative", "latency"), ("negative", "errors")],
)
def test_rows_that_cannot_be_are_counted_and_are_no_evidence(name: str, guardrail: str) -> None:
    """The other guardrail goes on; this one has nothing for a promotion, and tells how many rows it refused."""
    shape, change = HEALTHY[name]
    at = tick_by_tick(change(scrapes(**{"lasts": 400.0, "rate": 60.0, **shape})))[-1]
    other = next(each for each in at.guardrails if each.name != guardrail)
    assert sum(at.of(guardrail).anomalies.values()) > 0
    assert not at.of(guardrail).log_safe >= PROMOTE
    assert other.canary.requests > 0


def test_rows_that_are_refused_where_there_are_errors_leave_no_promotion() -> None:
    """An exporter that counts a thousand errors for one: what is left has none, and would promote anything."""
    faulty = changed(lambda s: s[2] * 1000.0, part=Part.BAD)
    at = tick_by_tick(faulty(scrapes(lasts=1200.0, rate=60.0, worse=3.0)))[-1].of("errors")
    assert at.refused > 0.3
    assert at.log_safe > 0.0  # what is left speaks for the canary, which is three times as bad
    assert tick_by_tick(scrapes(lasts=300.0))[-1].of("errors").refused == 0.0


@pytest.mark.parametrize(("every", "apart"), [(20.0, 10.0), (30.0, 10.0), (30.0, 20.0), (60.0, 30.0)])
def test_scrapes_rarer_than_looks_by_turns_give_evidence_all_the_same(every: float, apart: float) -> None:
    """Canary and stable are scraped `apart` from each other: no look has rows of both, and they are compared."""
    samples = [one for one in scrapes(lasts=900.0, worse=3.0, rate=60.0) if one[0].guardrail == "errors"]
    scraped = [one for one in samples if (one[1] - BEGAN) % every == 0.0]
    turns = [(one, at + apart if one.track is Track.CANARY else at, value) for one, at, value in scraped]
    found = [
        told[-1].of("errors").log_harm
        for told in (tick_by_tick(scraped), tick_by_tick(sorted(turns, key=lambda one: one[1])))
    ]
    assert found[0] >= ROLLBACK
    assert found[1] >= 0.8 * found[0]


@pytest.mark.parametrize("looks", [0.0, 3.0, 7.0])
def test_it_makes_no_difference_when_looks_come_between_scrapes(looks: float) -> None:
    """Of a canary scraped five seconds after stable, a look may have the one of this scrape and not the other."""
    samples = [(one, at + 5.0 * (one.track is Track.CANARY), value) for one, at, value in story("errors")]
    fleet = opened()
    for end in np.arange(BEGAN - 60.0 + looks, BEGAN + 620.0, STEP):
        observe(fleet, [sample for sample in samples if sample[1] <= end])
        samples = [sample for sample in samples if sample[1] > end]
        look(fleet)
    found = look(fleet).of("errors")
    assert found.log_harm == pytest.approx(at_once("errors").of("errors").log_harm, rel=0.2)
