"""Which events the journal holds already: the newest from memory, older ones by asking it, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from guardian.core.deploys import rollout_id
from guardian.core.engine import REFUSED
from guardian.core.facts import DeployRequested, Fact, Ordered
from guardian.core.model import EventRef, RolloutId
from guardian.core.records import Noted
from guardian.errors import CommandError
from guardian.ports import Journal, Receipt
from guardian.wire.entry import decode_entry

REMEMBERED: Final = 10_000
"""Events kept in memory: some 3 MB. A broker that gives messages again gives recent ones."""


def begun(fact: Fact, ref: EventRef) -> RolloutId | None:
    """Return the rollout that a deploy event begins, None for other facts."""
    return rollout_id(fact.place.service, ref) if isinstance(fact, DeployRequested) else None


class Repeats:
    """Durable events. What is remembered is never wrong: the journal keeps what it has."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows: dict[EventRef, int] = {}
        self._receipts: dict[EventRef, Receipt] = {}

    def add(self, ref: EventRef, seq: int) -> None:
        """The event is durable, in this row."""
        self._rows[ref] = seq

    def recall(self, refs: Sequence[EventRef]) -> None:
        """Look up, all at once, which of these the journal holds, unless it is remembered."""
        self.trim()  # a topic that is read again from its beginning holds nothing but repeats
        unknown = [ref for ref in refs if ref not in self._rows]
        if unknown:
            self._rows.update(self._journal.known(unknown))

    def trim(self) -> None:
        """Forget the oldest, beyond what is to be remembered."""
        for ref in tuple(islice(self._rows, max(0, len(self._rows) - REMEMBERED))):
            del self._rows[ref]
            self._receipts.pop(ref, None)

    def of(self, fact: Fact, ref: EventRef) -> Receipt | None:
        """Return what the giver of a repeat is told; None when no durable row holds the event."""
        known = self._receipts.get(ref)
        if known is not None:
            return known
        seq = self._rows.get(ref)
        if seq is None:
            return None
        refusal = self._refusal(seq) if isinstance(fact, Ordered) else None
        receipt = Receipt(seq=seq, new=False, rollout=begun(fact, ref), refusal=refusal)
        if not isinstance(fact, Ordered):
            self._receipts[ref] = receipt
        return receipt

    def _refusal(self, seq: int) -> CommandError | None:
        """Return why the order in this row was refused when it first came, None when it was carried out."""
        for row in self._journal.read(after=seq - 1, limit=1):
            for record in decode_entry(row.body, seq=seq).records:
                if isinstance(record, Noted) and record.reason.startswith(REFUSED):
                    what = f"it was refused when it first came: {record.reason.removeprefix(REFUSED)}"
                    return CommandError(what, remedy="to try again, send it with a new Idempotency-Key")
        return None
