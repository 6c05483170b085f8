"""Every case with many seeds, and the table of it: real, simulated, ratio."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.detection.report import Entry, Sheet
from benchmarks.fidelity.cases import CASES, Case
from benchmarks.fidelity.statistics import Floats
from benchmarks.progress import Reporter

Json = dict[str, Any]
RESAMPLES: Final = 2000
HEADS: Final = ("simulated world", "real", "simulated (95 % of seeds)", "ratio (95 % interval)")


def measured(folder: Path, *, seeds: int, reporter: Reporter, cases: Sequence[Case] = CASES) -> list[Json]:
    """A row for each case, world and statistic, ready for the result file. folder: that of the real files."""
    reporter.expect(seeds * sum(len(case.worlds) + len(case.replayed) for case in cases))
    return [row for case in cases for row in _of_case(case, folder, seeds, reporter)]


def _of_case(case: Case, folder: Path, seeds: int, reporter: Reporter) -> Iterator[Json]:
    real = case.published
    if case.real is not None:
        stream = case.real(folder)
        real = {name: statistic(stream) for name, statistic in case.statistics.items()}
    worlds = {**case.worlds, **{name: made(folder) for name, made in case.replayed.items()}}
    for world, settings in worlds.items():
        found: dict[str, list[float]] = {name: [] for name in case.statistics}
        for seed in range(1, seeds + 1):
            seen = case.play(settings, seed=seed)
            for name, statistic in case.statistics.items():
                found[name].append(statistic(seen))
            reporter.done(1)
        for name, values in found.items():
            source = case.file or "published"
            yield {"case": case.name, "file": source, "world": world, "statistic": name, **beside(real[name], values)}


def beside(real: float, values: Sequence[float]) -> dict[str, float | bool | None]:
    """The real value and what seeds gave: their median, between what 95 % of them lie, and the median over the real.

    The ratio's interval is a percentile bootstrap over the seeds (Efron 1979); where the sign is unsure it is None.
    inside: the real value lies where 95 % of the seeds do.
    """
    got: Floats = np.array([value for value in values if not math.isnan(value)])
    low, middle, high = np.quantile(got, (0.025, 0.5, 0.975))
    draws = np.random.default_rng(len(got)).choice(got, (RESAMPLES, len(got)))
    least, most = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    ratios: tuple[float | None, ...] = (None, None, None)
    if real * middle > 0.0 and least * most >= 0.0:
        ratios = (_short(middle / real), *sorted((_short(least / real), _short(most / real))))
    return {
        "real": _short(real), "simulated": _short(middle), "low": _short(low), "high": _short(high),
        "ratio": ratios[0], "ratio_low": ratios[1], "ratio_high": ratios[2], "inside": bool(low <= real <= high),
    }  # fmt: skip


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def sheets(rows: Sequence[Json]) -> list[Sheet]:
    """A table for each case, worlds below each other for each statistic; bold: few seeds are where the real one is."""
    found: dict[tuple[str, str], dict[str, list[tuple[Entry, ...]]]] = {}
    for row in rows:
        between = f"{figure(row['low'])} to {figure(row['high'])}"
        simulated = Entry(text=figure(row["simulated"]), more=between, beyond=not row["inside"])
        line = (Entry(text=row["world"]), Entry(text=figure(row["real"])), simulated, _ratio(row))
        found.setdefault((row["case"], row["file"]), {}).setdefault(row["statistic"], []).append(line)
    return [
        Sheet(
            title=f"{case} ({file})",
            heads=HEADS,
            rows=tuple((name, line) for name, lines in statistics.items() for line in lines),
        )
        for (case, file), statistics in found.items()
    ]


def _ratio(row: Json) -> Entry:
    if row["ratio"] is None:
        return Entry(text="-")
    return Entry(text=figure(row["ratio"]), more=f"{figure(row['ratio_low'])} to {figure(row['ratio_high'])}")


def figure(value: float) -> str:
    """Two digits, as many places as these need, none of them an exponent.

    >>> [figure(value) for value in (167.2, 72.0, 4.014, 0.0625, -0.012, 0.0)]
    ['167', '72', '4.0', '0.062', '-0.012', '0']
    """
    if value == 0.0:
        return "0"
    return f"{value:.{max(0, 1 - math.floor(math.log10(abs(value))))}f}"
