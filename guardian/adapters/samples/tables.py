"""Reads a long table of samples (CONTRACTS section 6), CSV or Parquet, a batch at a time, and checks every row.

Raises SamplesError with file, line (or row) and column at the first row that breaks the contract. It holds
one batch, the names seen so far and the newest time of each rollout; it judges nothing. Which rollouts are read
together, where there are many, is _waves.py's part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from guardian.adapters._tables import NUMBERS, Stretch, coded, floats, open_table
from guardian.core.model import Track
from guardian.core.samples import Batch
from guardian.errors import SamplesError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BATCH_ROWS: Final = 50_000
"""Rows handed on at once: what is made of them takes several times their 96 bytes each."""
UNKNOWN: Final = -1
UNNAMED: Final = -2
"""Codes of a track: a text that is none, and control where the policy names no control track."""


class Samples:
    """Rows of some files, in order. `rollouts`, `metrics`, `pods` grow as names are met.

    only: the rollouts whose rows are read, in the order in which they are numbered; None: all. control: whether rows
    may be of the control track, which is so where the policy names one.
    """

    def __init__(
        self, files: Sequence[Path | Stretch], *, only: Sequence[str] | None = None, control: bool = False
    ) -> None:
        self._track_codes = {str(track): track.code for track in Track}
        if not control:
            self._track_codes[Track.CONTROL] = UNNAMED
        self._stretches = [file if isinstance(file, Stretch) else Stretch(path=file) for file in files]
        self._all = only is None
        self.rollouts: list[str] = list(only or ())
        self.metrics: list[str] = []
        self.pods: list[str] = []
        numbers = {name: number for number, name in enumerate(self.rollouts)}
        self._strata = [""]
        self._codes: dict[str, dict[str, int]] = {"rollout_id": numbers, "metric": {}, "pod": {}, "stratum": {"": 0}}
        self._bounds: dict[str, float] = {"": float("nan")}
        self._newest = np.zeros(0)

    def __iter__(self) -> Iterator[Batch]:
        """Batches of all files. Raises SamplesError."""
        parts: list[Batch] = []
        for stretch in self._stretches:
            for row, table in open_table(stretch):
                batch = self._convert(table, stretch.path, row) if self._all else self._some(table, stretch.path, row)
                parts.append(batch)
                if sum(map(len, parts)) >= BATCH_ROWS:
                    batch, parts = Batch.joined(parts), []
                    yield batch
        if sum(map(len, parts)):
            yield Batch.joined(parts)

    def _some(self, table: pa.RecordBatch, path: Path, row: int) -> Batch:
        """The rows of the rollouts that are read."""
        code, names = coded(table, "rollout_id")
        known = self._codes["rollout_id"]
        chosen = np.flatnonzero(np.array([name in known for name in names] or [False])[code])
        return self._convert(table.take(pa.array(chosen)), path, row + chosen)

    def _convert(self, table: pa.RecordBatch, path: Path, row: int | Ints) -> Batch:
        numbers = {name: floats(table, name) for name in NUMBERS}
        track, tracks = coded(table, "track")
        codes = {name: self._numbered(name, *coded(table, name)) for name in ("rollout_id", "metric", "pod", "stratum")}
        le, les = coded(table, "le")
        code = np.array([self._track_codes.get(text, UNKNOWN) for text in tracks] or [0])[track]
        bound = np.array([self._bound(text) for text in les] or [np.nan])[le]
        batch = Batch(
            rollout=codes["rollout_id"], metric=codes["metric"], pod=codes["pod"], stratum=codes["stratum"],
            track=code, time=numbers["t"], seconds=numbers["dt"], requests=numbers["requests"], bad=numbers["bad"],
            bound=bound, count=numbers["count"], value=numbers["value"],
        )  # fmt: skip
        self._check(batch, path, row, wrong_bound=np.isinf(bound) & (bound < 0))
        return batch

    def _numbered(self, column: str, codes: Ints, names: list[str]) -> Ints:
        known = self._codes[column]
        lists = {"rollout_id": self.rollouts, "metric": self.metrics, "pod": self.pods, "stratum": self._strata}
        listed = lists[column]
        numbers = np.zeros(len(names) or 1, dtype=np.int64)
        met = np.bincount(codes, minlength=len(names))  # a dictionary may name more than there is
        for place in np.flatnonzero(met):
            name = names[place]
            if name not in known:
                known[name] = len(listed)
                listed.append(name)
            numbers[place] = known[name]
        return np.asarray(numbers[codes])

    def _bound(self, text: str) -> float:
        """The bucket's bound as a number ('1' = '1.0'); -inf marks a text that is none."""
        if text not in self._bounds:
            try:
                value = float(text)
            except ValueError:
                value = float("-inf")
            self._bounds[text] = value if value >= 0 else float("-inf")
        return self._bounds[text]

    def _check(self, batch: Batch, path: Path, row: int | Ints, *, wrong_bound: npt.NDArray[np.bool_]) -> None:
        """Raise at the first row that breaks the contract; row: number of the first row in its file, or of each."""
        n = len(batch)
        bucket = ~np.isnan(batch.bound)
        ratio = ~np.isnan(batch.requests)
        faults: list[tuple[npt.NDArray[np.bool_], str, str, str]] = [
            (batch.track == UNKNOWN, "track", f"is none of {', '.join(map(repr, map(str, Track)))}", "name the track"),
            (
                batch.track == UNNAMED, "track", "is 'control', and the policy names no control track",
                "write `labels: {control: control}` in the policy's spec, or leave these rows out",
            ),
            (~np.isfinite(batch.time), "t", "is not a finite number", "give the end of the interval in seconds"),
            (~(np.isfinite(batch.seconds) & (batch.seconds >= 0)), "dt", "is not a length >= 0", "give seconds"),
            (wrong_bound, "le", "is not a bound >= 0 or '+Inf'", "give seconds"),
            (batch.requests < 0, "requests", "is negative", "give deltas, not differences across resets"),
            (batch.bad < 0, "bad", "is negative", "give deltas, not differences across resets"),
            (batch.bad > batch.requests, "bad", "is more than requests", "0 <= bad <= requests"),
            (ratio & np.isnan(batch.bad), "bad", "is empty where requests is given", "give both"),
            (~ratio & ~np.isnan(batch.bad), "requests", "is empty where bad is given", "give both"),
            (batch.count < 0, "count", "is negative", "give the raw counter"),
            (bucket & np.isnan(batch.count), "count", "is empty where le is given", "give the raw counter"),
            (~bucket & ~np.isnan(batch.count), "le", "is empty where count is given", "name the bucket"),
            (np.isinf(batch.requests) | np.isinf(batch.count), "requests", "is infinite", "give a number"),
        ]  # fmt: skip
        backwards = self._backwards(batch)
        faults.append((backwards, "t", "is before an earlier row of the same rollout", "sort the rows by t"))
        first = [(int(np.argmax(bad)), column, what, todo) for bad, column, what, todo in faults if bad.any()]
        if first and n:
            at, column, what, todo = min(first, key=lambda each: each[0])
            line = (row + at if isinstance(row, int) else int(row[at])) + (2 if path.suffix != ".parquet" else 1)
            kind = "line" if path.suffix != ".parquet" else "row"
            name = self.rollouts[int(batch.rollout[at])]
            raise SamplesError(
                f"{what} (rollout {name!r}, t {batch.time[at]:g})",
                where=f"{path}: {kind} {line}, column {column}", remedy=todo,
            )  # fmt: skip

    def _backwards(self, batch: Batch) -> npt.NDArray[np.bool_]:
        """Rows whose time is before one already seen of their rollout; remembers the newest times."""
        more = len(self.rollouts) - len(self._newest)
        self._newest = np.concatenate((self._newest, np.full(more, -np.inf)))
        out = np.zeros(len(batch), dtype=np.bool_)
        if np.all(batch.time[1:] >= batch.time[:-1]):
            out = batch.time < self._newest[batch.rollout]
        else:
            order = np.argsort(batch.rollout, kind="stable")
            rollout, time = batch.rollout[order], batch.time[order]
            same = np.concatenate(([False], rollout[1:] == rollout[:-1]))
            earlier = np.where(same, np.concatenate(([-np.inf], time[:-1])), self._newest[rollout])
            out[order] = time < earlier
        np.fmax.at(self._newest, batch.rollout, batch.time)
        return out
