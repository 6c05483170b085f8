"""The body of a journal row: the fact from outside, if any, and what was concluded from it, as JSON.

Fields are only ever added; what was written by an older version reads the same for ever.
"""

from __future__ import annotations

from typing import Final

import msgspec

from guardian.core.facts import Journaled
from guardian.core.records import Record
from guardian.errors import JournalError


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision: a fact and its records; either may be absent, not both."""

    fact: Journaled | None = None
    records: tuple[Record, ...] = ()


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """Return the entry as JSON; equal entries give equal bytes."""
    return _ENCODER.encode(entry)


def decode_entry(body: bytes, *, seq: int) -> Entry:
    """Return the entry of row `seq`. Raises JournalError naming the row when it is none."""
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise JournalError(
            f"row {seq} does not read as a decision: {error}",
            where="journal",
            remedy="restore a copy, or start the version of slo-guardian that wrote it",
        ) from error
