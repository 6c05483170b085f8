"""Files of many rollouts are read in waves: the same verdicts, each row once, wrong rows told where they are."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.detection.families import POLICY
from benchmarks.detection.files import sample_table
from benchmarks.detection.streams import Situation, always, generate
from guardian.adapters import _merge, _waves
from guardian.adapters._merge import by_time
from guardian.adapters._waves import waves
from guardian.adapters.samples import tables
from guardian.adapters.samples.tables import Samples
from guardian.core.offline import Offline, OfflineVerdict
from guardian.core.samples import Batch
from guardian.errors import SamplesError

SHORT = Situation(rps=400.0, length=300.0, history=300.0, missing=0.05, tick=15.0)


def file_of(rollouts: int, *, prefix: str, worse: float = 1.0) -> pa.Table:
    """Some rollouts, sorted by time."""
    return sample_table(generate(situation(worse), runs=rollouts, seed=len(prefix)), prefix=prefix)


def situation(worse: float) -> Situation:
    """SHORT with so many times the canary errors."""
    return Situation(rps=SHORT.rps, length=SHORT.length, history=SHORT.history, tick=15.0, effect=always(worse))


def written(folder: Path, *tables: pa.Table, suffix: str = "parquet") -> list[Path]:
    """A file for each table."""
    paths = [folder / f"{number}.{suffix}" for number in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        if suffix == "parquet":
            pq.write_table(table, path, row_group_size=700)
        else:
            pacsv.write_csv(table, path, pacsv.WriteOptions(quoting_style="none"))
    return paths


def judged(paths: list[Path], *, rollouts: int) -> list[tuple[object, ...]]:
    """Verdicts of all waves, evidence to nine digits."""
    found: list[OfflineVerdict] = []
    for wave in waves(paths, rollouts=rollouts):
        reader = Samples(wave.files, only=wave.rollouts)
        court = Offline(POLICY, rollouts=reader.rollouts, metrics=reader.metrics, pods=reader.pods)
        for batch in by_time(reader) if wave.in_turn else reader:
            court.take(batch)
        assert len(reader.rollouts) <= rollouts
        found += court.finish()
    return [(each.rollout_id, each.verdict, each.decided_at, float(f"{each.evidence:.9g}")) for each in found]


@pytest.fixture(scope="module")
def mixed() -> pa.Table:
    """Nine rollouts, some worse, all mixed by time."""
    table = pa.concat_tables([file_of(5, prefix="healthy-"), file_of(4, prefix="worse-", worse=5.0)])
    return table.take(pa.array(np.argsort(table["t"].to_numpy(), kind="stable")))


@settings(max_examples=15)
@given(rollouts=st.integers(1, 9), cut=st.floats(-250.0, 290.0), one_by_one=st.booleans(), csv=st.booleans())
def test_waves_of_any_size_give_the_same_verdicts(
    mixed: pa.Table, rollouts: int, cut: float, tmp_path_factory: pytest.TempPathFactory, *, one_by_one: bool, csv: bool
) -> None:
    """Whether rollouts follow each other or are mixed, and also where they go on in the next file."""
    table = mixed.sort_by([("rollout_id", "ascending"), ("t", "ascending")]) if one_by_one else mixed
    parts = [table.filter(pc.less_equal(table["t"], cut)), table.filter(pc.greater(table["t"], cut))]
    paths = written(tmp_path_factory.mktemp("waves"), *parts, suffix="csv" if csv else "parquet")
    assert judged(paths, rollouts=rollouts) == judged(paths, rollouts=1000)


def test_rollouts_that_end_with_their_file_are_read_once(tmp_path: Path) -> None:
    """Three files of four rollouts in waves of five: a wave a file, and no row is read for two waves."""
    paths = written(tmp_path, *(file_of(4, prefix=prefix) for prefix in ("a-", "bb-", "ccc-")))
    readers = [Samples(wave.files, only=wave.rollouts) for wave in waves(paths, rollouts=5)]
    assert [min(reader.rollouts) for reader in readers] == ["a-0", "bb-0", "ccc-0"]
    assert [sum(map(len, reader)) for reader in readers] == [pq.read_metadata(path).num_rows for path in paths]


def test_the_order_of_verdicts_is_that_of_the_rollouts(tmp_path: Path) -> None:
    """As they appear in the files, whatever the waves are."""
    table, names = file_of(6, prefix="r-"), [f"r-{number}" for number in (5, 2, 3, 4, 1, 0)]
    (path,) = written(tmp_path, pa.concat_tables([table.filter(pc.equal(table["rollout_id"], n)) for n in names]))
    assert [name for name, *_ in judged([path], rollouts=2)] == names


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_wrong_row_is_told_by_its_number_in_the_file(tmp_path: Path, suffix: str) -> None:
    """Not by its number in the wave."""
    table = file_of(4, prefix="r-")
    at = int(np.flatnonzero(table["rollout_id"].to_numpy(zero_copy_only=False) == "r-3")[7])
    bad = table["bad"].to_numpy().copy()
    bad[at] = 1e9
    table = table.set_column(table.schema.get_field_index("bad"), "bad", pa.array(bad))
    paths = written(tmp_path, table, suffix=suffix)
    told = f"row {at + 1}" if suffix == "parquet" else f"line {at + 2}"
    with pytest.raises(SamplesError) as raised:
        judged(paths, rollouts=1)
    assert raised.value.where == f"{paths[0]}: {told}, column bad"


def in_turn(table: pa.Table) -> pa.Table:
    """One rollout after the other."""
    return table.sort_by([("rollout_id", "ascending"), ("t", "ascending")])


def test_rollouts_that_come_in_turn_are_told_from_those_side_by_side(mixed: pa.Table, tmp_path: Path) -> None:
    """Within a file, and from file to file."""
    (tmp_path / "turns").mkdir()
    (by_t,), (turns,) = written(tmp_path, mixed), written(tmp_path / "turns", in_turn(mixed))
    (tmp_path / "files").mkdir()
    files = written(tmp_path / "files", *(file_of(2, prefix=prefix) for prefix in ("a-", "bb-", "ccc-")))
    assert [wave.in_turn for paths in ([by_t], [turns], files, files[:1]) for wave in waves(paths)] == [
        False, True, True, False
    ]  # fmt: skip


def test_rows_in_turn_are_handed_on_by_time(mixed: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows, each once, those of a rollout in the file's order; a time is never in two slices."""
    monkeypatch.setattr(_merge, "BLOCK_ROWS", 50)
    monkeypatch.setattr(_merge, "SLICE_ROWS", 400)
    monkeypatch.setattr(tables, "BATCH_ROWS", 700)
    zones = pa.array(np.where(np.arange(len(mixed)) % 3, "zone=a", "zone=b"))
    (path,) = written(tmp_path, in_turn(mixed.append_column("stratum", zones)))
    plain, slices = Batch.joined(list(Samples([path]))), list(by_time(Samples([path])))
    assert len(slices) > 3
    assert all(a.time.max() < b.time.min() for a, b in pairwise(slices))
    merged = Batch.joined(slices)
    for rollout in range(9):
        before, after = (each.rows(np.flatnonzero(each.rollout == rollout)) for each in (plain, merged))
        for name in Batch.__slots__:
            assert np.array_equal(getattr(before, name), getattr(after, name), equal_nan=True)


def test_what_is_kept_of_rollouts_in_turn_is_bounded(
    mixed: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wave ends before it has too many rows, and has one rollout at least; the verdicts stay the same."""
    (path,) = written(tmp_path, in_turn(mixed))
    whole, rows = judged([path], rollouts=1000), len(mixed) // 9
    monkeypatch.setattr(_waves, "ROWS", int(2.5 * rows))
    assert [len(wave.rollouts or ()) for wave in waves([path])] == [2, 2, 2, 2, 1]
    assert judged([path], rollouts=1000) == whole
    monkeypatch.setattr(_waves, "ROWS", 1)
    assert [len(wave.rollouts or ()) for wave in waves([path])] == [1] * 9
