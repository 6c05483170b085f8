"""Decision events in the order of the journal: rollouts as they were right after each record. Sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guardian.core import records as r
from guardian.core.events import decision_event
from guardian.core.model import Digest, RolloutId
from guardian.core.phases import evolve, opened
from guardian.core.policy import Policy
from guardian.core.rollout import Rollout
from guardian.core.world import KEPT_ENDED, World
from guardian.runtime.feed import Decided
from guardian.wire.decisions import encode_decision


@dataclass(frozen=True, slots=True)
class Told:
    """One decision event: the journal row it came from, its place in that row, key and CloudEvents JSON."""

    seq: int
    index: int
    key: str
    type: str
    body: bytes


class Story:
    """Rollouts as they were at one place in the journal; `tell` moves on and returns the events of what it read."""

    def __init__(self, *, seq: int = 0, world: World | None = None) -> None:
        self.seq = seq
        self._rollouts: dict[RolloutId, Rollout] = dict(world.rollouts) if world is not None else {}
        self._settled: dict[RolloutId, None] = {one.id: None for one in self._rollouts.values() if one.settled}
        self._policies: dict[Digest, Policy] = dict(world.policies) if world is not None else {}

    def tell(self, rows: Iterable[Decided]) -> list[Told]:
        """Apply rows, which must follow each other; return their events in order."""
        return [told for row in rows for told in self._row(row)]

    def _row(self, row: Decided) -> Iterator[Told]:
        self.seq = row.seq
        for index, record in enumerate(row.records):
            after = self._apply(record)
            if after is None or not record.sequence:  # type: ignore[union-attr]
                continue
            event = decision_event(record, after)  # type: ignore[arg-type]
            if event is not None:
                yield Told(row.seq, index, event.service, event.type, encode_decision(event))

    def _apply(self, record: r.Record) -> Rollout | None:
        if isinstance(record, r.PolicyAdopted):
            self._policies[record.digest] = record.policy
            return None
        if isinstance(record, r.Noted):
            return None
        if isinstance(record, r.Opened):
            after = opened(record, self._policies[record.policy])
        else:
            policy = self._policies[record.policy] if isinstance(record, r.Amended) else None
            after = evolve(self._rollouts[record.rollout], record, policy)
        self._rollouts[after.id] = after
        self._forget(after)
        return after

    def _forget(self, newest: Rollout) -> None:
        """Let the oldest of those that are over go; the newest may still be paged about."""
        self._settled.pop(newest.id, None)
        if newest.settled:
            self._settled[newest.id] = None
            if len(self._settled) > KEPT_ENDED:
                oldest = next(iter(self._settled))
                del self._settled[oldest], self._rollouts[oldest]
