"""Evidence written down beside the journal: at each verdict and step, else at most once in a while per rollout.

A checkpoint replaces the one before; without one, evidence begins again with what the metric source still
has. A rollout of which no sample came yet has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
import structlog

from guardian.core.checkpoints import is_blank
from guardian.core.engine import Engine
from guardian.core.model import Instant, RolloutId, Seconds
from guardian.errors import GuardianError

_log = structlog.get_logger(__name__)
EVIDENCE: Final = "evidence/"
"""Prefix of the journal notes that hold evidence."""

_SWEEP: Final = Seconds(5.0)
"""How long notes of rollouts that are over may stay; they do no harm."""

Notes = dict[str, bytes | None]


class Checkpoints:
    """Decides when the evidence of which rollout is written down. `every`: least time between two of a rollout."""

    def __init__(self, *, engine: Engine, every: Seconds) -> None:
        self._engine, self._every = engine, every
        self._since: dict[RolloutId, Instant] = {}
        self._stored: set[RolloutId] = set()
        self._swept = Instant(-math.inf)

    def of(self, rollout: RolloutId, *, now: Instant) -> Notes:
        """Return the note of one rollout, whenever the last one was."""
        opened = self._engine.fleet.opened.get(rollout)
        blob = None if opened is None or is_blank(opened) else self._engine.checkpoint(rollout)
        if blob is None:
            return self._forget(rollout)
        self._since[rollout] = now
        self._stored.add(rollout)
        return {EVIDENCE + rollout: blob}

    def _forget(self, rollout: RolloutId) -> Notes:
        self._since.pop(rollout, None)
        if rollout not in self._stored:
            return {}
        self._stored.remove(rollout)
        return {EVIDENCE + rollout: None}

    def due(self, looked: Iterable[RolloutId], *, now: Instant) -> Notes:
        """Return notes of those looked at whose last one is old; now and then remove those of ended rollouts."""
        notes: Notes = {}
        for rollout in looked:
            if now - self._since.setdefault(rollout, now) >= self._every:
                notes.update(self.of(rollout, now=now))
        if now - self._swept >= _SWEEP:
            self._swept = now
            for rollout in [known for known in self._since if self._is_over(known)]:
                notes.update(self._forget(rollout))
        return notes

    def all(self) -> Notes:
        """Return the notes of every rollout that is looked at."""
        notes: Notes = {}
        for rollout in self._engine.world.rollouts.values():
            if not rollout.settled:
                notes.update(self.of(rollout.id, now=self._since.get(rollout.id, Instant(0.0))))
        return notes

    def restore(self, notes: Mapping[str, bytes], *, now: Instant) -> Notes:
        """Give the engine its evidence back; return the removal of notes that nobody needs any more."""
        stale: Notes = {}
        for name, blob in notes.items():
            rollout = RolloutId(name.removeprefix(EVIDENCE))
            if self._is_over(rollout):
                stale[name] = None
                continue
            try:
                self._engine.restore(rollout, blob)
                self._since[rollout] = now
                self._stored.add(rollout)
            except (GuardianError, ValueError, msgspec.MsgspecError) as error:
                _log.warning("evidence_unreadable", rollout=rollout, text=str(error))
        return stale

    def _is_over(self, rollout: RolloutId) -> bool:
        known = self._engine.world.rollouts.get(rollout)
        return known is None or known.settled
