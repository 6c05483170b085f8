"""What is seen of a change, and when, if pods differ: rollouts drawn at random, judged by what judges real ones.

Equal pods differ lastingly by a given spread; beside that requests are independent. Noise that passes, warm-up and
strata are not in it, and cost more time. It decides nothing. Held against the campaigns in
tests/core/test_rehearsal.py.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.sequential.base import Floats, Ints, Test
from analysis.users import Users
from guardian.core.evidence import Panel
from guardian.core.model import Track
from guardian.core.scenes import Moment, Scene
from guardian.core.verdicts import UNREST

EVEN: Final = 120
"""Ticks of equal length with which a rehearsal begins."""
LONGER: Final = 1.05
"""Each later one is longer by this factor, so that a day takes two hundred in all; looks are as far apart."""
PAST_TICKS: Final = 80
"""Ticks of history."""
HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What the canary does otherwise: all of it `times` as much; growing by as much an hour; or a tail.

    tail: share of its requests that take `times` as long, while the others stay; 0: all of them.
    """

    times: float = 1.0
    grows: bool = False
    tail: float = 0.0

    def factor(self, at: float) -> float:
        """Times as much at that many seconds after the canary's first traffic."""
        if self.tail > 0:
            return 1.0
        return max(1.0 + (self.times - 1.0) * at / HOUR, 0.0) if self.grows else self.times


HEALTHY: Final = Change()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who serves: pods of each track, how much they differ (sd of a log), requests a second of both, canary's share.

    control: the canary stands against as many control pods as it has, each as busy; stable's are its past only.
    """

    canary: int
    stable: int
    differ: float
    rate: float
    weight: float
    control: bool = False

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Of each pod: the canary's, those it stands against, and, where these are control's, stable's old ones."""
        controls = self.canary if self.control else 0
        return (Track.CANARY,) * self.canary + (Track.CONTROL,) * controls + (Track.STABLE,) * self.stable

    @property
    def live(self) -> slice:
        """Places of the pods that are compared."""
        return slice(2 * self.canary) if self.control else slice(None)

    @property
    def past(self) -> slice:
        """Places of stable's pods, which alone serve before."""
        return slice(len(self.tracks) - self.stable, None)

    @property
    def load(self) -> Floats:
        """Requests a second of each pod."""
        canary = self.weight / self.canary
        each = {Track.CANARY: canary, Track.CONTROL: canary, Track.STABLE: (1.0 - self.weight) / self.stable}
        return self.rate * np.array([each[track] for track in self.tracks])

    @property
    def past_load(self) -> Floats:
        """The same before the canary came."""
        return self.rate / self.stable * np.array([track is Track.STABLE for track in self.tracks])


@dataclass(frozen=True, slots=True, kw_only=True)
class Stakes:
    """What evidence must reach, as a chance; tick, history of stable, length of the rehearsal: seconds.

    users: whose requests count as one, None where each counts; those of a rehearsal are independent all the same.
    """

    false_rollback: float
    false_promotion: float
    tick: float
    history: float
    length: float
    fresh: bool = False
    users: Users | None = None


def ticks(tick: float, length: float) -> Floats:
    """Ends of ticks in seconds: equal ones, then longer and longer ones, up to `length`.

    >>> ticks(10.0, 30.0).tolist(), len(ticks(10.0, 86400.0))
    ([10.0, 20.0, 30.0], 244)
    """
    ends = [tick * (number + 1) for number in range(EVEN)]
    while ends[-1] < length:
        tick *= LONGER
        ends.append(ends[-1] + tick)
    found = np.array(ends)
    return np.append(found[found < length - 1e-9], length)


def rehearse(
    test: Test, scene: Scene, cast: Cast, changes: tuple[Change, ...], stakes: Stakes, *,
    runs: int, random: np.random.Generator,
) -> Floats:  # fmt: skip
    """Seconds (changes, runs) from the canary's first request until a change is found, `HEALTHY` shown; inf: never.

    The pods of the runs are the same for each change. Judged as if this guardrail were the only one.
    """
    panel = Panel(test, fresh=stakes.fresh or cast.control, users=stakes.users)
    scene = deepcopy(scene)  # it may remember
    total, count = len(changes) * runs, len(cast.tracks)
    cells = np.array([panel.add_cell(stakes.false_rollback) for _ in range(total)])
    canary = np.arange(count) < cast.canary
    pods = np.array([[panel.add_pod(cell, track=track) for track in cast.tracks] for cell in cells.tolist()])
    lasting = np.exp(random.standard_normal((runs, count)) * cast.differ - cast.differ**2 / 2.0)
    crowd = Crowd(lasting=np.tile(lasting, (len(changes), 1)), canary=canary, changes=changes, runs=runs)
    _fold_past(panel, scene, cast, stakes, pods, cells, crowd, random)
    seen, begin, looked = np.full(total, np.inf), 0.0, 0.0
    for end in ticks(stakes.tick, stakes.length).tolist():
        waiting = np.flatnonzero(np.isinf(seen))
        if not len(waiting):
            break
        rows = scene.rows(crowd.moment(waiting, begin, end, cast.load), random)[:, cast.live]
        length = np.full(len(waiting), end - begin)
        panel.fold(
            pods[waiting, cast.live].ravel(), rows.reshape(-1, rows.shape[-1]), cells=cells[waiting],
            elapsed=np.full(len(waiting), end), seconds=length,
        )  # fmt: skip
        if end >= looked * LONGER or end == stakes.length:
            seen[waiting[_told(panel, cells[waiting], crowd.healthy[waiting], stakes)]] = end
            looked = end
        begin = end
    return seen.reshape(-1, runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """All rollouts of a rehearsal. lasting: (C, P) what pods do times the usual; canary: (P,)."""

    lasting: Floats
    canary: npt.NDArray[np.bool_]
    changes: tuple[Change, ...]
    runs: int

    @property
    def healthy(self) -> npt.NDArray[np.bool_]:
        """Rollouts without a change (C,)."""
        return np.repeat([change == HEALTHY for change in self.changes], self.runs)

    def moment(self, rollouts: Ints, begin: float, end: float, load: Floats) -> Moment:
        """Return one tick of some rollouts (n,); load: (P,) requests a second."""
        middle, changes = (begin + end) / 2.0, self.changes if end > 0 else (HEALTHY,) * len(self.changes)
        factors, tails, longer = (
            np.repeat(np.array(values), self.runs)[rollouts, None]
            for values in (
                [change.factor(middle) for change in changes],
                [change.tail for change in changes],
                [change.times if change.tail else 1.0 for change in changes],
            )
        )
        return Moment(
            rollouts=rollouts, end=end, seconds=end - begin, load=load * (end - begin), anew=begin == 0.0,
            factor=self.lasting[rollouts] * np.where(self.canary, factors, 1.0),
            tail=np.where(self.canary, tails, 0.0), tail_times=longer,
        )  # fmt: skip


def _fold_past(
    panel: Panel, scene: Scene, cast: Cast, stakes: Stakes, pods: Ints, cells: Ints, crowd: Crowd,
    random: np.random.Generator,
) -> None:  # fmt: skip
    """Let stable serve alone before."""
    tick, stable, everyone = stakes.history / PAST_TICKS, cast.past, np.arange(len(cells))
    ends = (np.arange(1 - PAST_TICKS, 1) * tick).tolist()
    moments = (crowd.moment(everyone, end - tick, end, cast.past_load) for end in ends)
    rows = np.stack([scene.rows(moment, random)[:, stable] for moment in moments])
    panel.fold_past(
        pods[:, stable].ravel(), rows.reshape(PAST_TICKS, -1, rows.shape[-1]), cells=cells,
        seconds=np.full((PAST_TICKS, len(cells)), tick),
    )  # fmt: skip


def _told(panel: Panel, cells: Ints, healthy: npt.NDArray[np.bool_], stakes: Stakes) -> npt.NDArray[np.bool_]:
    """Whether a change was found, or its absence shown (C,)."""
    gain = panel.gains(cells)
    found = panel.harm(cells, gain) >= -np.log(stakes.false_rollback)
    shown = healthy & ~found
    shown[shown] = panel.safe(cells[shown]) >= -np.log(stakes.false_promotion)
    shown[shown] = panel.unrest(cells[shown], gain[shown]) <= UNREST
    return np.asarray(np.where(healthy, shown, found), np.bool_)
