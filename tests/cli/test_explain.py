"""`guardian explain --plot` and `--samples`: pictures with every series and threshold, and texts for bad input."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.csv as pacsv
import pytest

from benchmarks.detection.files import sample_table
from benchmarks.detection.streams import Situation, always, generate
from guardian.cli.chart import chart, drawn, label, letters, limits
from guardian.cli.pictures import check_picture, write_picture
from guardian.core.course import TOGETHER, Against, Course, EvidenceSeries, Mark, Reading
from guardian.core.model import Seconds
from guardian.errors import ConfigError
from tests.cli.daemon import Answer, Daemon, guardian, until
from tests.cli.test_commands import deployed
from tests.cli.test_judge import GOOD, HEADER, POLICY


def series(guardrail: str, against: Against, *values: float) -> EvidenceSeries:
    """One reading every ten seconds."""
    readings = tuple(Reading(at=Seconds(10.0 * (n + 1)), evidence=value) for n, value in enumerate(values))
    return EvidenceSeries(guardrail=guardrail, against=against, readings=readings)


def course(*found: EvidenceSeries) -> Course:
    """A course of a minute with a weight and a verdict."""
    return Course(
        rollout="r0",
        zero="the canary's first traffic",
        resolution="every tick of the samples",
        rollback=100.0,
        promotion=20.0,
        series=found,
        marks=(Mark(at=Seconds(0.0), text="weight 10%"), Mark(at=Seconds(50.0), text="verdict rollback")),
    )


ONE = course(
    series(TOGETHER, Against.CANARY, 1.0, 3.0, 1e-9, 40.0, 226.0),
    series("errors", Against.CANARY, 0.1, 30.0, 1e-9, 4.0, 4e4),
    series("errors", Against.HARM, 1.0, 0.5, 0.1, 0.0, 0.0),
)
TWO = course(*ONE.series, series("latency", Against.CANARY, 0.01), series("latency", Against.HARM, 1e300))


@pytest.fixture
def files(tmp_path: Path) -> Sequence[str]:
    """Samples of two rollouts that fail three times as often as stable, and their policy, as arguments."""
    streams = generate(Situation(rps=300.0, length=300.0, effect=always(3.0)), runs=2, seed=3)
    pacsv.write_csv(sample_table(streams), tmp_path / "samples.csv")
    (tmp_path / "policy.yaml").write_text(POLICY)
    return ("--samples", "samples.csv", "--policy", "policy.yaml")


@pytest.mark.parametrize("known", [ONE, TWO, course()])
@pytest.mark.parametrize("width", [1, 60, 200])
def test_a_chart_fits_its_width_and_names_thresholds_series_and_marks(known: Course, width: int) -> None:
    """In black and white: each series has a letter of its own, and the legend says what it is."""
    lines = chart(known, width=width)
    axis = lines[: next(n for n, line in enumerate(lines) if line.startswith("evidence (log"))]
    assert max(len(line) for line in axis) <= max(width, 40)
    text = "\n".join(lines)
    assert "rollback at 100" in text
    assert "promotion at 20" in text
    assert any(line.startswith("     100 |==") for line in axis)
    assert any(line.startswith("      20 |--") for line in axis)
    assert "0s weight 10%" in text
    assert "50s verdict rollback" in text
    used = {letters(known)[one.guardrail, one.against] for one in drawn(known)}
    assert len(used) == len(drawn(known))
    for one in drawn(known):
        assert f"  {letters(known)[one.guardrail, one.against]}  {label(one)}" in lines
        assert any(letters(known)[one.guardrail, one.against] in line[9:] for line in axis)
    assert ("no evidence was kept" in text) is (not known.series)


def test_evidence_above_the_threshold_is_drawn_above_it() -> None:
    """The last reading crosses; the others stay below: a reader must see it in the rows."""
    axis = chart(ONE, width=80)
    threshold = next(n for n, line in enumerate(axis) if "==" in line)
    above = "".join(line[10:] for line in axis[:threshold])
    assert above.count("#") == 1


def test_the_axis_holds_both_thresholds_whatever_the_evidence_is() -> None:
    """Evidence of 0, of 1e300 and of a risk of one in ten million."""
    strict = Course(rollout="r", zero="z", resolution="r", rollback=1e7, promotion=20.0, series=TWO.series, marks=())
    last, low, high = limits(strict)
    assert (last, low) == (50.0, 1e-3)
    assert high > 1e7
    assert "rollback at 1e+07" in "\n".join(chart(strict, width=80))


@pytest.mark.parametrize("known", [ONE, TWO, course()])
def test_a_picture_holds_every_series_and_both_thresholds(tmp_path: Path, known: Course) -> None:
    """As SVG its parts can be named; the same course gives the same bytes."""
    path, again = tmp_path / "one.svg", tmp_path / "two.svg"
    write_picture(known, path)
    write_picture(known, again)
    text = path.read_text()
    assert text == again.read_text()
    for part in ("threshold-rollback", "threshold-promotion"):
        assert f'id="{part}"' in text
    for one in drawn(known):
        assert f'id="series-{one.against}-{one.guardrail or "together"}"' in text
        assert label(one) in text
    for words in ("rollback at 100", "promotion at 20", "weight 10%", "verdict rollback", "every tick of the samples"):
        assert words in text


@pytest.mark.parametrize("at", [0.0, 1e-12, 0.1, 1 / 3, 50.0])
def test_what_happened_at_the_edge_of_the_picture_is_on_it(tmp_path: Path, at: float) -> None:
    """The first weight is reached at second 0 and the verdict ends the axis: both must be read."""
    known = Course(
        rollout="r", zero="z", resolution="r", rollback=100.0, promotion=20.0, series=(),
        marks=(Mark(at=Seconds(at), text="weight 10%"), Mark(at=Seconds(at), text="verdict hold")),
    )  # fmt: skip
    write_picture(known, tmp_path / "course.svg")
    assert "weight 10%, verdict hold" in (tmp_path / "course.svg").read_text()


def test_a_png_is_one(tmp_path: Path) -> None:
    """By the file's ending, in either case."""
    write_picture(TWO, tmp_path / "course.PNG")
    assert (tmp_path / "course.PNG").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "said"), [("course.gif", "is no kind of picture"), ("course", "is no kind"), ("no/x.svg", "folder that")]
)
def test_a_picture_that_cannot_be_written_is_refused_before_anything_is_judged(
    tmp_path: Path, files: Sequence[str], *, name: str, said: str
) -> None:
    """Exit 2, with what to do."""
    answer = guardian("explain", "r0", *files, "--plot", name, folder=tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert "remedy:" in answer.err


def test_without_matplotlib_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The extra is named, and the way that needs none."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match="needs matplotlib") as caught:
        check_picture(tmp_path / "course.svg")
    assert "pip install 'slo-guardian[plots]'" in caught.value.remedy
    assert "--plot -" in caught.value.remedy


def test_recorded_samples_are_explained_without_a_daemon(tmp_path: Path, files: Sequence[str]) -> None:
    """The verdict, what would have changed it, and the evidence at every tick, for programs and in a picture."""
    answer = guardian("explain", "r1", *files, "-o", "json", "--plot", "course.svg", folder=tmp_path)
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert (told["kind"], told["rollout"], told["verdict"]) == ("RecordedExplanation", "r1", "rollback")
    (readings,) = [
        one["readings"] for one in told["course"]["series"] if (one["guardrail"], one["against"]) == ("", "canary")
    ]
    assert readings[-1]["evidence"] >= 100.0 > readings[-2]["evidence"]
    assert any("fewer, spread evenly" in line and "(tried)" in line for line in told["what_if"])
    assert 'id="series-canary-together"' in (tmp_path / "course.svg").read_text()


def test_the_terminal_gets_the_sentences_and_the_chart(tmp_path: Path, files: Sequence[str]) -> None:
    """Both on stdout; with JSON there the chart would spoil it, and that is said."""
    answer: Answer = guardian("explain", "r0", *files, "--plot", "-", folder=tmp_path)
    assert answer.code == 0, answer.err
    assert "what would have changed the verdict" in answer.out
    assert "rollback at 100" in answer.out
    spoiled = guardian("explain", "r0", *files, "--plot", "-", "-o", "json", folder=tmp_path)
    assert (spoiled.code, spoiled.out) == (2, "")
    assert "would spoil the json" in spoiled.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("r0", "--samples", "samples.csv"), "--samples and --policy go together"),
        (("r0", "--policy", "policy.yaml"), "--samples and --policy go together"),
        (("r9", "--samples", "samples.csv", "--policy", "policy.yaml"), "no row has rollout_id 'r9'"),
        (("r0", "--samples", "no.csv", "--policy", "policy.yaml"), "no.csv"),
        (("r0", "--samples", "samples.csv", "--policy", "no.yaml"), "no.yaml"),
        (("r0", "--samples", "bad.csv", "--policy", "policy.yaml"), "line 3, column bad"),
    ],
)
def test_what_cannot_be_explained_is_exit_2(
    tmp_path: Path, files: Sequence[str], *, arguments: Sequence[str], said: str
) -> None:
    """What is wrong and where, and nothing on stdout."""
    (tmp_path / "bad.csv").write_text(HEADER + GOOD + "r,0,10,stable,a,errors,10,11,,\n")
    answer = guardian("explain", *arguments, folder=tmp_path)
    assert (answer.code, answer.out) == (2, ""), answer.err
    assert said in answer.err


def test_a_rollout_of_the_daemon_is_drawn_from_what_its_journal_keeps(daemon: Daemon) -> None:
    """Over the API: weights are marked, the resolution is said, and no evidence is made up."""
    rollout = deployed(daemon, "drawn")
    until(daemon, rollout, "progressing")
    marked: list[str] = []
    while "weight 10%" not in marked:  # the weight is ordered first and reached later; the test's time limit ends this
        told = json.loads(daemon.guardian("explain", rollout, "-o", "json").out)
        marked = [mark["text"] for mark in told["course"]["marks"]]
    for plot in ("-", "course.svg"):
        answer = daemon.guardian("explain", rollout, "--plot", plot)
        assert answer.code == 0, answer.err
        text = answer.out if plot == "-" else (daemon.folder / plot).read_text()
        assert "weight 10%" in text
        assert "rollback at 100" in text
        assert "what the journal keeps" in text
