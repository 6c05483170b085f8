"""A unit of work: one policy on some seeds of a scenario, or on a tape, with all that any process anywhere needs."""

from __future__ import annotations

import hashlib

import msgspec

from guardian.config.policy import parse_policy
from simulator.baseline import Scored, scored
from simulator.library import judged_by, parse
from simulator.outcome import compare
from simulator.together import run_together
from simulator.truth import Happening
from simulator.tuning.tapes import Tape, replay


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Which seeds of which scenario are to be judged by which policy; both as their files' text."""

    policy: str
    scenario: str
    seeds: tuple[int, ...]

    @property
    def key(self) -> str:
        """Return a digest of all of it: equal tasks have equal results."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:24]


class TapeTask(msgspec.Struct, frozen=True, kw_only=True):
    """Which tape is to be judged by which policy, the latter as its file's text."""

    policy: str
    tape: Tape

    @property
    def key(self) -> str:
        """Return a digest of all of it: equal tasks have equal results."""
        return hashlib.sha256(f"{self.tape.digest}\n{self.policy}".encode()).hexdigest()[:24]


Work = Task | TapeTask


class Tried(Scored, frozen=True, kw_only=True):
    """One seed under one policy. slow_requests: slower than a second; pages: how often a person was called.

    recorded: it is the replay of a tape, seed 0, which tells nothing of requests and pages.
    """

    slow_requests: int
    pages: int
    recorded: bool = False

    @property
    def hurt(self) -> int:
        """Requests whose users noticed: they failed, or took longer than a second."""
        return self.bad_requests + self.slow_requests


def play(task: Work) -> tuple[Tried, ...]:
    """Do one unit of work in this process; the same task gives the same result.

    Raises PolicyError, ScenarioError, TapeError.
    """
    if isinstance(task, TapeTask):
        return (_replayed(task),)
    scenario = parse(task.scenario, file="scenario")
    scenario = judged_by(scenario, parse_policy(task.policy, file="policy"), file="policy")
    return tuple(
        Tried(
            **msgspec.structs.asdict(scored(outcome)),
            slow_requests=outcome.run.harm.slow,
            pages=outcome.run.count(Happening.PAGED),
        )
        for outcome in (compare(scenario, one) for one in run_together(scenario, task.seeds))
    )


def _replayed(task: TapeTask) -> Tried:
    found = replay(task.tape, parse_policy(task.policy, file="policy"))
    return Tried(
        seed=0, verdict=found.verdict.value, wrong=found.wrong,
        lateness=None if found.lateness is None else round(found.lateness, 6), decided_at=round(found.at, 3),
        bad_requests=0, slow_requests=0, pages=0, recorded=True,
    )  # fmt: skip
