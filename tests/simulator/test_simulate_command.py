"""`guardian simulate` as a user meets it: lines, tables, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from simulator.library import find
from simulator.run import run
from simulator.sweep import sweep
from tests.simulator.worlds import shipped

SUMMARY = {"scenario", "runs", "right", "wrong", "late", "median", "p95", "bound", "bad_requests", "passed", "failures"}
FIELDS = {
    "scenario", "seed", "verdict", "decided_at", "expected", "ok", "late", "wrong", "bad_requests",
    "total_requests", "events",
}  # fmt: skip


def _simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "guardian", "simulate", *arguments], capture_output=True, text=True, check=False
    )


def test_yaml_is_one_summary_a_scenario() -> None:
    """Plain numbers: what numpy calls a float is none to a writer of YAML."""
    done = _simulate("S01", "--seeds", "2", "--jobs", "1", "-o", "yaml")
    assert done.returncode == 0, done.stderr
    (found,) = YAML(typ="safe").load(done.stdout)["items"]
    assert set(found) == SUMMARY
    assert found["runs"] == found["right"] == 2


def test_all_and_a_name_contradict_each_other() -> None:
    """Exit 2, and the text says which two."""
    done = _simulate("--all", "S02")
    assert done.returncode == 2
    assert "--all and S02" in done.stderr


def test_json_is_one_object_a_run_with_all_its_fields() -> None:
    """CONTRACTS section 7: names, types and meaning are fixed."""
    done = _simulate("S01", "--seeds", "3", "--jobs", "2", "-o", "json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert [line["seed"] for line in lines] == [1, 2, 3]
    assert all(set(line) >= FIELDS and line["apiVersion"] == "slo-guardian/v1" for line in lines)
    assert {(line["verdict"], line["expected"], line["ok"]) for line in lines} == {("rollback", "rollback", True)}
    assert all(0 < line["decided_at"] <= 240 and line["bad_requests"] < line["total_requests"] for line in lines)
    assert lines[0]["events"][-1]["event"] == "rolled-back"


def test_a_table_stands_beside_the_naive_gate() -> None:
    """Both met the same users."""
    done = _simulate("S01", "--seeds", "2", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert "naive right" in done.stdout
    assert "2/2" in done.stdout
    assert "passes" in done.stdout


def test_a_scenario_that_does_not_come_out_right_exits_3(tmp_path: Path) -> None:
    """The truth of S01 turned round: rolling it back is then wrong every time."""
    (file,) = find("S01")
    text = file.read_text(encoding="utf-8")
    truth = "truth: {verdict: rollback, onset: 0s, within: 60s}"
    assert truth in text
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text.replace(truth, "truth: {verdict: promote, within: 60s}"), encoding="utf-8")
    done = _simulate(str(wrong), "--seeds", "4", "--jobs", "1", "-o", "json")
    assert done.returncode == 3
    assert all(json.loads(line)["wrong"] for line in done.stdout.splitlines())
    assert "4 of 4 wrong" in done.stderr


@pytest.mark.parametrize("arguments", [("S999",), (), ("--all", "S01"), ("S01", "--seeds", "0")])
def test_wrong_usage_exits_2_and_says_what_would_be_right(arguments: tuple[str, ...]) -> None:
    """Nothing is simulated, nothing on stdout."""
    done = _simulate(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr


def test_processes_do_not_change_what_comes_out() -> None:
    """Seed by seed the same, however the work is divided."""
    alone = [played.guardian for played in sweep(find("S01"), seeds=range(1, 7), jobs=1)]
    together = [played.guardian for played in sweep(find("S01"), seeds=range(1, 7), jobs=2)]
    assert alone == together


@pytest.mark.parametrize("name", ["S01", "S08", "S18"])
def test_the_same_seed_gives_the_same_run(name: str) -> None:
    """Every event, time and count."""
    assert run(shipped(name), 4) == run(shipped(name), 4)
