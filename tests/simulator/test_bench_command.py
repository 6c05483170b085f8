"""`guardian bench guardrails` as CI meets it: silent on the same code, loud on worse guardrails."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from msgspec import structs

from analysis.sequential.base import Floats, Reading
from analysis.sequential.ratio import RatioTest
from guardian.cli.output import Output
from guardian.errors import GuardianError
from simulator.baseline import world_of
from simulator.commands.bench import bench
from simulator.library import find
from simulator.sweep import loaded
from tests.simulator.worlds import shipped

SEEDS = 8


def _bench(*scenarios: str, **options: Any) -> int:
    """Run the command in this process and return its exit code."""
    try:
        bench("guardrails", scenarios=list(scenarios), jobs=1, **{"seeds": SEEDS, **options})
    except typer.Exit as left:
        return left.exit_code
    return 0


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What main measured: S02, a regression, and S17, a healthy release."""
    file = tmp_path_factory.mktemp("bench") / "baseline.json"
    with pytest.MonkeyPatch.context() as patch, file.open("w", encoding="utf-8") as out:
        patch.setattr("sys.stdout", out)
        assert _bench("S02", "S17", output=Output.JSON) == 0
    return file


def test_a_line_is_a_figure_beside_its_reference(baseline: Path) -> None:
    """What every benchmark says, then the runs by seed."""
    first, second = (json.loads(line) for line in baseline.read_text(encoding="utf-8").splitlines())
    assert (first["name"], second["name"]) == ("guardrails/S02", "guardrails/S17")
    assert first["value"] == 1.0
    assert first["reference_value"] < 1.0
    assert {"apiVersion", "kind", "unit", "reference", "ratio", "machine"} <= first.keys()
    assert [run["seed"] for run in first["runs"]] == list(range(1, SEEDS + 1))
    assert {run["verdict"] for run in second["runs"]} == {"promote"}


def test_the_same_code_passes_twice_in_a_row(baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seeds decide everything: not a digit changes, so nothing can be called worse."""
    for _ in range(2):
        assert _bench("S02", compare=baseline, tolerance="0%", output=Output.MARKDOWN) == 0
    told = capsys.readouterr()
    assert "| S02 | 8/8 | same | same | same | same |  |" in told.out
    assert "S17 is not in this run" in told.err


def test_a_weakened_policy_is_a_regression(baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A margin three times as wide: twice the errors are within it, and users pay."""
    policy = tmp_path / "policy.yaml"
    text = find("S02")[0].read_text(encoding="utf-8").split("\n---\n")[1]
    for strict, wide in (("rollback: {relative: 1.05", "rollback: {relative: 3"), ("relative: 1.5", "relative: 4")):
        assert strict in text
        text = text.replace(strict, wide)
    policy.write_text(text, encoding="utf-8")
    assert _bench("S02", "S17", compare=baseline, policy=policy) == 3
    told = capsys.readouterr()
    assert "WORSE" in told.out
    assert "regressed: S02: requests hurt x" in told.err
    assert "regressed: all scenarios together: wrong verdicts" in told.err
    assert "regressed: S17" not in told.err
    (seeds,) = (line for line in told.out.splitlines() if line.startswith("Worse in "))
    assert re.match(r"Worse in S02: \d of 8 seeds; seed \d: (hold|promote) is wrong, before: rollback\.", seeds)
    assert "8 seeds are too few to prove its verdicts worse: give --seeds 9." in told.out


def test_a_broken_decision_core_is_a_regression(
    baseline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The core believes a fifth of what it sees against a canary."""
    whole = RatioTest.read

    def believed(test: RatioTest, canary: Floats, stable: Floats, memory: Floats, *, elapsed: Floats) -> Reading:
        reading = whole(test, canary, stable, memory, elapsed=elapsed)
        return replace(reading, harm=np.where(reading.harm > 0, 0.2 * reading.harm, reading.harm))

    monkeypatch.setattr(RatioTest, "read", believed)
    assert _bench("S02", compare=baseline) == 3
    assert "regressed: S02: " in capsys.readouterr().err


def test_another_policy_is_put_into_the_scenarios_place() -> None:
    """Service, platform and mode are the scenario's; risk, guardrails and steps the policy's."""
    example = Path("examples/policies/checkout.yaml")
    scenario = loaded(find("S01")[0], example)
    assert scenario.policy.match.service == scenario.spec.service.name
    assert scenario.policy.router is not None
    assert scenario.policy.router.kind == "memory"
    assert [guardrail.name for guardrail in scenario.policy.guardrails] == ["errors", "latency"]
    assert scenario.spec == shipped("S01").spec


def test_a_world_is_what_its_file_says() -> None:
    """A key that a later version adds, with the default of before, leaves baselines as good as they were."""
    scenario = shipped("S02")
    same = scenario.spec.model_copy(update={"history": scenario.spec.history})
    other = scenario.spec.model_copy(update={"history": scenario.spec.history + 60.0})
    worlds = [world_of(structs.replace(scenario, spec=spec)) for spec in (scenario.spec, same, other)]
    assert worlds[0] == worlds[1] != worlds[2]
    assert "history" not in scenario.spec.model_dump(exclude_defaults=True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no figures"),
        ("nonsense\n", "baseline.json:1: is no figure of guardrails"),
        ('{"name": "guardrails/S01", "value": 1}\n', "baseline.json:1: is no figure of guardrails"),
    ],
)
def test_a_baseline_that_is_none_is_told_by_line(tmp_path: Path, text: str, told: str) -> None:
    """Before anything runs."""
    file = tmp_path / "baseline.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(GuardianError) as raised:
        _bench("S01", compare=file)
    assert told in str(raised.value)
    assert raised.value.remedy


def test_a_baseline_of_other_worlds_is_refused(baseline: Path, tmp_path: Path) -> None:
    """Nothing to compare is no pass."""
    other = tmp_path / "other.json"
    lines = baseline.read_text(encoding="utf-8").splitlines()
    worlds = [json.loads(line)["world"] for line in lines]
    other.write_text("\n".join(lines).replace(worlds[0], "0" * 16), encoding="utf-8")
    with pytest.raises(GuardianError, match="nothing in common"):
        _bench("S02", compare=other)


@pytest.mark.parametrize(("options", "told"), [({"tolerance": "much"}, "much"), ({"seeds": 3}, "nothing in common")])
def test_wrong_usage_is_told(baseline: Path, options: dict[str, Any], told: str) -> None:
    """A tolerance that is no share, and too few seeds to compare anything."""
    with pytest.raises(GuardianError, match=told):
        _bench("S02", compare=baseline, **options)
