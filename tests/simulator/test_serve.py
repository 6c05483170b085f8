"""A scenario's service as real HTTP processes: what the world knows is what the pods do."""

from __future__ import annotations

import re

import httpx
import pytest

from guardian.core.model import Track
from simulator.serve import as_served, serving
from simulator.service import Latency
from simulator.testing.run import current_run
from tests.simulator.worlds import SERVICE, scenario

SMALL = {
    **SERVICE,
    "pods": {"stable": 1, "canary": 1},
    "zones": [{"name": "a", "stable": 1}, {"name": "b", "canary": 1}],
    "errors": {"share": "1%"},
    "latency": {
        "body": [{"share": "100%", "median": "1ms", "sigma": 0.2}],
        "tail": {"share": 0, "median": "10ms", "sigma": 0.2},
    },
}
BROKEN = scenario(
    service=SMALL,
    faults=[
        {"kind": "error_step", "at": "60s", "share": "50%"},
        {"kind": "metrics_gap", "at": "120s", "lasts": "60s", "on": "canary"},
        {"kind": "counter_reset", "at": "200s", "on": "canary"},
        {"kind": "crash_loop", "at": "300s", "period": "60s", "down": "20s"},
    ],
    truth={"verdict": "rollback", "onset": "60s", "within": "60s"},
)


def _total(text: str) -> float:
    return sum(float(value) for value in re.findall(r"^http_requests_total\{.*\} (\S+)$", text, re.MULTILINE))


def test_pods_follow_the_scenario_and_are_scraped_for_real() -> None:
    """Errors begin when they should, metrics vanish and come back, counters fall with the process."""
    with current_run() as run, serving(BROKEN, run=run) as live, httpx.Client(timeout=5.0) as client:
        (canary,), (stable,) = (tuple(live.targets(track)) for track in (Track.CANARY, Track.STABLE))
        live.follow(30.0)
        before = [client.get(f"http://{canary}/").status_code for _ in range(100)]
        live.follow(90.0)
        after = [client.get(f"http://{canary}/").status_code for _ in range(100)]
        assert before.count(500) < 10
        assert after.count(500) > 30
        assert _total(client.get(f"http://{canary}/metrics").text) == 200
        for pod, zone in ((stable, "a"), (canary, "b")):
            assert f'zone="{zone}"' in client.get(f"http://{pod}/metrics").text
        live.follow(150.0)
        assert client.get(f"http://{canary}/metrics").status_code == 503
        assert client.get(f"http://{stable}/metrics").status_code == 200
        live.follow(210.0)
        assert _total(client.get(f"http://{canary}/metrics").text) == 0
        for at, answers in (
            (310.0, 503),
            (350.0, 200),
            (365.0, 503),
            (390.0, 200),
        ):  # gone, and back without being ready
            live.follow(at)
            assert client.get(f"http://{canary}/metrics").status_code == answers
        assert client.get(f"http://{canary}/").status_code == 500


def test_several_humps_are_served_as_one_with_the_same_mean_and_spread() -> None:
    """A pod draws from one log-normal and a tail; mean and variance of the logarithm are kept."""
    body = [{"share": "50%", "median": "10ms", "sigma": 0.1}, {"share": "50%", "median": "40ms", "sigma": 0.1}]
    tail = {"share": "1%", "median": "2s", "sigma": 0.1}
    served = as_served(Latency.model_validate({"body": body, "tail": tail}), slow=2.0, tail=0.03)
    assert served.median == pytest.approx(0.04)
    assert served.sigma == pytest.approx(0.7, abs=0.01)
    assert served.tail_share == 0.03
    assert served.median * served.tail_factor == pytest.approx(4.0, rel=0.01)
