"""Files of many rollouts are read in waves: the same verdicts, each row once, wrong rows told where they are."""

from __future__ import annotations

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
from guardian.adapters._waves import waves
from guardian.adapters.samples.tables import Samples
from guardian.core.offline import Offline, OfflineVerdict
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
        for batch in reader:
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
