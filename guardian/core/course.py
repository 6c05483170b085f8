"""A rollout's evidence over time: series, thresholds and what happened when, as far as it was kept.

From the journal there is one reading per verdict, step and decision, and the newest look; replay.py gives one per
tick of recorded samples. It draws nothing and judges nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from enum import StrEnum

from guardian.core import records as r
from guardian.core.looks import Look, evidence
from guardian.core.model import Seconds, Value
from guardian.core.policy import Policy
from guardian.core.rollout import Rollout
from guardian.core.sentences import share

TOGETHER = ""
"""Guardrail of a series that speaks for all of them: the evidence that rolls back is combined."""


class Against(StrEnum):
    """What the evidence speaks against, and so which threshold it is held to."""

    CANARY = "canary"
    HARM = "harm"


class Reading(Value, frozen=True, kw_only=True):
    """One value of one series. at: seconds since the course begins. evidence: finite, >= 0."""

    at: Seconds
    evidence: float


class EvidenceSeries(Value, frozen=True, kw_only=True):
    """Readings in the order of time. guardrail: "" for all together.

    against: CANARY is evidence for a rollback, HARM is evidence for a promotion.
    """

    guardrail: str
    against: Against
    readings: tuple[Reading, ...]


class Mark(Value, frozen=True, kw_only=True):
    """Something that happened: a weight, a verdict, a decision."""

    at: Seconds
    text: str


class Course(Value, frozen=True, kw_only=True):
    """Evidence over time. rollback, promotion: what the evidence must reach (1 over the risk accepted).

    zero: what second 0 is. resolution: how densely the evidence was kept.
    """

    rollout: str
    zero: str
    resolution: str
    rollback: float
    promotion: float
    series: tuple[EvidenceSeries, ...]
    marks: tuple[Mark, ...]

    def of(self, guardrail: str, against: Against) -> tuple[Reading, ...]:
        """Return the readings of one series; none where it was never read."""
        return next((one.readings for one in self.series if one.guardrail == guardrail and one.against is against), ())


class Readings:
    """Gathers readings into series, in the order in which each series is first met."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Against], list[Reading]] = {}

    def note(self, at: float, guardrail: str, against: Against, value: float) -> None:
        """Add one reading; a later one of the same time stands for it, NaN is none."""
        if math.isnan(value):
            return
        found = self._found.setdefault((guardrail, against), [])
        if found and found[-1].at >= at:
            found.pop()
        found.append(Reading(at=Seconds(at), evidence=value))

    def note_look(self, look: Look, at: float) -> None:
        """Add what a look says of all guardrails together, and of each that compares."""
        self.note(at, TOGETHER, Against.CANARY, _value(look.log_harm))
        for one in look.guardrails:
            if one.participates:
                self.note(at, one.name, Against.CANARY, _value(one.log_harm))
                self.note(at, one.name, Against.HARM, _value(one.log_safe))

    def series(self) -> tuple[EvidenceSeries, ...]:
        """Return all that was noted."""
        return tuple(
            EvidenceSeries(guardrail=guardrail, against=against, readings=tuple(found))
            for (guardrail, against), found in self._found.items()
        )


def thresholds(policy: Policy) -> tuple[float, float]:
    """Return what evidence must reach for a rollback and for a promotion."""
    return 1.0 / policy.risk.false_rollback, 1.0 / policy.risk.false_promotion


def course_of(rollout: Rollout, look: Look | None, records: Iterable[r.Record]) -> Course:
    """Return what the journal and the newest look hold of a rollout's evidence; records: its own, oldest first."""
    zero = rollout.started_at if rollout.started_at is not None else rollout.opened_at
    known = tuple(records)
    readings = Readings()
    for record in known:
        note: r.Evidence | None = getattr(record, "evidence", None)
        if note is not None:
            readings.note(record.at - zero, TOGETHER, Against.CANARY, note.harm)
            readings.note(record.at - zero, note.guardrail, Against.HARM, note.safe)
    if look is not None and look.began is not None:
        readings.note_look(look, look.at - zero)
    rollback, promotion = thresholds(rollout.policy)
    return Course(
        rollout=rollout.id,
        zero="the rollout's start",
        resolution=(
            "one reading per verdict, step and decision (what the journal keeps), and the newest look; "
            "what was between them is not known"
        ),
        rollback=rollback,
        promotion=promotion,
        series=readings.series(),
        marks=tuple(marks(known, zero)),
    )


def _value(log_value: float) -> float:
    return math.nan if math.isnan(log_value) else evidence(log_value)


def marks(records: Iterable[r.Record], zero: float) -> Iterator[Mark]:
    """Yield weights, verdicts and decisions of the records of one rollout. zero: time of second 0."""
    for record in records:
        text = _text(record)
        if text:
            yield Mark(at=Seconds(record.at - zero), text=text)


def _text(record: r.Record) -> str:
    if isinstance(record, r.StepBegan):
        return f"weight {share(record.accepted)}"
    if isinstance(record, r.Judged):
        return f"verdict {record.verdict}"
    if isinstance(record, r.RollbackOrdered):
        return "rollback ordered"
    if isinstance(record, r.Promoted):
        return "promoted"
    if isinstance(record, r.Held):
        return f"held: {record.hold}"
    return str(record.phase) if isinstance(record, r.Ended) else ""
