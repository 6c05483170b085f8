"""Where requests meet nothing, flow and request grain are one world: what scrapers read has the same distribution.

Both are played with fixed seeds; a right simulator fails one of these comparisons in at most LEVEL of all seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from simulator.chance import Chance
from simulator.request.language import Grain
from simulator.request.world import RequestWorld
from simulator.world import World
from tests.simulator.worlds import SERVICE, scenario, shifted

LEVEL = 1e-4
LATENCY = {
    "body": [{"share": "90%", "median": "80ms", "sigma": 0.5}, {"share": "10%", "median": "300ms", "sigma": 0.4}],
    "tail": {"share": "2%", "median": "2.5s", "sigma": 0.2},
    "spread": 0.1,
}
BUSY: dict[str, Any] = {
    "service": {**SERVICE, "errors": {"share": "2%", "spread": 0.2}, "latency": LATENCY},
    "traffic": {"kind": "steady", "rate": 120},
    "history": "20m",
}
PER_SCRAPE = tuple[np.ndarray, np.ndarray, np.ndarray]


def _counted(world: World) -> PER_SCRAPE:
    """Return requests, failures and buckets of each scrape of stable's pods; shape (scrapes, pods[, buckets])."""
    stable = world.topology.stable.slots
    total, bad, buckets = (
        np.concatenate([getattr(one, name) for one in world.rounds])[:, stable] for name in ("total", "bad", "buckets")
    )
    return np.diff(total, axis=0), np.diff(bad, axis=0), np.diff(buckets, axis=0)


def _both(seed: int, **changed: Any) -> tuple[PER_SCRAPE, PER_SCRAPE]:
    """Return what is counted in flow grain and in request grain, from chance of their own but with the same pods."""
    asked = scenario(**{**BUSY, **changed})
    return _counted(World(asked, Chance(seed))), _counted(RequestWorld(asked.played(Grain.REQUEST), Chance(seed)))


@pytest.mark.parametrize("seed", [1, 2])
def test_requests_of_a_scrape_have_one_distribution(seed: int) -> None:
    """Kolmogorov and Smirnov's comparison of all scrapes; variance over mean is the 1 of independent arrivals."""
    flow, request = (counted[0] for counted in _both(seed))
    assert flow.shape == request.shape
    assert stats.ks_2samp(flow.ravel(), request.ravel()).pvalue > LEVEL
    for counts in (flow, request):
        spread = (counts.var(axis=0, ddof=1) / counts.mean(axis=0)).sum() * (len(counts) - 1)
        assert LEVEL < stats.chi2.cdf(spread, (len(counts) - 1) * counts.shape[1]) < 1 - LEVEL


@pytest.mark.parametrize("seed", [1, 2])
def test_as_many_requests_fail_on_each_pod(seed: int) -> None:
    """Pods are born with chances of their own, the same in both grains: Fisher's exact test, pod by pod."""
    flow, request = (np.stack([bad.sum(axis=0), (total - bad).sum(axis=0)]) for total, bad, _ in _both(seed))
    for pod in range(flow.shape[1]):
        assert stats.fisher_exact([flow[:, pod], request[:, pod]]).pvalue > LEVEL / flow.shape[1]


@pytest.mark.parametrize("seed", [1, 2])
def test_latencies_fall_into_the_same_buckets(seed: int) -> None:
    """Two humps, a tail and pods of other speeds: the chi-square test of each pod's histogram."""
    flow, request = (buckets.sum(axis=0) for _, _, buckets in _both(seed))
    for one, other in zip(flow, request, strict=True):
        table = np.stack([one, other])[:, one + other >= 20]
        assert stats.chi2_contingency(table).pvalue > LEVEL / len(flow)


def test_bad_minutes_are_as_bad() -> None:
    """A rate that wobbles: over seeds, log of variance over mean, and correlation from scrape to scrape."""
    noisy = {"traffic": {"kind": "steady", "rate": 15, "noise": {"sd": 0.5, "memory": 0.9}}}
    shapes = np.array([[_shape(counted[0]) for counted in _both(seed, **noisy)] for seed in range(1, 13)])
    flow, request = shapes[:, 0], shapes[:, 1]
    assert np.exp(flow[:, 0]).mean() > 3  # of independent arrivals it is 1
    assert (stats.ttest_rel(flow, request, axis=0).pvalue > LEVEL).all()
    assert np.abs(flow - request).mean(axis=0) == pytest.approx([0, 0], abs=0.15)


def _shape(total: np.ndarray) -> tuple[float, float]:
    """Return log of variance over mean, and correlation of neighbours, of one pod's requests a scrape."""
    pod = total[:, 0]
    return float(np.log(pod.var(ddof=1) / pod.mean())), float(np.corrcoef(pod[:-1], pod[1:])[0, 1])


def test_faults_weights_and_restarts_do_the_same() -> None:
    """A canary that fails and is slow, some of the traffic, and a restart in place: what users and scrapers meet."""
    faults: list[dict[str, Any]] = [
        {"kind": "error_step", "at": "125s", "share": "10%"},
        {"kind": "latency_shift", "at": "2m", "factor": 2},
        {"kind": "tail_share", "share": "20%", "on": "stable"},
        {"kind": "counter_reset", "at": "4m", "pods": 1, "on": "stable"},
        {"kind": "metrics_gap", "at": "6m", "lasts": "1m"},
    ]
    asked = scenario(faults=faults, traffic={"kind": "steady", "rate": 100})
    flow = shifted(asked, weight=0.3, seed=3)
    request = shifted(asked.played(Grain.REQUEST), weight=0.3, seed=3)
    assert isinstance(request, RequestWorld)
    told = [[one.harm.bad, one.harm.fresh_bad, one.harm.slow] for one in (flow, request)]
    all_ = [[one.harm.total, one.harm.fresh_total, one.harm.total] for one in (flow, request)]
    for bad, of in zip(np.transpose(told), np.transpose(all_), strict=True):
        assert stats.fisher_exact([bad, of - bad]).pvalue > LEVEL
    assert abs(flow.harm.total - request.harm.total) < 5 * np.sqrt(flow.harm.total + request.harm.total)
    seen = [sum(int(one.seen[:, :6].sum()) for one in world.rounds) for world in (flow, request)]
    assert seen[0] == pytest.approx(seen[1], abs=6)
    falls = [
        (np.diff(np.concatenate([one.total for one in w.rounds]), axis=0) < 0).sum(axis=0) for w in (flow, request)
    ]
    assert falls[0].tolist() == falls[1].tolist() == [1, 0, 0, 0, 0, 0]
