"""Commands that need no daemon: check, plan, schema, version; and what all commands share."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from guardian.app.serve import JOURNAL
from guardian.cli import journal
from guardian.cli.exits import MEANINGS, ExitCode, of_error
from guardian.cli.lazy import COMMANDS, first_line, load
from guardian.errors import ConfigError, GuardianError, PolicyError, SamplesError, ScenarioError, Unavailable
from tests.cli.daemon import guardian, guardian_process

EXAMPLE = Path("examples/policies/checkout.yaml").absolute()


def test_help_is_quick_and_lists_every_command(tmp_path: Path) -> None:
    """Under 0.4 s on an idle machine; the best of five, since others may be working."""
    took, out = [], ""
    for _ in range(5):
        began = time.perf_counter()
        process = guardian_process("--help", folder=tmp_path)
        out, _err = process.communicate()
        took.append(time.perf_counter() - began)
        assert process.returncode == 0
    listed = [line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line.startswith("  ")]
    assert set(COMMANDS) <= set(listed)
    assert min(took) < 0.4


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_listed_command_can_be_loaded_and_says_what_it_does(name: str, tmp_path: Path) -> None:
    """The list is read from sources; what it says must be what is there."""
    command = load(name, COMMANDS[name])
    assert command.help.partition("\n")[0].strip() == first_line(COMMANDS[name])
    answer = guardian(name, "--help", folder=tmp_path)
    assert answer.code == 0
    assert "--no-color" in answer.out


def test_a_misspelt_command_is_answered_with_the_nearest(tmp_path: Path) -> None:
    """Exit 2: wrong usage."""
    answer = guardian("statsu", folder=tmp_path)
    assert answer.code == 2
    assert "status" in answer.err


def test_every_exit_code_has_a_meaning() -> None:
    """And errors of input files are usage, all others "could not tell"."""
    assert set(MEANINGS) == set(ExitCode)
    inputs = (ConfigError, PolicyError, SamplesError, ScenarioError)
    assert {of_error(error("x")) for error in inputs} == {ExitCode.USAGE}
    assert {of_error(error("x")) for error in (GuardianError, Unavailable)} == {ExitCode.UNKNOWN}


def test_the_journal_is_looked_for_where_the_daemon_keeps_it() -> None:
    """Two names for one file would drift apart."""
    assert journal.FILE == JOURNAL


def test_check_says_valid_with_advice(tmp_path: Path) -> None:
    """Exit 0: advice is no error."""
    answer = guardian("check", str(EXAMPLE), "-o", "json", folder=tmp_path)
    found = json.loads(answer.out)
    assert answer.code == 0
    assert (found["apiVersion"], found["valid"], found["policies"]) == ("slo-guardian/v1", True, ["checkout"])
    assert {finding["severity"] for finding in found["findings"]} == {"advice"}


def test_check_lists_every_mistake_of_every_file(tmp_path: Path) -> None:
    """Exit 3, each with line and remedy, adapters and their options included."""
    text = EXAMPLE.read_text(encoding="utf-8")
    (tmp_path / "a.yaml").write_text(text.replace("haproxy:", "haproxi:"))
    changed = text.replace("backend: checkout", "beckend: checkout").replace("name: checkout", "name: other")
    (tmp_path / "b.yaml").write_text(changed.replace("service: checkout,", "service: other,"))
    (tmp_path / "c.yaml").write_text(text.replace("drain", "x").replace("mode: enforce", "mod: enforce\n  drain: 5"))
    answer = guardian("check", ".", folder=tmp_path)
    assert answer.code == 3
    for said in ("did you mean 'haproxy'?", "did you mean 'backend'?", "unknown key 'mod'", "duration 5 has no unit"):
        assert said in answer.out
    assert "3 policies: invalid, 4 errors" in answer.out


@pytest.mark.parametrize("content", [None, "a: [1", "# nothing"])
def test_check_cannot_judge_what_it_cannot_read(tmp_path: Path, content: str | None) -> None:
    """Exit 2: neither valid nor invalid."""
    if content is not None:
        (tmp_path / "p.yaml").write_text(content)
    answer = guardian("check", "p.yaml", folder=tmp_path)
    assert answer.code == 2
    assert answer.err.startswith("error: p.yaml")
    assert answer.out == ""


def test_a_folder_without_policies_is_not_valid(tmp_path: Path) -> None:
    """A wrong path in CI would pass for ever."""
    answer = guardian("check", ".", folder=tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert "holds no policy" in answer.err


def test_check_knows_guardian_yaml(tmp_path: Path) -> None:
    """By its keys or its kind, whatever the file is called."""
    (tmp_path / "ours.yaml").write_text("listen: 127.0.0.1:8080\npolices: x\n")
    answer = guardian("check", "ours.yaml", folder=tmp_path)
    assert answer.code == 3
    assert "did you mean 'policies'?" in answer.out


def test_plan_shows_how_long_each_step_needs(tmp_path: Path) -> None:
    """More traffic needs less time, a larger change less than a smaller one."""
    slow, fast = (
        json.loads(guardian("plan", str(EXAMPLE), "--rps", rps, "-o", "json", folder=tmp_path).out)["steps"]
        for rps in ("50", "500")
    )
    errors = [steps[0]["guardrails"][0] for steps in (slow, fast)]
    assert errors[0]["x1.5"] == pytest.approx(10 * errors[1]["x1.5"], rel=0.01)
    assert errors[0]["x2"] < errors[0]["x1.5"]
    assert [step["extends"] for step in slow] == [False, True, False]
    assert slow[2]["guardrails"] == []


def test_plan_warns_when_traffic_cannot_reach_the_verdict(tmp_path: Path) -> None:
    """Within the limit of the step; without traffic never."""
    answer = guardian("plan", str(EXAMPLE), "--rps", "1", folder=tmp_path)
    assert "over its limit" in answer.out
    none = json.loads(guardian("plan", str(EXAMPLE), "--rps", "0", "-o", "json", folder=tmp_path).out)
    assert none["steps"][1]["lasts"] is None


def test_plan_without_traffic_says_where_to_get_it(tmp_path: Path) -> None:
    """Exit 2: something is missing on the command line."""
    answer = guardian("plan", str(EXAMPLE), folder=tmp_path)
    assert answer.code == 2
    assert "--rps" in answer.err


def test_schema_is_json_schema_by_default(tmp_path: Path) -> None:
    """Bare, as editors read it."""
    schema = json.loads(guardian("schema", folder=tmp_path).out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "spec" in schema["properties"]
    assert "environments" in json.loads(guardian("schema", "settings", folder=tmp_path).out)["properties"]


@pytest.mark.parametrize("output", ["table", "json", "yaml", "markdown"])
def test_every_format_shows_the_same(tmp_path: Path, output: str) -> None:
    """JSON and YAML carry apiVersion."""
    answer = guardian("version", "-o", output, folder=tmp_path)
    assert "0.1.0" in answer.out
    if output == "json":
        assert json.loads(answer.out)["apiVersion"] == "slo-guardian/v1"
    if output == "yaml":
        assert YAML(typ="safe").load(answer.out)["apiVersion"] == "slo-guardian/v1"


def test_nothing_is_cut_off_in_a_pipe(tmp_path: Path) -> None:
    """Whoever reads it has no screen width."""
    process = guardian_process("check", str(EXAMPLE), folder=tmp_path)
    out, _ = process.communicate()
    assert "checkout.yaml` says how long your traffic takes" in out


def test_an_error_is_two_lines_and_no_traceback(tmp_path: Path) -> None:
    """What and where, then the remedy."""
    answer = guardian("list", "-c", "nowhere.yaml", folder=tmp_path)
    assert answer.code == 2
    assert answer.err.splitlines() == ["error: nowhere.yaml: there is no such file", "  remedy: check the path"]
