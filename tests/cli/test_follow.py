"""Following a rollout: time, connections and codes, on a clock that is a number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from guardian.cli.client import Client
from guardian.cli.exits import ExitCode, Goal
from guardian.cli.follow import Outcome, Watch, changed, follow
from guardian.core.model import Phase


def view(phase: str, **changes: Any) -> dict[str, Any]:
    """Return as much of a rollout as following reads."""
    empty = {"id": "r-1", "step": 0, "verdict": None, "waits": [], "held": None, "awaiting": None, "cause": None}
    return {**empty, "phase": phase, "sequence": 1, "weight": {"desired": 0.1, "accepted": 0.1}, **changes}


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += max(seconds, 0.001)


def followed(
    answers: Iterator[dict[str, Any] | None], *, goal: Goal = "promoted", timeout: float | None = 60.0
) -> tuple[Outcome, list[str], float]:
    """Follow a daemon that gives these answers (None: no connection); return outcome, phases seen, seconds."""

    def answer(_request: httpx.Request) -> httpx.Response:
        content = next(answers)
        if content is None:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, content=msgspec.json.encode(content))

    seen: list[str] = []
    clock = Time()
    tell: Callable[[dict[str, Any]], None] = lambda one: seen.append(one["phase"])  # noqa: E731
    with Client("http://guardian", transport=httpx.MockTransport(answer)) as client:
        watch = Watch(timeout=timeout, patience=30.0, now=clock.now, sleep=clock.sleep)
        return follow(client, "r-1", goal=goal, watch=watch, seen=tell), seen, clock.at


def forever(*answers: dict[str, Any] | None) -> Iterator[dict[str, Any] | None]:
    """Yield the answers, then the last one for ever."""
    yield from answers
    while True:
        yield answers[-1]


@pytest.mark.parametrize(
    ("phase", "goal", "code"),
    [
        ("baking", "promoted", ExitCode.YES),
        ("verified", "promoted", ExitCode.YES),
        ("verified", "verified", ExitCode.YES),
        ("rolled-back", "promoted", ExitCode.NO),
        ("aborted", "verified", ExitCode.NO),
        ("rejected", "promoted", ExitCode.NO),
        ("superseded", "promoted", ExitCode.UNDECIDED),
        ("failed", "promoted", ExitCode.UNKNOWN),
    ],
)
def test_each_end_has_its_code(phase: str, goal: Goal, code: ExitCode) -> None:
    """CONTRACTS section 1."""
    outcome, seen, _ = followed(forever(view("progressing"), view(phase)), goal=goal)
    assert outcome.code is code
    assert seen == ["progressing", phase]


@pytest.mark.parametrize("phase", [phase for phase in Phase if not phase.terminal and phase is not Phase.BAKING])
def test_a_rollout_that_goes_on_is_out_of_time_at_the_timeout(phase: Phase) -> None:
    """Also when it is paused, held or on its way back."""
    outcome, _, spent = followed(forever(view(phase)), timeout=10.0)
    assert outcome.code is ExitCode.TIMEOUT
    assert spent == pytest.approx(10.0, abs=0.01)


def test_baking_is_not_verified() -> None:
    """`--wait=verified` goes on."""
    assert followed(forever(view("baking")), goal="verified", timeout=5.0)[0].code is ExitCode.TIMEOUT


def test_a_lost_connection_is_looked_for_again() -> None:
    """A daemon that is restarted in between changes nothing for the pipeline."""
    outcome, seen, _ = followed(forever(view("progressing"), None, None, view("baking")))
    assert outcome.code is ExitCode.YES
    assert seen == ["progressing", "baking"]


def test_a_connection_that_does_not_come_back_could_not_tell() -> None:
    """At the timeout, and without one after the patience: 1, never 5, for nobody knows whether it goes on."""
    assert followed(forever(view("progressing"), None), timeout=10.0)[0].code is ExitCode.UNKNOWN
    outcome, _, spent = followed(forever(view("progressing"), None), timeout=None)
    assert outcome.code is ExitCode.UNKNOWN
    assert outcome.lost is not None
    assert spent == pytest.approx(30.0, abs=1.5)


def test_a_hold_goes_on_waiting_without_a_timeout() -> None:
    """The default is to wait as long as the rollout lasts."""
    held = [view("progressing")] * 5000
    outcome, _, spent = followed(forever(*held, view("baking")), timeout=None)
    assert outcome.code is ExitCode.YES
    assert spent > 4000


def test_counting_requests_is_no_change() -> None:
    """A line for each look would hide the lines that matter."""
    one = view("progressing", waits=["'errors' has 10 of 500 canary requests in this step"])
    two = view("progressing", waits=["'errors' has 20 of 500 canary requests in this step"])
    assert not changed(one, two)
    assert changed(two, view("progressing", waits=["step 1 waits for approval"]))
