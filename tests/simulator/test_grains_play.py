"""Verdicts of shipped scenarios, seed by seed: in flow grain as they were, in request grain as their causes lead to."""

from __future__ import annotations

import msgspec
import pytest

from simulator.gates import Naive
from simulator.gates.walk import run_gate
from simulator.library import find, load
from simulator.outcome import compare
from simulator.request.language import Grain
from simulator.run import run
from simulator.scenario import Scenario
from tests.simulator.worlds import scenario


@pytest.mark.parametrize(
    ("name", "verdict", "decided_at", "total", "bad"),
    [
        ("S02", "rollback", 92.2, 200_076, 1_011),
        ("S06", "promote", 652.2, 737_217, 3_886),
        ("S08", "hold", 1200.0, 253_493, 16_075),
        ("S26a", "rollback", 32.2, 200_039, 1_015),
        ("S29", "hold", 1200.0, 506_513, 5_423),
    ],
)
def test_flow_grain_plays_as_before_there_was_another(
    name: str, verdict: str, decided_at: float, total: int, bad: int
) -> None:
    """Recorded before the request grain was added: the same users, the same failures, the same second."""
    played = run(load(find(name)[0]), 1)
    assert (played.verdict.value, played.harm.total, played.harm.bad) == (verdict, total, bad)
    assert played.decided_at == pytest.approx(decided_at, abs=1e-3)


def _shorter(name: str, lasts: float) -> Scenario:
    """Return a shipped scenario in request grain that ends soon after its verdict."""
    whole = load(find(name)[0], grain=Grain.REQUEST)
    return msgspec.structs.replace(whole, spec=whole.spec.model_copy(update={"lasts": lasts}))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("name", "seed", "lasts", "verdict", "decided_at"),
    [
        ("S05", 2, 300.0, "rollback", 92.2),
        ("S06", 2, 700.0, "promote", 602.2),
        ("S07", 2, 120.0, "rollback", 22.2),
        ("S08", 2, 1200.0, "hold", 1200.0),
        ("S33", 4, 900.0, "promote", 762.2),
    ],
)
def test_causes_lead_to_the_right_verdict(name: str, seed: int, lasts: float, verdict: str, decided_at: float) -> None:
    """A leak, a cold cache, hidden retries, a dependency that is down, an autoscaler: a seed of each, to the second."""
    asked = _shorter(name, lasts)
    played = run(asked, seed)
    assert played.verdict.value == verdict
    assert played.decided_at == pytest.approx(decided_at, abs=1e-3)
    assert compare(asked, played).ok


def test_the_same_seed_gives_the_same_run() -> None:
    """Every event, time and count, of the guardian and of the gate beside it; another seed gives another."""
    asked = scenario(
        grain="request",
        request={"workers": 8, "clients": {"timeout": "1s", "retries": 1}},
        faults=[{"kind": "error_step", "share": "20%"}],
        traffic={"kind": "steady", "rate": 30},
        truth={"verdict": "rollback", "within": "1m"},
    ).played(Grain.REQUEST)
    assert run(asked, 3) == run(asked, 3) != run(asked, 4)
    assert run(asked, 3).verdict.value == "rollback"
    assert run_gate(asked, 3, Naive) == run_gate(asked, 3, Naive)
    assert run_gate(asked, 3, Naive).verdict.value == "rollback"
