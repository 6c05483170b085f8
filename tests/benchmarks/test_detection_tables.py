"""The command that compares decision rules: what it runs, keeps, shows and writes into the documentation."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.campaign import InThisProcess
from benchmarks.campaign_state import Header, State
from benchmarks.campaigns.detection import CAMPAIGN
from benchmarks.cells import Cell
from benchmarks.detection import __main__ as command
from benchmarks.detection.bounds import margin_bound
from benchmarks.detection.cases import CASES, Kind
from benchmarks.detection.comparison import compared, hurt
from benchmarks.detection.document import DOCUMENT, PLOT, filled
from benchmarks.detection.families import ERRORS_ONLY, HEALTHY_ERRORS, HEALTHY_LATENCY
from benchmarks.detection.plot import draw
from benchmarks.detection.real.arms import Arms, histogram, shifted, streams
from benchmarks.detection.real.machines import Fleet, machine_streams
from benchmarks.detection.real.reading import FILES, Point
from benchmarks.detection.real.table import TRIALS, real_sheets
from benchmarks.detection.report import Sheet, as_markdown, for_terminal, interval, sheets
from benchmarks.detection.rules import OURS, RULES
from benchmarks.detection.rules.base import Calls, Watch
from benchmarks.detection.streams import BOUNDS, Situation, always, generate
from benchmarks.fixed import run_fixed
from benchmarks.progress import PlainReporter
from guardian.core.policy import Margin
from tests.benchmarks import coins

INF = float("inf")
RISK, ARGO_LIMIT = "1 %", "95 %"
SEED = 20261121


@pytest.fixture(scope="module")
def on_streams() -> dict[str, Any]:
    """The committed result on streams."""
    return command.saved(command.STREAMS)


@pytest.fixture(scope="module")
def on_real() -> dict[str, Any]:
    """The committed result on real data."""
    return command.saved(command.REAL)


def test_the_document_shows_what_the_result_files_hold(on_streams: dict[str, Any], on_real: dict[str, Any]) -> None:
    """`python -m benchmarks.detection --docs` was run after the last result was written."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert filled(text, on_streams, on_real) == text


def test_the_words_of_the_document_have_no_figures_of_their_own() -> None:
    """What was measured stands in the tables, which are written anew; words name the cases, the risk and settings."""
    text = DOCUMENT.read_text(encoding="utf-8")
    words = text[text.index("## What it shows") : text.index("## What is compared")]
    names = " ".join([*(cell.name for cell in CAMPAIGN.cells), RISK, ARGO_LIMIT])
    allowed = set(re.findall(r"([\d.]+) ?%", names))
    assert set(re.findall(r"([\d.]+) ?%", words)) <= allowed
    assert re.findall(r"\d+ (?:of|to) \d+", words) == []


def test_the_plot_is_drawn_from_a_result(on_streams: dict[str, Any], tmp_path: Path) -> None:
    """Twice the same file, so that a new picture means new figures."""
    for name in ("one.svg", "two.svg"):
        draw(on_streams, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert PLOT.is_file()


def test_the_results_are_of_cases_that_there_are(on_streams: dict[str, Any], on_real: dict[str, Any]) -> None:
    """From a clean checkout, and all of its cases; one that came later is missing until the command is run again."""
    assert {cell["name"] for cell in on_streams["cells"]} <= set(CASES)
    assert {trial["name"] for trial in on_real["trials"]} <= set(TRIALS)
    assert len(on_streams["cells"]) >= 92
    assert (on_streams["dirty"], on_real["dirty"]) == (False, False)
    assert on_streams["machine"]["cores"] >= 1


@pytest.mark.parametrize("which", ["streams", "real"])
def test_tables_fit_100_columns_and_cut_nothing_off(
    which: str, on_streams: dict[str, Any], on_real: dict[str, Any]
) -> None:
    """A field that ends in an ellipsis tells nobody anything."""
    shown = StringIO()
    console = Console(width=command.WIDTH, file=shown)
    for sheet in sheets(on_streams) if which == "streams" else real_sheets(on_real):
        console.print(for_terminal(sheet))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert not [line for line in lines if "…" in line]


def test_every_healthy_family_is_compared() -> None:
    """A family that the campaigns know and the comparison does not would be one that was left out."""
    healthy = {name for name, case in CASES.items() if case.kind is Kind.HEALTHY}
    assert {f"errors: {name}" for name in HEALTHY_ERRORS} | {f"latency: {name}" for name in HEALTHY_LATENCY} <= healthy


def test_the_same_seed_gives_the_same_counts() -> None:
    """Whatever ran before."""
    first, again = (compared(SEED, 4, name="errors x5, 2000 rps") for _ in range(2))
    assert first == again
    assert first.events[f"{OURS}: rolled back"] == 4


def test_a_rollback_before_the_onset_is_no_detection() -> None:
    """It was right for the wrong reason, and is told by itself."""
    counts = compared(SEED, 6, name="errors x2 after 10 min, 200 rps")
    assert all(counts.events[f"{rule}: before onset"] + counts.events[f"{rule}: rolled back"] <= 6 for rule in RULES)


def test_the_bound_of_doubled_errors() -> None:
    """200 rps, 10 %, errors 0.5 %, margin x1.05 + 0.005 points: 159 s, against the whole family of canaries on it."""
    situation, margin = Situation(effect=always(2.0)), Margin(relative=1.05, absolute=0.00005)
    assert margin_bound(situation, margin, alpha=0.01) == pytest.approx(158.9, abs=0.5)
    assert margin_bound(Situation(effect=always(1.04)), margin, alpha=0.01) == INF


def test_promoting_a_bad_release_is_dearer_than_holding_it() -> None:
    """After a promotion all traffic fails at the canary's rate; after a rollback none does."""
    watch = Watch(streams=generate(Situation(effect=always(3.0)), runs=3, seed=SEED), policy=ERRORS_ONLY)
    never, early = np.full(3, INF), np.full(3, 600.0)
    held = hurt(watch, Calls(rolled_back=never, promoted=never))
    assert (hurt(watch, Calls(rolled_back=never, promoted=early)) > 3.0 * held).all()
    assert (hurt(watch, Calls(rolled_back=early, promoted=never)) < held).all()


def test_more_runs_go_on_from_fewer(tmp_path: Path) -> None:
    """Asked for 300 after 100, it runs 200 and ends where 300 at once would have."""
    campaign = coins.campaign(0.3)
    header = Header(name="coins", sources="s", commit="c", dirty=False, seed=7)
    cells = [Cell(name="one", run=campaign.cells[0].run, at_most=campaign.cells[0].at_most, chunk=50)]

    def run(file: str, runs: int) -> Any:
        state = State.open(tmp_path / file, header, keep_seed=False)
        reporter = PlainReporter("coins")
        return run_fixed(campaign, cells, runs=runs, state=state, executor=InThisProcess(), reporter=reporter)

    run("grown", 100)
    assert run("grown", 300)["cells"] == run("at once", 300)["cells"]


def test_an_unknown_case_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """A slip of the pen must not cost a look into the source."""
    assert command.main(["--cases", "no such"]) == 2
    assert "no case has no such in its name; there are:" in capsys.readouterr().err


def test_missing_data_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which files, and where it is said what they are."""
    (tmp_path / "petshop_aa.csv").write_text("case\n")
    assert command.main(["--only-data", "--data", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "lacks petshop_ab.csv, nezha_10s.csv" in told
    assert "petshop_aa.csv," not in told


def test_a_missing_column_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of another release is told as such, not as a KeyError."""
    for name in FILES:
        (tmp_path / name).write_text("case,node\n")
    assert command.main(["--only-data", "--data", str(tmp_path)]) == 2
    assert "petshop_aa.csv: no column time_s, requests, errors" in capsys.readouterr().err


def test_without_a_folder_the_command_says_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An option or the environment."""
    monkeypatch.delenv(command.DATA, raising=False)
    assert command.main(["--only-data"]) == 2
    assert f"give --data FOLDER or set {command.DATA}" in capsys.readouterr().err


@contextmanager
def places(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Path]:
    """Results and states in an empty folder."""
    monkeypatch.setattr(command, "RESULTS", folder / "results")
    monkeypatch.setattr(command, "STATES", folder / "states")
    monkeypatch.delenv(command.DATA, raising=False)
    yield folder / "results"


def test_a_part_is_shown_and_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some cases must not stand where all are expected."""
    small = [Cell(name=each.name, run=each.run, at_most=each.at_most, chunk=2) for each in CAMPAIGN.cells]
    monkeypatch.setattr(command, "chosen_cells", lambda texts: [one for one in small if one.name in texts])
    with places(monkeypatch, tmp_path) as results:
        assert command.main(["--cases", "errors x5, 2000 rps", "--runs", "2", "-o", "json"]) == 0
        assert not results.exists()
    shown = json.loads(capsys.readouterr().out)
    assert [cell["name"] for cell in shown[0]["cells"]] == ["errors x5, 2000 rps"]


def test_an_interval_is_clopper_and_pearsons() -> None:
    """0 of 500 is at most 0.7 %, as the rule of 3.7 over n says."""
    assert interval(0, 500) == "0.0-0.7"
    assert interval(3, 20) == "3.2-38"


def test_markdown_marks_what_is_surely_beyond() -> None:
    """Bold is for the interval's lower end above what is allowed."""
    events = {f"{rule}: rolled back": 50 for rule in RULES} | {f"{rule}: promoted": 0 for rule in RULES}
    figures = {f"{rule}: promoted at, s": {"median": None} for rule in RULES}
    events[f"{OURS}: rolled back"] = 6
    cell = {"name": "errors: bursts", "runs": 500, "events": events, "figures": figures}
    shown: Sheet = sheets({"cells": [cell]})[0]
    assert "| bursts | 1.2 (0.4-2.6) | **10" in as_markdown(shown)


def test_a_histogram_rebuilt_from_quantiles_has_them() -> None:
    """Half below the median, 5 % above p95, 1 % above p99, and no request lost."""
    counts = histogram(Point(time=0.0, requests=10_000.0, errors=0.0, p50=0.1, p95=0.5, p99=2.5))
    below = np.cumsum(counts)
    assert counts.sum() == 10_000.0
    assert [float(below[BOUNDS.index(bound)]) for bound in (0.1, 0.5, 2.5)] == pytest.approx([5000, 9500, 9900], abs=2)


def test_arms_are_laid_side_by_side() -> None:
    """The canary's first interval ends one tick after 0; what was not scraped is absent."""
    points = [Point(time=300.0 * n, requests=100.0 * n, errors=float(n)) for n in (1, 2, 4)]
    arms = Arms(canary=(tuple(points),), stable=(shifted(points, -600.0),))
    made = streams([arms], tick=300.0, history=600.0, length=1200.0, latency=False)
    assert made.requests[0, :, 0].tolist() == [0, 0, 100, 200, 0, 400]
    assert made.present[0, :, 1].tolist() == [True, True, False, True, False, False]
    assert made.situation.merged


def test_fresh_machines_differ_and_old_ones_agree() -> None:
    """The draw keeps the measured spread on fresh pods only."""
    speeds = [np.exp(np.random.default_rng(SEED).normal(14.0, 0.3, 500))]
    made = machine_streams(Fleet(canary=2, stable=6, fresh_stable=False), speeds, runs=60, seed=SEED)
    assert made.buckets is not None
    shares = made.buckets[:, -60:].sum(axis=1)
    slow = shares[..., 6:].sum(axis=-1) / shares.sum(axis=-1)
    assert slow[:, :2].std() > 3.0 * slow[:, 2:].std()
