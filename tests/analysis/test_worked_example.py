"""The worked example of docs/statistics.md, recomputed: each number there is one that the code gives."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from analysis.sequential.mixture import plain
from analysis.sequential.ratio import RatioTest, gains, null_share
from guardian.core.evidence import START_WEIGHTS, Panel
from guardian.core.model import Track

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
EXAMPLE = TEXT[TEXT.index("## A worked example") : TEXT.index("## From samples to ticks")]
TEST = RatioTest(relative=1.05, absolute=0.0, promote_relative=1.5, promote_absolute=0.0005)
TICKS = ((3.0, 4.0), (5.0, 5.0), (4.0, 4.0))
"""Errors of the canary's 100 requests, and of stable's 900, which three pods have in equal parts."""


def table() -> list[list[str]]:
    """Cells of the rows of the example's table, as written."""
    rows = [line for line in EXAMPLE.splitlines() if re.match(r"\| \d", line)]
    return [line.strip("| ").split(" | ") for line in rows]


def recomputed() -> list[list[float]]:
    """Tick, errors of both tracks, gain of "5 margins", what counts of it, its sum, plain and calibrated evidence."""
    panel = Panel(TEST)
    cell = panel.add_cell(0.01)
    cells = np.array([cell])
    pods = np.array([panel.add_pod(cell, track=track) for track in (Track.CANARY, *[Track.STABLE] * 3)])
    past = np.array([[[300.0, bad] for bad in np.roll((1.0, 2.0, 2.0), tick)] for tick in range(180)])
    panel.fold_past(pods[1:], past, seconds=np.full((180, 1), 10.0), cells=cells)
    rows, total = [], 0.0
    for number, (ours, theirs) in enumerate(TICKS, start=1):
        third = theirs // 3
        counts = np.array([[100.0, ours], [300.0, theirs - 2.0 * third], [300.0, third], [300.0, third]])
        end, length = np.array([10.0 * number]), np.array([10.0])
        panel.fold(pods, counts, elapsed=end, seconds=length, cells=cells)
        share = null_share(np.array([100.0]), np.array([900.0]), np.array([1.05]))
        gain = float(gains(np.array([ours]), np.array([ours + theirs]), share, np.array([5.0]))[0, 0])
        since = panel.gains(cells)
        before, total = total, float(since[0, 0, 6])
        weights = START_WEIGHTS[: since.shape[1] - 1]
        log_starts = np.log(np.append(weights, 1.0 - weights.sum()))
        bare = plain(since, log_starts=log_starts, log_weights=np.log(TEST.mixture.harm_weights))
        plainly, calibrated = (float(np.exp(each[0])) for each in (bare, panel.harm(cells, since)))
        rows.append([number, ours, theirs, gain, total - before, total, plainly, calibrated])
    sums = panel.sums(cells, panel.gains(cells))
    for spread, told in ((0.1, "1.03"), (0.32, "1.32")):
        inflation = 1.0 + sums.reach[0, 0, 0] * spread**2 / sums.information[0, 0, 0]
        assert f"{inflation:.2f}" == told
        assert f"= {told}" in EXAMPLE
    assert f"{panel.noise.cells['posterior'][cell, 0, 0]:.2f}" == "0.75"
    assert bool(panel.calibrated(cells)[0])
    return rows


def test_the_worked_example_is_what_the_code_gives() -> None:
    """Every cell of its table to the digits that are written, and the numbers of its sentences."""
    written = table()
    assert len(written) == len(TICKS)
    for row, found in zip(written, recomputed(), strict=True):
        assert row == [f"{value:.{len(text.partition('.')[2])}f}" for text, value in zip(row, found, strict=True)]
    share = float(null_share(np.array([100.0]), np.array([900.0]), np.array([1.05]))[0])
    assert f"q = {share:.4f}" in EXAMPLE
    assert TEST.mixture.harm_weights[6].round(3) == 0.054
