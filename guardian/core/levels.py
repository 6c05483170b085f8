"""What a gauge's series carry: levels. Each sample is an observation by itself; nothing is differenced, nothing resets.

The series of one pod are added up scrape by scrape (samples of one time): the pod's reading. A scrape in which a series
of the scrape before is missing would give a level that never was: it waits for the rest of it, and is refused when the
next one comes. Then what each reading adds to its pod's past is worked out (analysis/readings.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.readings import COLUMNS, REMEMBERED, Column, reading_rows
from analysis.sequential.base import Floats, Ints
from guardian.core.columns import Columns
from guardian.core.verdicts import Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrapes:
    """Readings (n,) of pods, sorted by pod and time; `refused` are pods of which a scrape could not be used."""

    pods: Ints
    time: Floats
    value: Floats
    refused: Ints


class Readings:
    """The past of pods that have a gauge, numbered by whoever owns this."""

    def __init__(self, also: Mapping[str, tuple[int, ...]] | None = None) -> None:
        """also: further columns, its owner's."""
        self.pods = Columns(
            {
                **(also or {}), "past": (REMEMBERED,), "begun": (),
                # the last scrape that is over, and how many series it had; the one that waits for its rest
                "closed": (), "series": (), "waits": (), "sum": (), "came": (), "stayed": (),
            }
        )  # fmt: skip

    def forget(self, pod: int) -> None:
        """Begin anew with a pod."""
        self.pods.reach(pod)
        self.pods.clear(pod)
        self.pods["closed"][pod] = self.pods["waits"][pod] = -np.inf

    def gather(self, pods: Ints, *, time: Floats, value: Floats, before: Floats) -> Scrapes:
        """Add up samples (n,) of the series of pods; before: time of the same series' sample before, NaN for none.

        Any cut of the samples gives the same readings, once a later scrape of the pod has come.
        """
        state = self.pods
        late = time <= state["closed"][pods]
        kept = ~late
        waiting = np.unique(pods[kept])
        waiting = waiting[np.isfinite(state["waits"][waiting])]
        pod, when = np.concatenate((waiting, pods[kept])), np.concatenate((state["waits"][waiting], time[kept]))
        if not len(pod):
            return Scrapes(pods=pod, time=when, value=when, refused=np.unique(pods[late]))
        order = np.lexsort((when, pod))
        pod, when = pod[order], when[order]
        fresh = np.concatenate(([True], pod[1:] != pod[:-1]))
        first = np.flatnonzero(fresh | np.concatenate(([True], when[1:] != when[:-1])))
        newest = np.concatenate((fresh[first][1:], [True]))  # of each pod's scrapes
        earlier = np.where(fresh[first], state["closed"][pod[first]], np.concatenate(([0.0], when[first][:-1])))
        size = np.diff(np.append(first, len(pod)))
        stays = np.concatenate((np.full(len(waiting), np.nan), before[kept]))[order] == np.repeat(earlier, size)
        parts = (
            np.concatenate((state["sum"][waiting], value[kept])),
            np.concatenate((state["came"][waiting], np.ones(int(kept.sum())))),
            np.concatenate((state["stayed"][waiting], np.zeros(int(kept.sum())))),
        )
        total, came, stayed = (np.add.reduceat(part[order], first) for part in parts)
        stayed += np.add.reduceat(stays.astype(np.float64), first)
        wanted = np.where(fresh[first], state["series"][pod[first]], np.concatenate(([0.0], came[:-1])))
        whole = stayed >= wanted
        mine = pod[first]
        self._close(mine, when[first], (total, came, stayed), over=~newest | whole, newest=newest)
        return Scrapes(
            pods=mine[whole], time=when[first][whole], value=total[whole],
            refused=np.concatenate((mine[~whole & ~newest], pods[late])),
        )  # fmt: skip

    def _close(self, pods: Ints, time: Floats, parts: tuple[Floats, ...], *, over: Flags, newest: Flags) -> None:
        """Remember the last scrape of each pod that is over, and the one that waits."""
        state, (total, came, stayed) = self.pods, parts
        state["waits"][pods] = -np.inf
        for name in ("sum", "came", "stayed"):
            state[name][pods] = 0.0
        state["closed"][pods[over]], state["series"][pods[over]] = time[over], came[over]  # the last one stands
        waits = newest & ~over
        state["waits"][pods[waits]] = time[waits]
        for name, part in (("sum", total), ("came", came), ("stayed", stayed)):
            state[name][pods[waits]] = part[waits]

    def rows(self, pods: Ints, *, value: Floats, time: Floats, live: Flags) -> Floats:
        """Rows (n, columns) of readings, those of a pod in the order of time; NaN gives zeros and changes nothing.

        live: readings since the canary's first traffic; all pods look back to it: the first one begins its pod's past.
        """
        found = np.zeros((len(pods), COLUMNS))
        order = np.argsort(pods, kind="stable")
        ranked = pods[order]
        turn = np.arange(len(pods)) - np.searchsorted(ranked, ranked)
        for number in range(int(turn.max(initial=-1)) + 1):
            at = order[turn == number]
            mine = pods[at]
            past, begun = self.pods["past"][mine], self.pods["begun"][mine]
            found[at] = reading_rows(value[at], time[at], past, anew=live[at] & (begun == 0))
            self.pods["past"][mine] = past
            self.pods["begun"][mine] = np.where(live[at] & (found[at, Column.READINGS] > 0), 1.0, begun)
        return found
