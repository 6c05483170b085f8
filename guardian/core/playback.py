"""A tape given to an engine again, under the policy it was recorded with or another one: what is decided then.

An effect that the recording ordered at the same moment has the recorded result. Any other is taken to be done at
once, and from then on the rollout has *diverged*: users did not get the weight it ordered. Its evidence is still that
of the traffic that was served; that a weight was accepted is made up. Compares nothing: differences.py does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.course import thresholds
from guardian.core.effects import Effect, MakeStable, Preflight, SetWeight
from guardian.core.engine import Engine
from guardian.core.facts import DeployRequested, EffectDone, EffectFailed, Fact, WeightRead
from guardian.core.fleet import Fleet
from guardian.core.looks import Ints, Observed, evidence
from guardian.core.model import EffectId, EventRef, Instant, RolloutId, Weight
from guardian.core.policies import Policies
from guardian.core.policy import Policy
from guardian.core.rollout import Rollout
from guardian.core.sentences import duration
from guardian.core.tape import Concluded, Entry, Given, Header, Named, Part, Ruled, Settled
from guardian.errors import PolicyError, TapeError

NEVER: Final = Instant(-math.inf)
NOTHING: Final = -1
"""Number of a series that the replay's policy does not measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stood:
    """How the replay of a rollout stood at one moment: e-values, each with what its policy asks for."""

    harm: float
    rollback: float
    safe: float
    promotion: float


@dataclass(slots=True, kw_only=True)
class Played:
    """Both sides of one service. recorded, replayed: conclusions by rollout, in the order in which they were drawn.

    rollouts: each at the replay's end. diverged: since when the replay ordered what was not recorded. before: rollouts
    that had begun before the tape did. unmeasured: guardrails of the other policy of which the tape has nothing. notes:
    what the tape lacks, in sentences. faults: mistakes in deciding. stood: how the replay stood when the recording came
    to a verdict or an end. ended: time of the last entry.
    """

    service: str
    environment: str
    recorded: dict[RolloutId, list[r.OfRollout]] = field(default_factory=dict)
    replayed: dict[RolloutId, list[r.OfRollout]] = field(default_factory=dict)
    rollouts: dict[RolloutId, Rollout] = field(default_factory=dict)
    diverged: dict[RolloutId, Instant] = field(default_factory=dict)
    before: set[RolloutId] = field(default_factory=set)
    unmeasured: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    stood: dict[tuple[RolloutId, Instant], Stood] = field(default_factory=dict)
    ended: Instant = NEVER


class _Served(Fleet):
    """Holds the share of a diverged rollout against the weight users got, not against one that nobody set."""

    def __init__(self, diverged: dict[RolloutId, Instant]) -> None:
        super().__init__()
        self._diverged = diverged

    def expect(self, rollout: RolloutId, *, weight: Weight, now: Instant) -> None:
        if rollout not in self._diverged:
            super().expect(rollout, weight=weight, now=now)

    def served(self, rollout: RolloutId, *, weight: Weight, now: Instant) -> None:
        """The recording's router accepted this weight."""
        if rollout in self._diverged:
            super().expect(rollout, weight=weight, now=now)


class Playback:
    """Plays the parts of one service's tape, in order. policy: stands for the service's own in all new rollouts."""

    def __init__(self, service: str, environment: str, *, policy: Policy | None = None) -> None:
        if policy is not None and policy.match.service != service:
            raise TapeError(
                f"policy '{policy.name}' is for service '{policy.match.service}'",
                where=f"the tape of '{service}'", remedy="name the policy of that service, or its own tape",
            )  # fmt: skip
        self._policy = policy
        self.played = Played(service=service, environment=environment)
        self._engine = Engine(policies=Policies(), fleet=Fleet())
        self._fleet = _Served(self.played.diverged)
        self._before: Header | None = None
        self._recorded: Policies = Policies()
        self._series: dict[int, tuple[int, ...]] = {}
        self._lookup: list[Ints] = []
        self._ordered: set[tuple[Instant, Effect]] = set()
        self._effects: dict[EffectId, Effect] = {}
        self._with_result: set[EffectId] = set()
        self._was: dict[EventRef, Policy] = {}
        """Policy that an event's rollout was recorded under."""

    def take(self, part: Part, *, where: str = "") -> None:
        """Play the next part. where: its file. Raises TapeError for one that began before the part before it ended."""
        header = part.header
        before = self._before
        if before is not None and header.began < before.ended:
            raise TapeError(
                "begins before the part before it ends", where=where or f"the tape of '{header.service}'",
                remedy="name the parts of one recording; replay several runs of a simulation one by one",
            )  # fmt: skip
        goes_on = before is not None and (before.run, before.number + 1) == (header.run, header.number)
        if not goes_on:
            self._begin(header)
        self._before = header
        self._expect(part.entries)
        for entry in part.entries:
            self._play(entry)
        self.played.ended = header.ended
        self.played.rollouts = {
            name: rollout for name, rollout in self._engine.world.rollouts.items() if self._is_own(name)
        }

    def finish(self) -> Played:
        """Return what was decided, then and now."""
        if self._before is not None and not self._before.last:
            self.played.notes.append("the tape ends without an end: it is still being recorded, or was cut off")
        return self.played

    # ---- where it begins ------------------------------------------------------------------------------------

    def _begin(self, header: Header) -> None:
        """Begin, or go on after a restart or a gap."""
        before, notes = self._before, self.played.notes
        if before is not None and not before.last:
            lost = duration(header.began - before.ended)
            notes.append(f"{lost} are missing after part {before.number} of run {before.run}: lost, or dropped")
        elif header.number:
            notes.append(f"the beginning of run {header.run} is gone: {header.number} parts were dropped or lost")
        start = header.start
        for rollout in start.rollouts:
            if rollout.id not in self.played.recorded and not rollout.settled:
                self.played.before.add(rollout.id)
        if before is not None and (self._policy is not None or self.played.diverged):
            self._rule(start.policies)  # what another policy came to goes on; counters bridge the gap
            return
        self._fleet = _Served(self.played.diverged)
        self._engine = Engine(policies=Policies(), fleet=self._fleet, world=start.world())
        self._rule(start.policies)
        self._series, self._lookup = {}, []
        for rollout in start.rollouts:
            for pending in rollout.effects:
                self._effects[pending.effect.id] = pending.effect
                self._with_result.add(pending.effect.id)
        for name, blob in start.evidence.items():
            try:
                self._engine.restore(name, blob)
            except ValueError as error:
                notes.append(f"{name}: {error}")

    def _rule(self, policies: Sequence[Policy]) -> None:
        """Put policies in force; the one to be tried stands for those of its service."""
        self._recorded = Policies(policies)
        others = [one for one in policies if self._policy is None or one.match.service != self._policy.match.service]
        self._engine.policies = Policies([*others, *([self._policy] if self._policy is not None else [])])

    def _expect(self, entries: Sequence[Entry]) -> None:
        """Learn which effects the recording ordered, and when."""
        self._ordered.clear()
        for entry in entries:
            if isinstance(entry, Concluded) and isinstance(entry.record, r.EffectOrdered):
                self._ordered.add((entry.record.at, entry.record.effect))
                self._effects[entry.record.effect.id] = entry.record.effect

    # ---- entries --------------------------------------------------------------------------------------------

    def _play(self, entry: Entry) -> None:
        if isinstance(entry, Given):
            self._engine.ahead = entry.ahead
            fact = self._as_it_is_now(entry.fact)
            if fact is not None:
                self._receive(fact, entry.at)
        elif isinstance(entry, Named):
            self._name(entry)
        elif isinstance(entry, Settled):
            self._engine.settle()
        elif isinstance(entry, Ruled):
            self._rule(entry.policies)
        else:
            self._concluded(entry.record)

    def _receive(self, fact: Fact, now: Instant) -> None:
        decision = self._engine.receive(fact, now)
        self.played.faults += [f"{type(fact).__name__}: {fault!r}" for fault in decision.faults]
        for record in decision.records:
            if isinstance(record, r.EffectOrdered) and (record.at, record.effect) in self._ordered:
                self._with_result.add(record.effect.id)
            if isinstance(record, r.OfRollout) and self._is_own(record.rollout):
                self.played.replayed.setdefault(record.rollout, []).append(record)
        for rollout, effect in decision.effects:
            if effect.id not in self._with_result:
                self.played.diverged.setdefault(rollout, now)
                self._receive(_done(self._engine.world.rollouts[rollout], effect), now)

    def _as_it_is_now(self, fact: Fact) -> Fact | None:
        """Return a recorded fact as the replay meets it; None where it does not."""
        if isinstance(fact, Observed):
            return self._numbered(fact)
        if isinstance(fact, DeployRequested) and self._policy is not None and fact.place.service == self.played.service:
            with suppress(PolicyError):  # there was none: it was rejected
                self._was[fact.event] = self._recorded.find(fact.place, fact.policy)
            return replace(fact, policy=self._policy.name)
        if isinstance(fact, EffectDone | EffectFailed) and fact.effect not in self._with_result:
            return None
        if isinstance(fact, WeightRead) and fact.rollout in self.played.diverged:
            rollout = self._engine.world.rollouts.get(fact.rollout)
            accepted = rollout.accepted if rollout is not None else None
            return replace(fact, accepted=accepted or Weight(0.0), observed=None)
        return fact

    def _name(self, entry: Named) -> None:
        """Give a series its numbers here: one for each guardrail that measures the same as the recorded one."""
        names = self._same(entry.key.rollout, entry.key.guardrail)
        numbers = tuple(self._engine.series(replace(entry.key, guardrail=name)) for name in names)
        self._series[entry.series] = tuple(number for number in numbers if number >= 0)
        self._lookup = []

    def _same(self, name: RolloutId, guardrail: str) -> tuple[str, ...]:
        rollout = self._engine.world.rollouts.get(name)
        if rollout is None or self._policy is None or rollout.policy.name != self._policy.name:
            return (guardrail,)
        recorded = self._was.get(rollout.event)
        was = next((one for one in recorded.guardrails if one.name == guardrail), None) if recorded else None
        if was is None or recorded is None:
            return ()
        same = [one for one in rollout.policy.guardrails if (one.sli, one.strata) == (was.sli, was.strata)]
        told = {(one.sli, one.strata) for one in recorded.guardrails}
        missing = [one.name for one in rollout.policy.guardrails if (one.sli, one.strata) not in told]
        self.played.unmeasured = tuple(missing)
        return tuple(one.name for one in same)

    def _numbered(self, fact: Observed) -> Observed | None:
        if not self._lookup:
            width = max((len(numbers) for numbers in self._series.values()), default=0)
            table = np.full((width, 1 + max(self._series, default=0)), NOTHING, dtype=np.int64)
            for recorded, numbers in self._series.items():
                table[: len(numbers), recorded] = numbers
            self._lookup = [table[row] for row in range(width)]
        parts = []
        for lookup in self._lookup:
            series = lookup[fact.series]
            mine = np.flatnonzero(series >= 0)
            parts.append(Observed(
                series=series[mine], time=fact.time[mine], value=fact.value[mine], started=fact.started[mine],
            ))  # fmt: skip
        if not parts:
            return None
        return Observed(**{name: np.concatenate([getattr(one, name) for one in parts]) for name in Observed.__slots__})

    def _concluded(self, record: r.OfRollout) -> None:
        if isinstance(record, r.EffectEnded) and record.done:
            effect = self._effects.get(record.effect)
            if isinstance(effect, SetWeight):
                self._fleet.served(record.rollout, weight=effect.weight, now=record.at)
        if isinstance(record, r.Opened):
            if record.request.place.service != self.played.service:
                return
        elif not self._is_own(record.rollout) and record.rollout not in self.played.recorded:
            return
        self.played.recorded.setdefault(record.rollout, []).append(record)
        if isinstance(record, r.EffectOrdered) and record.effect.id not in self._with_result:
            self.played.diverged.setdefault(record.rollout, record.at)
        if isinstance(record, r.Judged | r.RollbackOrdered | r.Promoted):
            self._stand(record.rollout, record.at)

    def _stand(self, name: RolloutId, at: Instant) -> None:
        """Note how the replay stands beside a verdict of the recording."""
        rollout, look = self._engine.world.rollouts.get(name), self._engine.look(name)
        if rollout is None or look is None or rollout.phase.terminal:
            return
        rollback, promotion = thresholds(rollout.policy)
        self.played.stood[name, at] = Stood(
            harm=_evidence(look.log_harm), rollback=rollback, safe=_evidence(look.log_safe), promotion=promotion
        )

    def _is_own(self, name: RolloutId) -> bool:
        rollout = self._engine.world.rollouts.get(name)
        return rollout is not None and rollout.place.service == self.played.service


def _evidence(log_value: float) -> float:
    return 0.0 if math.isnan(log_value) else evidence(log_value)


def _done(rollout: Rollout, effect: Effect) -> EffectDone:
    """Return the end of an effect whose end nobody recorded: done as it was ordered."""
    accepted, stable = rollout.accepted, rollout.stable
    if isinstance(effect, SetWeight):
        accepted = effect.weight
    elif isinstance(effect, Preflight):
        accepted, stable = Weight(0.0), rollout.previous
    elif isinstance(effect, MakeStable):
        stable = effect.revision
    return EffectDone(rollout=rollout.id, effect=effect.id, accepted=accepted, stable=stable)
