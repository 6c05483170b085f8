"""Entries of a tape as rows of a long table, and back: samples are numbers, everything else is JSON in `body`.

Fields are only ever added; what a row means changes with guardian.core.tape.VERSION only.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
import numpy as np

from guardian.core.facts import Journaled, WeightRead, Woke
from guardian.core.looks import Floats, Ints, Observed, Part, SeriesKey
from guardian.core.model import Instant, RolloutId, Seconds, Track
from guardian.core.policy import Policy
from guardian.core.records import OfRollout
from guardian.core.tape import VERSION, Concluded, Entry, Given, Header, Named, Ruled, Settled


class Kind(StrEnum):
    """What a row holds."""

    FACT = "fact"
    OBSERVED = "observed"
    SERIES = "series"
    SETTLED = "settled"
    POLICIES = "policies"
    RECORD = "record"


class Title(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself. guardian: the version of slo-guardian that wrote it."""

    version: int
    guardian: str
    header: Header


class _Version(msgspec.Struct, frozen=True):
    version: int


class _Series(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A series key; JSON has neither NaN nor infinity, so its bound is a text."""

    rollout: RolloutId
    guardrail: str
    track: Track
    pod: str
    part: Part
    le: str = "nan"
    labels: str = ""
    stratum: str = ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: its kind, its time, and either a body (and the number of a series) or samples."""

    kind: Kind
    at: Instant
    ahead: Seconds = Seconds(0.0)
    body: str = ""
    series: int = -1
    samples: Observed | None = None


_FACT: Final = msgspec.json.Decoder(Journaled | WeightRead | Woke)
_RECORD: Final = msgspec.json.Decoder(OfRollout)
_KEY: Final = msgspec.json.Decoder(_Series)
_POLICIES: Final = msgspec.json.Decoder(tuple[Policy, ...])
_TITLE: Final = msgspec.json.Decoder(Title)
_VERSION: Final = msgspec.json.Decoder(_Version)


def encode_title(header: Header, *, guardian: str) -> bytes:
    """Return a part's header as JSON."""
    return msgspec.json.encode(Title(version=VERSION, guardian=guardian, header=header))


def decode_title(text: bytes) -> Title | int:
    """Return what a file says of itself, or its version where that is another one. Raises MsgspecError."""
    version = _VERSION.decode(text).version
    return _TITLE.decode(text) if version == VERSION else version


def encode_entry(entry: Entry) -> Row:
    """Return the row, or the rows of one batch of samples."""
    if isinstance(entry, Given):
        if isinstance(entry.fact, Observed):
            return Row(kind=Kind.OBSERVED, at=entry.at, ahead=entry.ahead, samples=entry.fact)
        return Row(kind=Kind.FACT, at=entry.at, ahead=entry.ahead, body=_json(entry.fact))
    if isinstance(entry, Named):
        key = entry.key
        written = _Series(
            rollout=key.rollout, guardrail=key.guardrail, track=key.track, pod=key.pod, part=key.part, le=str(key.le),
            labels=key.labels, stratum=key.stratum,
        )  # fmt: skip
        return Row(kind=Kind.SERIES, at=entry.at, series=entry.series, body=_json(written))
    if isinstance(entry, Ruled):
        return Row(kind=Kind.POLICIES, at=entry.at, body=_json(entry.policies))
    if isinstance(entry, Settled):
        return Row(kind=Kind.SETTLED, at=entry.at)
    return Row(kind=Kind.RECORD, at=entry.at, body=_json(entry.record))


def decode_entry(row: Row) -> Entry:
    """Return the entry of a row. Raises MsgspecError or ValueError for a body that is none."""
    if row.kind is Kind.OBSERVED:
        none: Ints = np.zeros(0, dtype=np.int64)
        empty: Floats = np.zeros(0)
        samples = row.samples if row.samples is not None else Observed(series=none, time=empty, value=empty)
        return Given(at=row.at, fact=samples, ahead=row.ahead)
    if row.kind is Kind.FACT:
        return Given(at=row.at, fact=_FACT.decode(row.body), ahead=row.ahead)
    if row.kind is Kind.SERIES:
        read = _KEY.decode(row.body)
        key = SeriesKey(
            rollout=read.rollout, guardrail=read.guardrail, track=read.track, pod=read.pod, part=read.part,
            le=float(read.le), labels=read.labels, stratum=read.stratum,
        )  # fmt: skip
        return Named(at=row.at, series=row.series, key=key)
    if row.kind is Kind.POLICIES:
        return Ruled(at=row.at, policies=_POLICIES.decode(row.body))
    if row.kind is Kind.SETTLED:
        return Settled(at=row.at)
    return Concluded(at=row.at, record=_RECORD.decode(row.body))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
