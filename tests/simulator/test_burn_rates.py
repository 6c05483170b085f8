"""Objectives of which only the burn rate is asked, in whole simulated rollouts that nothing else would decide."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.model import Phase, Ratio
from guardian.core.policy import BurnRate, Policy, Scope, Slo
from guardian.core.records import Record
from tests.simulator.worlds import SERVICE, Whole, policy, scenario

BAD = {"kind": "error_step", "on": "canary"}
SHARED = {"kind": "shared_incident", "at": "1m", "lasts": "10m", "share": "3%"}
TRUTH = {"verdict": "hold", "expect": [{"event": "held", "within": "5m"}]}
KEEPS = {**SERVICE, "errors": {"share": "0.05%", "spread": 0.05}}


def asks(*, scope: Scope = Scope.CANARY, slow: bool = False) -> Policy:
    """A policy with one guardrail that compares nothing and has no threshold."""
    base = policy()
    errors = Slo(target=0.999, breached="below", scope=scope, burn_rate=BurnRate())
    latency = Slo(target=1.0, breached="above", quantile=Ratio(0.98), scope=scope, burn_rate=BurnRate())
    guarded = replace(base.guardrails[slow], compare=None, objective=latency if slow else errors)
    return replace(base, guardrails=(guarded,))


def run(
    seed: int, *faults: dict[str, Any], rule: Policy | None = None, restart: float | None = None, rate: float = 200.0
) -> list[r.OfRollout]:  # fmt: skip
    """What a rollout concluded."""
    made = scenario(
        faults=list(faults), history="40m", truth=TRUTH, lasts="40m", service=KEEPS,
        traffic={"kind": "steady", "rate": rate},
    )  # fmt: skip
    simulation = Whole(replace(made, policy=rule or asks()), seed)
    if restart is not None:
        simulation.restart(restart)
    simulation.play()
    return [record for record in simulation.driver.journal if isinstance(record, r.OfRollout)]


def of(kind: type[Record], records: list[r.OfRollout]) -> list[Any]:
    """The records of that kind."""
    return [record for record in records if isinstance(record, kind)]


@pytest.mark.parametrize("seed", range(3))
def test_a_canary_that_burns_its_budget_goes_back(seed: int) -> None:
    """3 % of its requests fail where 0.1 % may: in the sixth minute, before the weight is raised much further."""
    records = run(seed, {**BAD, "at": "0s", "share": "3%"})
    (ordered,), (ended,) = of(r.RollbackOrdered, records), of(r.Ended, records)
    assert (ordered.why, ordered.guardrail, ended.phase) == (r.Why.OBJECTIVE, "errors", Phase.ROLLED_BACK)
    assert "error budget of 30 days: burn rate" in ordered.reason
    assert 300.0 < ordered.at - records[0].at < 400.0


def test_slow_requests_burn_a_budget_too() -> None:
    """Half of the canary's requests take more than a second, where 2 % may."""
    fault = {"kind": "tail_share", "on": "canary", "at": "0s", "share": "60%"}
    (ordered,) = of(r.RollbackOrdered, run(1, fault, rule=asks(slow=True)))
    assert (ordered.why, ordered.guardrail) == (r.Why.OBJECTIVE, "latency")


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("seed", range(2))
def test_an_incident_of_both_is_held_and_paged_and_over_when_it_is(seed: int, scope: Scope) -> None:
    """The service burns thirty times as fast for ten minutes: the release waits, nothing goes back."""
    records = run(seed, SHARED, rule=asks(scope=scope))
    (held,), (page,) = of(r.Held, records), of(r.Paged, records)
    assert (held.hold, page.key) == (r.Hold.SHARED_INCIDENT, "shared-errors")
    assert not of(r.RollbackOrdered, records)
    (resumed,), (ended,) = of(r.Resumed, records), of(r.Ended, records)
    assert held.at < resumed.at < ended.at
    assert ended.phase is Phase.VERIFIED


@pytest.mark.parametrize("seed", range(3))
def test_a_release_that_keeps_its_objective_is_verified(seed: int) -> None:
    """At half of what may fail, with traffic and almost without: one error in a quiet service is nothing."""
    for rate in (200.0, 0.2):
        records = run(seed, rate=rate)
        assert not of(r.RollbackOrdered, records) + of(r.Paged, records)
        assert of(r.Promoted, records)


def test_a_bake_goes_back_for_its_burn_rate() -> None:
    """What begins when stable has no users any more; nothing else asks for more than a hold then."""
    records = run(1, {**BAD, "at": "12m", "share": "20%"})
    (promoted,), (ordered,) = of(r.Promoted, records), of(r.RollbackOrdered, records)
    assert promoted.at < records[0].at + 720.0 < ordered.at < records[0].at + 960.0
    assert of(r.Ended, records)[0].phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("after", [100.0, 250.0])
@pytest.mark.parametrize("fault", [{**BAD, "at": "0s", "share": "3%"}, SHARED])
def test_a_restart_changes_nothing(after: float, fault: dict[str, Any]) -> None:
    """The same conclusions in the same words at the same second."""
    through, plain = (
        [(type(one), one.at, one.reason) for one in run(2, fault, restart=when)] for when in (after, None)
    )
    assert through == plain
