"""The engine's world, which keeps what each record led to: events out are made from that, so nobody folds again."""

from __future__ import annotations

from guardian.core.records import Record
from guardian.core.rollout import Rollout
from guardian.core.world import World


class WitnessedWorld(World):
    """A world as the engine changes it; `taken` gives the rollouts right after the records since it was asked last."""

    __slots__ = ("_led_to",)

    def __init__(self, begin: World) -> None:
        """Begin as `begin` is, and take it over: it changes with this one."""
        super().__init__()
        vars(self).update(vars(begin))
        self._led_to: list[Rollout | None] = []

    def apply(self, record: Record) -> Rollout | None:
        """Apply one record; return the rollout right after it, None for a record of no rollout."""
        after = super().apply(record)
        self._led_to.append(after)
        return after

    def taken(self) -> tuple[Rollout | None, ...]:
        """Return what each record since the last call led to, in their order."""
        led_to = tuple(self._led_to)
        self._led_to.clear()
        return led_to
