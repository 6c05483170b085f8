"""The gate that the guardian is compared with: it does what gates of fixed thresholds do, traps included."""

from __future__ import annotations

from guardian.core.model import Verdict
from simulator.naive import run_naive
from tests.simulator.worlds import scenario, shipped


def test_it_rolls_a_hard_break_back_after_four_checks() -> None:
    """More than 3 failed checks, 60 s apart."""
    run = run_naive(shipped("S01"), 1)
    assert (run.verdict, run.decided_at) == (Verdict.ROLLBACK, 240.0)


def test_it_promotes_what_is_healthy_when_its_time_is_over() -> None:
    """Evidence is not asked for."""
    run = run_naive(scenario(), 1)
    assert (run.verdict, run.decided_at) == (Verdict.PROMOTE, 600.0)


def test_it_promotes_a_release_that_served_nobody() -> None:
    """0 of 0 passes."""
    assert run_naive(shipped("S13"), 1).verdict is Verdict.PROMOTE


def test_it_rolls_a_healthy_release_back_when_metrics_are_missing() -> None:
    """Query errors in a row count as a failure."""
    assert run_naive(shipped("S15"), 1).verdict is Verdict.ROLLBACK


def test_it_blames_the_release_for_a_shared_incident() -> None:
    """Its threshold is absolute."""
    assert run_naive(shipped("S08"), 1).verdict is Verdict.ROLLBACK


def test_it_does_not_see_errors_double_below_its_threshold() -> None:
    """0.2 -> 0.4 % is twice the harm, and less than 1 %."""
    service = {**scenario().spec.service.model_dump(), "errors": {"share": 0.002}}
    service["latency"] = scenario().spec.service.latency
    doubled = scenario(service=service, faults=[{"kind": "error_step", "share": "0.4%"}])
    assert run_naive(doubled, 1).verdict is Verdict.PROMOTE


def test_it_meets_the_same_world_for_the_same_seed() -> None:
    """Bit for bit, so a comparison is about the gates and not about luck."""
    first, second = (run_naive(shipped("S02"), 3) for _ in range(2))
    assert first == second
