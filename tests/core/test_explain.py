"""What an explanation carries beside its sentences."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guardian.core.looks import Breach
from guardian.core.policy import Slo
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
