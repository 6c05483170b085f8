"""Made-up history has the form and the numbers that real pods would have left."""

from __future__ import annotations

import io

import numpy as np

from simulator.testing.history import PodHistory, Series, pod_history, write_openmetrics
from simulator.testing.pods.behaviour import Behaviour, Identity, Latency

PAST = PodHistory(
    identity=Identity(pod="s-0"),
    instance="127.0.0.1:1",
    rate=50.0,
    behaviour=Behaviour(error_ratio=0.1, latency=Latency(median=0.02, sigma=0.3, tail_share=0.05, tail_factor=20.0)),
)


def by_name(series: list[Series], name: str, **labels: str) -> Series:
    """The one series of that name and those labels."""
    [found] = [one for one in series if one.name == name and labels.items() <= one.labels.items()]
    return found


def test_counters_only_rise_and_agree_with_each_other() -> None:
    """Every request is in one status, in the +Inf bucket and in the count."""
    series = pod_history(PAST, end=1_000_000.0, seconds=600.0)
    assert all(np.all(np.diff(one.values) >= 0) for one in series)
    count = by_name(series, "http_request_duration_seconds_count").values
    good, bad = (by_name(series, "http_requests_total", status=status).values for status in ("200", "500"))
    assert np.array_equal(good + bad, count)
    assert np.array_equal(by_name(series, "http_request_duration_seconds_bucket", le="+Inf").values, count)
    assert abs(bad[-1] / count[-1] - 0.1) < 0.01, "30,000 requests: deviation 0.0017"


def test_the_tail_is_where_it_was_put() -> None:
    """5 % take twenty times the median of 20 ms: above 0.1 s, while the body stays below."""
    series = pod_history(PAST, end=1_000_000.0, seconds=600.0)
    fast = by_name(series, "http_request_duration_seconds_bucket", le="0.1").values[-1]
    count = by_name(series, "http_request_duration_seconds_count").values[-1]
    assert 0.04 < 1 - fast / count < 0.06


def test_samples_end_at_the_end_and_the_seed_decides() -> None:
    """A test that fails can be repeated."""
    first, second = (pod_history(PAST, end=1_000.0, seconds=60.0, seed=5) for _ in range(2))
    other = pod_history(PAST, end=1_000.0, seconds=60.0, seed=6)
    assert first[0].times.tolist() == [*map(float, range(941, 1001))]
    assert np.array_equal(first[0].values, second[0].values)
    assert not np.array_equal(first[0].values, other[0].values)


def test_openmetrics_has_seconds_escaped_labels_and_no_sample_for_nan() -> None:
    """NaN says that no scrape was made: a gap, not a value."""
    series = Series(
        name="x_total",
        labels={"a": 'quote" \\ \n'},
        times=np.array([1.0, 2.0, 3.5]),
        values=np.array([1.0, np.nan, 2.0]),
    )
    text = io.StringIO()
    write_openmetrics([series], text)
    assert text.getvalue() == (
        'x_total{a="quote\\" \\\\ \\n"} 1.0 1.000\nx_total{a="quote\\" \\\\ \\n"} 2.0 3.500\n# EOF\n'
    )
