"""What `status` and `explain` make of the API's answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from guardian.cli.views import explanation_tables, rollout_table
from tests.cli.daemon import guardian

SIDE = {"requests": 250.0, "bad": 1.0, "level": 0.004}
VERDICT = {"guardrail": "errors", "harm": 1.2, "safe": 0.3, "canary": {**SIDE, "requests": 9.0}, "stable": SIDE}
ROLLOUT: dict[str, Any] = {
    "id": "checkout-1", "service": "checkout", "environment": "production", "region": "", "revision": "2.0",
    "previous": "1.0", "phase": "progressing", "mode": "enforce", "policy": "checkout", "policy_digest": "d", "step": 0,
    "steps": [{}], "weight": {"desired": 0.1, "observed": None}, "verdict": "hold", "evidence": VERDICT, "held": None,
    "awaiting": None, "cause": None, "end_reason": None, "waits": [], "effects": [], "opened_at": None,
    "started_at": None, "promoted_at": None, "ended_at": None,
}  # fmt: skip
GUARDRAIL = {
    "name": "errors",
    "harm": 2.0,
    "safe": 1.0,
    "breach": "none",
    "objective": True,
    "sentence": "errors: 4,000",
}
TOLD: dict[str, Any] = {
    "summary": "checkout 2.0 is at step 1 of 1", "waits": [], "what_if": [], "next": [], "guardrails": [GUARDRAIL],
    "history": ["verdict hold", "verdict hold", "verdict hold", "step 1 began at 10 %", "verdict hold"],
    "history_at": [f"2026-11-21T09:00:{second}.250Z" for second in ("00", "05", "10", "20", "30")],
}  # fmt: skip


def _evidence(*live: dict[str, Any]) -> list[str]:
    rows = rollout_table(ROLLOUT, {**TOLD, "guardrails": live} if live else None).rows
    first = next(number for number, row in enumerate(rows) if row[0] == "evidence")
    return [str(rows[first][1]), *(str(row[1]) for row in rows[first + 1 :] if not row[0])]


def test_status_shows_the_evidence_as_it_stands_or_says_that_it_is_of_the_last_verdict() -> None:
    """A verdict may be minutes old, and `explain` beside it would seem to contradict."""
    assert _evidence(GUARDRAIL, {**GUARDRAIL, "sentence": "latency: 90"}) == ["errors: 4,000", "latency: 90"]
    (kept,) = _evidence()
    assert kept.endswith("9 canary and 250 stable requests (at the last verdict)")


def test_what_was_measured_of_stable_against_stable_is_shown_where_it_is_told() -> None:
    """Beside the evidence, in both; a daemon that measures nothing, or is older, shows nothing."""
    said = "measured at this service, stable against stable: 0 of 340 windows"
    told = {**TOLD, "measured": {"sentence": said}}
    assert ("measured", said) in rollout_table(ROLLOUT, told).rows
    assert [table.rows for table in explanation_tables(told) if table.columns == ("measured",)] == [[(said,)]]
    for silent in (TOLD, {**TOLD, "measured": None}):
        assert "measured" not in [row[0] for row in rollout_table(ROLLOUT, silent).rows]
        assert ("measured",) not in [table.columns for table in explanation_tables(silent)]


@contextmanager
def answering(**answers: dict[str, Any]) -> Iterator[str]:
    """Answer what is asked for by the last part of its path, on a free port, until the block ends."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers[self.path.rpartition("/")[2].replace("-", "_")]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_status_asks_for_the_evidence_of_now_while_the_rollout_is_open(tmp_path: Path) -> None:
    """An ended one is what its last verdict made it; machines get what the API gives."""
    with answering(checkout_1=ROLLOUT, explanation=TOLD) as url:
        now = guardian("status", "checkout-1", "--server", url, folder=tmp_path)
        machine = guardian("status", "checkout-1", "--server", url, "-o", "json", folder=tmp_path)
    with answering(checkout_1={**ROLLOUT, "phase": "rolled-back", "ended_at": "2026-11-21T09:00:00.250Z"}) as url:
        ended = guardian("status", "checkout-1", "--server", url, folder=tmp_path)
    assert (now.code, machine.code, ended.code) == (0, 0, 0), now.err + machine.err + ended.err
    assert "errors: 4,000" in now.out
    assert "last verdict" not in now.out
    assert json.loads(machine.out)["evidence"] == VERDICT
    assert "(at the last verdict)" in ended.out


def test_an_objective_that_holds_is_kept_and_one_that_is_not_there_is_not() -> None:
    """`none` would be read as no objective at all."""
    changes: list[dict[str, Any]] = [{}, {"breach": "critical"}, {"breach": "unknown"}, {"objective": False}]
    guardrails = [{**GUARDRAIL, **change} for change in changes]
    table = next(one for one in explanation_tables({**TOLD, "guardrails": guardrails}) if "objective" in one.columns)
    column = list(table.columns).index("objective")
    assert [row[column] for row in table.rows] == ["kept", "critical", "unknown", ""]


def test_history_has_times_and_tells_what_repeats_itself_once() -> None:
    """Ten equal lines hide the one that matters."""
    assert explanation_tables(TOLD)[-1].rows == [
        ("2026-11-21 09:00:00Z", "verdict hold (x3, last 2026-11-21 09:00:10Z)"),
        ("2026-11-21 09:00:20Z", "step 1 began at 10 %"),
        ("2026-11-21 09:00:30Z", "verdict hold"),
    ]


def test_a_daemon_that_tells_no_times_is_understood() -> None:
    """It may be older than the command."""
    told = {name: value for name, value in TOLD.items() if name != "history_at"}
    older = {**told, "guardrails": [{name: value for name, value in GUARDRAIL.items() if name != "objective"}]}
    assert explanation_tables(older)[-1].rows[0] == ("", "verdict hold (x3)")
