"""Files of recorded rollouts for the load on `guardian judge`: a family of noise a file, all rollouts mixed by time.

`pods`: eight pods a rollout and every seventh rollout with a histogram, eleven files of about 17 MB. `tracks`: one
series a track, about 20 MB in eleven files. `small`: as `pods`, in a hundred files. `turns`: the first file of `pods`,
one rollout after the other. What the verdicts should be is judged elsewhere (benchmarks/detection).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.detection.files import sample_table
from benchmarks.detection.streams import Situation, always, generate, since

ROLLOUTS: Final = 13_000
POLICY: Final = """apiVersion: slo-guardian/v1
kind: Policy
metadata: {name: recorded}
spec:
  match: {service: recorded, environment: production}
  strategy: {kind: canary, steps: [{weight: 10%, bake: 5m}, {weight: 100%, bake: 10m}]}
  guardrails:
    - name: errors
      sli: {ratio: {bad: 'http_requests_total{status=~"5.."}', total: http_requests_total}}
    - name: latency
      sli: {histogram: {buckets: http_request_duration_seconds_bucket}}
"""
NOISE: Final[tuple[Mapping[str, Any], ...]] = (
    {}, {"pod_sd": 0.1}, {"pod_sd": 0.15}, {"pod_sd": 0.3}, {"noise_sd": 0.4, "noise_rho": 0.3},
    {"noise_sd": 0.4, "noise_rho": 0.9}, {"cluster": 0.2}, {"missing": 0.1}, {"burst": 0.002}, {"base": 0.001},
    {"rps": 20.0},
)  # fmt: skip
"""What is the matter in each of the files."""


class Kind(StrEnum):
    """What a file records."""

    PODS = "pods"
    TRACKS = "tracks"
    SMALL = "small"
    TURNS = "turns"

    @property
    def files(self) -> int:
        """How many files there are of it."""
        return {Kind.SMALL: 100, Kind.TURNS: 1}.get(self, len(NOISE))


def rollouts_of(kind: Kind, file: int) -> int:
    """How many rollouts are in each of the files."""
    files = max(kind.files, len(NOISE))
    return ROLLOUTS // files + (file < ROLLOUTS % files)


def path_of(folder: Path, *, kind: Kind, file: int) -> Path:
    """Where one of the files is."""
    return folder / f"{kind}-{file}.parquet"


def write(folder: Path, *, kind: Kind, file: int, count: int | None = None) -> Path:
    """Write one of the files, numbered from 0, with `count` rollouts (default: its own); returns it."""
    count = rollouts_of(kind, file) if count is None else count
    told = count // 7 if kind is not Kind.TRACKS else 0
    plain = count - told
    shape = {"canary_pods": 1, "stable_pods": 1, "merged": True} if kind is Kind.TRACKS else {}
    calm = Situation(**{**shape, **NOISE[file % len(NOISE)]})
    parts = [
        _table(calm, runs=plain - plain // 4, seed=4 * file, prefix=f"f{file}-a"),
        _table(replace(calm, effect=since(300.0, 2.0)), runs=plain // 4, seed=4 * file + 1, prefix=f"f{file}-b"),
        _table(replace(calm, latency=True), runs=told - told // 4, seed=4 * file + 2, prefix=f"f{file}-c"),
        _table(replace(calm, latency=True, slower=always(1.2)), runs=told // 4, seed=4 * file + 3, prefix=f"f{file}-d"),
    ]
    table = pa.concat_tables([part for part in parts if part is not None])
    if kind is Kind.TURNS:
        table = table.sort_by([("rollout_id", "ascending"), ("t", "ascending")])
    else:
        table = table.take(pa.array(np.argsort(table["t"].to_numpy(), kind="stable")))
    path = path_of(folder, kind=kind, file=file)
    pq.write_table(table, path)
    return path


def _table(situation: Situation, *, runs: int, seed: int, prefix: str) -> pa.Table | None:
    """Rows of some rollouts, numbers as whole numbers and texts as a recorder writes them."""
    if not runs:
        return None
    table = sample_table(generate(situation, runs=runs, seed=seed), prefix=prefix)
    for name in ("requests", "bad", "count"):
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(pa.int64()))
    return table


if __name__ == "__main__":
    for number in range(Kind(sys.argv[2]).files):
        write(Path(sys.argv[1]), kind=Kind(sys.argv[2]), file=number)
