"""The bake against the service's own past, in whole simulated rollouts."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.own_past import OwnPast
from guardian.core.records import Record
from tests.simulator.worlds import Whole, scenario

WORSE = {"kind": "error_step", "at": "16m", "on": "canary", "factor": 5.0}
"""When every seed below has just promoted."""
HOLD = {"verdict": "hold", "expect": [{"event": "held", "after": "16m", "within": "5m"}]}


def run(seed: int, *faults: dict[str, Any], history: str = "40m", restart: float | None = None) -> list[r.OfRollout]:
    """What a rollout judged by its errors only concluded."""
    made = scenario(faults=list(faults), history=history, truth=HOLD, lasts="50m")
    simulation = Whole(replace(made, policy=replace(made.policy, guardrails=made.policy.guardrails[:1])), seed)
    if restart is not None:
        simulation.restart(restart)
    simulation.play()
    return [record for record in simulation.driver.journal if isinstance(record, r.OfRollout)]


def only(kind: type[Record], records: list[r.OfRollout]) -> Any:
    """The one record of that kind."""
    (found,) = (record for record in records if isinstance(record, kind))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_a_healthy_bake_is_verified_when_it_was_before(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a guardian without such a memory concludes, at the same second."""
    records = run(seed)
    assert only(r.Ended, records).phase == "verified"
    monkeypatch.setattr(OwnPast, "add", lambda *_, **__: -1)
    assert [(type(one), one.at, one.reason) for one in records] == [
        (type(one), one.at, one.reason) for one in run(seed)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_what_begins_after_the_promotion_is_held_and_paged_within_minutes(seed: int) -> None:
    """Stable has no users any more, and the policy has no objective: nothing else would say so."""
    records = run(seed, WORSE)
    promoted, held, page = (only(kind, records) for kind in (r.Promoted, r.Held, r.Paged))
    began = records[0].at + 960.0
    assert promoted.at < began < held.at <= began + 300.0
    assert (held.hold, held.guardrail, page.key) == (r.Hold.OWN_PAST, "errors", "own-past-errors")
    assert not any(isinstance(record, r.Ended | r.RollbackOrdered) for record in records)


def test_what_ends_again_is_verified() -> None:
    """Three minutes of trouble: held, paged, resumed by itself."""
    records = run(1, {**WORSE, "lasts": "3m"})
    assert only(r.Held, records).at < only(r.Resumed, records).at < only(r.Ended, records).at
    assert only(r.Ended, records).phase == "verified"


@pytest.mark.parametrize("after", [600.0, 1000.0])
def test_a_restart_changes_nothing(after: float) -> None:
    """Before the switch and in the middle of the bake: the same conclusions in the same words at the same second."""
    through, plain = (
        [(type(one), one.at, one.reason) for one in run(2, WORSE, restart=when)] for when in (after, None)
    )
    assert through == plain


def test_a_bake_without_history_says_nothing() -> None:
    """Five minutes are too little to know how the level moves by itself."""
    records = run(1, WORSE, history="5m")
    assert only(r.Ended, records).phase == "verified"
    assert not any(isinstance(record, r.Held | r.Paged) for record in records)
