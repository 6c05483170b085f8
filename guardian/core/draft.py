"""Records being drawn up for one decision: each is applied at once, so that the next one sees what it led to."""

from __future__ import annotations

from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.effects import Effect, SetWeight
from guardian.core.events import event_name
from guardian.core.model import EffectId, Instant, Phase, RolloutId, Weight
from guardian.core.phases import evolve, opened
from guardian.core.policy import Policy
from guardian.core.rollout import Rollout

EFFECT_DEADLINE = 120.0
"""Seconds after which a person is paged about an effect that is still not done."""
ROLLBACK_DEADLINE = 300.0


class Draft:
    """One rollout and the records that change it, in order. Not yet in the world."""

    def __init__(self, rollout: Rollout, now: Instant) -> None:
        self.rollout, self.now = rollout, now
        self.records: list[r.Record] = []

    @classmethod
    def open(cls, record: r.Opened, policy: Policy) -> Draft:
        """Begin with the rollout's first record."""
        record = replace(record, sequence=1)
        draft = cls(opened(record, policy), record.at)
        draft.records.append(record)
        return draft

    @property
    def id(self) -> RolloutId:
        """The rollout's id."""
        return self.rollout.id

    def add(self, record: r.OfRollout, policy: Policy | None = None) -> None:
        """Apply a record; one that is published gets the next sequence number."""
        if event_name(record) is not None:
            record = replace(record, sequence=self.rollout.sequence + 1)
        self.rollout = evolve(self.rollout, record, policy)
        self.records.append(record)

    def note(self, reason: str) -> None:
        """Record that nothing follows, and why."""
        self.records.append(r.Noted(at=self.now, reason=reason, place=self.rollout.place, rollout=self.id))

    def order(self, effect: Effect, *, not_before: Instant | None = None) -> None:
        """Have something done outside."""
        within = ROLLBACK_DEADLINE if self.rollout.cause else EFFECT_DEADLINE
        start = not_before if not_before is not None else self.now
        self.add(
            r.EffectOrdered(
                rollout=self.id,
                at=self.now,
                effect=effect,
                not_before=not_before or Instant(0.0),
                deadline=Instant(start + within),
            )
        )

    def set_weight(self, weight: Weight) -> None:
        """Have the router send this share to the canary; a weight still on its way is not wanted any more."""
        self.drop_effects()
        self.order(SetWeight(id=self.effect_id("weight"), place=self.rollout.place, weight=weight))

    def drop_effects(self) -> None:
        """End everything that is still to be done: it is not wanted any more."""
        for pending in self.rollout.effects:
            self.add(r.EffectEnded(rollout=self.id, at=self.now, effect=pending.effect.id, done=False))

    def effect_id(self, name: str) -> EffectId:
        """Return an id that no other effect of this rollout has, the same on every replay."""
        return EffectId(f"{self.id}/{name}-{self.rollout.ordered + 1}")

    def page(self, key: str, reason: str, *, guardrail: str = "", cause: str = "") -> None:
        """Call a person, once per rollout and key."""
        if key not in self.rollout.paged:
            page = r.Paged(rollout=self.id, at=self.now, key=key, reason=reason, guardrail=guardrail, cause=cause)
            self.add(page)

    def hold(self, hold: r.Hold, reason: str, *, guardrail: str = "", cause: str = "") -> None:
        """Wait, saying why; saying it again changes nothing."""
        held = self.rollout.held
        if held is None or (held.hold, held.guardrail, held.cause) != (hold, guardrail, cause):
            wait = r.Held(rollout=self.id, at=self.now, hold=hold, reason=reason, guardrail=guardrail, cause=cause)
            self.add(wait)

    def resume(self, reason: str) -> None:
        """Stop waiting, if it was."""
        if self.rollout.held is not None:
            self.add(r.Resumed(rollout=self.id, at=self.now, reason=reason))

    def end(self, phase: Phase, reason: str, *, why: r.Why | None = None, guardrail: str = "") -> None:
        """Reach a terminal phase."""
        self.add(r.Ended(rollout=self.id, at=self.now, phase=phase, reason=reason, why=why, guardrail=guardrail))
