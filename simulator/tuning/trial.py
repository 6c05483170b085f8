"""A unit of work: one policy, one scenario, some seeds. All of it is text, so that any process anywhere can do it."""

from __future__ import annotations

import hashlib

import msgspec

from guardian.config.policy import parse_policy
from simulator.baseline import Scored, scored
from simulator.library import judged_by, parse
from simulator.outcome import compare
from simulator.together import run_together
from simulator.truth import Happening


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Which seeds of which scenario are to be judged by which policy; both as their files' text."""

    policy: str
    scenario: str
    seeds: tuple[int, ...]

    @property
    def key(self) -> str:
        """Return a digest of all of it: equal tasks have equal results."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:24]


class Tried(Scored, frozen=True, kw_only=True):
    """One seed under one policy. slow_requests: slower than a second; pages: how often a person was called."""

    slow_requests: int
    pages: int

    @property
    def hurt(self) -> int:
        """Requests whose users noticed: they failed, or took longer than a second."""
        return self.bad_requests + self.slow_requests


def play(task: Task) -> tuple[Tried, ...]:
    """Do one unit of work in this process; the same task gives the same result. Raises PolicyError, ScenarioError."""
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
