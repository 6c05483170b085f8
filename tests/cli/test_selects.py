"""What `guardian doctor` says of a selector that leaves the control track out."""

from __future__ import annotations

from guardian.cli.examine import selects
from guardian.core.policy import Labels

LABELS = Labels(control="control")


def test_a_selector_that_names_no_track_lets_all_through() -> None:
    """The guardian adds the tracks itself."""
    assert selects('http_requests_total{status=~"5.."}', LABELS, LABELS.control)


def test_a_selector_that_names_tracks_must_name_control() -> None:
    """Else its series are never asked for, and every rollout holds."""
    assert selects('requests{track=~"stable|canary|control"}', LABELS, LABELS.control)
    assert selects('requests{track!="shadow"}', LABELS, LABELS.control)
    assert not selects('requests{track=~"stable|canary"}', LABELS, LABELS.control)
