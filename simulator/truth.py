"""What a scenario says must come out: the right verdict, by when, and what must never happen.

Does not look at runs: outcome.py compares.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from guardian.config.findings import complaint
from guardian.core.model import Verdict
from simulator.units import FOREVER, Duration, Moment, Part


class Happening(StrEnum):
    """What a run can be seen to do. The first two are verdicts, the others decision events."""

    ROLLBACK = "rollback"
    PROMOTE = "promote"
    STARTED = "started"
    ROLLED_BACK = "rolled-back"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    HELD = "held"
    PAGED = "paged"
    RESUMED = "resumed"
    ADVANCED = "advanced"


class _Watched(Part):
    """Something a run may do. of: to another service of the file, or another revision; left out: to the scenario's."""

    event: Happening
    of: str | None = None


class Milestone(_Watched):
    """Something that must happen: after `after`, and in the median run within `within` of it."""

    after: Moment = 0.0
    within: Duration


class Never(_Watched):
    """Something that must not happen, at all or before a time; doing it is a wrong outcome."""

    before: Moment = FOREVER
    more_than: Annotated[int, Field(ge=0)] = 0


class Truth(Part):
    """Ground truth. onset: when the harm begins. within: deadline of the median run, counted from the onset.

    hold: nothing need be decided while the run lasts; `expect` says what must be seen instead. rollback_allowed: of a
    hold, taking it back is no mistake either.
    """

    verdict: Literal[Verdict.ROLLBACK, Verdict.PROMOTE, Verdict.HOLD]
    onset: Moment = 0.0
    within: Duration | None = None
    expect: tuple[Milestone, ...] = ()
    never: tuple[Never, ...] = ()
    rollback_allowed: bool = False

    @model_validator(mode="after")
    def _has_deadline(self) -> Self:
        if (self.within is None) != (self.verdict is Verdict.HOLD):
            raise ValueError("`within` is the deadline of rollback and promote; a hold has milestones in `expect`")
        if self.rollback_allowed and self.verdict is not Verdict.HOLD:
            raise complaint("only a hold leaves it open", "remove it", at=("rollback_allowed",))
        return self

    @property
    def may_roll_back(self) -> bool:
        """Whether a rollback is right, or no mistake."""
        return self.rollback_allowed or self.verdict is Verdict.ROLLBACK

    @property
    def milestones(self) -> tuple[Milestone, ...]:
        """Return all that must happen, the verdict first."""
        if self.within is None:
            return self.expect
        verdict = Milestone.model_construct(event=Happening(self.verdict.value), after=self.onset, within=self.within)
        return (verdict, *self.expect)

    @property
    def forbidden(self) -> tuple[Never, ...]:
        """Return all that must not happen: the opposite verdict, and a rollback of what should only wait."""
        opposite = Happening.PROMOTE if self.may_roll_back else Happening.ROLLBACK
        return (Never(event=opposite), *self.never)
