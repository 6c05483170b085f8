"""Commands that need no daemon: check, schema, version; and what all commands share."""

from __future__ import annotations

import json
import resource
import shutil
import socket
import sqlite3
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

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


def test_schema_is_json_schema_by_default(tmp_path: Path) -> None:
    """Bare, as editors read it."""
    schema = json.loads(guardian("schema", folder=tmp_path).out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "spec" in schema["properties"]
    assert "environments" in json.loads(guardian("schema", "settings", folder=tmp_path).out)["properties"]


def test_a_schema_of_what_there_is_not_names_what_there_is(tmp_path: Path) -> None:
    """Kinds of files that join by entry points are among them."""
    answer = guardian("schema", "scenarios", folder=tmp_path)
    assert answer.code == 2
    assert "did you mean 'scenario'? Allowed: policy, scenario, settings" in answer.err


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
    assert "doctor --notify shows whether it takes a notice" in checks["notify there"]["text"]
    wrong = {"gone": "no connection to 127.0.0.1:1", "odd": "no http or https URL", "absent": "cannot be read"}
    for name, said in wrong.items():
        assert checks[f"notify {name}"]["health"] == "problem"
        assert said in checks[f"notify {name}"]["text"]


def test_doctor_sends_test_notices_when_it_is_asked_to(tmp_path: Path) -> None:
    """The night of a page is a bad time to find out; an incident of PagerDuty is closed at once."""
    taken: list[tuple[str, dict[str, Any]]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(404 if self.path == "/hidden/gone" else 202)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{web.server_port}"
        for name in ("team", "gone"):
            (tmp_path / name).write_text(f"{url}/hidden/{name}")
        (tmp_path / "key").write_text("R0UTE")
        (tmp_path / "guardian.yaml").write_text(
            "listen: 127.0.0.1:1\nnotify:\n  team: {slack: {file: team}}\n  gone: {webhook: {file: gone}}\n"
            f"  oncall: {{pagerduty: {{routing_key: {{file: key}}, url: '{url}'}}}}\n"
        )
        answer = guardian("doctor", "--notify", "-o", "json", folder=tmp_path)
        web.shutdown()
    checks = {one["check"]: one for one in json.loads(answer.out)["checks"]}
    assert checks["notify team"]["text"] == "took a test notice"
    assert checks["notify oncall"]["text"] == "took a test notice, and that it is over"
    assert checks["notify gone"]["health"] == "problem"
    assert "answered 404" in checks["notify gone"]["text"]
    assert "hidden" not in answer.out + answer.err
    assert answer.code == 3
    pages = [said for path, said in taken if path == "/v2/enqueue"]
    assert [page["event_action"] for page in pages] == ["trigger", "resolve"]
    assert pages[0]["dedup_key"] == pages[1]["dedup_key"] == "test/oncall"


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
