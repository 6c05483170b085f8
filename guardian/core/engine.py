"""The engine: (fact, now) -> records and effects, for all rollouts of one process. No clock, no I/O.

The asyncio daemon and the SimPy simulator drive this same class. Its durable state is the fold of the records it
returned (world.py); looks and weight readings are volatile and come again after a restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.agenda import Agenda, next_tick
from guardian.core.alerts import TOUCHABLE, by_our_time, dated, key_of, touches, weigh
from guardian.core.attribution import Around
from guardian.core.decide import decide
from guardian.core.decision import Decision
from guardian.core.deploys import older, start_next, take_in
from guardian.core.draft import Draft
from guardian.core.drain import drained, watch_until
from guardian.core.effects import Effect, Measure, Query, ReadWeight, SetWeight
from guardian.core.facts import (
    AlertSeen,
    DeployReported,
    DeployRequested,
    EffectDone,
    EffectFailed,
    Fact,
    Ordered,
    WeightRead,
    Woke,
)
from guardian.core.looks import Look, Observed, SeriesKey
from guardian.core.measures import MeasureRequest, requests
from guardian.core.model import EffectId, Instant, Place, RolloutId, Seconds
from guardian.core.orders import obey, reported
from guardian.core.outcomes import done, failed
from guardian.core.overlaps import Overlaps
from guardian.core.policies import Policies
from guardian.core.readings import Readings
from guardian.core.rollout import Rollout
from guardian.core.unrelated import unrelated
from guardian.core.world import World
from guardian.errors import CommandError, UnknownRollout

if TYPE_CHECKING:
    from guardian.core.fleet import Fleet

REFUSED: Final = "refused: "
"""How the note of an order that cannot be carried out begins."""


class Engine:
    """Decides for all rollouts of one process; see the module's text for what is durable.

    ahead: by how much `now` is ahead of other machines' clocks, where the driver knows that it is.
    """

    def __init__(self, *, policies: Policies, fleet: Fleet, world: World | None = None) -> None:
        self.policies = policies
        self.fleet = fleet
        self.world = world if world is not None else World()
        self.ahead = Seconds(0.0)
        self._agenda: Agenda[RolloutId] = Agenda()
        self._looks: dict[RolloutId, Look] = {}
        self._readings = Readings()
        self._next_look: dict[RolloutId, Instant] = {}
        self._handed_out: set[EffectId] = set()
        self._woken: list[RolloutId] = []
        self._faults: list[Exception] = []
        self._resumed: set[RolloutId] = set()
        self._overlaps = Overlaps(self.world, self._looks, fleet.apart)
        for rollout in self.world.rollouts.values():
            self._take_up(rollout)

    def _take_up(self, rollout: Rollout) -> None:
        """Go on with a rollout found in the journal."""
        since = rollout.ended_at if rollout.ended_at is not None else rollout.opened_at
        if rollout.step >= 0 and (not rollout.phase.terminal or watch_until(rollout) is not None):
            self._look_from(rollout, since)
            self._resumed.add(rollout.id)
        self._follow(rollout, since)

    # ---- facts ----------------------------------------------------------------------------------------------

    def receive(self, fact: Fact, now: Instant) -> Decision:
        """Return what follows from a fact. Never raises on what came from outside."""
        if isinstance(fact, Observed):
            self.fleet.observe(fact)
            return Decision()
        if isinstance(fact, Woke):
            return self._wake(now)
        if isinstance(fact, WeightRead):
            if (rollout := self.world.rollouts.get(fact.rollout)) is not None:
                self._readings.note(fact, interval=rollout.policy.interval)
            return Decision()
        refusal: CommandError | None = None
        try:
            records = self._conclude(fact, now)
        except CommandError as error:
            refusal = error
            target = fact.rollout if isinstance(fact, Ordered) else None
            records = [r.Noted(at=now, reason=f"{REFUSED}{error}", rollout=target)]
        except Exception as error:  # noqa: BLE001  one fact that cannot be decided on may not end the process
            self._faults.append(error)
            records = [r.Noted(at=now, reason=f"internal error, nothing follows from this: {error!r}")]
        return self._commit(records, now, refusal)

    def _conclude(self, fact: Fact, now: Instant) -> list[r.Record]:
        if isinstance(fact, DeployRequested):
            time = by_our_time(fact.time, ahead=self.ahead, now=now)
            return take_in(self.world, self.policies, replace(fact, time=time) if self.ahead else fact, now)
        if isinstance(fact, EffectDone):
            return self._of(fact.rollout, lambda rollout: done(rollout, fact, now))
        if isinstance(fact, EffectFailed):
            return self._of(fact.rollout, lambda rollout: failed(rollout, fact, now))
        if isinstance(fact, Ordered):
            if fact.rollout not in self.world.rollouts:
                raise UnknownRollout(f"there is no rollout '{fact.rollout}'", remedy="see `guardian list`")
            look = self._looks.get(fact.rollout)
            return self._of(fact.rollout, lambda rollout: obey(rollout, fact, look, now))
        if isinstance(fact, DeployReported):
            return self._reported(fact, now)
        if isinstance(fact, AlertSeen):
            return self._alert(fact, now)
        raise TypeError(f"not a fact: {type(fact).__name__}")

    def _of(self, rollout: RolloutId, conclude: Callable[[Rollout], Draft]) -> list[r.Record]:
        known = self.world.rollouts.get(rollout)
        return conclude(known).records if known is not None else []

    def _reported(self, fact: DeployReported, now: Instant) -> list[r.Record]:
        state = self.world.place(fact.place)
        named = [
            self.world.rollouts[known]
            for known in (*((state.running,) if state.running else ()), *state.queue)
            if fact.revision in (None, self.world.rollouts[known].revision)
        ]
        if not named:
            text = f"deploy.{fact.end} names no rollout that is open here"
            return [r.Noted(at=now, reason=text, place=fact.place)]
        if (age := older(by_our_time(fact.time, ahead=self.ahead, now=now), named[0])) is not None:
            text = f"deploy.{fact.end} is {age} older than the event that began {named[0].id}: ignored"
            return [r.Noted(at=now, reason=text, place=fact.place, rollout=named[0].id)]
        return reported(named[0], fact, now).records

    def _alert(self, fact: AlertSeen, now: Instant) -> list[r.Record]:
        records: list[r.Record] = []
        seen = dated(fact, ahead=self.ahead, now=now)
        for rollout in self._touchable(fact):
            rule = touches(rollout, fact)
            if rule is not None:
                records += weigh(rollout, seen, rule, self._looks.get(rollout.id), now).records
        records = records or [r.Noted(at=now, reason=unrelated(fact, self.policies, self.world))]
        key = key_of(fact)
        if key in self.world.alerts or (fact.firing and self._names_a_service(fact)):
            records.append(r.AlertStood(at=now, alert=fact, key=key))
        return records

    def _names_a_service(self, alert: AlertSeen) -> bool:
        return any(self.policies.of_service(name) for name in alert.labels.values())

    def _touchable(self, alert: AlertSeen) -> list[Rollout]:
        """Return running rollouts of every service that any label of the alert names."""
        services = {value for value in alert.labels.values() if value in self.world.services}
        found = []
        for service in sorted(services):
            for place in self.world.services[service]:
                running = self.world.place(place).running
                if running is not None and self.world.rollouts[running].phase in TOUCHABLE:
                    found.append(self.world.rollouts[running])
        return found

    # ---- time -----------------------------------------------------------------------------------------------

    def wake_at(self) -> Instant | None:
        """Return when the next deadline or look is due; None while nothing is going on."""
        return self._agenda.earliest()

    def queries(self, now: Instant) -> tuple[Query, ...]:
        """Return what the world must be asked before the next `Woke`; asking again is harmless."""
        looked = self._looked_at(now)
        if not looked:
            return ()
        weighed = tuple(known for known in looked if self.world.rollouts[known].moves_traffic)
        measure = Measure(rollouts=looked)
        return (measure, ReadWeight(rollouts=weighed)) if weighed else (measure,)

    def measures(self, query: Measure, now: Instant) -> tuple[MeasureRequest, ...]:
        """Return the metric requests behind a query."""
        known = (self.world.rollouts[RolloutId(name)] for name in query.rollouts)
        return tuple(asked for rollout in known for asked in requests(rollout, self._looks.get(rollout.id), now))

    def _looked_at(self, now: Instant) -> tuple[RolloutId, ...]:
        for gone in [known for known in self._next_look if known not in self.world.rollouts]:
            self._look_no_more(gone)  # ended, and so many ended after it that the world forgot it
        return tuple(known for known, at in self._next_look.items() if at <= now)

    def _expect_again(self, now: Instant) -> None:
        """After a restart: hold the share against the weight in force, which a checkpoint may not know."""
        for name in self._resumed:
            rollout = self.world.rollouts.get(name)
            if rollout is not None and rollout.accepted is not None:
                self.fleet.expect(name, weight=rollout.accepted, now=now)
            if rollout is not None and rollout.switched_at is not None:
                self.fleet.switch(name, at=rollout.switched_at)
        self._resumed.clear()

    def _wake(self, now: Instant) -> Decision:
        self._expect_again(now)
        looked = self._looked_at(now)
        if looked:
            self._look_at(looked, now)
        for name in looked:
            self._next_look[name] = next_tick(now, self.world.rollouts[name].policy.interval)
        records: list[r.Record] = []
        for name in dict.fromkeys((*looked, *self._agenda.due(now))):
            if name in self.world.rollouts:
                records += self._judge(self.world.rollouts[name], now).records
                self._woken.append(name)
        return self._commit(records, now)

    def _look_at(self, rollouts: tuple[RolloutId, ...], now: Instant) -> None:
        try:
            self._overlaps.tend(rollouts, self.policies)
        except Exception as error:  # noqa: BLE001  what may not count goes on counting; looks go on
            self._faults.append(error)
        try:
            self._looks.update(self.fleet.look(rollouts, now=now))
        except Exception as error:  # noqa: BLE001  old looks stay; they grow silent, and silence holds
            self._faults.append(error)

    def _judge(self, rollout: Rollout, now: Instant) -> Draft:
        look, reading = self._looks.get(rollout.id), self._readings.of(rollout.id)
        try:
            if not rollout.phase.terminal:
                return decide(rollout, look, reading, now, self.around(rollout, now))
            return drained(rollout, look, reading, now) if self._is_last(rollout) else Draft(rollout, now)
        except Exception as error:  # noqa: BLE001  one rollout's fault may not stop the others
            self._faults.append(error)
            draft = Draft(rollout, now)
            draft.page("internal-error", f"internal error, nothing is decided here: {error!r}; roll back by hand")
            return draft

    # ---- what a decision leads to ---------------------------------------------------------------------------

    def _commit(self, records: list[r.Record], now: Instant, refusal: CommandError | None = None) -> Decision:
        """Apply the records, start what waited for a place they freed, and hand out the effects that are due."""
        applied: list[r.Record] = []
        touched = dict.fromkeys(self._woken)
        self._woken = []
        while records:
            places: dict[Place, None] = {}
            for record in records:
                rollout = self._apply(record, applied)
                if rollout is not None:
                    touched[rollout.id] = places[rollout.place] = None
            drafts = (start_next(self.world, self.world.place(place), now) for place in places)
            records = [record for draft in drafts if draft is not None for record in draft.records]
        effects: list[tuple[RolloutId, Effect]] = []
        for name in touched:
            if name in self.world.rollouts:
                effects += self._hand_out(self.world.rollouts[name], now)
                self._follow(self.world.rollouts[name], now)
        faults, self._faults = tuple(self._faults), []
        return Decision(records=tuple(applied), effects=tuple(effects), refusal=refusal, faults=faults)

    def _apply(self, record: r.Record, applied: list[r.Record]) -> Rollout | None:
        if isinstance(record, r.Judged):
            digest = hashlib.sha256(self.fleet.checkpoint(record.rollout)).hexdigest()[:16]
            record = replace(record, digest=digest)
        before = self.world.rollouts.get(record.rollout) if isinstance(record, r.EffectEnded) else None
        rollout = self.world.apply(record)
        applied.append(record)
        if rollout is None:
            return None
        if isinstance(record, r.Advanced):
            self._look_from(rollout, record.at)
            if record.step == 0:
                self._overlaps.began(rollout, self.policies)
        elif isinstance(record, r.StepBegan):
            self.fleet.new_step(rollout.id, now=record.at)
        elif isinstance(record, r.Amended) and rollout.id in self._next_look:
            self.fleet.restore(rollout.id, rollout.policy, self.fleet.checkpoint(rollout.id))
        elif isinstance(record, r.EffectDelayed):
            self._handed_out.discard(record.effect)
        elif isinstance(record, r.EffectEnded) and before is not None:
            self._handed_out.discard(record.effect)
            ended = next((p.effect for p in before.effects if p.effect.id == record.effect), None)
            if record.done and isinstance(ended, SetWeight) and rollout.id in self._next_look:
                self._readings.weight_set(rollout.id, record.at)
                self.fleet.expect(rollout.id, weight=ended.weight, now=record.at)
        return rollout

    def _hand_out(self, rollout: Rollout, now: Instant) -> list[tuple[RolloutId, Effect]]:
        """Return effects to be tried now; one that is being tried is not handed out again."""
        found: list[tuple[RolloutId, Effect]] = []
        for pending in rollout.effects:
            if pending.next_at <= now and pending.effect.id not in self._handed_out:
                self._handed_out.add(pending.effect.id)
                found.append((rollout.id, pending.effect))
        return found

    def outstanding(self) -> tuple[tuple[RolloutId, Effect], ...]:
        """Return all effects ordered and not ended: after a restart each is looked up before it is repeated."""
        return tuple(
            (rollout.id, pending.effect) for rollout in self.world.rollouts.values() for pending in rollout.effects
        )

    # ---- evidence -------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Turn what was observed so far into evidence. Rows that cannot be are lost, and told as a fault."""
        try:
            self.fleet.settle()
        except Exception as error:  # noqa: BLE001  a mistake in the evidence may not end the process: it holds
            self._faults.append(error)

    def look(self, rollout: RolloutId) -> Look | None:
        """Return the newest look at a rollout."""
        return self._looks.get(rollout)

    def around(self, rollout: Rollout, now: Instant) -> Around:
        """Return what goes on beneath a rollout's service: who may be to blame instead of it."""
        return self._overlaps.around(rollout, self.policies, now)

    def reading(self, rollout: RolloutId) -> WeightRead | None:
        """Return the newest weight read back."""
        return self._readings.of(rollout)

    def series(self, key: SeriesKey) -> int:
        """Return the dense id of a series for `Observed`; the same key has the same id."""
        return self.fleet.series(key)

    def checkpoint(self, rollout: RolloutId) -> bytes | None:
        """Return the evidence of a rollout and its watermarks, to be kept and given to `restore`."""
        return self.fleet.checkpoint(rollout) if rollout in self._next_look else None

    def restore(self, rollout: RolloutId, blob: bytes) -> None:
        """Go on with evidence from a checkpoint; the rollout must be one that is looked at.

        Raises ValueError when the checkpoint does not read; evidence begins again then.
        """
        if rollout not in self._next_look:
            return
        policy = self.world.rollouts[rollout].policy
        self.fleet.close(rollout)
        try:
            self.fleet.restore(rollout, policy, blob)
        except Exception as error:  # whatever a checkpoint of another version or a damaged one leads to
            self.fleet.close(rollout)
            self._open(self.world.rollouts[rollout])
            raise ValueError(f"the checkpoint does not read, evidence begins again: {error!r}") from error

    # ---- what is looked at, and when ------------------------------------------------------------------------

    def _open(self, rollout: Rollout) -> None:
        """Have the rollout's evidence collected; canary rows from before its start are an earlier release's."""
        since = rollout.started_at if rollout.started_at is not None else rollout.opened_at
        self.fleet.open(rollout.id, rollout.policy, since=since)

    def _look_from(self, rollout: Rollout, now: Instant) -> None:
        if rollout.id not in self._next_look:
            self._open(rollout)
            self._next_look[rollout.id] = now

    def _look_no_more(self, rollout: RolloutId) -> None:
        if self._next_look.pop(rollout, None) is not None:
            self.fleet.close(rollout)
        self._looks.pop(rollout, None)
        self._readings.forget(rollout)

    def _is_last(self, rollout: Rollout) -> bool:
        """Whether nothing passed its preflight at the place after it: the canary there is still this rollout's."""
        return self.world.place(rollout.place).last == rollout.id

    def _follow(self, rollout: Rollout, now: Instant) -> None:
        """Put the rollout's next deadline on the agenda, and stop looking at one that is over."""
        watched = watch_until(rollout)
        if rollout.phase.terminal and (watched is None or watched <= now or not self._is_last(rollout)):
            self._look_no_more(rollout.id)
        elif rollout.switched_at is not None:
            self.fleet.switch(rollout.id, at=rollout.switched_at)
        times = [pending.next_at for pending in rollout.effects if pending.effect.id not in self._handed_out]
        if rollout.awaiting is not None and rollout.awaiting.expires is not None:
            times.append(rollout.awaiting.expires)
        if rollout.id in self._next_look:
            times.append(self._next_look[rollout.id])
        self._agenda.put(rollout.id, min(times, default=None))


__all__ = ["REFUSED", "Decision", "Engine"]
