"""The recorders themselves: what they would not let pass."""

from __future__ import annotations

from tests.e2e.tape import unexplained
from tests.e2e.wire import share_of

NONE = {"stable": 252, "canary": 0}
TENTH = {"stable": 252, "canary": 28}
HALF = {"stable": 252, "canary": 252}


def test_what_was_written_explains_what_was_seen_even_where_a_look_was_missed() -> None:
    """Looks come every few milliseconds; a state that stood shorter may be absent."""
    assert unexplained([NONE, TENTH, HALF], [NONE, TENTH, HALF]) is None
    assert unexplained([NONE, HALF], [NONE, TENTH, HALF]) is None


def test_an_excursion_that_nobody_wrote_is_told() -> None:
    """Away and back, once more to an old weight, or to a weight that is not in the commands at all."""
    assert unexplained([NONE, TENTH, NONE, TENTH], [NONE, TENTH]) == NONE
    assert unexplained([NONE, HALF, TENTH], [NONE, TENTH, HALF]) == TENTH
    assert unexplained([NONE, {"stable": 0, "canary": 0}], [NONE, TENTH]) == {"stable": 0, "canary": 0}


def test_the_share_of_weights_is_that_of_the_canary() -> None:
    """Rounded as policies are written; nobody served is none for the canary."""
    assert [share_of(weights) for weights in (NONE, TENTH, HALF, {"stable": 0, "canary": 0})] == [0.0, 0.1, 0.5, 0.0]
