"""What a notifier's limit lets through, and which incidents it holds open; both last over a restart."""

from __future__ import annotations

import msgspec

from guardian.app.tally import Tally
from guardian.config.notify import AtMost

TWO = AtMost(2, 60.0)


def test_more_than_the_limit_is_withheld_and_counted() -> None:
    """In any span of that length, not in each hour of the clock."""
    tally = Tally()
    assert [tally.take(TWO, at) for at in (0.0, 50.0, 59.0, 59.5)] == [True, True, False, False]
    assert (tally.withheld, tally.since) == (2, 59.0)


def test_nobody_is_told_anything_new_before_he_knows_what_he_missed() -> None:
    """Else a summary would come after what followed it, or never."""
    tally = Tally()
    for at in (0.0, 1.0, 2.0):
        tally.take(TWO, at)
    assert tally.free_at(TWO, 30.0) == 60.0
    assert not tally.take(TWO, 61.0)
    tally.owned_up(2, 62.0)
    assert (tally.withheld, tally.take(TWO, 63.0), tally.take(TWO, 64.0)) == (0, True, False)


def test_without_a_limit_nothing_is_withheld() -> None:
    """Programs do not tire."""
    tally = Tally()
    assert all(tally.take(None, 0.0) for _ in range(1000))
    assert tally.free_at(None, 5.0) == 5.0


def test_it_is_the_same_after_a_restart() -> None:
    """The journal keeps it as JSON."""
    tally = Tally()
    for at in (0.0, 1.0, 2.0):
        tally.take(TWO, at)
    tally.opened("checkout-1", "checkout-1/drift")
    again = msgspec.json.decode(msgspec.json.encode(tally), type=Tally)
    assert again == tally
    again.over("checkout-1", "checkout-1/drift")
    assert again.open == {}
