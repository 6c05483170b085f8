"""How samples reach the guardian: late, twice, shard by shard, not at all, and of a pair those of one replica."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guardian.adapters._prometheus import RawSeries
from guardian.adapters.metrics.polled import elected
from guardian.core.looks import Floats, Ints
from guardian.core.model import Weight
from simulator.reception import Reception, Rows, Source
from tests.simulator.test_platform import NEW, TARGET, Stage
from tests.simulator.worlds import refused, scenario, written

ERRORS = 2
"""Series of a pod in the guardrail `errors`: all requests, and those that failed."""


def _told(fault: dict[str, Any], *, until: float, **changed: Any) -> tuple[Stage, dict[float, tuple[Ints, Floats]]]:
    """Play to `until`, asking every 5 s; return by time of the look the series and sample times that were new then.

    Seconds are after the traffic shift, which is at the opening.
    """
    stage = Stage(scenario(faults=[fault], **changed))
    stage.call(stage.platform.start_canary(TARGET, NEW))
    stage.world.serve(Weight(0.5), stage.world.opening)
    guardrail, seen = stage.world.scenario.policy.guardrails[0], set[tuple[int, float]]()
    found: dict[float, tuple[Ints, Floats]] = {}
    while (now := stage.environment.now - stage.world.opening) < until:
        samples = stage.measure(guardrail)
        rows = [(int(key), float(at) - stage.world.opening) for key, at in zip(samples.key, samples.time, strict=True)]
        new = sorted({row for row in rows if row[1] > 0} - seen)
        seen.update(new)
        found[now] = np.array([key for key, _ in new], np.int64), np.array([at for _, at in new])
        stage.later(5.0)
    return stage, found


def _lags(found: dict[float, tuple[Ints, Floats]], *, after: float, before: float) -> Floats:
    """Return how long samples of that time were under way, to the next look."""
    at = np.concatenate([np.full(len(times), look) for look, (_, times) in found.items()])
    times = np.concatenate([times for _, times in found.values()])
    return np.asarray((at - times)[(times > after) & (times < before)])


def test_late_samples_come_later_and_keep_their_time() -> None:
    """A share of the scrapes, each with all its series; before and after it nothing is late."""
    fault = {"kind": "late_samples", "at": "2m", "lasts": "5m", "share": "40%", "by": "30s"}
    _, found = _told(fault, until=540)
    assert _lags(found, after=0, before=119).max() < 16
    assert _lags(found, after=421, before=500).max() < 16
    lags = _lags(found, after=121, before=419)
    assert (lags >= 30).mean() == pytest.approx(0.4, abs=0.12)
    assert ((lags < 16) | (lags >= 30)).all()
    for series, times in found.values():
        whole = np.unique(np.stack((series // ERRORS, times)), axis=1, return_counts=True)[1]
        assert (whole == ERRORS).all()


def test_late_samples_of_one_pod_leave_the_others() -> None:
    """One canary pod's."""
    fault = {"kind": "late_samples", "on": "canary", "pods": 1, "by": "50s"}
    stage, found = _told(fault, until=240)
    first = stage.world.topology.canary.slots.start
    for look, (series, times) in found.items():
        late = look - times > 49
        assert ((series // ERRORS == first) == late).all()


def test_samples_that_come_twice_are_the_same_sample() -> None:
    """Both copies are in the answer, series, time and value alike."""
    stage = Stage(scenario(faults=[{"kind": "doubled_samples", "by": "20s"}]))
    stage.call(stage.platform.start_canary(TARGET, NEW))
    stage.world.serve(Weight(0.5), stage.world.opening)
    stage.later(300)
    samples = stage.measure(stage.world.scenario.policy.guardrails[0], since=stage.world.opening)
    rows, copies = np.unique(np.stack((samples.key, samples.time, samples.value)), axis=1, return_counts=True)
    old = rows[1] < stage.environment.now - 21
    assert (copies[old] == 2).all()
    assert (copies[~old] == 1).any()


def test_shards_bring_the_series_of_a_scrape_at_several_times_each_in_order() -> None:
    """Remote write keeps the order of a series, not that among series."""
    _, found = _told({"kind": "slow_shards", "shards": 4, "sends": "20s"}, until=400)
    looks = {(int(key), at): look for look, (keys, times) in found.items() for key, at in zip(keys, times, strict=True)}
    torn = [looks[key, at] != looks[key + 1, at] for key, at in looks if key % ERRORS == 0 and (key + 1, at) in looks]
    assert np.mean(torn) > 0.5
    assert _lags(found, after=0, before=370).max() <= 20 + 16
    for series in {key for key, _ in looks}:
        mine = [look for (key, _), look in sorted(looks.items()) if key == series]
        assert mine == sorted(mine)


def test_what_was_not_delivered_comes_at_once_with_its_times() -> None:
    """The source went on scraping: nothing is missing afterwards."""
    _, found = _told({"kind": "delivery_stops", "at": "1m", "lasts": "3m"}, until=300)
    assert not any(len(times) for look, (_, times) in found.items() if 65 < look < 240)
    series, times = found[240.0]
    assert len(times) >= len(set(series.tolist())) * 17
    steps = [np.diff(times[series == one]) for one in set(series.tolist())]
    assert max(step.max() for step in steps) < 10.2


def test_a_prometheus_that_is_down_leaves_a_gap_for_good() -> None:
    """Nobody scraped: counters go on where they are, and their next samples cover the time."""
    _, found = _told({"kind": "prometheus_down", "at": "1m", "lasts": "3m"}, until=330)
    times = np.concatenate([times for _, times in found.values()])
    assert not ((times >= 60) & (times < 240)).any()
    assert (times > 240).any()


def _gaps(source: Source) -> tuple[Floats, Floats]:
    """Return sample times of one series around the fall of replica 1 and steps."""
    fault = {"kind": "prometheus_down", "replica": 1, "at": "1m", "lasts": "3m"}
    stage, _ = _told(fault, until=420, scrape={"replicas": 2, "source": source})
    samples = stage.measure(stage.world.scenario.policy.guardrails[0])
    times = np.sort(samples.time[samples.key == 0]) - stage.world.opening
    assert len(set(times.tolist())) == len(times)
    return times, np.diff(times)


def test_of_a_pair_that_writes_the_other_counts_after_half_a_minute_and_from_then_on() -> None:
    """Its samples lie between those of the first; what it wrote before it counted was not kept."""
    times, steps = _gaps(Source.STREAMED)
    assert np.sort(steps)[-1] > 30
    assert np.sort(steps)[:-1].max() < 16
    phase = times % 10
    before, after = phase[times < 60], phase[times > 110]
    assert np.ptp(after) < 0.3  # the other one stays, though the first is back
    assert abs(abs(np.median(after) - np.median(before)) - 5) < 0.3


def test_of_a_pair_that_is_asked_the_first_counts_wherever_it_is_fresh() -> None:
    """An answer has one replica's samples only, now as before the fall."""
    times, steps = _gaps(Source.POLLED)
    phase = times % 10
    assert np.ptp(phase) < 0.3
    assert steps.max() > 170  # of the one that was down and is asked again


@pytest.mark.parametrize("seed", range(5))
def test_the_election_of_an_answer_is_that_of_the_polled_source(seed: int) -> None:
    """Series by series, whatever each replica has."""
    chance = np.random.default_rng(seed)
    rows = 60
    key, replica = chance.integers(0, 4, rows), chance.integers(0, 2, rows)
    time = np.round(chance.uniform(0, 100, rows), 3) - 40.0 * (replica == chance.integers(0, 2))
    reception = Reception(source=Source.POLLED, replicas=2)
    counts = reception.answer(key, time, replica)
    for one in range(4):
        series = [
            (name, RawSeries(metric=b"", time=np.sort(time[mine]), value=np.zeros(mine.sum())))
            for number, name in enumerate("ab")
            if (mine := (key == one) & (replica == number)).any()
        ]
        assert sorted(time[(key == one) & counts]) == elected(series).time.tolist()


def test_a_replica_that_comes_late_does_not_count_again() -> None:
    """What it could not send for a minute comes at once; the other one was heard meanwhile."""
    reception = Reception(source=Source.STREAMED, replicas=2)
    at = np.arange(0.0, 100.0, 5.0)
    replica = (at / 5).astype(np.int64) % 2
    arrival = np.where((replica == 0) & (at >= 20) & (at < 80), 80.0, at)
    none = np.zeros(len(at), dtype=np.int64)
    reception.send(Rows(key=none, time=at, value=at, replica=replica, arrival=arrival))
    came = reception.receive(100.0)
    assert came.time.tolist() == [0.0, 10.0, *np.arange(45.0, 100.0, 10.0).tolist()]


@pytest.mark.parametrize(
    ("spec", "what", "remedy"),
    [
        ("{faults: [{kind: prometheus_down, replica: 2}]}", "replica 2 of Prometheus is down", "replicas: 2"),
        ("{faults: [{kind: late_samples}]}", "'by' is missing", "add 'by:'"),
        ("{faults: [{kind: late_samples, by: 0s}]}", "not allowed", "more than 0"),
        ("{faults: [{kind: late_samples, by: 5s, share: 0%}]}", "not allowed", "more than 0"),
        ("{faults: [{kind: slow_shards, sends: 5s, shards: 1}]}", "1 is not allowed", "at least 2"),
        ("{faults: [{kind: late_sample, by: 5s}]}", "'late_sample' is not allowed", "did you mean 'late_samples'"),
        ("{scrape: {replicas: 3}}", "3 is not allowed", "at most 2"),
        ("{scrape: {source: pulled}}", "'pulled' is not allowed", "did you mean 'polled'"),
        ("{scrape: {replicas: 2, jitter: 3s}}", "bring one scrape before the last", "less than 2.5s"),
    ],
)
def test_a_delivery_that_cannot_be_is_refused_at_its_line(tmp_path: Path, spec: str, what: str, remedy: str) -> None:
    """What, where, and what to write."""
    error = refused(written(tmp_path, f"extends: S02\nspec: {spec}\n"))
    assert what in error.what
    assert remedy in error.remedy
    assert "mine.yaml:5:" in error.where
