"""Commands against a real daemon: what they print, and the exit codes of CONTRACTS section 1."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import time
from typing import Any

import pytest

from simulator.testing.process import python_module
from tests.cli.daemon import Daemon, guardian, until, watching


def deployed(daemon: Daemon, service: str, revision: str = "2.0") -> str:
    """Ask for a rollout and return its id."""
    answer = daemon.guardian("deploy", service, revision, "-o", "json")
    assert answer.code == 0, answer.err
    return str(json.loads(answer.out)["id"])


def test_a_rollout_that_is_promoted_answers_0(daemon: Daemon) -> None:
    """`--wait` ends at 100 %, before the last bake is over."""
    answer = daemon.guardian("deploy", "promoted", "2.0", "--wait", "--timeout", "30s", "-o", "json")
    views = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.code == 0, answer.err
    assert {view["apiVersion"] for view in views} == {"slo-guardian/v1"}
    assert views[-1]["phase"] in {"baking", "verified"}


def test_waiting_for_verified_outlasts_the_bake(daemon: Daemon) -> None:
    """`--wait=verified` ends when the bake after 100 % passed."""
    answer = daemon.guardian("deploy", "verified", "2.0", "--wait=verified", "--timeout", "30s")
    assert answer.code == 0, answer.err
    assert "verified" in answer.out.splitlines()[-1]


def test_a_rollout_rolled_back_while_it_is_waited_for_answers_3(daemon: Daemon) -> None:
    """And stderr says who or what did it."""
    rollout = deployed(daemon, "rolled")
    until(daemon, rollout, "progressing")
    order = daemon.guardian("rollback", "rolled", "--reason", "users complain", "--yes", "-o", "json")
    assert json.loads(order.out)["order"] == "rollback"
    answer = daemon.guardian("status", rollout, "--watch", "--timeout", "20s")
    assert answer.code == 3
    assert "users complain" in answer.err


def test_a_rollout_aborted_answers_3(daemon: Daemon) -> None:
    """The same actions, another outcome."""
    rollout = deployed(daemon, "aborted")
    assert daemon.guardian("abort", rollout, "--reason", "wrong build").code == 0
    until(daemon, rollout, "aborted")
    assert daemon.guardian("status", rollout, "-w").code == 3


def test_a_revision_rolled_back_is_refused_until_it_is_retried(daemon: Daemon) -> None:
    """The refusal is the answer, with the remedy; --retry lifts it."""
    rollout = deployed(daemon, "retried")
    daemon.guardian("rollback", rollout, "--reason", "bad")
    until(daemon, rollout, "rolled-back")
    refused = daemon.guardian("deploy", "retried", "2.0")
    assert refused.code == 3
    assert "--retry" in refused.err
    assert daemon.guardian("deploy", "retried", "2.0", "--retry").code == 0


def test_a_rollout_that_is_superseded_answers_4(daemon: Daemon) -> None:
    """Neither yes nor no: it was never decided."""
    first = deployed(daemon, "superseded", "2.0")
    until(daemon, first, "progressing")
    deployed(daemon, "superseded", "2.1")
    until(daemon, first, "superseded")
    assert daemon.guardian("status", first, "--watch").code == 4


def test_the_name_of_a_service_means_its_open_rollout_else_its_newest(daemon: Daemon) -> None:
    """A person at night writes the service's name; ids begin with it, and older rollouts of it are listed still."""
    first = deployed(daemon, "named", "3.0")
    until(daemon, first, "progressing")
    second = deployed(daemon, "named", "3.1")
    assert f"3.0 ({first})" in daemon.guardian("explain", second).out  # it says behind which it is queued
    assert json.loads(daemon.guardian("status", "named", "-o", "json").out)["id"] == second != first
    assert daemon.guardian("abort", "named", "--reason", "wrong build").code == 0
    until(daemon, second, "aborted")
    assert json.loads(daemon.guardian("status", "named", "-o", "json").out)["id"] == second


def test_a_rejected_deploy_shows_why(daemon: Daemon) -> None:
    """In `status` as in `list`: whoever looks at one rollout must not look it up elsewhere."""
    assert daemon.guardian("deploy", "unheard-of", "1.0").code == 3
    assert "no policy matches service 'unheard-of'" in daemon.guardian("status", "unheard-of").out


def test_a_misspelt_environment_does_not_make_the_name_of_a_service_ambiguous(daemon: Daemon) -> None:
    """Nothing ever ran there; where nothing ever ran anywhere, the ids are told."""
    meant = deployed(daemon, "aborted", "9.9")
    assert daemon.guardian("abort", meant, "--reason", "wrong build").code == 0
    until(daemon, meant, "aborted")
    for environment in ("stagin", "stage"):
        assert daemon.guardian("deploy", "aborted", "9.9", "-e", environment).code == 3
        assert daemon.guardian("deploy", "unknown-anywhere", "9.9", "-e", environment).code == 3
    assert json.loads(daemon.guardian("status", "aborted", "-o", "json").out)["id"] == meant
    nowhere = daemon.guardian("status", "unknown-anywhere")
    assert nowhere.code == 1
    assert "(stagin, rejected)" in nowhere.err
    assert "(stage, rejected)" in nowhere.err
    assert "write the id" in nowhere.err


def test_still_going_at_the_timeout_answers_5(daemon: Daemon) -> None:
    """The rollout goes on without the command."""
    answer = daemon.guardian("deploy", "waiting", "2.0", "--wait", "--timeout", "2s")
    assert answer.code == 5
    assert "progressing" in answer.out


def test_the_same_revision_again_follows_the_rollout_that_is_under_way(daemon: Daemon) -> None:
    """A pipeline that is started twice gets one answer."""
    rollout = deployed(daemon, "twice")
    answer = daemon.guardian("deploy", "twice", "2.0")
    assert rollout in answer.out


def test_all_open_rollouts_can_be_watched(daemon: Daemon) -> None:
    """One line for each, and for each change, until the time is up."""
    deployed(daemon, "watched")
    answer = daemon.guardian("status", "--watch", "--timeout", "2s")
    assert answer.code == 5
    assert "watched-" in answer.out


def test_no_daemon_answers_1_and_says_how_to_start_one(daemon: Daemon) -> None:
    """The guardian could not tell."""
    answer = daemon.guardian("list", "--server", "http://127.0.0.1:9")
    assert answer.code == 1
    assert "guardian run" in answer.err
    assert "Traceback" not in answer.err


def test_what_is_no_guardian_answers_1(daemon: Daemon) -> None:
    """A wrong path behind a proxy must not look like an empty list."""
    answer = daemon.guardian("list", "--server", f"{daemon.url}/nowhere")
    assert answer.code == 1


def test_orders_pause_and_resume_and_need_a_reason(daemon: Daemon) -> None:
    """The reason is what others will read."""
    rollout = deployed(daemon, "paused")
    until(daemon, rollout, "progressing")
    assert daemon.guardian("pause", "paused").code == 2
    assert daemon.guardian("pause", "paused", "--reason", " ").code == 2
    assert json.loads(daemon.guardian("pause", "paused", "--reason", "lunch", "-o", "json").out)["phase"] == "paused"
    again = daemon.guardian("resume", rollout[:-4], "--reason", "back", "-o", "json")
    assert json.loads(again.out)["phase"] == "progressing"


@pytest.mark.parametrize("typed", [b"\x04", b"n\n"])
def test_a_question_without_a_yes_orders_nothing(daemon: Daemon, typed: bytes) -> None:
    """End of input as no; "Aborted!" would sound like the order that rolls back."""
    rollout = deployed(daemon, "asked")
    until(daemon, rollout, "progressing")
    code, screen = at_a_terminal(daemon, "promote", rollout, "--reason", "hurry", typed=typed)
    lines = [line.strip() for line in screen.splitlines()]
    assert code == 1
    assert lines[0] == f"promote {rollout}?"
    assert "phase    progressing, step 1/2" in lines
    assert lines[-1] == "nothing was ordered"
    assert "Abort" not in screen
    assert json.loads(daemon.guardian("status", rollout, "-o", "json").out)["step"] == 0


def at_a_terminal(daemon: Daemon, *arguments: str, typed: bytes) -> tuple[int, str]:
    """Run a command at a terminal, answer its question once, and return its exit code and what the screen showed."""
    screen, theirs = pty.openpty()
    command = python_module("guardian", *arguments)
    with subprocess.Popen(command, cwd=daemon.folder, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # Linux: the other end of the terminal was closed
            while chunk := os.read(screen, 65536):
                shown += chunk
                if shown.endswith(b"[y/N]: "):
                    os.write(screen, typed)
    os.close(screen)
    return process.returncode, shown.decode()


def test_a_dry_run_changes_nothing(daemon: Daemon) -> None:
    """Neither an order nor a deploy."""
    rollout = deployed(daemon, "told")
    until(daemon, rollout, "progressing")
    order = daemon.guardian("rollback", "told", "--reason", "try", "--dry-run", "-o", "json")
    assert json.loads(order.out)["dry_run"] is True
    event = json.loads(daemon.guardian("deploy", "told", "3.0", "--dry-run", "-o", "json").out)
    assert event["data"] == {"service": "told", "environment": "staging", "revision": "3.0"} | {
        "author": event["data"]["author"]
    }
    view = json.loads(daemon.guardian("status", rollout, "-o", "json").out)
    assert (view["phase"], view["revision"]) == ("progressing", "2.0")
    assert [one["id"] for one in listed(daemon, "told")] == [rollout]


def listed(daemon: Daemon, service: str) -> list[dict[str, Any]]:
    """Return the rollouts of a service."""
    answer = json.loads(daemon.guardian("list", "--service", service, "-o", "json").out)
    items: list[dict[str, Any]] = answer["items"]
    return items


def test_an_approval_lets_the_rollout_go_on(daemon: Daemon) -> None:
    """It waits for a person, says so, and no longer when one has agreed; `promote` is no agreement."""
    rollout = deployed(daemon, "approved")
    limit = time.monotonic() + 20
    while "guardian approve" not in daemon.guardian("explain", rollout).out:
        assert time.monotonic() < limit
    passed = daemon.guardian("promote", rollout, "--reason", "hurry")
    assert passed.code == 1
    assert "step 1 waits for approval" in passed.err
    assert f"guardian approve {rollout}" in passed.err
    assert daemon.guardian("approve", rollout, "--reason", "looks good").code == 0
    assert json.loads(daemon.guardian("status", rollout, "-o", "json").out)["awaiting"] is None


def test_an_order_that_cannot_be_carried_out_answers_1_with_the_remedy(daemon: Daemon) -> None:
    """Nothing waits for approval in the first second."""
    rollout = deployed(daemon, "rejected")
    answer = daemon.guardian("reject", rollout, "--reason", "no")
    assert answer.code == 1
    assert answer.err.startswith("error: ")


def test_amend_takes_a_tighter_policy_and_refuses_a_looser_one(daemon: Daemon) -> None:
    """What is invalid is refused before it is sent: exit 2 with line and column."""
    rollout = deployed(daemon, "amended")
    until(daemon, rollout, "progressing")
    text = (daemon.folder / "policies" / "amended.yaml").read_text()
    files = {"tight": text.replace("bake: 1h}", "bake: 2h}"), "loose": text.replace("bake: 1h", "bake: 1s")}
    files["wrong"] = text.replace("router: memory", "ruoter: memory")
    for name, content in files.items():
        (daemon.folder / f"{name}.yaml").write_text(content)
    codes = {
        name: daemon.guardian("amend", rollout, "--policy", f"{name}.yaml", "--reason", "r").code for name in files
    }
    assert codes == {"tight": 0, "loose": 1, "wrong": 2}


def test_an_unknown_rollout_is_an_error_with_a_remedy(daemon: Daemon) -> None:
    """Not an empty answer."""
    answer = daemon.guardian("explain", "nothing-1")
    assert answer.code == 1
    assert "there is no rollout 'nothing-1'" in answer.err
    assert "remedy:" in answer.err


def test_the_gate_without_metrics_could_not_tell(daemon: Daemon) -> None:
    """Absence of data is neither good nor bad news."""
    answer = daemon.guardian("gate", "gated")
    assert answer.code in {1, 4}
    assert "metrics" in answer.err + answer.out


def test_a_daemon_that_is_restarted_is_waited_for(daemon: Daemon) -> None:
    """The connection is looked for again, and the answer comes."""
    rollout = deployed(daemon, "lost")
    until(daemon, rollout, "progressing")
    with watching(daemon.folder, rollout) as command:
        assert command.stdout is not None
        assert json.loads(command.stdout.readline())["phase"] == "progressing"  # it is at work
        daemon.server.kill()
        daemon.server.start()
        daemon.server.wait_ready(daemon.ready)
        daemon.guardian("abort", rollout, "--reason", "enough")
        assert command.wait(60) == 3


def test_doctor_tells_problems_apart_from_what_is_well(daemon: Daemon) -> None:
    """A daemon without metrics would hold for ever, and says so here first."""
    answer = daemon.guardian("doctor", "-o", "json")
    checks = {one["check"]: one for one in json.loads(answer.out)["checks"]}
    assert answer.code == 3
    assert checks["daemon"]["health"] == "ok"
    assert checks["journal"]["health"] == "ok"
    assert checks["staging/gated router"]["health"] == "ok"
    assert checks["staging/gated metrics"]["health"] == "problem"
    assert "environments.staging.metrics" in checks["staging/gated metrics"]["remedy"]


def test_the_journal_is_verified_and_exported_while_the_daemon_runs(daemon: Daemon) -> None:
    """Reading it needs no permission of the daemon."""
    whole = json.loads(daemon.guardian("journal", "verify", "-o", "json").out)
    lines = daemon.guardian("journal", "export").out.splitlines()
    assert len(lines) >= whole["rows"]
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, len(lines) + 1))


def test_a_journal_that_is_not_there_answers_1(daemon: Daemon) -> None:
    """And names the place."""
    answer = guardian("journal", "verify", "nowhere.sqlite", folder=daemon.folder)
    assert answer.code == 1
    assert "nowhere.sqlite" in answer.err
