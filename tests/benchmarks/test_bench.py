"""How speeds are measured, told and compared."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import bench, environment, speed
from benchmarks.rounds import Bench, Better, Figure, Measures, measure, regressions


def scripted(ours: list[float], reference: list[float], order: list[str], *, rounds: int = 3) -> Bench:
    """A bench that measures what it is told to, and writes down in which order it was asked."""

    def told(who: str, figures: list[float]) -> float:
        order.append(who)
        return figures.pop(0)

    @contextmanager
    def prepare() -> Iterator[Measures]:
        order.append("open")
        yield Measures(ours=lambda: told("ours", ours), reference=lambda: told("reference", reference))
        order.append("close")

    return Bench(name="scripted", unit="x/s", better=Better.HIGHER, reference="bare", prepare=prepare, rounds=rounds)


def figure(ratio: float, *, better: Better = Better.HIGHER) -> Figure:
    """A figure of this ratio."""
    return Figure(
        name="scripted",
        value=ratio,
        unit="x/s",
        better=better,
        reference="bare",
        reference_value=1.0,
        ratio=ratio,
        lowest=ratio,
        highest=ratio,
        rounds=3,
        machine=environment.machine(),
    )


def test_ours_and_the_reference_take_turns() -> None:
    """A machine that grows slower over the run slows both alike."""
    order: list[str] = []
    measure(scripted([1, 1, 1, 1], [1, 1, 1, 1], order))
    first, second = ["ours", "reference"], ["reference", "ours"]
    assert order == ["open", *first, *second, *first, *second, "close"]


def test_medians_are_told_and_the_first_round_is_not_counted() -> None:
    """One slow round, or a cold start, does not move the figure."""
    found = measure(scripted([999, 10, 20, 1], [1, 10, 10, 2], []))
    assert (found.value, found.reference_value, found.ratio) == (10, 10, 1.0)
    assert (found.lowest, found.highest) == (0.5, 2.0)


def test_a_figure_of_nothing_is_an_error() -> None:
    """A rate of 0 means that the bench did not measure."""
    with pytest.raises(ValueError, match="not above 0"):
        measure(scripted([1, 1, 0, 1], [1, 1, 1, 1], []))


def test_too_few_rounds_are_refused() -> None:
    """The median of two is a mean."""
    with pytest.raises(ValueError, match="at least 3"):
        scripted([], [], [], rounds=2)


@pytest.mark.parametrize(
    ("ratio", "better", "worse"),
    [
        (0.95, Better.HIGHER, False),
        (0.85, Better.HIGHER, True),
        (1.5, Better.HIGHER, False),
        (1.05, Better.LOWER, False),
        (1.2, Better.LOWER, True),
        (0.5, Better.LOWER, False),
    ],
)
def test_a_worse_ratio_is_a_regression(ratio: float, better: Better, worse: bool) -> None:  # noqa: FBT001
    """Only in the bad direction, and only beyond the tolerance."""
    found = regressions([figure(ratio, better=better)], {"scripted": 1.0}, tolerance=0.1)
    assert bool(found) is worse


def test_a_new_bench_is_no_regression() -> None:
    """There is nothing to compare it with."""
    assert regressions([figure(0.1)], {"another": 1.0}, tolerance=0.1) == []


@pytest.mark.parametrize(("before", "code"), [(1.0, 0), (2.0, 3)])
def test_the_command_compares_with_an_earlier_run(
    before: float,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 3 and a sentence on stderr when it is worse; figures on stdout either way."""
    chosen = scripted([1, 1, 1, 1], [1, 1, 1, 1], [])
    monkeypatch.setattr(speed, "load", lambda _: chosen)
    file = tmp_path / "before.json"
    file.write_text(json.dumps(figure(before).as_json()) + "\n", encoding="utf-8")
    assert bench.main(["scripted", "-o", "json", "--compare", str(file), "--tolerance", "10%"]) == code
    told = capsys.readouterr()
    assert ("100% worse" in told.err) is (code == 3)
    assert json.loads(told.out)["reference"] == "bare"


def test_a_file_that_is_not_of_figures_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage, told before anything is measured."""
    file = tmp_path / "before.json"
    file.write_text('{"name": "help"}\n', encoding="utf-8")
    assert bench.main(["help", "--compare", str(file)]) == 2
    assert "before.json:1: not a figure ('ratio'); write it with -o json" in capsys.readouterr().err


@pytest.mark.parametrize("name", speed.names())
def test_every_bench_is_found_by_its_name(name: str) -> None:
    """The name in the file is that of the file."""
    assert speed.load(name).name == name
