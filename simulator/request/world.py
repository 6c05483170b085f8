"""The simulated world, request by request: SimPy plays users, pods and dependencies; a scraper reads the counters.

It is the world of the flow grain: same pods, same faults, same noise, same scrapes. There, conditions say how many
requests fail and how long they take; here they say it of a request's own work, and the rest follows. It has an
environment of its own and plays as far as `advance` says, so whoever looks (the guardian in virtual time, the naive
gate) need not know the grain.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from simpy import Environment, Event, Process, Timeout

from guardian.core.looks import Ints
from guardian.core.model import Instant, Weight
from simulator.bots import MOST_BOTS
from simulator.chance import Purpose
from simulator.faults import MemoryLeak, Outage
from simulator.request.autoscaler import scale
from simulator.request.draws import User, arrivals, clients
from simulator.request.language import Requests
from simulator.request.mesh import Mesh
from simulator.request.pod import Pod
from simulator.request.server import Steps, ask
from simulator.topology import Flags, Group
from simulator.traffic import Floats
from simulator.world import SLOW, World

STRETCH: Final = 2.5
"""Seconds for which rates and slowly changing conditions are taken as constant at most; jumps are exact."""
Life = Generator[Event, Any, None]
"""Steps of a SimPy process that goes on for ever."""


class RequestWorld(World):
    """One service in virtual time; `advance` plays until then."""

    def _draw_history(self) -> None:
        """Set up everybody and play all before the rollout."""
        self.section = self.spec.request or Requests()
        self.environment = Environment(initial_time=self.start)
        self.mesh = Mesh(self.environment, self.section, self.chance.at(Purpose.CAUSES))
        self.pods = [self._new_pod(slot) for slot in range(len(self.topology.names))]
        self._outages = [fault for fault in self.spec.faults if isinstance(fault, Outage)]
        self._leaks = [fault for fault in self.spec.faults if isinstance(fault, MemoryLeak)]
        self._reach: list[float] = []
        self._routed = 0, 0
        self._read, self._worked = np.full(len(self.pods), float(self.start)), np.zeros(len(self.pods))
        self._fresh_from = self.topology.canary.slots.start
        self._open(self.topology.stable, self.start)
        self.environment.process(self._users())
        for number in range(len(self.spec.bots)):
            self.environment.process(self._bots(number))
        chance = self.chance.at(Purpose.LOOPS)
        for loop in self.section.loops:
            ask = clients(chance, self.spec.service.latency, thinks=loop.thinks)
            for place in (np.arange(loop.clients) + 0.5) / loop.clients:
                self.environment.process(self._client(ask, float(place) if loop.keeps_track else None))
        self.environment.process(self._scrapes())
        if self.section.autoscaler is not None:
            for group in self.topology.groups:
                pods = self.pods[group.slots]
                self.environment.process(scale(self.environment, self.section.autoscaler, pods, self._refresh))
        self.advance(self.opening)

    def _new_pod(self, slot: int) -> Pod:
        bounds = self.spec.service.latency.bounds
        pod = Pod(self.environment, self.section, bounds, slot=slot, changed=self._refresh)
        pod.lines = self.mesh.lines(self.section)
        return pod

    # -- what platform and messages change

    def serve(self, weight: Weight, at: Instant) -> None:
        """From `at` on the router sends this share to the canary."""
        first = self.shift is None
        super().serve(weight, at)
        self._at(at, self._refresh)
        if first and self.shift is not None:
            for fault in (*self._service_faults, *self._outages, *self._leaks):
                for edge in fault.edges(self.scenario.horizon):
                    self._at(at + edge, self._refresh)
            for reset in self._resets:
                fallen = np.flatnonzero(reset.hits(self.topology.slots)).tolist()
                for fall in reset.falls(self.scenario.horizon):
                    self._at(at + fall, partial(self._reset_counters, fallen))

    def _begin(self, group: Group, at: Instant) -> None:
        super()._begin(group, at)
        self._at(at, partial(self._open, group))

    def _end(self, group: Group, at: Instant) -> None:
        super()._end(group, at)
        self._at(at, partial(self._close, group))

    def _reset_counters(self, slots: Sequence[int], _: float) -> None:
        for slot in slots:
            self.pods[slot].reset()

    def _open(self, group: Group, at: float) -> None:
        scaler, pods = self.section.autoscaler, self.pods[group.slots]
        if scaler is not None and group is self.topology.canary:  # of stable all: its traffic is there at once
            pods = pods[: scaler.least]
        for pod in pods:
            pod.start()
        self._refresh(at)

    def _close(self, group: Group, at: float) -> None:
        for pod in self.pods[group.slots]:
            pod.stop()
        self._refresh(at)

    def _at(self, at: float, act: Callable[[float], object]) -> None:
        """Have something done at a time, or now if that is past; it is told the time."""
        if math.isfinite(at):

            def due(_: Event) -> None:
                act(max(at, self.environment.now))

            Timeout(self.environment, max(0.0, at - self.environment.now)).callbacks.append(due)

    # -- time

    def advance(self, now: Instant) -> None:
        """Play everything before `now`."""
        if now > self.environment.now:
            self.environment.run(until=now)

    def _refresh(self, at: float | None = None) -> None:
        """Have pods, dependencies and router behave as conditions say at this moment."""
        now = self.environment.now if at is None else at
        t, width = now - self.zero, self.width
        held = self.conditions(np.full(width, t), at=now, noise=self._row(now))
        slots = self.topology.slots
        leak = np.zeros(width)
        for fault in self._leaks:
            if fault.runs(np.array(t)):
                leak[fault.hits(slots.first(width))] += fault.share
        columns = (column.tolist() for column in (held.errors, held.slow, held.tail, leak))
        for pod, *values in zip(self.pods, *columns, strict=False):
            pod.chance, pod.speed, pod.tail, pod.leak = values
        self.mesh.suffer(self._outages, slots, t)
        held.rate = np.ones(width)  # who gets which part of the traffic, whatever it is
        self._reach = np.cumsum(self._among_those_up(self.loads(held, now), held.ready)).tolist()

    def _among_those_up(self, loads: Floats, ready: Flags) -> Floats:
        """Return the loads of slots when those of pods that cannot serve go to the others of their group."""
        up = np.array([pod.up for pod in self.pods[: len(loads)]]) & ready
        for group in self.topology.groups:
            part = loads[group.slots]
            left = float(part[up[group.slots]].sum())
            loads[group.slots] = np.where(up[group.slots], part * (part.sum() / left if left else 0.0), 0.0)
        return loads

    def _row(self, now: float) -> int:
        """Return the round whose noise holds; past the horizon the last stays."""
        return min(int((now - self.start) / self.every) + 1, len(self._jitter) - 1)

    # -- users

    def _users(self) -> Life:
        """Send users as they come, drawn a stretch ahead, whatever the guardian does."""
        environment, latency, meet = self.environment, self.spec.service.latency, self._meet
        stretches = math.ceil(self.every / STRETCH)
        lasts, number = self.every / stretches, 0
        while True:
            number += 1
            chance = self.chance.at(Purpose.ARRIVALS, number)
            for stretch in range(stretches):
                begin = self.start + (number - 1) * self.every + stretch * lasts
                self._refresh()
                coming = arrivals(chance, latency, rate=self._rate(begin + lasts / 2), lasts=lasts)
                for gap, place, luck, chosen, body, tail in coming:
                    yield Timeout(environment, gap)
                    Process(environment, meet(place, luck, chosen, body, tail))
                yield Timeout(environment, max(0.0, begin + lasts - environment.now))

    @property
    def _meet(self) -> Callable[[float, float, float, float, float], Steps]:
        """How users ask: place, luck, chosen, body and tail of `User`."""
        patience = self.section.clients
        return self._ask_once if patience.retries == 0 and patience.timeout == math.inf else self._ask_again

    def _client(self, ask: Callable[[], User], place: float | None) -> Life:
        """Be a client that thinks, asks and waits; place: where it is sent, 0..1, None: anywhere each time."""
        meet = self._meet
        while True:
            thinks, anywhere, luck, chosen, body, tail = ask()
            yield Timeout(self.environment, thinks)
            yield from meet(anywhere if place is None else place, luck, chosen, body, tail)

    def _bots(self, number: int) -> Life:
        """Send one kind of bots, drawn a stretch ahead; none of them asks again."""
        environment, bot, begin, stretch = self.environment, self.spec.bots[number], float(self.start), 0
        while True:
            stretch += 1
            chance = self.chance.at(Purpose.BOTS, stretch * MOST_BOTS + number)
            t, row = np.array(begin + STRETCH / 2 - self.zero), self._row(begin + STRETCH / 2)
            rate = float(self._bot_rate(number, t, row)[0])
            for gap, place, luck, chosen, body, tail in arrivals(
                chance, self.spec.service.latency, rate=rate, lasts=STRETCH
            ):
                yield Timeout(environment, gap)
                pod = self._met(place)
                if pod is not None:
                    pod.routed += 1
                    work = (tail if chosen < pod.tail else body) * pod.speed * bot.slow
                    Process(environment, pod.serve(work, fails=luck < bot.failing(pod.chance), slot=pod.slot))
            begin += STRETCH
            yield Timeout(environment, max(0.0, begin - environment.now))

    def _rate(self, at: float) -> float:
        """Return requests/s of the whole service."""
        t = np.array(at - self.zero)
        return float(self.spec.traffic.at(t) * self._rate_noise[self._row(at), 0])

    def _ask_once(self, place: float, luck: float, chosen: float, body: float, tail: float) -> Steps:
        """Be a user who waits for ever and asks once."""
        began, pod = self.environment.now, self._met(place)
        well = yield from self._sent(pod, luck, chosen, body, tail)
        self._tell(began, pod, well)
        return well

    def _ask_again(self, place: float, luck: float, chosen: float, body: float, tail: float) -> Steps:
        """Be a user with patience; each further attempt goes wherever the router sends it."""
        draw = self.mesh.luck
        began, first = self.environment.now, self._met(place)
        attempts = iter([self._sent(first, luck, chosen, body, tail)])

        def attempt() -> Steps:
            return next(attempts, None) or self._sent(self._met(draw()), draw(), chosen, body, tail)

        well = yield from ask(self.environment, attempt, self.section.clients, draw)
        self._tell(began, first, well)
        return well

    def _met(self, place: float) -> Pod | None:
        """Return the pod that the router sends to; None where none of the track is up."""
        slot = bisect_right(self._reach, place)
        return self.pods[slot] if slot < len(self._reach) else None

    def _sent(self, pod: Pod | None, luck: float, chosen: float, body: float, tail: float) -> Steps:
        if pod is None:
            return nobody()
        pod.routed += 1
        work = (tail if chosen < pod.tail else body) * pod.speed
        return pod.serve(work, fails=luck < pod.chance, slot=pod.slot)

    def _tell(self, began: float, first: Pod | None, well: bool) -> None:  # noqa: FBT001 - the answer
        """Count what a user met in the end, whatever the pods count."""
        now = self.environment.now
        if self.shift is None or now < self.shift:
            return
        harm, bad = self.harm, not well
        harm.total += 1
        harm.bad += bad
        harm.slow += now - began > SLOW
        if first is not None and first.slot >= self._fresh_from:
            harm.fresh_total += 1
            harm.fresh_bad += bad

    # -- scrapes

    def _scrapes(self) -> Life:
        """Read every pod's counters once a round, each at its own time."""
        environment, slots, number = self.environment, len(self.pods), 0
        while True:
            number += 1
            until = self.start + number * self.every + self._places + self._jitter[min(number, len(self._jitter) - 1)]
            began = environment.now
            time, up = np.zeros(slots), np.zeros(slots, dtype=np.bool_)
            counts, live, worked = np.zeros_like(self._counters), np.zeros(slots), np.zeros(slots)
            for slot in np.argsort(until).tolist():
                yield Timeout(environment, max(0.0, float(until[slot]) - environment.now))
                pod = self.pods[slot]
                time[slot], counts[slot, : self._first_attempt], up[slot] = environment.now, pod.counts, pod.up
                live[slot], worked[slot] = pod.live, pod.worked
            self._attempt(counts, time, number)
            used, levels = slice(self.width), self._shown(time, live, worked, number)
            which = np.array([number])
            seen = up[used] & self._scraped(time[None, used], which)
            self._record(which, time[None, used], counts[None, used], seen, levels[None, used])
            self._tally_routed(began)

    def _attempt(self, counts: Ints, time: Floats, number: int) -> None:
        """Draw what was attempted since the last scrape. counts: of this one, (slots, columns); filled in place."""
        if self.meters.attempts:
            new, rest = counts, self._first_attempt
            again = new[:, 0] < self._counters[:, 0]  # the process began anew
            old = np.where(again[:, None], 0, self._counters)
            well = new[:, 0] - new[:, 1] - old[:, 0] + old[:, 1]
            wrong = self.conditions(time - self.zero, at=self.environment.now).wrong
            new[:, rest:] = old[:, rest:] + self.meters.counts(well, wrong, self.chance.at(Purpose.ATTEMPTS, number))
            self._counters = new

    def _shown(self, time: Floats, live: Floats, worked: Floats, number: int) -> Floats:
        """Return what gauges show, (slots, gauges). live: memory in use for good. worked: seconds, so far."""
        row = min(number, len(self._jitter) - 1)
        columns = [self._levels(time - self.zero, at=self.environment.now, noise=row)]
        if self.section.memory is not None:
            columns.append(live[:, None])
        if self.section.cpu is not None:
            at_work = (worked - self._worked) / np.maximum(time - self._read, 1e-9)
            columns.append((at_work / (self.section.workers or 1))[:, None])
        self._read, self._worked = time, worked
        return np.hstack(columns)

    def _tally_routed(self, began: float) -> None:
        """Note where the router sent requests in the round that began then."""
        canary = sum(pod.routed for pod in self.pods[self.topology.canary.slots])
        total = sum(pod.routed for pod in self.pods)
        self._served.append((began, canary - self._routed[0], total - self._routed[1]))
        self._routed = canary, total


def nobody() -> Steps:
    """Be refused at once: no pod is there."""
    yield from ()
    return False
