"""Commands that need no daemon: check, plan, schema, version; and what all commands share."""

from __future__ import annotations

import json
import resource
import shutil
import socket
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from guardian.adapters.journal.sqlite import SqliteJournal
from guardian.app.serve import JOURNAL
from guardian.cli import journal
from guardian.cli.exits import MEANINGS, ExitCode, of_error
from guardian.cli.gate import gate_table
from guardian.cli.lazy import COMMANDS, first_line, load
from guardian.cli.output import Output, show
from guardian.cli.views import weight
from guardian.core.model import Instant
from guardian.errors import ConfigError, GuardianError, PolicyError, SamplesError, ScenarioError, Unavailable
from guardian.ports import Row
from tests.cli.daemon import guardian, guardian_process

EXAMPLE = Path("examples/policies/checkout.yaml").absolute()


def test_help_is_quick_and_lists_every_command(tmp_path: Path) -> None:
    """Under 0.4 s of processor time; the best of five, since others may be working."""
    took, out = [], ""
    for _ in range(5):
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = guardian_process("--help", folder=tmp_path)
        out, _err = process.communicate()
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime)
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


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_typed_alone_is_answered_with_words(name: str, tmp_path: Path) -> None:
    """In an empty folder and without a daemon: what is missing, and never a traceback."""
    answer = guardian(name, folder=tmp_path)
    assert answer.code in set(ExitCode)
    assert "Traceback" not in answer.err
    assert answer.out or "remedy: " in answer.err or "Usage: " in answer.err


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


def test_check_goes_on_after_a_file_it_cannot_read(tmp_path: Path) -> None:
    """Every file of a folder is told of, whatever the others are; exit 2, since some could not be judged."""
    text = EXAMPLE.read_text()
    (tmp_path / "a.yaml").write_text("spec: [1, 2\n")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "c.yaml").write_text(text.replace("backend: checkout", "beckend: checkout"))
    (tmp_path / "d.yaml").write_text("")
    (tmp_path / "guardian.yaml").write_text("lissten: 127.0.0.1:1\ndata: ./data\n")
    answer = guardian("check", ".", "-o", "json", folder=tmp_path)
    found = {one["where"].partition(":")[0]: one["what"] for one in json.loads(answer.out)["findings"]}
    assert answer.code == 2
    assert set(found) == {"a.yaml", "b.yaml", "c.yaml", "d.yaml", "guardian.yaml"}
    assert found["guardian.yaml"] == "unknown key 'lissten'"
    assert [line for line in answer.err.splitlines() if line.startswith("error: ")] == [
        "error: a.yaml:2:1: is not valid YAML: expected ',' or ']', but got '<stream end>'",
        "error: b.yaml: byte 0 is not UTF-8",
        "error: d.yaml: holds no policy",
    ]
    shown = guardian("check", ".", folder=tmp_path).out
    assert "1 policy: invalid, 2 errors" in shown
    assert "3 files not read, see below" in shown


def test_check_tells_a_scenario_from_a_policy(tmp_path: Path) -> None:
    """It is a test of a policy, and another command runs it."""
    shutil.copy(Path("simulator/scenarios/S01_hard_break.yaml"), tmp_path / "s.yaml")
    answer = guardian("check", "s.yaml", folder=tmp_path)
    assert answer.code == 2
    assert answer.err.splitlines() == [
        "error: s.yaml:2:7: is a scenario, not a policy", "  remedy: run `guardian simulate s.yaml`",
    ]  # fmt: skip


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


def test_plan_fits_an_ordinary_terminal(tmp_path: Path) -> None:
    """80 columns: a heading on three lines is read wrongly."""
    lines = guardian("plan", str(EXAMPLE), "--rps", "200", folder=tmp_path).out.splitlines()
    assert lines[0].split()[-3:] == ["sees", "x2", "promote"]
    assert max(len(line.rstrip()) for line in lines[:5]) <= 80


def test_plan_warns_when_traffic_cannot_reach_the_verdict(tmp_path: Path) -> None:
    """Within the limit of the step; without traffic never."""
    answer = guardian("plan", str(EXAMPLE), "--rps", "1", folder=tmp_path)
    assert "over its limit" in answer.out
    none = json.loads(guardian("plan", str(EXAMPLE), "--rps", "0", "-o", "json", folder=tmp_path).out)
    assert none["steps"][1]["lasts"] is None


def test_plan_names_what_it_assumes(tmp_path: Path) -> None:
    """Times double when stable's errors halve: a reader must see which share they hold for, and how to change it."""
    assumed = guardian("plan", str(EXAMPLE), "--rps", "200", folder=tmp_path).out
    assert "stable's errors are assumed to be 0.5 % (--error-rate)" in assumed
    assert "500ms without one (--p95)" in assumed
    flags = ("--error-rate", "0.1%", "--p95", "300ms")
    told = guardian("plan", str(EXAMPLE), "--rps", "200", *flags, folder=tmp_path).out
    assert "stable's errors 0.1 %; latencies are assumed log-normal with a p95 of 300ms" in told


def test_plan_says_of_which_guardrails_no_time_is_known(tmp_path: Path) -> None:
    """And why; the others decide how long a step lasts, at least."""
    policy = tmp_path / "levels.yaml"
    more = "    - {name: memory, sli: {gauge: {value: bytes}}}\n    - {name: orders, sli: {count: {events: sold}}}\n"
    policy.write_text(EXAMPLE.read_text().replace("  alerts:\n", more + "  alerts:\n"))
    told = guardian("plan", str(policy), "--rps", "200", folder=tmp_path).out
    assert "not known" in told
    assert "or more. Traffic: from --rps" in told
    assert "'memory': how soon a level tells depends on how much pods differ" in told
    assert "'orders': how many events a request makes is not known" in told
    step = json.loads(guardian("plan", str(policy), "--rps", "200", "-o", "json", folder=tmp_path).out)["steps"][0]
    assert [one["promote"] is None for one in step["guardrails"]] == [False, False, True, True]


def test_plan_names_the_guardrail_that_makes_a_step_late(tmp_path: Path) -> None:
    """Widening the margin of another one would change nothing."""
    notes = json.loads(guardian("plan", str(EXAMPLE), "--rps", "1", "-o", "json", folder=tmp_path).out)["notes"]
    first, second = (note for note in notes if note.startswith("warning: step"))
    assert "widen the promote margin of 'errors', send more traffic or raise the limit" in first  # its sample
    assert "widen the promote and tail margins of 'latency', send more traffic" in second  # its verdict


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("- name: errors", "- name: errors\n      min_requests: 200000"), "lower min_requests of 'errors', send more"),
        (("risk: {", "risk: {earliest_promotion: 3h, "), "lower risk.earliest_promotion or raise the limit"),
    ],
)
def test_plan_names_the_setting_that_makes_a_step_late(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    """Where it is no margin at all, a wider one would be given away for nothing."""
    text = EXAMPLE.read_text(encoding="utf-8").replace(", earliest_promotion: 15m", "")
    assert change[0] in text
    (tmp_path / "p.yaml").write_text(text.replace(*change))
    assert said in guardian("plan", "p.yaml", "--rps", "500", folder=tmp_path).out


@pytest.mark.parametrize(
    ("pods", "replicas", "alone"), [("8", "", False), ("3", "", True), ("2", "", True), ("8", ", replicas: 1", True)]
)
def test_plan_speaks_of_one_canary_pod_only_where_there_is_one(
    tmp_path: Path, pods: str, replicas: str, *, alone: bool
) -> None:
    """The canary has as many pods as stable unless its workload is told otherwise, whatever its share of traffic."""
    workload = f"  workload: {{deployment: {{image: 'checkout:{{{{revision}}}}'{replicas}}}}}\n  guardrails:\n"
    text = EXAMPLE.read_text(encoding="utf-8").replace("  guardrails:\n", workload)
    (tmp_path / "p.yaml").write_text(text)
    answer = guardian("plan", "p.yaml", "--rps", "200", "--pods", pods, folder=tmp_path)
    assert answer.code == 0, answer.err
    assert ("one canary pod" in answer.out) is alone


def test_plan_says_what_its_pods_let_be_seen(tmp_path: Path) -> None:
    """Per step with the pods by its weight, the same every time; what one pod of ten never sees is warned of."""
    flags = ("--rps", "200", "--pods", "10", "--pods-differ", "15%")
    answer, again = (guardian("plan", str(EXAMPLE), *flags, "-o", "json", folder=tmp_path) for _ in range(2))
    assert answer.out == again.out, answer.err
    found = json.loads(answer.out)
    first, second = found["steps"][:2]
    assert (first["pods"], second["pods"]) == ({"canary": 1, "stable": 9}, {"canary": 5, "stable": 5})
    errors = [step["guardrails"][0] for step in (first, second)]
    assert errors[1]["smallest"] < errors[0]["smallest"]
    assert errors[0]["x2"] is None
    warned = next(note for note in found["notes"] if note.startswith("warning: 'errors' does not see x2"))
    assert "within the limit of step 1" in warned
    assert "more canary pods" in warned
    assert "pods differ by 15 %" in found["notes"][0]


def test_plan_wants_pods_on_both_tracks(tmp_path: Path) -> None:
    """Exit 2: there would be nothing to compare with."""
    answer = guardian("plan", str(EXAMPLE), "--rps", "200", "--pods", "3", "--canary-pods", "3", folder=tmp_path)
    assert answer.code == 2
    assert "leave none of stable" in answer.err
    assert "give 4 or more" in answer.err


def test_plan_warns_of_tails_that_are_not_seen(tmp_path: Path) -> None:
    """0.5 % of the requests six times slower, at ten requests a second; at 20,000 they are."""
    said = "does not see a tail (0.5 % of requests 6 times slower)"
    assert said in guardian("plan", str(EXAMPLE), "--rps", "10", folder=tmp_path).out
    assert said not in guardian("plan", str(EXAMPLE), "--rps", "20000", folder=tmp_path).out


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


def test_doctor_says_whether_a_notifier_can_be_reached_and_keeps_its_address(tmp_path: Path) -> None:
    """It tells him nothing; addresses of webhooks are secrets."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        there = f"http://127.0.0.1:{listening.getsockname()[1]}/T0/hidden"
        addresses = {"there": there, "gone": "http://127.0.0.1:1/T0/hidden", "odd": "T0/hidden"}
        for name, address in addresses.items():
            (tmp_path / name).write_text(address + "\n")
        notify = "".join(f"  {name}: {{webhook: {{file: {name}}}}}\n" for name in [*addresses, "absent"])
        (tmp_path / "guardian.yaml").write_text(f"listen: 127.0.0.1:1\nnotify:\n{notify}")
        answer = guardian("doctor", "-o", "json", folder=tmp_path)
    checks = {one["check"]: one for one in json.loads(answer.out)["checks"]}
    assert "hidden" not in answer.out
    assert checks["notify there"]["health"] == "ok"
    wrong = {"gone": "no connection to 127.0.0.1:1", "odd": "no http or https URL", "absent": "cannot be read"}
    for name, said in wrong.items():
        assert checks[f"notify {name}"]["health"] == "problem"
        assert said in checks[f"notify {name}"]["text"]


def test_version_may_be_asked_for_as_an_option(tmp_path: Path) -> None:
    """As of nearly every other program."""
    (told,) = guardian("--version", folder=tmp_path).out.splitlines()
    assert told == f"slo-guardian {version('slo-guardian')}"


def test_doctor_says_what_its_timeout_is_for(tmp_path: Path) -> None:
    """It never waits for anything else than one check."""
    said = " ".join(guardian("doctor", "--help", folder=tmp_path).out.split())
    assert "longest that one check may take; default: 10s" in said
    assert "give up waiting" not in said


async def test_a_damaged_journal_is_told_with_what_to_do(tmp_path: Path) -> None:
    """Exit 3, the first row that does not fit, and a way out that does not presuppose a whole copy."""
    file = tmp_path / "journal.sqlite"
    journal = SqliteJournal(file)
    await journal.append([Row(at=Instant(float(at)), rollout="r", event=None, body=b"{}") for at in range(3)])
    await journal.close()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE journal SET body = ? WHERE seq = 2", ('{"fact":null}',))
    answer = guardian("journal", "verify", str(file), folder=tmp_path)
    assert answer.code == 3
    assert f"error: {file}: row 2 is not what was written there" in answer.err
    assert "rows 1 to 1 are proved" in answer.err
    assert "start in an empty data folder" in answer.err


def test_the_gates_levels_have_a_unit(capsys: pytest.CaptureFixture[str]) -> None:
    """0.61 may be most requests failing, or a service that is quick enough: each row says which."""
    rule = {"name": "latency", "result": "pass", "dry_run": False, "requests": 10.0, "level": 0.61, "reason": ""}
    rules = [{**rule, "unit": "seconds"}, {**rule, "name": "errors", "unit": "share"}]
    answer = {"service": "checkout", "environment": "staging", "verdict": "healthy", "problems": [], "rules": rules}
    show("Gate", answer, Output.TABLE, tables=[gate_table(answer)])
    quick, failing = [line for line in capsys.readouterr().out.splitlines() if "pass" in line]
    assert "610 ms" in quick
    assert "61 % bad" in failing


@pytest.mark.parametrize(
    ("wanted", "seen", "shown"),
    [
        (0.05, 0.04992, "5 %"), (0.05, 0.056, "5 % (seen 5.6 %)"), (0.5, 0.504, "50 %"),
        (0.5, 0.51, "50 % (seen 51 %)"),
        (0.01, 0.013, "1 % (seen 1.3 %)"), (0.0, 0.004, "0 % (seen 0.4 %)"), (1.0, 1.0, "100 %"), (0.2, None, "20 %"),
    ],
)  # fmt: skip
def test_the_share_seen_is_shown_where_it_says_something_else(wanted: float, seen: float | None, shown: str) -> None:
    """Requests are never divided exactly; four digits of that are noise, and traffic where none should be is not."""
    assert weight({"phase": "progressing", "weight": {"desired": wanted, "observed": seen}}) == shown


def test_a_verified_revision_has_all_traffic_not_none() -> None:
    """The canary's weight is 0 once its revision runs as stable: alone it reads as if nothing had happened."""
    shares = {"desired": 0.0, "observed": None}
    assert weight({"phase": "verified", "weight": shares}) == "all, as stable"
    assert weight({"phase": "rolled-back", "weight": shares}) == "0 %"
