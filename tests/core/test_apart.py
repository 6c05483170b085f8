"""Stretches of time that are left out of the evidence: exact, never against a rollout, and kept over restarts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guardian.core.apart import OF_PODS, WHOLE
from guardian.core.evidence import SINCE
from guardian.core.fleet import Fleet
from guardian.core.looks import Look, Observed, Part, SeriesKey
from guardian.core.model import Instant, RolloutId, Track
from tests.builders import ERRORS, policy

R = RolloutId("r")
POLICY = replace(policy(), guardrails=(ERRORS,))
BEGIN, MARK, END = 60, 90, 120
"""Ticks of 10 s: the canary's first users, and the stretch that is left out."""


class Feed:
    """A fleet with one rollout, fed tick by tick; `worse` is how many times as bad the canary is."""

    def __init__(self, seed: int = 1, *, pods: tuple[int, int] = (2, 4)) -> None:
        self.fleet, self.tick = Fleet(), 0
        self.fleet.open(R, POLICY)
        self._random = np.random.default_rng(seed)
        self._pods = [(Track.CANARY, number) for number in range(pods[0])]
        self._pods += [(Track.STABLE, number) for number in range(pods[1])]
        self._sums = np.zeros((len(self._pods), 2))

    def until(self, tick: int, *, worse: float = 1.0, share: float = 0.01) -> Feed:
        """Go on to a tick."""
        while self.tick < tick:
            self.tick += 1
            samples = []
            for row, (track, number) in enumerate(self._pods):
                if track is Track.CANARY and self.tick < BEGIN:
                    continue
                bad = share * (worse if track is Track.CANARY else 1.0)
                asked = self._random.poisson(300.0)
                self._sums[row] += (asked, self._random.binomial(asked, min(bad, 1.0)))
                for part, value in zip((Part.TOTAL, Part.BAD), self._sums[row], strict=True):
                    key = SeriesKey(rollout=R, guardrail="errors", track=track, pod=f"p{number}", part=part)
                    samples.append((self.fleet.series(key), 10.0 * self.tick, value))
            series, time, value = (np.array(each) for each in zip(*samples, strict=True))
            self.fleet.observe(Observed(series=series, time=time, value=value))
            self.look()
        return self

    def look(self) -> Look:
        """How R stands."""
        return self.fleet.look([R], now=Instant(10.0 * self.tick))[R]

    @property
    def cells(self) -> dict[str, list[float]]:
        """Every sum of the one cell, as it stands."""
        sheet = self.fleet.opened[R].sheets["errors"]
        panel = self.fleet.roster.contests[sheet.contest].panel
        return {name: panel.cells[name][sheet.cell].ravel().tolist() for name in (*SINCE, *WHOLE)}


def test_leaving_out_goes_on_from_the_sums_of_the_beginning() -> None:
    """A bad stretch leaves nothing behind: the evidence is that of the time before it."""
    feed = Feed().until(MARK)
    feed.fleet.apart.mark(R, "other")
    before, sums = feed.look(), feed.cells
    feed.until(END, worse=8.0)
    assert feed.look().log_harm > math.log(100.0)
    feed.fleet.apart.leave_out(R, "other")
    after = feed.look()
    assert feed.cells == sums
    assert after.log_harm < 1.0
    assert after.log_harm == pytest.approx(before.log_harm, abs=1.0)  # the noise of pods has been learned further
    assert (after.left_out, after.overlapping) == (("other",), ())


def test_evidence_goes_on_growing_after_what_was_left_out() -> None:
    """A regression that is the rollout's own is found from the ticks that count, new starts included."""
    feed = Feed().until(MARK)
    feed.fleet.apart.mark(R, "other")
    feed.until(END, worse=8.0)
    feed.fleet.apart.leave_out(R, "other")
    feed.until(END + 20, worse=8.0)
    assert feed.look().log_harm > math.log(100.0)


@settings(max_examples=10, deadline=None)
@given(
    begin=st.integers(BEGIN - 5, BEGIN + 30), lasts=st.integers(1, 40), worse=st.sampled_from([0.1, 1.0, 3.0]),
    during=st.sampled_from([0.1, 1.0, 3.0]), seed=st.integers(0, 3),
)  # fmt: skip
def test_leaving_out_never_raises_the_rollback_evidence(
    begin: int, lasts: int, worse: float, during: float, seed: int
) -> None:
    """So the proof of false rollbacks needs nothing new: a process that only falls there stays a supermartingale."""
    feed = Feed(seed).until(begin, worse=worse)
    feed.fleet.apart.mark(R, "other")
    feed.until(begin + lasts, worse=during)
    before = feed.look().log_harm
    feed.fleet.apart.leave_out(R, "other")
    assert not feed.look().log_harm > before


def test_promotion_asks_for_twice_the_evidence_while_two_ways_of_counting_are_open() -> None:
    """Half of the chance for each way of counting: with and without the stretch (docs/statistics.md)."""
    feed = Feed().until(MARK)
    alone = feed.look().log_safe
    feed.fleet.apart.mark(R, "other")
    assert feed.look().log_safe == pytest.approx(alone - math.log(2.0))
    feed.fleet.apart.unmark(R, "other")
    assert feed.look().log_safe == pytest.approx(alone)


def test_a_stretch_within_another_remembers_nothing_of_it() -> None:
    """Two dependencies, one after the other: what was left out once does not come back with the second."""
    feed = Feed().until(MARK)
    feed.fleet.apart.mark(R, "first")
    sums = feed.cells
    feed.until(MARK + 10, worse=8.0)
    feed.fleet.apart.mark(R, "second")
    feed.until(END, worse=8.0)
    feed.fleet.apart.leave_out(R, "first")
    feed.until(END + 10, worse=8.0)
    feed.fleet.apart.leave_out(R, "second")
    assert feed.cells == sums
    assert feed.look().left_out == ("first", "second")


def test_a_checkpoint_keeps_what_may_not_count() -> None:
    """A restart within the stretch leaves out the same, bit for bit."""
    feed = Feed().until(MARK)
    feed.fleet.apart.mark(R, "other")
    feed.until(END, worse=8.0)
    again = Fleet()
    again.restore(R, POLICY, feed.fleet.checkpoint(R))
    for fleet in (feed.fleet, again):
        fleet.apart.leave_out(R, "other")
    assert again.checkpoint(R) == feed.fleet.checkpoint(R)
    assert again.apart.left_out(R) == ("other",)


def test_a_margin_that_changed_meanwhile_begins_afresh() -> None:
    """Sums against another margin are no evidence."""
    feed = Feed().until(MARK)
    feed.fleet.apart.mark(R, "other")
    wider = replace(ERRORS, compare=replace(ERRORS.compare, rollback=replace(ERRORS.compare.rollback, relative=1.2)))  # type: ignore[type-var, union-attr]
    again = Fleet()
    again.restore(R, replace(POLICY, guardrails=(wider,)), feed.fleet.checkpoint(R))
    again.apart.leave_out(R, "other")
    sheet = again.opened[R].sheets["errors"]
    assert not again.roster.contests[sheet.contest].panel.cells["gain"][sheet.cell].any()


def test_a_pod_that_came_meanwhile_has_no_part_in_the_sums() -> None:
    """Its lean, too, begins after what was left out."""
    feed = Feed(pods=(1, 3)).until(MARK)
    feed.fleet.apart.mark(R, "other")
    feed._pods.append((Track.CANARY, 7))
    feed._sums = np.vstack((feed._sums, [[0.0, 0.0]]))
    feed.until(END, worse=8.0)
    feed.fleet.apart.leave_out(R, "other")
    sheet = feed.fleet.opened[R].sheets["errors"]
    contest = feed.fleet.roster.contests[sheet.contest]
    slot = int(contest.members["main"][sheet.pods[Track.CANARY, "p7"].member])
    assert not contest.panel.pods["lean"][slot].any()


def test_every_sum_of_the_evidence_is_known_here() -> None:
    """Whoever adds a sum over ticks must say whether leaving out puts it back."""
    feed = Feed().until(BEGIN + 1)
    panel = feed.fleet.roster.contests[feed.fleet.opened[R].sheets["errors"].contest].panel
    kept = {"started", "ticks", "history", "totals", "lasted"}  # lasted: time that users were seen, left out or not
    assert set(panel.cells._arrays) == {*SINCE, *WHOLE, *(f"{name}0" for name in SINCE), *kept}
    links = {"cell", "canary", "stratum", "whole"}
    assert set(panel.pods._arrays) == {*OF_PODS, *(f"{name}0" for name in OF_PODS), *links}
