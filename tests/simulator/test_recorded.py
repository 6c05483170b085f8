"""Replay of a recorded rate series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simulator.library import LIBRARY, load, parse, whole
from simulator.scenario import Scenario
from tests.simulator.worlds import HEAD, refused, written

MORNING = "time_s,requests_per_s\n0,10\n60,30\n120,20\n"
EXTENDING = "extends: S02\nspec:\n  traffic: {kind: recorded, series: morning.csv}\n"


def _scenario(folder: Path, text: str = EXTENDING, series: str = MORNING) -> Path:
    (folder / "morning.csv").write_text(series, encoding="utf-8")
    return written(folder, text)


def _rates(scenario: Scenario, *seconds: float) -> list[float]:
    rates: list[float] = scenario.spec.traffic.at(np.array(seconds)).tolist()
    return rates


def test_a_rate_holds_until_the_next_row_and_the_series_begins_anew(tmp_path: Path) -> None:
    """The last row lasts as long as the one before it; history has what would have come before."""
    played = load(_scenario(tmp_path))
    assert _rates(played, 0, 59.9, 60, 120, 179.9, 180, -1, -100) == [10, 10, 30, 20, 20, 10, 20, 30]


def test_times_may_be_those_of_the_clock(tmp_path: Path) -> None:
    """An export of a monitoring system has unix seconds; only the distances count."""
    series = "time_s,requests_per_s,note\n1767571200,10,x\n1767571260,30,\n1767571320,20,\n"
    assert _rates(load(_scenario(tmp_path, series=series)), 0, 60, 120) == [10, 30, 20]


def test_phase_and_factor(tmp_path: Path) -> None:
    """Begin anywhere, with as much traffic as is wanted."""
    text = EXTENDING.replace("morning.csv", "morning.csv, phase: 1m, factor: 0.5")
    assert _rates(load(_scenario(tmp_path, text)), 0, 60, 120) == [15, 10, 5]


def test_a_series_may_stand_in_the_file_itself(tmp_path: Path) -> None:
    """A few rows need no second file."""
    text = EXTENDING.replace("morning.csv", "[[0, 1], [10, 2]]")
    assert _rates(load(written(tmp_path, text)), 0, 10, 20) == [1, 2, 1]


def test_a_whole_scenario_needs_no_file_beside_it(tmp_path: Path) -> None:
    """It goes to other machines as one text."""
    text = whole(_scenario(tmp_path))
    (tmp_path / "morning.csv").unlink()
    assert _rates(parse(text, file="sent"), 60) == [30]


def test_the_series_is_beside_the_file_that_names_it(tmp_path: Path) -> None:
    """A variant in another folder extends a recording that stays where it is."""
    _scenario(tmp_path)
    (tmp_path / "variants").mkdir()
    variant = HEAD + "extends: ../mine.yaml\nspec: {traffic: {factor: 2}}\n"
    file = tmp_path / "variants" / "double.yaml"
    file.write_text(variant, encoding="utf-8")
    assert _rates(load(file), 60) == [60]


@pytest.mark.parametrize(
    ("series", "what", "line"),
    [
        ("time_s,rate\n0,1\n1,2\n", "no column requests_per_s", "morning.csv:1"),
        ("time_s,requests_per_s\n0,1\n1,many\n", "'1', 'many' are not two numbers", "morning.csv:3"),
        ("time_s,requests_per_s\n0,1\n1\n", "'1', 'None' are not two numbers", "morning.csv:3"),
        ("time_s,requests_per_s\n0,1\n", "a series of 1 rows", "mine.yaml:6"),
        ("time_s,requests_per_s\n0,1\n1,2\n1,3\n", "row 3: 1 s does not come after 1 s", "mine.yaml:6"),
        ("time_s,requests_per_s\n0,1\n1,-2\n", "row 2: -2 requests/s at 1 s", "mine.yaml:6"),
        ("time_s,requests_per_s\n0,1\n1,nan\n", "row 2: nan requests/s at 1 s", "mine.yaml:6"),
        ("time_s,requests_per_s\nnan,1\n1,2\n", "row 1: 1 requests/s at nan s", "mine.yaml:6"),
    ],
)
def test_what_is_no_series_is_told_with_its_place(tmp_path: Path, series: str, what: str, line: str) -> None:
    """Mistakes in a cell by the line of the CSV file, mistakes of the whole by who names it and the row."""
    error = refused(_scenario(tmp_path, series=series))
    assert what in error.what
    assert line in error.where


def test_a_file_that_is_not_there_is_told_where_it_is_named(tmp_path: Path) -> None:
    """The place is that of the name."""
    error = refused(written(tmp_path, EXTENDING))
    assert error.what == "the series 'morning.csv' cannot be read: No such file or directory"
    assert error.where == f"{tmp_path / 'mine.yaml'}:6:37"


def test_a_factor_cannot_make_it_unbelievable(tmp_path: Path) -> None:
    """The limit is that of every rate."""
    text = EXTENDING.replace("morning.csv", "[[0, 1], [10, 100000]], factor: 1000")
    assert "requests/s are more than any service has" in refused(written(tmp_path, text)).what


def test_a_parameter_names_no_file(tmp_path: Path) -> None:
    """Parameters are quantities."""
    text = "extends: S02\nparameters: {day: {one_of: [a.csv, b.csv]}}\n" + EXTENDING.replace("morning.csv", "$day")[13:]
    assert refused(written(tmp_path, text)).what == "a parameter cannot name a recorded series"


def test_services_beside_have_recordings_too(tmp_path: Path) -> None:
    """Each service has traffic of its own."""
    (tmp_path / "morning.csv").write_text(MORNING, encoding="utf-8")
    told = next(LIBRARY.glob("S20_*.yaml")).read_text(encoding="utf-8")
    own, _, others = told.partition("beside:")
    before, _, after = others.partition("traffic:")
    recorded = f"traffic: {{kind: recorded, series: morning.csv}} #{after}"
    file = tmp_path / "two.yaml"
    file.write_text(f"{own}beside:{before}{recorded}", encoding="utf-8")
    assert load(file).spec.beside[0].traffic.at(np.array([60.0])).tolist() == [30]
