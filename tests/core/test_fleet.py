"""The fleet of evidence: exact counts, bad samples, checkpoints, objectives, allocation."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guardian.core.fleet import Fleet
from guardian.core.looks import Allocation, Breach, Look, Observed, Part, SeriesKey
from guardian.core.model import Instant, RolloutId, Track, Weight
from guardian.core.policy import Compare, Margin
from tests.builders import ERRORS, LATENCY, OBJECTIVE, policy

R = RolloutId("r")
BOUNDS = (0.1, 0.5, math.inf)
POLICY = replace(policy(), guardrails=(ERRORS, LATENCY))


def key(track: Track, pod: str, part: Part, le: float = math.nan, guardrail: str = "errors") -> SeriesKey:
    """A series of rollout R."""
    return SeriesKey(rollout=R, guardrail=guardrail, track=track, pod=pod, part=part, le=le)


def opened() -> Fleet:
    """A fleet with R open."""
    fleet = Fleet()
    fleet.open(R, POLICY)
    return fleet


def observe(fleet: Fleet, samples: list[tuple[SeriesKey, float, float]], started: float = math.nan) -> None:
    """Hand over (series, time, value) samples."""
    fleet.observe(
        Observed(
            series=np.array([fleet.series(each[0]) for each in samples]),
            time=np.array([each[1] for each in samples]),
            value=np.array([each[2] for each in samples]),
            started=np.full(len(samples), started),
        )
    )


def look(fleet: Fleet, now: float = 1e4) -> Look:
    """How R stands."""
    return fleet.look([R], now=Instant(now))[R]


def scrapes(
    *, ticks: int, bad: float = 0.005, times_worse: float = 1.0, seed: int = 1, begin: int = 180
) -> list[tuple[SeriesKey, float, float]]:
    """Raw counters of two canary and four stable pods; the canary's begin at tick `begin`."""
    random = np.random.default_rng(seed)
    out = []
    for track, pods in ((Track.CANARY, 2), (Track.STABLE, 4)):
        share = bad * (times_worse if track is Track.CANARY else 1.0)
        for pod in range(pods):
            asked = np.cumsum(random.poisson(300.0, ticks)) + 1000.0
            failed = np.cumsum(random.poisson(300.0 * share, ticks))
            for i in range(begin if track is Track.CANARY else 0, ticks):
                out.append((key(track, f"p{pod}", Part.TOTAL), 10.0 * i, float(asked[i])))
                out.append((key(track, f"p{pod}", Part.BAD), 10.0 * i, float(failed[i])))
    return sorted(out, key=lambda sample: sample[1])


def test_evidence_grows_for_a_worse_canary_only() -> None:
    """The same path as in the daemon: raw counters in, a look out."""
    worse, same = opened(), opened()
    observe(worse, scrapes(ticks=240, times_worse=3.0))
    observe(same, scrapes(ticks=240))
    assert look(worse).log_harm > math.log(100.0)
    assert look(same).log_harm < math.log(10.0)
    assert look(worse).worst == "errors"
    assert look(worse).began == pytest.approx(1800.0, abs=10.0)


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 400), max_size=5), overlap=st.integers(0, 60), seed=st.integers(0, 5))
def test_any_cut_and_overlap_of_deliveries_gives_the_same_counts(cuts: list[int], overlap: int, seed: int) -> None:
    """Watermarks: what was counted is not counted again, and nothing is lost between deliveries."""
    samples = scrapes(ticks=40, begin=10, seed=seed)
    whole, parts = opened(), opened()
    observe(whole, samples)
    edges = [0, *sorted(min(cut, len(samples)) for cut in cuts), len(samples)]
    for begin, end in pairwise(edges):
        piece = samples[max(begin - overlap, 0) : end]
        if piece:
            observe(parts, list(np.random.default_rng(seed).permutation(np.array(piece, dtype=object))))
            look(parts)
    for track in ("canary", "stable"):
        at = [getattr(look(fleet).of("errors"), track) for fleet in (whole, parts)]
        assert (at[0].requests, at[0].bad) == (at[1].requests, at[1].bad)


def test_a_reset_counts_what_the_new_process_shows_and_a_lagging_replica_nothing() -> None:
    """services/exact-counts.md: a fall is a reset only below half; a smaller one is another replica's answer."""
    fleet = opened()
    total = key(Track.CANARY, "p", Part.TOTAL)
    observe(fleet, [(total, float(t), v) for t, v in [(0, 1000.0), (10, 1100.0), (20, 1090.0), (30, 1150.0)]])
    look(fleet)
    observe(fleet, [(total, 40.0, 30.0), (total, 50.0, 60.0)])
    at = look(fleet).of("errors")
    assert at.canary.requests == 100.0 + 50.0 + 30.0 + 30.0
    assert at.anomalies == {"stepped_back": 1}


def test_a_series_that_appears_later_on_a_known_pod_counts_from_zero() -> None:
    """The first error creates the series of errors; what it shows is new."""
    fleet = opened()
    total, bad = (key(Track.CANARY, "p", part) for part in (Part.TOTAL, Part.BAD))
    observe(fleet, [(total, 0.0, 500.0), (total, 10.0, 600.0), (total, 20.0, 700.0), (bad, 20.0, 7.0)])
    assert look(fleet).of("errors").canary.bad == 7.0


def test_a_young_process_counts_from_its_start() -> None:
    """A pod that began after the rollout: its first sample is all its own."""
    fleet = opened()
    observe(fleet, [(key(Track.CANARY, "p", Part.TOTAL), 105.0, 40.0)], started=100.0)
    assert look(fleet).of("errors").canary.requests == 40.0
    assert look(fleet).began == 100.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -5.0])
def test_values_that_cannot_be_are_counted_and_have_no_effect(value: float) -> None:
    """NaN and Inf are data errors, never zero; the next sample covers the gap."""
    fleet = opened()
    total = key(Track.CANARY, "p", Part.TOTAL)
    observe(fleet, [(total, 0.0, 100.0), (total, 10.0, value), (total, 20.0, 130.0)])
    at = look(fleet).of("errors")
    assert at.canary.requests == 30.0
    assert at.anomalies == {"unusable": 1}


def test_a_staleness_marker_is_an_end_and_no_anomaly() -> None:
    """Prometheus ends a series with a NaN of its own."""
    fleet = opened()
    total = key(Track.CANARY, "p", Part.TOTAL)
    marker = float(np.array([0x7FF0000000000002], dtype=np.int64).view(np.float64)[0])
    observe(fleet, [(total, 0.0, 100.0), (total, 10.0, 130.0), (total, 20.0, marker)])
    assert look(fleet).of("errors").anomalies == {}


def test_more_bad_than_requests_and_buckets_that_fall_are_refused() -> None:
    """Impossible counts are counted as anomalies and decide nothing."""
    fleet = opened()
    total, bad = (key(Track.CANARY, "p", part) for part in (Part.TOTAL, Part.BAD))
    samples = [(total, 0.0, 0.0), (bad, 0.0, 0.0)]
    samples += [(total, 10.0, 10.0), (bad, 10.0, 50.0), (total, 20.0, 20.0), (bad, 20.0, 90.0)]
    for le, values in zip(BOUNDS, ((0.0, 9.0, 18.0), (0.0, 5.0, 6.0), (0.0, 10.0, 20.0)), strict=True):
        bucket = key(Track.CANARY, "p", Part.BUCKET, le, "latency")
        samples += [(bucket, 10.0 * i, value) for i, value in enumerate(values)]
    observe(fleet, samples)
    at = look(fleet)
    assert at.of("errors").anomalies == {"inconsistent": 1}
    assert at.of("latency").anomalies == {"inconsistent": 1}
    assert math.isnan(at.log_harm)


def test_nothing_that_comes_in_makes_a_look_raise_or_decides() -> None:
    """Unknown series, no pods, huge counts, time that goes back."""
    fleet = opened()
    total = key(Track.STABLE, "p", Part.TOTAL)
    fleet.observe(Observed(series=np.array([-1, 99999]), time=np.array([0.0, 1.0]), value=np.array([1.0, 2.0])))
    observe(fleet, [(total, 100.0, 1e12), (total, 110.0, 3e12), (total, 50.0, 1.0), (total, 110.0, 9.0)])
    at = look(fleet)
    assert math.isnan(at.log_harm)
    assert at.of("errors").stable.requests == 0.0  # before the canary's first traffic nothing is a total
    assert fleet.look([RolloutId("unknown")], now=Instant(0.0)) == {}


def test_a_checkpoint_restores_bit_for_bit_and_goes_on_alike() -> None:
    """Evidence and watermarks survive a restart: the same bytes, and the same looks afterwards."""
    samples = scrapes(ticks=230, times_worse=2.0)
    first, later = [s for s in samples if s[1] < 2100.0], [s for s in samples if s[1] >= 2000.0]
    fleet = opened()
    observe(fleet, first)
    look(fleet)
    blob = fleet.checkpoint(R)
    again = Fleet()
    again.restore(R, POLICY, blob)
    assert again.checkpoint(R) == blob
    for each in (fleet, again):
        observe(each, later)
    assert look(again) == look(fleet)


def test_a_checkpoint_of_a_newer_guardian_is_refused_and_leaves_nothing_half_restored() -> None:
    """Whoever goes back to the version before must get a daemon that starts, with evidence from now on."""
    fleet = opened()
    observe(fleet, scrapes(ticks=200))
    content = msgspec.msgpack.decode(fleet.checkpoint(R))
    content["rollout"]["of_a_later_version"] = bytes(8)
    again, fresh = Fleet(), opened()
    with pytest.raises(ValueError, match="of_a_later_version"):
        again.restore(R, POLICY, msgspec.msgpack.encode(content))
    assert again.checkpoint(R) == fresh.checkpoint(R)


def test_a_checkpoint_of_another_version_is_refused_with_both_numbers() -> None:
    """Evidence is worked out anew then, from what the metric source still has."""
    content = msgspec.msgpack.decode(opened().checkpoint(R))
    with pytest.raises(ValueError, match=rf"checkpoint of version 1, this guardian reads {content['version']}"):
        Fleet().restore(R, POLICY, msgspec.msgpack.encode(content | {"version": 1}))


def test_restoring_an_open_rollout_keeps_the_numbers_of_its_series() -> None:
    """Sources hold these numbers; an amended policy must not cut them off."""
    fleet = opened()
    observe(fleet, scrapes(ticks=200))
    look(fleet)
    before = {part: fleet.series(key(Track.CANARY, "p0", part)) for part in (Part.TOTAL, Part.BAD)}
    tighter = replace(ERRORS, compare=Compare(rollback=Margin(relative=1.01), promote=Margin(relative=1.5)))
    fleet.restore(R, replace(POLICY, guardrails=(tighter, LATENCY)), fleet.checkpoint(R))
    assert {part: fleet.series(key(Track.CANARY, "p0", part)) for part in before} == before
    assert look(fleet).of("errors").canary.requests > 0.0


def test_a_closed_rollout_leaves_nothing_behind_for_the_next() -> None:
    """Rows are used again: the next rollout must begin as in a new fleet."""
    fleet, fresh = opened(), opened()
    observe(fleet, scrapes(ticks=240, times_worse=5.0))
    look(fleet)
    fleet.close(R)
    assert fleet.series(key(Track.CANARY, "p0", Part.TOTAL)) == -1
    fleet.open(R, POLICY)
    for each in (fleet, fresh):
        observe(each, scrapes(ticks=220, seed=3))
    assert look(fleet).log_harm == pytest.approx(look(fresh).log_harm, rel=1e-9)


def test_one_error_in_24_is_no_breach_and_a_sustained_one_is_critical() -> None:
    """The bound and the duration: CONTRACTS section 5, objective."""
    guarded = replace(POLICY, guardrails=(replace(ERRORS, objective=OBJECTIVE),))
    few, broken = Fleet(), Fleet()
    for fleet, asked, failed in ((few, 24.0, 1.0), (broken, 500.0, 10.0)):
        fleet.open(R, guarded)
        total, bad = (key(Track.CANARY, "p", part) for part in (Part.TOTAL, Part.BAD))
        samples = []
        for i in range(20):
            worse = failed * (i if asked > 100.0 else min(i, 1))
            samples += [(total, 10.0 * i, asked * i), (bad, 10.0 * i, worse)]
        observe(fleet, samples)
    assert look(few).of("errors").breach is Breach.NONE
    assert look(broken).of("errors").breach is Breach.CRITICAL
    assert not look(broken).of("errors").stable_breach


def test_a_share_that_is_not_the_weight_is_skewed() -> None:
    """The sample-ratio test: served differs from accepted."""
    fleet = opened()
    fleet.expect(R, weight=Weight(0.1), now=Instant(0.0))
    observe(fleet, scrapes(ticks=220))
    at = look(fleet)
    assert at.allocation is Allocation.SKEWED  # two of six equal pods serve a third
    assert at.observed is not None
    assert at.observed.share == pytest.approx(1 / 3, abs=0.02)
    fleet.new_step(R, now=Instant(2200.0))
    assert look(fleet).allocation is Allocation.UNKNOWN


def test_a_track_that_comes_back_first_after_a_gap_is_no_skew() -> None:
    """Prometheus was away: stable's first row holds all its requests of the gap while the canary's is still to come."""
    fleet = opened()
    fleet.expect(R, weight=Weight(1 / 3), now=Instant(1790.0))
    samples = scrapes(ticks=240)
    observe(fleet, [sample for sample in samples if sample[1] <= 1900.0])
    assert look(fleet).allocation is Allocation.FITS
    back = [sample for sample in samples if sample[1] >= 2300.0]
    observe(fleet, [sample for sample in back if sample[0].track is Track.STABLE and sample[1] == 2300.0])
    early = look(fleet)
    assert early.observed is not None
    assert early.observed.share < 0.15
    assert early.allocation is Allocation.FITS
    observe(fleet, [sample for sample in back if sample[0].track is Track.CANARY or sample[1] > 2300.0])
    assert look(fleet).allocation is Allocation.FITS


def test_a_pod_that_is_gone_does_not_keep_the_share_from_being_judged() -> None:
    """A pod without rows is waited for, but not for ever."""
    fleet = opened()
    fleet.expect(R, weight=Weight(0.1), now=Instant(0.0))
    samples = scrapes(ticks=220)
    gone = [sample for sample in samples if sample[0].pod != "p3" or sample[1] <= 1850.0]
    observe(fleet, gone)
    assert look(fleet).allocation is Allocation.SKEWED
