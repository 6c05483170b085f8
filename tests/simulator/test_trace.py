"""`guardian simulate --plot`: what the series of a run show, and the files drawn from them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from guardian.core.course import TOGETHER, Against
from guardian.core.model import Track, Verdict
from simulator.faults import MetricsGap
from simulator.run import run
from simulator.trace import trace
from tests.simulator.worlds import shipped


def _simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "guardian", "simulate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_trace_is_the_run_itself() -> None:
    """Watching changes nothing, and the evidence ends where the verdict says."""
    scenario = shipped("S02")
    seen = trace(scenario, 3)
    assert seen.outcome.run == run(scenario, 3)
    assert seen.outcome.run.verdict is Verdict.ROLLBACK
    last = seen.course.of(TOGETHER, Against.CANARY)[-1]
    assert last.evidence >= seen.course.rollback
    assert last.at == pytest.approx(seen.outcome.run.decided_at, abs=scenario.spec.scrape.every)
    assert [weight for at, weight in seen.weights if at >= 0] == [0.1, 0.0]


def test_series_show_what_scrapes_saw() -> None:
    """Twice the failures on a tenth of the traffic; nothing of the canary before its first request."""
    seen = trace(shipped("S02"), 3)
    canary, stable = seen.tracks[Track.CANARY], seen.tracks[Track.STABLE]
    during = (seen.time > 60) & (seen.time < seen.outcome.run.decided_at)
    assert 10 < np.nanmean(canary.rate[during]) < 30
    assert 140 < np.nanmean(stable.rate[during]) < 220
    assert np.nanmean(canary.errors[during]) > 1.5 * np.nanmean(stable.errors[during])
    assert 0.2 < np.nanmean(stable.slow) < 0.5
    assert np.isnan(canary.errors[seen.time < 0]).all()


def test_a_gap_in_the_metrics_stays_a_gap() -> None:
    """No line is drawn over minutes of which nothing is known."""
    scenario = shipped("S15")
    (gap,) = (fault for fault in scenario.spec.faults if isinstance(fault, MetricsGap))
    seen = trace(scenario, 1)
    inside = (seen.time > gap.at + 20) & (seen.time < gap.at + gap.lasts - 20)
    assert inside.any()
    for track in seen.tracks.values():
        assert np.isnan(track.rate[inside]).all()
        assert np.isnan(track.errors[inside]).all()


def test_an_svg_holds_every_series(tmp_path: Path) -> None:
    """And the same run is the same file."""
    drawn = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for file in drawn:
        done = _simulate("S01", "--seeds", "1", "--jobs", "1", "--plot", str(file))
        assert done.returncode == 0, done.stderr
        assert f"drawn: {file}, seed 1" in done.stderr
    assert drawn[0].read_bytes() == drawn[1].read_bytes()
    text = drawn[0].read_text(encoding="utf-8")
    for series in ("rate", "errors", "slow"):
        for track in (Track.STABLE, Track.CANARY):
            assert f'id="{series}-{track}"' in text
    for other in ("weight", "threshold-rollback", "threshold-promotion", "series-canary-together"):
        assert f'id="{other}"' in text


def test_a_page_needs_nothing_else(tmp_path: Path) -> None:
    """One file: story, picture, and why it was decided; nothing is loaded from elsewhere."""
    file = tmp_path / "run.html"
    assert _simulate("S01", "--seeds", "1", "--jobs", "1", "--plot", str(file)).returncode == 0
    page = file.read_text(encoding="utf-8")
    assert "<svg" in page
    assert "<td>rollback</td>" in page
    assert page.count("expected rollback") == 1
    assert page.count("if requests are independent") == 1
    assert "src=" not in page
    assert 'rel="stylesheet"' not in page


def test_the_terminal_gets_a_chart() -> None:
    """Below the table."""
    done = _simulate("S01", "--seeds", "1", "--jobs", "1", "--plot", "-")
    assert done.returncode == 0, done.stderr
    assert "evidence (logarithmic) of S01, seed 1" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("S01", "--plot", "run.gif"), "ends in .svg, .png or .html"),
        (("S01", "S02", "--plot", "run.svg"), "--plot draws one scenario, 2 were named"),
        (("S01", "--plot", "nowhere/run.svg"), "folder that does not exist"),
        (("S01", "--plot", "-", "-o", "json"), "a chart would spoil the json"),
    ],
)
def test_what_cannot_be_drawn_is_told_before_anything_runs(arguments: tuple[str, ...], told: str) -> None:
    """With exit code 2."""
    done = _simulate(*arguments, "--seeds", "200")
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stdout == ""


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The earlier picture stays as it was, and no other file is left."""
    file = tmp_path / "run.svg"
    file.write_text("earlier", encoding="utf-8")
    limited = f"ulimit -f 8; exec {sys.executable} -m guardian simulate S01 --seeds 1 --jobs 1 --plot {file}"
    done = subprocess.run(["bash", "-c", f"trap '' XFSZ; {limited}"], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "cannot be written: File too large" in done.stderr
    assert file.read_text(encoding="utf-8") == "earlier"
    assert list(tmp_path.iterdir()) == [file]
