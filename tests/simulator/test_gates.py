"""Rules that the guardian is compared with: each does what its source says, traps included."""

from __future__ import annotations

import pytest

from guardian.core.model import Verdict
from simulator.gates import GATES, Argo, Flagger, Kayenta, Naive
from simulator.gates.view import View
from simulator.gates.walk import run_gate
from simulator.grains import worlds_of
from tests.simulator.worlds import scenario, shipped


def test_it_rolls_a_hard_break_back_after_four_checks() -> None:
    """More than 3 failed checks, 60 s apart."""
    run = run_gate(shipped("S01"), 1, Naive)
    assert (run.verdict, run.decided_at) == (Verdict.ROLLBACK, 240.0)


def test_it_promotes_what_is_healthy_when_its_time_is_over() -> None:
    """Evidence is not asked for."""
    run = run_gate(scenario(), 1, Naive)
    assert (run.verdict, run.decided_at) == (Verdict.PROMOTE, 600.0)


def test_it_promotes_a_release_that_served_nobody() -> None:
    """0 of 0 passes."""
    assert run_gate(shipped("S13"), 1, Naive).verdict is Verdict.PROMOTE


def test_it_rolls_a_healthy_release_back_when_metrics_are_missing() -> None:
    """Query errors in a row count as a failure."""
    assert run_gate(shipped("S15"), 1, Naive).verdict is Verdict.ROLLBACK


def test_it_blames_the_release_for_a_shared_incident() -> None:
    """Its threshold is absolute."""
    assert run_gate(shipped("S08"), 1, Naive).verdict is Verdict.ROLLBACK


def test_it_does_not_see_errors_double_below_its_threshold() -> None:
    """0.2 -> 0.4 % is twice the harm, and less than 1 %."""
    service = {**scenario().spec.service.model_dump(), "errors": {"share": 0.002}}
    service["latency"] = scenario().spec.service.latency
    doubled = scenario(service=service, faults=[{"kind": "error_step", "share": "0.4%"}])
    assert run_gate(doubled, 1, Naive).verdict is Verdict.PROMOTE


def test_it_meets_the_same_world_for_the_same_seed() -> None:
    """Bit for bit, so a comparison is about the gates and not about luck."""
    first, second = (run_gate(shipped("S02"), 3, Naive) for _ in range(2))
    assert first == second


def test_argo_aborts_after_five_query_errors_in_a_row_ten_seconds_apart() -> None:
    """Healthy, and its metrics are missing for four minutes."""
    run = run_gate(shipped("S15"), 1, Argo)
    assert (run.verdict, run.seen[0].reason) == (Verdict.ROLLBACK, "consecutive errors")


def test_argo_promotes_doubled_errors_and_sees_no_request_as_a_failure() -> None:
    """95 % is its documented limit; 0 / 0 is not at least that."""
    assert run_gate(shipped("S02"), 1, Argo).verdict is Verdict.PROMOTE
    assert run_gate(shipped("S13"), 1, Argo).seen[0].reason == "success-rate"


def test_a_failed_check_of_flagger_moves_nothing() -> None:
    """Three bad minutes delay the promotion by three minutes, and do not roll back."""
    burst = scenario(faults=[{"kind": "error_step", "share": "30%", "on": "both", "at": "2m", "lasts": "150s"}])
    calm, hit = (run_gate(each, 1, Flagger) for each in (scenario(), burst))
    assert (calm.verdict, calm.decided_at) == (Verdict.PROMOTE, 600.0)
    assert (hit.verdict, hit.decided_at) == (Verdict.PROMOTE, 780.0)


def test_flagger_rolls_back_one_interval_after_its_fifth_failed_check() -> None:
    """It looks at what failed before it checks."""
    broken = scenario(faults=[{"kind": "error_step", "share": "10%"}])
    run = run_gate(broken, 1, Flagger)
    assert (run.verdict, run.decided_at) == (Verdict.ROLLBACK, 360.0)


def test_kayenta_aborts_at_the_end_what_half_of_its_score_speaks_against() -> None:
    """Errors fail and latency passes: 50 is not below 50 at five minutes, and below 75 at the end."""
    assert run_gate(scenario(), 1, Kayenta).verdict is Verdict.PROMOTE
    broken = run_gate(scenario(faults=[{"kind": "error_step", "share": "10%"}]), 1, Kayenta)
    assert (broken.decided_at, broken.seen[0].reason) == (600.0, "score below 75")


@pytest.mark.parametrize("name", GATES)
def test_every_gate_meets_the_same_world_and_decides_the_same_again(name: str) -> None:
    """A fresh gate each time: no state is left from the run before."""
    first, second = (run_gate(shipped("S02"), 5, GATES[name]) for _ in range(2))
    assert first == second


def test_what_is_usual_is_read_off_old_pods_though_control_pods_stand_for_stable_later() -> None:
    """Control pods have no past: without stable's a limit would silently be the documented example's."""
    one = shipped("S37a")
    world = worlds_of(one, 1)[one.place.service]
    assert View(world).usual(300.0).total > 1000
