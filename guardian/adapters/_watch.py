"""Which streamed series are wanted, by whom, and what they are called. It holds names only, no samples.

A label block is looked up once; whatever nobody wants is remembered as such, and looked at again only when
a new interest names its metric. Series that differ only in the labels of a deduplicating pair are one
series.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from guardian.adapters._remote_write import labels_of
from guardian.adapters._selectors import NAME, Selector
from guardian.adapters._series import Wanted

UNWANTED: Final = -1
REPLICAS: Final = 4096
"""A slot is series * REPLICAS + replica."""
BLOCKS: Final = 4_000_000
"""Label blocks remembered at most; beyond it, those that nobody wants are looked at again."""


@dataclass(slots=True, eq=False)
class Interest:
    """A selector somebody wants, and the series that met it.

    service: label and value by which it is found; None: the selector says itself which service it is about.
    began: since when samples are kept (unix seconds). version changes with `series`.
    """

    selector: Selector
    service: tuple[str, str] | None
    began: float
    used: float
    pinned: bool
    series: list[int] = field(default_factory=list)
    version: int = 0


@dataclass(slots=True)
class _Series:
    labels: dict[str, str]
    identity: tuple[tuple[str, str], ...]
    blocks: list[bytes] = field(default_factory=list)
    interests: list[Interest] = field(default_factory=list)


@dataclass(slots=True)
class _Metric:
    """All that is known of one metric's name; interests are found by service where they can be."""

    by_service: dict[tuple[str, str], list[Interest]] = field(default_factory=dict)
    others: list[Interest] = field(default_factory=list)
    series: set[int] = field(default_factory=set)
    unwanted: list[bytes] = field(default_factory=list)

    def candidates(self, labels: Mapping[str, str]) -> Iterator[Interest]:
        for pair in labels.items():
            yield from self.by_service.get(pair, ())
        yield from self.others


class WatchList:
    """Interests and their series. `known` is label block -> slot, negative for what is not kept."""

    def __init__(self, *, dropped: Sequence[str], cluster: str, most: int) -> None:
        self._dropped, self._cluster, self._most = tuple(sorted(set(dropped))), cluster, most
        self.known: dict[bytes, int] = {}
        self.refused = 0
        """Series that were wanted but not kept, because `most` were kept already."""
        self.size = 0
        """One more than the largest series number."""
        self.replicas: list[tuple[str, str]] = [("", "")]
        """(cluster, replica) of each replica number; 0 is a series without such labels."""
        self._metrics: defaultdict[str, _Metric] = defaultdict(_Metric)
        self._interests: dict[str, Interest] = {}
        self._series: dict[int, _Series] = {}
        self._ids: dict[tuple[tuple[str, str], ...], int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._series)

    def labels(self, series: int) -> dict[str, str]:
        """Return the labels of a series, without those of a pair."""
        return self._series[series].labels

    def interest(self, wanted: Wanted, *, now: float, pinned: bool = False) -> Interest:
        """Return the interest for this; a new one finds the series that are kept already."""
        text = str(wanted.complete)
        interest = self._interests.get(text)
        if interest is None:
            service = None if wanted.own_service else (wanted.labels.service, wanted.service)
            interest = Interest(wanted.complete, service, began=now, used=now, pinned=pinned)
            self._interests[text] = interest
            self._enrol(interest)
        interest.used = now
        interest.pinned = interest.pinned or pinned
        return interest

    def _enrol(self, interest: Interest) -> None:
        name = interest.selector.name
        for metric in [self._metrics[name]] if name is not None else list(self._metrics.values()):
            self._forget_unwanted(metric)
            for series in metric.series:
                if interest.selector.matches(self._series[series].labels):
                    self._join(interest, series)
        metric = self._metrics[name or ""]
        if interest.service is None or not interest.service[1]:
            metric.others.append(interest)
        else:
            metric.by_service.setdefault(interest.service, []).append(interest)

    def _forget_unwanted(self, metric: _Metric) -> None:
        for block in metric.unwanted:
            self.known.pop(block, None)
        metric.unwanted.clear()

    def _join(self, interest: Interest, series: int) -> None:
        if interest not in self._series[series].interests:
            self._series[series].interests.append(interest)
            interest.series.append(series)
            interest.version += 1

    def resolve(self, block: bytes) -> int:
        """Return the slot of a label block that is not in `known`, and put it there. Raises EventError."""
        labels = labels_of(block)
        name = labels.get(NAME, "")
        metric = self._metrics[name]
        candidates = [*metric.candidates(labels), *(self._metrics[""].candidates(labels) if name else ())]
        interests = [interest for interest in candidates if interest.selector.matches(labels)]
        series = self._series_of(labels, metric) if interests else None
        if series is None:
            return self._unwanted(metric, block)
        for interest in interests:
            self._join(interest, series)
        self._series[series].blocks.append(block)
        slot = self.known[block] = series * REPLICAS + self._replica_of(labels)
        return slot

    def _unwanted(self, metric: _Metric, block: bytes) -> int:
        if len(self.known) >= BLOCKS:
            for one in self._metrics.values():
                self._forget_unwanted(one)
        metric.unwanted.append(block)
        self.known[block] = UNWANTED
        return UNWANTED

    def _series_of(self, labels: Mapping[str, str], metric: _Metric) -> int | None:
        kept = {name: value for name, value in labels.items() if name not in self._dropped}
        identity = tuple(sorted(kept.items()))
        series = self._ids.get(identity)
        if series is None:
            if len(self._series) >= self._most:
                self.refused += 1
                return None
            series = self._free.pop() if self._free else self.size
            self.size = max(self.size, series + 1)
            self._ids[identity] = series
            self._series[series] = _Series(kept, identity)
            metric.series.add(series)
        return series

    def _replica_of(self, labels: Mapping[str, str]) -> int:
        if not any(label in labels for label in self._dropped):
            return 0
        pair = (labels.get(self._cluster, ""), "/".join(labels.get(label, "") for label in self._dropped))
        if pair not in self.replicas:
            if len(self.replicas) == REPLICAS:  # a label that is no replica's name: the series are one and the same
                return REPLICAS - 1
            self.replicas.append(pair)
        return self.replicas.index(pair)

    def expire(self, before: float) -> list[int]:
        """Drop interests that nobody used since `before`; returns the series that nobody wants any more."""
        old = [text for text, one in self._interests.items() if one.used < before and not one.pinned]
        orphans = []
        for text in old:
            interest = self._interests.pop(text)
            metric = self._metrics[interest.selector.name or ""]
            if interest in metric.others:
                metric.others.remove(interest)
            elif interest.service is not None:
                metric.by_service[interest.service].remove(interest)
                if not metric.by_service[interest.service]:
                    del metric.by_service[interest.service]
            for series in interest.series:
                self._series[series].interests.remove(interest)
                if not self._series[series].interests:
                    orphans.append(series)
        return orphans

    def drop(self, gone: Iterable[int]) -> None:
        """Forget series; their numbers are used again only after `release`."""
        touched: set[Interest] = set()
        dropped = set(gone)
        for series in dropped:
            entry = self._series.pop(series)
            touched.update(entry.interests)
            del self._ids[entry.identity]
            self._metrics[entry.labels.get(NAME, "")].series.discard(series)
            for block in entry.blocks:
                self.known.pop(block, None)
        for interest in touched:
            interest.series = [series for series in interest.series if series not in dropped]
            interest.version += 1

    def kept(self) -> list[int]:
        """Return the numbers of all series."""
        return list(self._series)

    def release(self, series: int) -> None:
        """Let a dropped series' number be used again; none of its samples is kept any more."""
        self._free.append(series)
