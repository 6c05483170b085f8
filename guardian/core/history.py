"""Many ticks of history in one go: what feeding.py would do tick by tick, where nothing but stable's plain rows came.

At the start of a rollout its history is read back: hundreds of ticks of pods that all report. Whatever is out of the
ordinary (a canary's row, an impossible count, a pod that lags) is left to feeding.py, which takes ticks as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.sequential.base import Floats, Ints
from guardian.core.burning import watched
from guardian.core.contest import Contest, Stretches
from guardian.core.derived import Came, add_requests, derive
from guardian.core.layouts import CounterLayout, Layout
from guardian.core.model import Track
from guardian.core.own_past import remember_history
from guardian.core.ticks import Ticks

if TYPE_CHECKING:
    from guardian.core.fleet import Fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Ticks (T,) of history of pods (S,) of one layout, none the canary's.

    end, seconds: (T, S); counts: (T, S, F); sheets: (S,).
    places: (S,) of the pods within each tick. Counts of what is more than a difference are 0 until `_derive`.
    """

    layout: Layout
    pods: Ints
    sheets: Ints
    end: Floats
    seconds: Floats
    counts: Floats
    places: Ints


def take_history(fleet: Fleet, ticks: Ticks, begin: int, end: int) -> bool:
    """Take ticks begin..end-1, in which the same pods have rows; returns False, changing nothing, if they are special.

    Must come after ticks of the same pods that were taken by themselves: they show where each pod's rows begin.
    """
    rows = ticks.rows(begin, end)
    pods = ticks.pods[rows].reshape(end - begin, -1)[0]
    times = ticks.end[rows].reshape(end - begin, -1)
    seconds = np.diff(times, axis=0, prepend=fleet.pods["end"][pods][None])
    sheets = fleet.pods["sheet"][pods].astype(np.int64)
    rollouts = fleet.sheets["rollout"][sheets].astype(np.int64)
    canary = fleet.pods["canary"][pods] > 0
    owner = fleet.links["layout"][sheets].astype(np.int64)
    special = canary & (times[-1] > fleet.rollouts["since"][rollouts])
    special |= ~np.isnan(fleet.rollouts["began"][rollouts]) | (times[-1] > fleet.rollouts["switched"][rollouts])
    if special.any() or (owner < 0).any() or not (seconds > 0).all():
        return False
    past = []
    for number in np.unique(owner):
        mine = np.flatnonzero(owner == number)
        layout = fleet.layouts[number]
        counts = _counts(fleet, layout, ticks, (begin, end), pods[mine], mine)
        if counts is None:
            return False
        kept = ~canary[mine]
        chosen = mine[kept]
        past.append(
            Past(
                layout=layout, pods=pods[chosen], sheets=sheets[chosen], end=times[:, chosen],
                seconds=seconds[:, chosen], counts=counts.reshape(end - begin, -1, layout.width)[:, kept],
                places=chosen,
            )
        )  # fmt: skip
    matches = [match for each in past for match in _matches(fleet, each)]
    if any(match.stretches is None for match in matches):
        return False
    fleet.pods["end"][pods] = times[-1]
    _derive(fleet, past, ticks, begin)
    _judge_objectives(fleet, past)
    for each in past:
        _note(fleet, each)
    for match in matches:
        match.take()
    return True


def _counts(
    fleet: Fleet, layout: Layout, ticks: Ticks, span: tuple[int, int], pods: Ints, places: Ints
) -> Floats | None:  # fmt: skip
    """Differences (T * S, F) of counters, None where some are impossible or wait; 0 for what `_derive` works out."""
    if not isinstance(layout, CounterLayout):
        return np.zeros(((span[1] - span[0]) * len(pods), layout.width))
    counts, sound = layout.sound(ticks.counts(*span, places, layout.width))
    sound &= layout.whole(ticks.came(*span, places, layout.width))
    return None if not sound.all() or layout.holds(fleet.pods["slot"][pods].astype(np.int64)) else counts


def _derive(fleet: Fleet, past: list[Past], ticks: Ticks, begin: int) -> None:
    """Work out, tick by tick, what is more than a difference: each reading and exposure rests on those before it."""
    counted = [each for each in past if isinstance(each.layout, CounterLayout)]
    derived = {fleet.layouts.index(each.layout): each for each in past if not isinstance(each.layout, CounterLayout)}
    if not derived:
        return
    for tick in range(len(past[0].end)):
        for each in counted:
            add_requests(fleet, each.pods, each.layout.requests(each.counts[tick]))
        for number in fleet.derived:
            if number in derived and len(derived[number].pods):
                each = derived[number]
                came = Came(pods=each.pods, end=each.end[tick], seconds=each.seconds[tick])
                each.counts[tick] = derive(fleet, each.layout, came, ticks, begin + tick, each.places)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    """The part of some history that one contest compares; stretches: None where it must come tick by tick."""

    contest: Contest
    members: Ints
    past: Past
    chosen: Ints
    stretches: Stretches | None

    def take(self) -> None:
        if self.stretches is not None:
            past, chosen = self.past, self.chosen
            self.contest.take_past(
                self.stretches, self.members, end=past.end[:, chosen], seconds=past.seconds[:, chosen],
                counts=past.counts[:, chosen],
            )  # fmt: skip


def _matches(fleet: Fleet, past: Past) -> Iterator[_Match]:
    members = fleet.pods["member"][past.pods].astype(np.int64)
    members[fleet.pods["track"][past.pods] == Track.CONTROL.code] = -1  # only stable's past is compared with
    contests = np.where(members >= 0, fleet.links["contest"][past.sheets], -1.0)
    for number in np.unique(contests[members >= 0]):
        chosen = np.flatnonzero(contests == number)
        contest = fleet.roster.contests[int(number)]
        stretches = contest.stretches(members[chosen], past.end[:, chosen], past.seconds[:, chosen])
        yield _Match(contest=contest, members=members[chosen], past=past, chosen=chosen, stretches=stretches)


def _note(fleet: Fleet, past: Past) -> None:
    """Remember the past, and keep the newest rows."""
    remember_history(fleet, past.layout, sheets=past.sheets, end=past.end, counts=past.counts)
    seen = np.where(past.layout.requests(past.counts) > 0, past.end, -np.inf).max(axis=0)
    state, tracks = fleet.sheets, (past.sheets, fleet.pods["track"][past.pods].astype(np.int64))
    np.fmax.at(state["last"], tracks, past.end[-1])
    np.fmax.at(state["seen"], tracks, np.where(np.isfinite(seen), seen, np.nan))
    np.fmax.at(state["front"], past.sheets, past.end[-1])
    np.add.at(state["taken"], tracks, float(len(past.end)))
    state["ticks"][past.sheets] += len(past.end)
    fleet.pods["tick"][past.pods] = state["ticks"][past.sheets]


def _judge_objectives(fleet: Fleet, past: list[Past]) -> None:
    """Hand over what the objectives of all layouts saw, before the newest rows are noted."""
    sheets, front, counts = _seen_by(fleet, past, "objective", lambda sheets: fleet.links["watched"][sheets])
    if len(sheets):
        fleet.objectives.take_past(fleet.links["objective"][sheets].astype(np.int64), time=front, counts=counts)
    sheets, front, counts = _seen_by(fleet, past, "burn", lambda sheets: watched(fleet, sheets))
    if len(sheets):
        fleet.burning.take_past(fleet.links["burn"][sheets].astype(np.int64), time=front, counts=counts)


def _seen_by(
    fleet: Fleet, past: list[Past], link: str, watches: Callable[[Ints], Floats]
) -> tuple[Ints, Floats, Floats]:  # fmt: skip
    """Sheets (n,) that are linked, their newest rows (T, n) and counts (T, n, 2, K) as Layout.judged tells them."""
    parts = [part for each in past if (part := _seen_by_some(fleet, each, link, watches)) is not None]
    if not parts:
        return np.zeros(0, dtype=np.int64), np.zeros((0, 0)), np.zeros((0, 0, 2, 0))
    front, counts = (np.concatenate([part[i] for part in parts], axis=1) for i in (1, 2))
    return np.concatenate([sheets for sheets, _, _ in parts]), front, counts


def _seen_by_some(
    fleet: Fleet, past: Past, link: str, watches: Callable[[Ints], Floats]
) -> tuple[Ints, Floats, Floats] | None:  # fmt: skip
    chosen = np.flatnonzero(fleet.links[link][past.sheets] >= 0)
    if not len(chosen):
        return None
    chosen = chosen[np.argsort(past.sheets[chosen], kind="stable")]
    sheets, first = np.unique(past.sheets[chosen], return_index=True)
    end = np.maximum.reduceat(past.end[:, chosen], first, axis=1)
    seen = past.layout.judged(past.counts[:, chosen], watches(past.sheets[chosen]))
    counts = np.zeros((len(past.end), len(sheets), 2, seen.shape[-1]))
    counts[:, :, 1] = np.add.reduceat(seen, first, axis=1)
    return sheets, np.fmax(end, fleet.sheets["front"][sheets]), counts
