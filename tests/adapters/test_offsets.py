"""Offsets move only past an unbroken run of done messages, whatever the order in which they are done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardian.adapters._offsets import Progress


@given(st.lists(st.integers(0, 200), unique=True, min_size=1, max_size=40), st.data())
def test_no_offset_is_committed_before_everything_before_it_is_done(offsets: list[int], data: st.DataObject) -> None:
    """The law of at-least-once; offsets may have gaps (compaction, transactions)."""
    offsets.sort()
    progress, done = Progress(), set[int]()
    for offset in offsets:
        progress.deliver(offset)
    for offset in data.draw(st.permutations(offsets)):
        progress.finish(offset)
        done.add(offset)
        committable = progress.committable()
        if committable is not None:
            assert {one for one in offsets if one < committable} <= done
            assert committable - 1 in done
            if data.draw(st.booleans()):
                progress.committed(committable)
                assert progress.committable() is None
    assert progress.waiting == 0


def test_a_commit_that_was_not_answered_is_given_out_again() -> None:
    """Until the broker has said that it holds it."""
    progress = Progress()
    progress.deliver(7)
    progress.finish(7)
    assert (progress.committable(), progress.committable()) == (8, 8)
    progress.committed(8)
    assert progress.committable() is None


def test_a_message_of_a_former_assignment_changes_nothing() -> None:
    """It was given before the partition went away and came back."""
    progress = Progress()
    progress.finish(3)
    progress.deliver(5)
    assert progress.committable() is None
    assert progress.waiting == 1
