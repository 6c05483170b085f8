"""`guardian simulate` as a user meets it: lines, tables, exit codes."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from simulator.library import find
from simulator.run import run
from simulator.sweep import sweep
from tests.simulator.worlds import shipped

SUMMARY = {
    "scenario",
    "runs",
    "right",
    "wrong",
    "late",
    "median",
    "p95",
    "bound",
    "bad_requests",
    "passed",
    "failures",
    "beside",
}
FIELDS = {
    "scenario", "seed", "verdict", "decided_at", "expected", "ok", "late", "wrong", "bad_requests",
    "total_requests", "events",
}  # fmt: skip


def _simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "guardian", "simulate", *arguments], capture_output=True, text=True, check=False
    )


def _on_a_terminal(*arguments: str, stdout_too: bool) -> str:
    """Return what comes to stdout while stderr, or both, are a terminal of 40 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    command = [sys.executable, "-m", "guardian", "simulate", *arguments]
    clean = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "TERM"}}
    stdout = theirs if stdout_too else subprocess.PIPE
    with subprocess.Popen(command, stdout=stdout, stderr=theirs, env={**clean, "TERM": "xterm"}) as process:
        os.close(theirs)
        screen = b""
        try:
            while chunk := os.read(ours, 65536):
                screen += chunk
        except OSError:  # Linux: the other end of the terminal was closed
            pass
        told = screen if process.stdout is None else process.stdout.read()
    os.close(ours)
    return told.decode()


@pytest.mark.parametrize("stdout_too", [True, False])
def test_json_is_neither_folded_nor_lost_on_a_terminal(*, stdout_too: bool) -> None:
    """A bar that is drawn on stderr leaves stdout to whoever parses it: lines stay lines, and stay on stdout."""
    told = _on_a_terminal("S01", "--seeds", "2", "--jobs", "1", "-o", "json", stdout_too=stdout_too)
    assert [json.loads(line)["seed"] for line in told.splitlines()] == [1, 2]


def test_a_scenario_that_stands_still_says_for_what(tmp_path: Path) -> None:
    """Metrics that never come: nothing is decided, and the table alone would say `never`."""
    (file,) = find("S01")
    still, gap = tmp_path / "still.yaml", "  faults:\n    - {kind: metrics_gap, at: 0s, lasts: 24h}\n"
    still.write_text(file.read_text(encoding="utf-8").replace("  faults:\n", gap), encoding="utf-8")
    done = _simulate(str(still), "--seeds", "1", "--jobs", "1")
    assert done.returncode == 3
    assert "1 run in " in done.stdout
    first = done.stderr.splitlines()[0]
    assert first.startswith("S01 fails: the median run never comes to it; seed 1: held: ")
    assert "no metrics" in first


def test_a_router_without_a_workload_is_told_before_the_first_run(tmp_path: Path) -> None:
    """Exit 2 at once: with what is missing, where, and what to write."""
    (file,) = find("S01")
    still = tmp_path / "still.yaml"
    still.write_text(file.read_text(encoding="utf-8").replace("  workload: {memory: {}}\n", ""), encoding="utf-8")
    done = _simulate(str(still), "--seeds", "1", "--jobs", "1")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "without a workload no request ever reaches the canary" in done.stderr
    assert "add `workload: {memory: {}}`" in done.stderr


def test_a_row_fits_a_hundred_columns() -> None:
    """A terminal of that width would fold cells into pillars of single words."""
    done = _simulate("S01", "--seeds", "2", "--jobs", "1")
    heads, row = done.stdout.splitlines()[:2]
    assert max(len(heads.rstrip()), len(row.rstrip())) <= 100
    assert "s of 1m " in row


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


def test_a_second_table_has_other_rules_on_the_same_seeds() -> None:
    """Both met the same users."""
    done = _simulate("S01", "--seeds", "2", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["scenario", "expected", "rule", "right", "wrong", "late", "hurt"] in rows
    assert any(row[:5] == ["S01", "rollback", "guardian", "2/2", "0/2"] for row in rows)
    assert any(row[:3] == ["naive", "2/2", "0/2"] for row in rows)
    assert "naive: 0 of 2 bad releases missed or late" in done.stdout
    assert "2/2" in done.stdout
    assert "passes" in done.stdout


def test_json_has_the_other_rules_that_were_asked_for() -> None:
    """In the words of the guardian's own run; none unless they are named."""
    done = _simulate("S01", "--seeds", "1", "--jobs", "1", "-o", "json", "--beside", "kayenta,argo")
    beside = json.loads(done.stdout)["beside"]
    assert list(beside) == ["argo", "kayenta"]
    assert set(beside["argo"]) == {"verdict", "decided_at", "ok", "late", "wrong", "bad_requests"}


def test_a_rule_that_is_not_there_is_refused_with_those_there_are() -> None:
    """Before anything is played."""
    done = _simulate("S01", "--beside", "argo,spinnaker")
    assert done.returncode == 2
    assert "no rule is called spinnaker" in done.stderr
    assert "naive, argo, flagger, kayenta" in done.stderr


def test_a_scenario_is_played_in_the_grain_that_is_asked_for(tmp_path: Path) -> None:
    """The same file and seed in both grains: as many users, but not the same."""
    (file,) = find("S01")
    short, text = tmp_path / "short.yaml", file.read_text(encoding="utf-8")
    short.write_text(text.replace("  faults:\n", "  history: 31m\n  lasts: 1m\n  faults:\n"), encoding="utf-8")
    short.write_text(short.read_text(encoding="utf-8").replace("rate: 200", "rate: 20"), encoding="utf-8")
    told = []
    for grain in ("flow", "request"):
        done = _simulate(str(short), "--seeds", "1", "--jobs", "1", "-o", "json", "--grain", grain)
        assert done.returncode in {0, 3}, done.stderr
        told.append(json.loads(done.stdout))
    assert all(set(line) >= FIELDS for line in told)
    assert told[0]["total_requests"] != told[1]["total_requests"]
    assert told[0]["total_requests"] == pytest.approx(told[1]["total_requests"], rel=0.2)


@pytest.mark.parametrize("arguments", [("--grain", "flow"), ("--serve",)])
def test_causes_are_not_played_as_if_they_were_effects(arguments: tuple[str, ...]) -> None:
    """Exit 2 and the line: the leak would be a healthy release there."""
    done = _simulate("S05", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "S05_memory_leak.yaml:13:" in done.stderr
    assert "play it with --grain request" in done.stderr


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
