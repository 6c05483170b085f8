"""Tapes on the disk: whole or not at all, within bounds, and a clear word about what is none."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.adapters._tape import TITLE, read_part
from guardian.adapters.tapes.folder import TapeFolder, parts_of
from guardian.core.looks import Observed, SeriesKey
from guardian.core.looks import Part as Portion
from guardian.core.model import Instant, RolloutId, Seconds, Track
from guardian.core.series import STALE_MARKER
from guardian.core.tape import Given, Named
from guardian.errors import TapeError
from guardian.wire.tape import decode_entry, encode_entry
from tests.adapters.tapes import part
from tests.builders import PLACE, T0, requested

STALE = struct.unpack("<d", struct.pack("<q", STALE_MARKER))[0]


def only_file(folder: Path) -> Path:
    """Return the one file of a folder's tapes."""
    (file,) = folder.rglob("*.parquet")
    return file


def test_samples_keep_every_bit(tmp_path: Path) -> None:
    """The staleness marker is one of many NaNs: another one would end no series."""
    values = np.array([1.0, STALE, np.nan, 1e300, 0.1 + 0.2])
    samples = Observed(series=np.arange(5), time=np.arange(5.0), value=values)
    TapeFolder(tmp_path).keep(part(Given(at=T0, fact=samples)))
    (entry,) = read_part(only_file(tmp_path)).entries
    assert isinstance(entry, Given)
    assert isinstance(entry.fact, Observed)
    assert entry.fact.value.view(np.int64).tolist() == values.view(np.int64).tolist()


@given(le=st.one_of(st.none(), st.floats(allow_nan=False)), labels=st.text(), stratum=st.text())
def test_a_series_is_named_as_it_was(le: float | None, labels: str, stratum: str) -> None:
    """Bounds may be infinite, or not there at all; JSON knows neither."""
    more = {} if le is None else {"le": le}
    key = SeriesKey(
        rollout=RolloutId("r"), guardrail="g", track=Track.CANARY, pod="p", part=Portion.BUCKET, labels=labels,
        stratum=stratum, **more,
    )  # fmt: skip
    back = decode_entry(encode_entry(Named(at=T0, series=3, key=key)))
    assert isinstance(back, Named)
    assert repr(back.key) == repr(key)


def test_an_empty_batch_and_an_empty_part_are_read(tmp_path: Path) -> None:
    """A part in which nothing came is part of the count."""
    TapeFolder(tmp_path).keep(part())
    assert read_part(only_file(tmp_path)).entries == ()


def test_the_oldest_parts_are_dropped_beyond_the_size(tmp_path: Path) -> None:
    """Each service has its own bound; the newest part stays, however large."""
    tapes = TapeFolder(tmp_path, size=100_000)
    for number in range(6):
        tapes.keep(part(number=number, began=T0 + 30.0 * number, size=2000))
    tapes.keep(part(service="payment", size=20_000))
    left = {key[1]: [header.number for header, _ in parts] for key, parts in parts_of([tmp_path]).items()}
    assert left == {"checkout": [4, 5], "payment": [0]}
    checkout = [file for file in tmp_path.rglob("*.parquet") if file.parent.name == "checkout"]
    assert sum(file.stat().st_size for file in checkout) <= 100_000


def test_parts_are_dropped_when_they_are_too_old(tmp_path: Path) -> None:
    """At the next part of the service, or at the start for a service that is quiet."""
    tapes = TapeFolder(tmp_path, age=Seconds(100.0))
    tapes.keep(part(service="payment"))
    for number in range(6):
        tapes.keep(part(number=number, began=T0 + 30.0 * number))
    numbers = {key[1]: [header.number for header, _ in parts] for key, parts in parts_of([tmp_path]).items()}
    assert numbers == {"checkout": [3, 4, 5], "payment": [0]}
    tapes.begin(Instant(T0 + 1e6))
    assert list(tmp_path.rglob("*.parquet")) == []


@pytest.mark.parametrize("service", ["..", ".", "a/../../b", "über checkout", "*"])
def test_a_name_is_one_folder_whatever_is_in_it(service: str, tmp_path: Path) -> None:
    """Services are named by whoever sends events."""
    folder = tmp_path / "tapes"
    TapeFolder(folder).keep(part(service=service))
    file = only_file(tmp_path)
    assert file.parent.parent.parent == folder
    assert list(parts_of([folder])) == [(PLACE.environment, service, file.parent.resolve())]


def test_what_is_not_a_part_is_left_alone(tmp_path: Path) -> None:
    """Somebody may have put a file of his own there; it is neither dropped nor in the way."""
    tapes = TapeFolder(tmp_path, age=Seconds(100.0))
    tapes.keep(part())
    own = only_file(tmp_path).with_name("my-own.parquet")
    own.write_text("mine")
    tapes.begin(Instant(T0 + 1e6))
    assert list(tmp_path.rglob("*.parquet")) == [own]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """A file stands where a folder should be; the text says what to do."""
    (tmp_path / "production").write_text("in the way")
    with pytest.raises(TapeError, match=r"production.*cannot be written.*rollouts go on"):
        TapeFolder(tmp_path).keep(part())
    assert [file.name for file in tmp_path.rglob("*")] == ["production"]


def damaged(folder: Path, kind: str) -> Path:
    """Return a file that is no part of a tape, or not one that reads."""
    TapeFolder(folder).keep(part(Given(at=T0, fact=requested()), size=500))
    file = only_file(folder)
    table, whole = pq.read_table(file), file.read_bytes()
    title = (table.schema.metadata or {})[TITLE]
    match kind:
        case "cut":
            file.write_bytes(whole[: len(whole) // 2])
        case "text":
            file.write_text("rollout_id,t,dt\n")
        case "other":
            pq.write_table(pa.table({"rollout_id": ["a"]}), file)
        case "newer":
            newer = title.replace(b'"version":1', b'"version":2')
            pq.write_table(table.replace_schema_metadata({TITLE: newer}), file)
        case "header":
            pq.write_table(table.replace_schema_metadata({TITLE: b'{"version":1}'}), file)
        case "columns":
            pq.write_table(table.drop_columns(["at"]), file)
        case "fact":
            bodies = pa.array([body.replace("DeployRequested", "Rain") for body in table["body"].to_pylist()])
            pq.write_table(table.set_column(4, "body", bodies), file)
        case "kind":
            kinds = pa.array(["rain"] * len(table))
            pq.write_table(table.set_column(1, "kind", kinds), file)
        case "absent":
            file.unlink()
    return file


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("cut", "is cut off, or is no Parquet file"),
        ("text", "is cut off, or is no Parquet file"),
        ("other", "is a Parquet file, but no tape"),
        ("newer", "is a tape of version 2; this is version 1"),
        ("header", "its header does not read"),
        ("columns", "its columns are entry, kind, ahead"),
        ("fact", "row 1 does not read: Invalid value 'Rain'"),
        ("kind", "row 1 does not read: 'rain' is not a valid Kind"),
        ("absent", "cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_tape_is_told_with_file_and_remedy(kind: str, text: str, tmp_path: Path) -> None:
    """Nothing is guessed, and no half of a tape is replayed as if it were all."""
    file = damaged(tmp_path, kind)
    with pytest.raises(TapeError) as caught:
        read_part(file)
    assert caught.value.where == str(file)
    assert text in caught.value.what
    assert caught.value.remedy


def test_a_folder_without_tapes_is_told(tmp_path: Path) -> None:
    """It may be the wrong one."""
    with pytest.raises(TapeError, match="holds no tape"):
        parts_of([tmp_path])
