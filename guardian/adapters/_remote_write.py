"""Prometheus remote write 1.0, received: snappy and protobuf bytes -> arrays of samples.

A series comes as its label block (the encoded labels) and, nearly always, one sample of a fixed layout at
its end. Known blocks are looked up by their bytes and their samples decoded together by numpy; everything
else (a new block, several samples, exemplars, another layout) is read by the generated protobuf code. Why
the short cut is sound: a known block is a whole sequence of label fields, so what follows it can only be
the next field, whose tag and length are checked to fill the series exactly. It stores nothing.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Final

import cramjam
import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from guardian.adapters._remote_write_pb2 import Labels, Sample, TimeSeries
from guardian.core.looks import Floats, Ints
from guardian.errors import EventError, EventTooLarge

SERIES_FIELD: Final = 0x0A
"""Tag of WriteRequest.timeseries and of TimeSeries.labels: field 1, length-delimited."""
SAMPLE_FIELD: Final = 0x12
"""Tag of TimeSeries.samples."""
FULL: Final = 18
"""Bytes of a sample field with value and a timestamp of the years 2004 to 2109: 12 10 | 09 <8> | 10 <6>."""
ZERO: Final = 9
"""Bytes of a sample field whose value is 0, which proto3 leaves out: 12 07 | 10 <6>."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples of watched series, shape (n,): slot as given by `resolve`, unix seconds, value."""

    slot: Ints
    time: Floats
    value: Floats


def unpack(body: bytes, *, limit: int) -> bytes:
    """Undo snappy's block format. Raises EventTooLarge beyond `limit` bytes, EventError for other bytes."""
    try:
        size = cramjam.snappy.decompress_raw_len(body) if body else 0
        if size > limit:
            raise EventTooLarge(
                f"{size} bytes unpacked, at most {limit} are taken",
                reason="too-large",
                remedy="lower max_samples_per_send of the sender, or raise limits.write_body",
            )
        return bytes(cramjam.snappy.decompress_raw(body)) if body else b""
    except cramjam.DecompressionError as error:
        raise _unreadable(f"not snappy: {error}") from error


def decode(
    body: bytes,
    known: MutableMapping[bytes, int],
    resolve: Callable[[bytes], int],
    *,
    start: int = 0,
    most: int = 1 << 60,
) -> tuple[Batch, int]:
    """Read at most `most` series of a request from byte `start` on; returns samples and the next byte.

    known: label block -> slot, negative for series that nobody wants. resolve: gives the slot of a new
    block, and adds it to `known`. Raises EventError when the bytes are no WriteRequest.
    """
    reader = _Reader(body, known, resolve)
    try:
        end = reader.read(start, most)
        return reader.batch(), end
    except (DecodeError, IndexError, UnicodeDecodeError) as error:
        raise _unreadable(f"not a WriteRequest: {error}") from error


def labels_of(block: bytes) -> dict[str, str]:
    """Return the labels of a label block. Raises EventError when it is none."""
    try:
        return {label.name: label.value for label in Labels.FromString(block).labels}
    except DecodeError as error:
        raise _unreadable(f"labels: {error}") from error


def _unreadable(what: str) -> EventError:
    return EventError(
        what,
        reason="unreadable",
        where="remote write",
        remedy="send Prometheus remote write 1.0 (snappy, protobuf)",
    )


class _Reader:
    """One pass over a request; samples of the common layouts are only located, and decoded at the end."""

    def __init__(self, body: bytes, known: MutableMapping[bytes, int], resolve: Callable[[bytes], int]) -> None:
        self.body, self.known, self.resolve = body, known, resolve
        self.full_slots: list[int] = []
        self.full_at: list[int] = []
        self.zero_slots: list[int] = []
        self.zero_at: list[int] = []
        self.other: list[tuple[int, int, float]] = []

    def read(self, at: int, most: int) -> int:
        """Read up to `most` series from byte `at`; returns where it stopped."""
        body, find = self.body, self.known.get
        size, count = len(body), 0
        full_slots, full_at, zero_slots, zero_at = (
            self.full_slots,
            self.full_at,
            self.zero_slots,
            self.zero_at,
        )
        while at < size and count < most:
            if body[at] != SERIES_FIELD:
                at = _skipped(body, at)
                continue
            length, begin = _varint(body, at + 1)
            at = begin + length
            if at > size:
                raise IndexError("a series ends after the request")
            count += 1
            cut = at - FULL
            if cut > begin and body[cut] == SAMPLE_FIELD and body[cut + 1] == FULL - 2:
                slot = find(body[begin:cut])
                if slot is not None:
                    if slot >= 0:
                        full_slots.append(slot)
                        full_at.append(cut)
                    continue
            cut = at - ZERO
            if cut > begin and body[cut] == SAMPLE_FIELD and body[cut + 1] == ZERO - 2:
                slot = find(body[begin:cut])
                if slot is not None:
                    if slot >= 0:
                        zero_slots.append(slot)
                        zero_at.append(cut)
                    continue
            self._read_whole(body[begin:at])
        return at

    def _read_whole(self, encoded: bytes) -> None:
        """Read one series with the generated code; its labels, encoded again, are its block."""
        series = TimeSeries.FromString(encoded)
        block = b"".join(_field(label) for label in series.labels)
        slot = self.known.get(block)
        if slot is None:
            slot = self.resolve(block)
        if slot >= 0:
            self.other.extend((slot, sample.timestamp, sample.value) for sample in series.samples)

    def _read_sample(self, slot: int, at: int, size: int) -> None:
        sample = Sample.FromString(self.body[at + 2 : at + size])
        self.other.append((slot, sample.timestamp, sample.value))

    def batch(self) -> Batch:
        """Decode what was located."""
        octets = np.frombuffer(self.body, np.uint8)
        full, full_slots = self._located(octets, self.full_slots, self.full_at, FULL)
        zero, zero_slots = self._located(octets, self.zero_slots, self.zero_at, ZERO)
        value = np.ascontiguousarray(full[:, 3:11]).view("<f8").reshape(-1)
        slots = [full_slots, zero_slots, np.array([slot for slot, _, _ in self.other], np.int64)]
        stamps = [_stamps(full), _stamps(zero), np.array([at for _, at, _ in self.other], np.int64)]
        values = [value, np.zeros(len(zero)), np.array([value for _, _, value in self.other], np.float64)]
        return Batch(slot=np.concatenate(slots), time=np.concatenate(stamps) / 1000.0, value=np.concatenate(values))

    def _located(
        self, octets: npt.NDArray[np.uint8], slots: list[int], at: list[int], size: int
    ) -> tuple[npt.NDArray[np.uint8], Ints]:
        """Return the samples of this size as bytes, shape (n, size); other layouts are read apart."""
        place = np.array(at, np.int64)
        fields = octets[place[:, None] + np.arange(size)]
        usual = (fields[:, -6:-1] >= 0x80).all(axis=1) & (fields[:, -1] < 0x80) & (fields[:, -7] == 0x10)
        if size == FULL:
            usual &= fields[:, 2] == 0x09
        if not usual.all():
            for index in np.flatnonzero(~usual).tolist():
                self._read_sample(slots[index], at[index], size)
            fields = fields[usual]
        return fields, np.array(slots, np.int64)[usual]


def _stamps(fields: npt.NDArray[np.uint8]) -> Ints:
    """Return the timestamps (milliseconds) that stand in the last six bytes of each row as a varint."""
    stamps = np.zeros(len(fields), np.int64)
    for place in range(6):
        stamps |= (fields[:, place - 6] & 0x7F).astype(np.int64) << (7 * place)
    return stamps


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at` and where it ends."""
    first = body[at]
    if first < 0x80:
        return first, at + 1
    second = body[at + 1]
    if second < 0x80:
        return first & 0x7F | second << 7, at + 2
    value, shift = first & 0x7F, 7
    while shift < 70:
        at += 1
        octet = body[at]
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, at + 1
        shift += 7
    raise IndexError("a number has more than ten bytes")


def _skipped(body: bytes, at: int) -> int:
    """Return where the field at `at` ends, which nobody needs (metadata)."""
    tag, at = _varint(body, at)
    if tag < 8:
        raise IndexError("field number 0")
    match tag & 7:
        case 0:
            at = _varint(body, at)[1]
        case 1:
            at += 8
        case 2:
            length, at = _varint(body, at)
            at += length
        case 5:
            at += 4
        case kind:
            raise IndexError(f"wire type {kind}")
    if at > len(body):
        raise IndexError("a field ends after the request")
    return at


def _field(label: bytes) -> bytes:
    size, octets = len(label), bytearray([SERIES_FIELD])
    while size >= 0x80:
        octets.append(size & 0x7F | 0x80)
        size >>= 7
    octets.append(size)
    return bytes(octets) + label
