"""The one tree of errors. Each names the thing, what was got, what is allowed and what to do.

GuardianError
├── ConfigError          guardian.yaml or a setting is wrong
│   └── UnknownEnvironment   it names no environment of that name
├── PolicyError          a policy is wrong (file, line, nearest name)
├── EventError           a deploy event or webhook cannot be understood
│   └── EventTooLarge    it is over the size limit
├── SamplesError         a file of samples cannot be read
├── TapeError            a tape cannot be read
├── ThinHistory          the past holds too little to say anything
├── ScenarioError        a scenario is wrong
├── CommandError         an order by a person cannot be carried out now
│   ├── UnknownRollout   there is no such rollout
│   └── Forbidden        the person may not do this
├── AdapterError         something outside refused or did not answer
│   ├── Unavailable      it may work later: try again
│   ├── Refused          it said no, and will again
│   │   └── Absent       what was asked for is not there
│   └── Conflict         it changed under us: read again
├── JournalError         the journal cannot be read or written
├── IllegalTransition    a record does not fit the rollout's phase
└── SimulationError      a simulated run cannot go on
"""

from __future__ import annotations


class GuardianError(Exception):
    """What is wrong, with `where` it was seen and the `remedy`; both are part of the text."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__(what, where, remedy)

    def __reduce__(self) -> tuple[object, ...]:
        """Let it cross from one process to another; by itself an exception is made anew from positional arguments."""
        return _made_again, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.remedy}" if self.remedy else text


def _made_again(kind: type[GuardianError], args: tuple[object, ...], state: dict[str, object]) -> GuardianError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class ConfigError(GuardianError):
    """guardian.yaml or a setting is wrong."""


class UnknownEnvironment(ConfigError):
    """guardian.yaml has no environment of that name."""


class PolicyError(GuardianError):
    """A policy is wrong."""


class EventError(GuardianError):
    """A deploy event or webhook cannot be understood; `reason` is a short code for counters and headers."""

    def __init__(self, what: str, *, reason: str = "invalid", where: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.reason = reason


class EventTooLarge(EventError):
    """A message is over the size limit."""


class SamplesError(GuardianError):
    """A file of samples cannot be read."""


class TapeError(GuardianError):
    """A tape cannot be read, or is of no use for what was asked."""


class ThinHistory(GuardianError):
    """The past that was given holds too little to say anything."""


class ScenarioError(GuardianError):
    """A scenario is wrong."""


class CommandError(GuardianError):
    """An order by a person cannot be carried out in the rollout's present phase."""


class UnknownRollout(CommandError):
    """There is no rollout of that name."""


class Forbidden(CommandError):
    """The person may not do this."""


class AdapterError(GuardianError):
    """Something outside refused, or did not answer."""


class Unavailable(AdapterError):
    """No answer, or an answer that may be different later: worth another try, not before `after` seconds."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "", after: float | None = None) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.after = after


class Refused(AdapterError):
    """The other side understood and said no; the same call would be refused again."""


class Absent(Refused):
    """What the call is about is not there."""


class Conflict(AdapterError):
    """The object changed between reading and writing: read again, then write."""


class JournalError(GuardianError):
    """The journal cannot be read or written."""


class IllegalTransition(GuardianError):
    """A record does not fit the phase the rollout is in."""


class SimulationError(GuardianError):
    """A simulated run cannot go on."""
