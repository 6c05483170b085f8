"""Parameters: what each seed draws, what may be drawn, and that a mistake is found before the first run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from guardian.errors import ScenarioError
from simulator.baseline import world_of
from simulator.bound import bound
from simulator.faults import ErrorStep
from simulator.library import load
from simulator.parameters import Parameter
from simulator.scenario import Scenario

TEXT = """apiVersion: slo-guardian/v1
kind: Scenario
extends: S02
metadata: {name: family, title: a family of incidents}
parameters:
  size: {between: [2.0, 10.0], scale: log}
  start: {between: [30s, 2m]}
spec:
  faults: [{kind: error_step, at: 1m, factor: $size}]
  truth: {onset: 1m}
"""


def _family(folder: Path, text: str) -> Scenario:
    file = folder / "family.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file)


def _without_start(text: str) -> str:
    return text.replace("  start: {between: [30s, 2m]}\n", "")


def _step(scenario: Scenario) -> ErrorStep:
    (fault,) = scenario.spec.faults
    assert isinstance(fault, ErrorStep)
    return fault


def test_each_seed_draws_its_own_value_and_always_the_same(tmp_path: Path) -> None:
    """A run can be looked at again."""
    family = _family(tmp_path, _without_start(TEXT))
    drawn = [_step(family.drawn(seed)).factor or 0 for seed in range(1, 201)]
    assert drawn == [_step(family.drawn(seed)).factor for seed in range(1, 201)]
    assert 2 <= min(drawn) < 2.2
    assert 9 < max(drawn) <= 10
    below = sum(value < 20**0.5 for value in drawn)
    assert 70 <= below <= 130  # half of them below the middle of factors


def test_a_further_parameter_changes_no_other(tmp_path: Path) -> None:
    """Two files of one family meet the same sizes."""
    alone = _family(tmp_path, _without_start(TEXT))
    more = _family(tmp_path, _without_start(TEXT).replace("  size:", "  rate: {between: [100, 300]}\n  size:")
                   .replace("spec:\n", "spec:\n  traffic: {rate: $rate}\n"))  # fmt: skip
    assert _step(alone.drawn(7)).factor == _step(more.drawn(7)).factor


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        (Parameter(between=(1, 3)), {1, 2, 3}),
        (Parameter(one_of=("a", "b")), {"a", "b"}),
        (Parameter(between=("1%", "3%")), {"1.000000%", "2.000000%", "3.000000%"}),
        (Parameter(between=(1.0, 3.0)), {1.0, 2.0, 3.0}),
        (Parameter(between=("-30s", "1m30s")), {"-30.000000s", "30.000000s", "90.000000s"}),
    ],
)
def test_ranges_are_drawn_in_what_they_are_written_in(parameter: Parameter, values: set[object]) -> None:
    """Whole numbers stay whole, units stay."""
    assert {parameter.at(place) for place in (0.0, 0.5, 1.0)} == values


@pytest.mark.parametrize(
    ("old", "new", "what", "line"),
    [
        ("factor: $size", "factor: 3", "nothing uses the parameter 'size'", 6),
        ("factor: $size", "factor: $sise", "there is no parameter 'sise'", 8),
        ("onset: 1m", "onset: $size", "the truth depends on '$size'", 9),
        ("[2.0, 10.0]", "[10.0, 2.0]", "nothing lies between", 6),
        ("[2.0, 10.0]", "[2%, 10s]", "different units", 6),
        ("[2.0, 10.0]", "[few, many]", "'few' is not a number", 6),
        ("between: [2.0, 10.0], scale: log", "scale: log", "either `between`", 6),
        ("between:", "betwen:", "unknown key 'betwen'", 6),
        ("[2.0, 10.0]", "[-2.0, 10.0]", "nothing lies between", 6),
        ("[2.0, 10.0]", "[2.0, 10000.0]", "10000.0 is not allowed (with size = 10000.0)", 8),
    ],
)
def test_mistakes_are_found_before_the_first_run(tmp_path: Path, old: str, new: str, what: str, line: int) -> None:
    """At the ends of every range, not at seed 173."""
    text = _without_start(TEXT)
    assert old in text
    with pytest.raises(ScenarioError) as caught:
        _family(tmp_path, text.replace(old, new, 1))
    assert what in caught.value.what
    assert f"family.yaml:{line}:" in caught.value.where


def test_the_bound_is_that_of_the_hardest(tmp_path: Path) -> None:
    """Whoever asks how fast any method could be wants to know it for all seeds."""
    family = _family(tmp_path, _without_start(TEXT))
    hardest = _family(tmp_path, _without_start(TEXT).replace("  size: {between: [2.0, 10.0], scale: log}\n", "")
                      .replace("parameters:\n", "").replace("$size", "2"))  # fmt: skip
    assert bound(family) == bound(hardest)


def test_another_range_is_another_world(tmp_path: Path) -> None:
    """Figures of two ranges are no pairs."""
    one = _family(tmp_path, _without_start(TEXT))
    other = _family(tmp_path, _without_start(TEXT).replace("[2.0, 10.0]", "[1.9, 10.1]"))
    assert world_of(one) != world_of(other)


def test_a_run_says_what_its_seed_drew(tmp_path: Path) -> None:
    """The guardian and the naive gate meet the same incident; JSON names it."""
    _family(tmp_path, _without_start(TEXT))
    command = [sys.executable, "-m", "guardian", "simulate", str(tmp_path / "family.yaml")]
    options = ["--seeds", "3", "--jobs", "1", "-o", "json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    family = load(tmp_path / "family.yaml")
    told = [json.loads(line)["parameters"]["size"] for line in done.stdout.splitlines()]
    assert told == [_step(family.drawn(seed)).factor for seed in (1, 2, 3)]
