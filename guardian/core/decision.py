"""What the engine answers to one fact. A value; decides nothing."""

from __future__ import annotations

from guardian.core import records as r
from guardian.core.effects import Effect
from guardian.core.model import RolloutId
from guardian.errors import CommandError


class Decision:
    """What followed from one fact.

    refusal: a person's order that could not be carried out. faults: mistakes in deciding itself, to be logged; they
    stop the one rollout they concern, which a person is paged about, and no other.
    """

    __slots__ = ("effects", "faults", "records", "refusal")

    def __init__(
        self,
        *,
        records: tuple[r.Record, ...] = (),
        effects: tuple[tuple[RolloutId, Effect], ...] = (),
        refusal: CommandError | None = None,
        faults: tuple[Exception, ...] = (),
    ) -> None:
        self.records, self.effects, self.refusal, self.faults = records, effects, refusal, faults
