"""A control track as a policy names it."""

from __future__ import annotations

from guardian.core.model import Track
from tests.config.test_policy import COUNT, ERRORS, finding, policy


def test_tracks_have_three_different_names() -> None:
    """Where control carries stable's label, nothing tells its pods apart; without a name there is none."""
    assert policy().baseline is Track.STABLE
    assert policy(ERRORS + "  labels: {control: baseline}\n").baseline is Track.CONTROL
    for other in ("stable", "canary"):
        found = finding(ERRORS + f"  labels: {{control: {other}}}\n")
        assert f"control and {other} are both '{other}'" in found.what
        assert "name another value, or none" in found.remedy


def test_events_beside_control_need_requests() -> None:
    """A weight says how much the canary serves, and nothing of control."""
    router, named = "  router: {memory: {}}\n", "  labels: {control: control}\n"
    assert "a weight says nothing of control" in finding(COUNT + router + named).what
    assert policy(COUNT + router).guardrails
