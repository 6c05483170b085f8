"""Fresh machines against old ones: what stable's pods show of each other says nothing of a machine drawn anew."""

from __future__ import annotations

import numpy as np

from benchmarks.detection.families import LATENCY_FRESH, LATENCY_ONLY
from benchmarks.detection.judged import Outcome, judged
from benchmarks.detection.real.machines import Fleet, machine_streams
from guardian.core.policy import Policy

RUNS = 150


def judge(policy: Policy, *, slower: float = 1.0) -> Outcome:
    """One fresh canary of a kind of machine whose speeds differ by 12 %, against six old pods that agree."""
    speeds = 1000.0 * np.exp(np.random.default_rng(3).normal(0.0, 0.12, 200))
    fleet = Fleet(canary=1, stable=6, fresh_stable=False, slower=slower)
    return judged(machine_streams(fleet, [speeds], runs=RUNS, seed=4), policy)


def test_a_policy_that_says_so_does_not_roll_back_for_the_lottery_of_machines() -> None:
    """At most 1 % is claimed; 150 runs refute a rate of 5 %, which is far below what is seen without the word."""
    assert judge(LATENCY_FRESH).rollbacks() <= 3
    assert judge(LATENCY_ONLY).rollbacks() >= 15


def test_what_no_machine_explains_is_still_rolled_back() -> None:
    """Four times as slow is beyond what machines differ by."""
    assert judge(LATENCY_FRESH, slower=4.0).rollbacks() >= 0.9 * RUNS
