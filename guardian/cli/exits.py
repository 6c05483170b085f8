"""Exit codes of every command (CONTRACTS section 1), and which of them an outcome or an error means."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Literal

from guardian.core.model import Phase, Verdict
from guardian.errors import ConfigError, GuardianError, PolicyError, SamplesError, ScenarioError, TapeError, ThinHistory

Goal = Literal["promoted", "verified"]


class ExitCode(IntEnum):
    """What a pipeline may act on."""

    YES = 0
    UNKNOWN = 1
    USAGE = 2
    NO = 3
    UNDECIDED = 4
    TIMEOUT = 5


MEANINGS: Final[dict[ExitCode, str]] = {
    ExitCode.YES: "promoted (with --wait=verified: verified), healthy, valid",
    ExitCode.UNKNOWN: "the guardian could not tell: error, no connection, rollout failed",
    ExitCode.USAGE: "wrong usage, or an input file that cannot be read or is invalid",
    ExitCode.NO: "rolled back, aborted, rejected; guardrail failed; policy invalid; benchmark regressed",
    ExitCode.UNDECIDED: "undecided: superseded; data too thin or absent",
    ExitCode.TIMEOUT: "still going at --timeout",
}

_INPUT_ERRORS: Final = (ConfigError, PolicyError, SamplesError, ScenarioError, TapeError)
_PHASES: Final[dict[Phase, ExitCode]] = {
    Phase.VERIFIED: ExitCode.YES,
    Phase.ROLLED_BACK: ExitCode.NO,
    Phase.ABORTED: ExitCode.NO,
    Phase.REJECTED: ExitCode.NO,
    Phase.SUPERSEDED: ExitCode.UNDECIDED,
    Phase.FAILED: ExitCode.UNKNOWN,
}
_VERDICTS: Final[dict[Verdict, ExitCode]] = {
    Verdict.PROMOTE: ExitCode.YES,
    Verdict.ROLLBACK: ExitCode.NO,
    Verdict.HOLD: ExitCode.UNDECIDED,
    Verdict.INCONCLUSIVE: ExitCode.UNDECIDED,
}


def of_error(error: GuardianError) -> ExitCode:
    """Return the code of an error that ended a command."""
    if isinstance(error, ThinHistory):
        return ExitCode.UNDECIDED
    return ExitCode.USAGE if isinstance(error, _INPUT_ERRORS) else ExitCode.UNKNOWN


def of_phase(phase: Phase, goal: Goal) -> ExitCode | None:
    """Return the answer of a rollout in this phase; None while it is still going.

    >>> of_phase(Phase.BAKING, "promoted"), of_phase(Phase.BAKING, "verified"), of_phase(Phase.ABORTED, "promoted")
    (<ExitCode.YES: 0>, None, <ExitCode.NO: 3>)
    """
    if phase is Phase.BAKING and goal == "promoted":
        return ExitCode.YES
    return _PHASES.get(phase)


def of_verdict(verdict: Verdict) -> ExitCode:
    """Return the answer of an offline verdict."""
    return _VERDICTS[verdict]
