"""Remote write decoded: the short cuts give what the generated protobuf code gives, on anything a sender may send."""

from __future__ import annotations

import math
import struct

import cramjam
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.adapters._remote_write import Batch, decode, labels_of, unpack
from guardian.adapters._remote_write_pb2 import Label, TimeSeries, WriteRequest
from guardian.errors import EventError, EventTooLarge

NAMES = st.text(alphabet="abcdefg_", min_size=1, max_size=40)
LABELS = st.dictionaries(NAMES, st.text(max_size=200), min_size=1, max_size=6)
STAMPS = st.one_of(
    st.integers(1_600_000_000_000, 1_900_000_000_000), st.integers(-(2**40), 2**50), st.sampled_from([0, 1, 127, 128])
)
VALUES = st.one_of(st.sampled_from([0.0, 1.0, math.inf]), st.floats(allow_nan=False))
SERIES = st.tuples(LABELS, st.lists(st.tuples(STAMPS, VALUES), max_size=3))


def encoded(labels: dict[str, str], samples: list[tuple[int, float]]) -> TimeSeries:
    """One series."""
    series = TimeSeries(labels=[Label(name=k, value=v).SerializeToString() for k, v in sorted(labels.items())])
    for at, value in samples:
        series.samples.add(timestamp=at, value=value)
    return series


class Known:
    """Slots as the watch list gives them: dense numbers, negative for what nobody wants."""

    def __init__(self, unwanted: str = "") -> None:
        self.slots: dict[bytes, int] = {}
        self.labels: list[dict[str, str]] = []
        self.unwanted = unwanted

    def resolve(self, block: bytes) -> int:
        labels = labels_of(block)
        self.labels.append(labels)
        slot = -1 if self.unwanted in labels else len(self.labels) - 1
        self.slots[block] = slot
        return slot

    def read(self, batch: Batch) -> list[tuple[tuple[tuple[str, str], ...], float, float]]:
        """Return the samples with their labels, sorted."""
        rows = zip(batch.slot.tolist(), batch.time.tolist(), batch.value.tolist(), strict=True)
        return sorted((tuple(sorted(self.labels[slot].items())), at, value) for slot, at, value in rows)


@given(st.lists(SERIES, max_size=12))
def test_known_and_new_series_are_read_as_the_generated_code_reads_them(
    sent: list[tuple[dict[str, str], list[tuple[int, float]]]],
) -> None:
    """First pass: every block is new. Second pass: every block is known, and the short cut is taken."""
    body = WriteRequest(timeseries=[encoded(labels, samples) for labels, samples in sent]).SerializeToString()
    expected = sorted(
        (tuple(sorted(labels.items())), at / 1000.0, value) for labels, samples in sent for at, value in samples
    )
    known = Known()
    for _ in range(2):
        batch, end = decode(body, known.slots, known.resolve)
        assert end == len(body)
        assert known.read(batch) == expected


@given(st.lists(SERIES, min_size=1, max_size=6), st.data())
def test_any_bytes_are_read_or_refused(
    sent: list[tuple[dict[str, str], list[tuple[int, float]]]], data: st.DataObject
) -> None:
    """A cut or damaged request is an EventError, never another exception."""
    body = bytearray(WriteRequest(timeseries=[encoded(*one) for one in sent]).SerializeToString())
    known = Known()
    decode(bytes(body), known.slots, known.resolve)
    for _ in range(data.draw(st.integers(0, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(body[: data.draw(st.integers(0, len(body)))])
    try:
        batch, end = decode(cut, known.slots, known.resolve)
    except EventError:
        return
    assert end == len(cut)
    assert batch.slot.shape == batch.time.shape == batch.value.shape


def test_metadata_and_unknown_fields_are_passed_over() -> None:
    """Prometheus sends the types and help texts of metrics in the same message, as field 3."""
    series = encoded({"__name__": "m"}, [(1_700_000_000_123, 5.0)])
    request = WriteRequest(timeseries=[series]).SerializeToString()
    metadata = b"\x1a\x05\x08\x01\x12\x01m"
    extra = b"\x20\x96\x01" + b"\x29" + bytes(8) + b"\x35" + bytes(4)
    known = Known()
    batch, _ = decode(metadata + request + extra + metadata, known.slots, known.resolve)
    assert (batch.time.tolist(), batch.value.tolist()) == ([1_700_000_000.123], [5.0])


def test_unwanted_series_cost_a_look_up_and_nothing_is_kept() -> None:
    """Most of what a Prometheus sends is not watched."""
    body = WriteRequest(timeseries=[encoded({"a": "1"}, [(1, 2.0)]), encoded({"b": "1"}, [(1, 3.0)])])
    known = Known(unwanted="a")
    for _ in range(2):
        batch, _ = decode(body.SerializeToString(), known.slots, known.resolve)
        assert batch.value.tolist() == [3.0]
    assert len(known.labels) == 2


def test_a_request_can_be_read_in_pieces() -> None:
    """So that a large one does not hold up the event loop."""
    body = WriteRequest(timeseries=[encoded({"a": str(i)}, [(i, float(i))]) for i in range(10)]).SerializeToString()
    known, at, values = Known(), 0, []
    while at < len(body):
        batch, at = decode(body, known.slots, known.resolve, start=at, most=3)
        assert batch.value.size <= 3
        values += batch.value.tolist()
    assert values == [float(i) for i in range(10)]


def test_the_staleness_marker_keeps_its_bits() -> None:
    """It is a NaN that means the end of a series; any other NaN is an error in the data."""
    (marker,) = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))
    body = WriteRequest(timeseries=[encoded({"a": "1"}, [(1_700_000_000_000, marker)])]).SerializeToString()
    assert body[-15:-7] == struct.pack("<Q", 0x7FF0000000000002)
    known = Known()
    decode(body, known.slots, known.resolve)
    batch, _ = decode(body, known.slots, known.resolve)
    assert batch.value.view(np.uint64).tolist() == [0x7FF0000000000002]


def test_snappy_is_undone_within_a_limit() -> None:
    """The size is in the first bytes: a bomb is refused before it is unpacked."""
    body = bytes(1_000_000)
    packed = bytes(cramjam.snappy.compress_raw(body))
    assert unpack(packed, limit=1_000_000) == body
    with pytest.raises(EventTooLarge, match="1000000 bytes unpacked"):
        unpack(packed, limit=999_999)
    with pytest.raises(EventError, match="not snappy"):
        unpack(b"\xff\xff\xff\xff nonsense", limit=1_000_000)
