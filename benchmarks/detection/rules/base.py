"""What a decision rule is to the comparison: it watches both tracks of many runs and calls each one, at a time.

Rules of other systems are written from their sources, which each file cites; ours is rules/ours.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Protocol

import numpy as np

from benchmarks.detection.streams import Flags, Floats, Streams
from benchmarks.detection.tracks import Tracks
from guardian.core.policy import Guardrail, HistogramSli, Policy


class Signal(StrEnum):
    """What is judged; every rule is given the same signals of the same streams."""

    ERRORS = "errors"
    LATENCY = "latency"


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What a rule is given: streams, and the policy that says which signals count and what risk is accepted."""

    streams: Streams
    policy: Policy

    @cached_property
    def tracks(self) -> Tracks:
        """Both tracks, summed over their pods."""
        return Tracks.of(self.streams)

    def guardrail(self, signal: Signal) -> Guardrail | None:
        """The guardrail that judges this signal; None when the policy has none."""
        wanted = signal is Signal.LATENCY
        found = [one for one in self.policy.participating if isinstance(one.sli, HistogramSli) is wanted]
        return found[0] if found else None

    @property
    def signals(self) -> tuple[Signal, ...]:
        """The signals that count here."""
        return tuple(signal for signal in Signal if self.guardrail(signal) is not None)

    @property
    def alpha(self) -> float:
        """Accepted chance of a false rollback; rules that have a significance level get this one."""
        return float(self.policy.risk.false_rollback)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """When each run was called. rolled_back, promoted: (runs,) seconds after the first canary traffic, inf: not.

    At most one of the two is finite; both infinite: it was still undecided, held or paused at the end.
    """

    rolled_back: Floats
    promoted: Floats

    def __post_init__(self) -> None:
        """Reject a run that was called both."""
        if bool((np.isfinite(self.rolled_back) & np.isfinite(self.promoted)).any()):
            raise ValueError("a run was both rolled back and promoted")


class Rule(Protocol):
    """One way to decide. source: project, file or documentation, version. parameters: in a sentence."""

    @property
    def name(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def parameters(self) -> str: ...

    def judge(self, watch: Watch) -> Calls: ...


def first(at: Floats, happened: Flags) -> Floats:
    """Time of the first check at which it happened. at: (checks,); happened: (runs, checks). inf where never."""
    if not len(at):
        return np.full(len(happened), np.inf)
    return np.where(happened.any(axis=1), at[happened.argmax(axis=1)], np.inf)


def at_the_end(end: float, *, rolled_back: Floats, passed: Flags | None = None) -> Calls:
    """Promote at the end what was not rolled back; passed: (runs,) whether the last look allows it."""
    fine = np.isinf(rolled_back) if passed is None else np.isinf(rolled_back) & passed
    return Calls(rolled_back=rolled_back, promoted=np.where(fine, end, np.inf))


def limit(example: float, usual: Floats, *, room: float) -> Floats:
    """A fixed threshold as somebody sets it who knows the service: the documented example's, or more.

    usual: (runs,) what history shows, NaN without history. room: times as much as usual must still pass.
    """
    return np.asarray(np.fmax(example, room * usual))
