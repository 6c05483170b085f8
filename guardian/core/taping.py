"""An engine that keeps what it is given. It decides as every engine does, whatever becomes of the recording.

Everything that enters an engine enters here, so a tape lacks nothing that decided. Which tapes there are, and what is
on each, is recorder.py's part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from guardian.core.decision import Decision
from guardian.core.engine import Engine
from guardian.core.facts import Fact, Woke
from guardian.core.fleet import Fleet
from guardian.core.looks import SeriesKey
from guardian.core.model import Instant, Place, RolloutId
from guardian.core.policies import Policies
from guardian.core.recorder import Recorder, Taping
from guardian.core.rollout import Rollout
from guardian.core.world import World

T = TypeVar("T")


class TapedEngine(Engine):
    """An engine whose inputs and conclusions are kept; see `Taping` for where."""

    def __init__(self, *, policies: Policies, fleet: Fleet, taping: Taping, world: World | None = None) -> None:
        super().__init__(policies=policies, fleet=fleet, world=world)
        self._taping, self._recorder = taping, Recorder(self, taping)
        self._now = Instant(0.0)

    def receive(self, fact: Fact, now: Instant) -> Decision:
        """Return what follows from a fact, as `Engine.receive`; both are kept."""
        self._now = now
        heard = self._recording(lambda: self._recorder.hear(fact, now))
        decision = super().receive(fact, now)
        if heard is not None:
            self._recording(lambda: self._recorder.conclude(decision, heard, now, woke=isinstance(fact, Woke)))
        return decision

    def series(self, key: SeriesKey) -> int:
        """Return the dense id of a series, as `Engine.series`."""
        number = super().series(key)
        if number >= 0:
            self._recording(lambda: self._recorder.name(number, key, self._now))
        return number

    def settle(self) -> None:
        """Turn what was observed so far into evidence, as `Engine.settle`."""
        self._recording(lambda: self._recorder.settled(self._now))
        super().settle()

    def stop(self, now: Instant) -> None:
        """Hand out what is left of the tapes: nothing more will come."""
        self._recording(lambda: self._recorder.stop(now))

    def due(self, now: Instant) -> list[Rollout]:
        """Return the rollouts that a wake would be about."""
        return [known for name in self._agenda.ready(now) if (known := self.world.rollouts.get(name)) is not None]

    def next_look(self, rollout: RolloutId) -> Instant | None:
        """Return when a rollout is looked at next; None where it is not."""
        return self._next_look.get(rollout)

    def beneath(self, place: Place) -> frozenset[str]:
        """Return the services that a place's service depends on."""
        return self._overlaps.beneath(self.policies, place)

    def _recording(self, step: Callable[[], T]) -> T | None:
        """Return what a step of recording returns; None where it went wrong, which must not decide on anything."""
        try:
            return step()
        except Exception as error:  # noqa: BLE001  a rollback never waits for its tape
            self._recorder.give_up()
            self._taping.failed(error)
            return None


__all__ = ["TapedEngine", "Taping"]
