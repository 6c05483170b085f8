"""What an explanation carries beside its sentences."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guardian.core.explain import explain
from guardian.core.looks import Breach
from guardian.core.model import Instant, Phase, Ratio
from guardian.core.monitor import Standing
from guardian.core.policy import Slo
from guardian.core.records import RollbackOrdered, Why
from tests.builders import ERRORS, OBJECTIVE, T0, policy, requested
from tests.core.play import Play
from tests.core.test_course import told


def test_each_line_of_the_history_has_its_time() -> None:
    """Oldest first, from the event on: whoever reads it at night asks when."""
    play = Play()
    play.tell(requested())
    play.until(200.0)
    found = told(play)
    assert len(found.history_at) == len(found.history) > 3
    assert list(found.history_at) == sorted(found.history_at)
    assert found.history_at[0] == T0
    assert found.history_at[-1] <= play.now


@pytest.mark.parametrize("objective", [OBJECTIVE, None])
def test_a_guardrail_says_whether_it_has_an_objective(objective: Slo | None) -> None:
    """Its breach is `none` in both cases."""
    play = Play(policies=(policy(guardrails=(replace(ERRORS, objective=objective),)),))
    play.tell(requested())
    play.until(200.0)
    (found,) = told(play).guardrails
    assert found.breach is Breach.NONE
    assert found.objective is (objective is not None)


STANDING = Standing(
    windows=340, lower=0.0, upper=0.011, since=T0, newest=Instant(T0 + 7 * 86400.0), risk=Ratio(0.01), complete=True
)


def test_what_was_measured_stands_beside_the_evidence_and_in_no_record() -> None:
    """A count changes from hour to hour: it is told with a rollback, and a replay of the journal never sees it."""
    play = Play()
    play.tell(requested())
    play.until(200.0)
    before = play.records.copy()
    running = explain(play.rollout, play.engine.look(play.rollout.id), play.now, measured=STANDING)
    assert running.measured == STANDING
    assert "stable against stable" not in running.summary, "nothing was rolled back"
    cause = RollbackOrdered(
        rollout=play.rollout.id, at=play.now, sequence=9, why=Why.GUARDRAIL, outcome=Phase.ROLLED_BACK
    )
    back = replace(play.rollout, cause=cause)
    told = explain(back, None, play.now, measured=STANDING).summary
    assert told.endswith(
        "; measured at this service, stable against stable: 0 of 340 windows (95 %: at most 1.1%; 7 days)"
    )
    assert "measured" not in explain(back, None, play.now).summary
    by_a_person = replace(back, cause=replace(cause, why=Why.PERSON))
    assert "measured" not in explain(by_a_person, None, play.now, measured=STANDING).summary
    assert play.records == before
