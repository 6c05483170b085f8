"""Series read on a grid, as a range query gives them: the rows a samples file would have."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from guardian.core.grid import rows_on_grid
from guardian.core.looks import Floats, Part, SeriesKey
from guardian.core.model import RolloutId, Track
from guardian.core.samples import Batch
from tests.core.levels import METRICS, ZERO, Sample, Story

STORY = Story(history=30, lasts=0)
GRID: Floats = np.asarray(ZERO + 10.0 * np.arange(-30, 1), dtype=np.float64)


def read(samples: list[Sample], guardrail: str) -> Batch:
    """Rows of stable's series of a guardrail, at every 10 s."""
    series: dict[SeriesKey, tuple[list[float], list[float]]] = {}
    for key, at, value in samples:
        if key.guardrail == guardrail and key.track is Track.STABLE:
            times, values = series.setdefault(key, ([], []))
            times.append(at)
            values.append(value)
    found = {key: (np.array(times), np.array(values)) for key, (times, values) in series.items()}
    parts = rows_on_grid(found, GRID, start=ZERO, metric=METRICS.index(guardrail), pods={f"p{n}": n for n in range(6)})
    return Batch.in_order(parts)


def told(rows: Batch) -> Floats:
    """Time, length and value of each row, by pod and time."""
    order = np.lexsort((rows.time, rows.pod))
    return np.stack([column[order] for column in (rows.pod, rows.time, rows.seconds, rows.value)], axis=1)


@pytest.mark.parametrize("guardrail", ["memory", "orders"])
def test_levels_and_events_have_the_rows_of_a_file(guardrail: str) -> None:
    """Readings as they are, events since the row before; the first row is a baseline."""
    whole, pods = STORY.batch()
    wanted = whole.rows(np.flatnonzero((whole.metric == METRICS.index(guardrail)) & (whole.track == Track.STABLE.code)))
    wanted = replace(wanted, pod=np.array([int(pods[pod].removeprefix("p")) for pod in wanted.pod]))
    got, expected = told(read(STORY.samples(), guardrail)), told(wanted)
    if guardrail == "orders":
        expected[expected[:, 2] == 0.0, 3] = 0.0  # a baseline counts nothing, whatever a file says
    assert got == pytest.approx(expected)


def test_levels_of_a_pod_are_added_up_and_a_missing_one_is_no_dip() -> None:
    """As in a running rollout: the step that lacks a series of the step before is left out."""
    samples = [sample for sample in STORY.samples() if sample[0].part.level]
    second = [(msgspec.structs.replace(key, labels="b"), at, value) for key, at, value in samples]
    gaps = [sample for sample in second if sample[1] != ZERO - 100.0]
    rows, alone = read([*samples, *gaps], "memory"), read(samples, "memory")
    assert len(rows) == len(alone) - 4
    kept = alone.time != -100.0
    assert told(rows)[:, 3] == pytest.approx(2.0 * told(alone.rows(np.flatnonzero(kept)))[:, 3])


def test_what_a_pod_does_in_two_strata_is_two_lines_of_one_pod() -> None:
    """Each with its own requests and errors; series of one stratum are added up as ever."""
    series, every = {}, np.arange(len(GRID), dtype=np.float64)
    for stratum, labels, requests, bad in (
        ("zone=b", "", 10.0, 2.0),
        ("zone=a", "x", 4.0, 0.0),
        ("zone=a", "y", 5.0, 1.0),
    ):
        for part, each in ((Part.TOTAL, requests), (Part.BAD, bad)):
            key = SeriesKey(
                rollout=RolloutId("r"), guardrail="errors", track=Track.STABLE, pod="p0", part=part, labels=labels,
                stratum=stratum,
            )  # fmt: skip
            series[key] = (GRID, each * every)
    rows = Batch.in_order(rows_on_grid(series, GRID, start=ZERO, metric=0, pods={"p0": 7}))
    counted = rows.rows(np.flatnonzero(rows.seconds > 0))
    found = {
        tuple(row) for row in np.stack((counted.pod, counted.stratum, counted.requests, counted.bad), axis=1).tolist()
    }
    assert found == {(7.0, 1.0, 9.0, 1.0), (7.0, 2.0, 10.0, 2.0)}
    assert len(counted) == 2 * (len(GRID) - 1)


def test_errors_of_a_series_that_comes_into_being_late_count() -> None:
    """Its pod was there before without it, as in a running rollout: what it shows first has happened since."""
    total = SeriesKey(rollout=RolloutId("r"), guardrail="errors", track=Track.STABLE, pod="p0", part=Part.TOTAL)
    late = msgspec.structs.replace(total, part=Part.BAD, labels="503")
    every = np.arange(len(GRID), dtype=np.float64)
    series = {total: (GRID, 100.0 * every), late: (GRID[10:], 20.0 + every[10:] - 10.0)}
    rows = Batch.in_order(rows_on_grid(series, GRID, start=ZERO, metric=0, pods={}))
    assert rows.bad.tolist() == [0.0] * 10 + [20.0] + [1.0] * (len(GRID) - 11)
