"""The simulated world of one service: users, pods and counters, scrape round by scrape round.

Answers what a scraper would read at any time up to now, and how many users were hurt. Knows the ground truth;
nothing of it leaves through the ports (telemetry.py, platform.py). Decides nothing.

A round is one scrape of every pod; two replicas scrape by turns. Each pod has its own place within the interval
and its own jitter, so the stretch (previous sample, this sample] differs from pod to pod. Where conditions jump
within a round (a weight moves, a fault begins), the round is drawn in pieces, so no count is smeared over a jump.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from guardian.core.looks import Ints
from guardian.core.model import Instant, Ratio, Revision, Share, Track, Weight
from simulator.bots import MOST_BOTS
from simulator.calls import Calls
from simulator.chance import Chance, Purpose
from simulator.conditions import Conditions
from simulator.counted import Harm, Rounds
from simulator.delivery import Delivery, PrometheusDown, arrivals
from simulator.faults import CounterReset, CrashLoop, MetricsGap
from simulator.meters import Meters
from simulator.scenario import Scenario
from simulator.service import temper
from simulator.topology import NEVER, Flags, Group, lay_out
from simulator.traffic import Floats, Noise

EPOCH: Final = Instant(1_767_571_200.0)
"""2026-01-05T00:00:00Z, a Monday: when every simulated run begins."""

SLOW: Final = 1.0
"""Seconds after which a user has waited too long; counted by whole buckets above it."""


class World:
    """One service in virtual time; `advance` draws what happened until then, each round once."""

    def __init__(
        self, scenario: Scenario, chance: Chance, *, start: Instant = EPOCH, calls: Sequence[Calls] = ()
    ) -> None:
        self.scenario, self.chance, self.start = scenario, chance, start
        self.calls = calls
        self.spec = spec = scenario.spec
        self.every = spec.scrape.turn
        self.opening = Instant(start + spec.history)
        self.shift: Instant | None = None
        self.topology = lay_out(spec.service, old=spec.deploy.previous, new=spec.deploy.revision, since=start)
        slots = len(self.topology.names)
        self.width = self.topology.successor.slots.start
        self.temper = temper(spec.service, slots, chance.at(Purpose.PODS))
        homes = self.topology.homes
        self._errors = np.array([spec.service.errors.share * home.errors for home in homes])
        self._slow = np.array([home.slow for home in homes])
        self._load = self.temper.load * np.array([home.load for home in homes])
        self.weights: list[tuple[float, Weight]] = [(-math.inf, Weight(0.0))]
        self.rounds: list[Rounds] = []
        self.harm = Harm()
        self._served: list[tuple[float, int, int]] = []
        self._service_faults = scenario.service_faults
        self._gaps = [fault for fault in spec.faults if isinstance(fault, MetricsGap | CrashLoop)]
        self.deliveries = [fault for fault in spec.faults if isinstance(fault, Delivery)]
        self._downs = [fault for fault in spec.faults if isinstance(fault, PrometheusDown)]
        self._resets = [fault for fault in spec.faults if isinstance(fault, CounterReset | CrashLoop)]
        self._jumps: list[float] = []
        self._draw_scenery(slots)
        self._counters = np.zeros((slots, self._buckets + 2 + 2 * len(spec.service.attempts)), dtype=np.int64)
        self._next = 1
        self._previous = np.full(slots, start) + self._places
        self._draw_history()

    def _draw_scenery(self, slots: int) -> None:
        """Draw all that does not depend on the guardian: noise over time and places within a scrape."""
        spec, service = self.spec, self.spec.service
        self._buckets = len(service.latency.bounds) + 1
        self._first_attempt = 2 + self._buckets
        self._first_slow = bisect_left(service.latency.bounds, SLOW) + 1
        rounds = math.ceil((spec.history + self.scenario.horizon) / self.every) + 2
        noise = self.chance.at(Purpose.NOISE)

        def wobble(kind: Noise, columns: int) -> Floats:
            return kind.factors(noise, (rounds, columns))

        self._rate_noise = wobble(spec.traffic.noise, 1)
        self._error_noise = wobble(service.errors.bursts, 1) * wobble(service.errors.noise, slots)
        self._slow_noise = wobble(service.latency.common, 1) * wobble(service.latency.noise, slots)
        self._bot_noise = [wobble(bot.traffic.noise, 1) for bot in spec.bots]
        self.meters = Meters(service.attempts, service.gauges, self.chance.at(Purpose.METERS), (rounds, slots))
        scrapes = self.chance.at(Purpose.SCRAPES)
        self._places = -self.every * spec.scrape.spread * scrapes.uniform(0.02, 0.98, slots)
        jitter = spec.scrape.jitter * scrapes.uniform(-1.0, 1.0, (rounds, slots))
        self._jitter = np.minimum(jitter, -self._places * 0.9)  # never later than the round itself

    # -- what platform and messages change

    def serve(self, weight: Weight, at: Instant) -> None:
        """From `at` on the router sends this share to the canary."""
        insort(self.weights, (at, weight), key=lambda change: change[0])
        open_ = self.spec.platform.connections
        self._add_jumps([at] if open_ is None else [at, at + open_.lasts])
        if self.shift is None and weight > 0:
            self.shift = at
            horizon = self.scenario.horizon
            edges = [edge for fault in self._service_faults for edge in fault.edges(horizon)]
            edges += [fall for fault in self._resets for fall in fault.falls(horizon)]
            self._add_jumps([at + edge for edge in edges if 0 <= edge < math.inf])

    def start_canary(self, at: Instant, revision: Revision | None = None) -> None:
        """Have the canary's pods run from `at` on, and control's with them. revision: default the one to go out."""
        new = self.spec.deploy.revision
        self.advance(at)
        self.topology.run(self.topology.canary, new if revision is None else revision, new=new)
        self._begin(self.topology.canary, at)
        self._begin(self.topology.control, at)

    def stop_canary(self, at: Instant) -> None:
        """End the canary's pods, and control's."""
        self._end(self.topology.canary, at)
        self._end(self.topology.control, at)

    def hand_over(self, at: Instant) -> None:
        """Replace stable's pods by fresh ones that run the new revision."""
        self.advance(at)
        self._end(self.topology.stable, at)
        self._begin(self.topology.successor, at)
        self.width = len(self.topology.names)
        self._previous[self.topology.successor.slots] = at

    def _begin(self, group: Group, at: Instant) -> None:
        group.since, group.until = at, NEVER
        self._add_jumps([at])

    def _end(self, group: Group, at: Instant) -> None:
        group.until = at
        self._add_jumps([at])

    @property
    def jumps(self) -> list[float]:
        """Return when conditions jump, here or where this service calls."""
        theirs = {jump for calls in self.calls for jump in calls.callee.jumps}
        return sorted(theirs.union(self._jumps)) if theirs else self._jumps

    def _add_jumps(self, times: list[float]) -> None:
        self._jumps = sorted({*self._jumps, *(float(time) for time in times)})

    # -- time

    def advance(self, now: Instant) -> None:
        """Draw every round whose nominal time is at or before `now`."""
        while self.start + self._next * self.every <= now + 1e-6:
            self._draw_round(self._next)
            self._next += 1

    def arrivals(self, rounds: Rounds) -> Floats:
        """Return when the samples of rounds come, and when once more, unix seconds; shape (2, rounds, slots)."""
        if self.shift is None or not self.deliveries:
            return np.stack((rounds.time, np.full_like(rounds.time, np.inf)))
        slots = self.topology.slots.first(rounds.time.shape[1])
        return arrivals(self.deliveries, rounds, slots, shift=self.shift, chance=self.chance)

    def observed_share(self, since: float) -> Share:
        """Return the canary's share of requests in whole rounds after `since`, and their number."""
        first = bisect_right(self._served, since, key=lambda row: row[0])
        canary = sum(row[1] for row in self._served[first:])
        total = sum(row[2] for row in self._served[first:])
        return Share(share=Ratio(canary / total if total else 0.0), requests=float(total))

    def weight(self, at: float) -> Weight:
        """Return the share that the router serves at that time."""
        return self.weights[bisect_right(self.weights, at, key=lambda change: change[0]) - 1][1]

    def ready_pods(self, track: Track, at: Instant) -> int:
        """Return how many pods of a track can serve at that time."""
        held = self.conditions(np.full(self.width, at - self.zero), at=at)
        groups = (one for one in self.topology.groups if one.track is track and one.slots.stop <= self.width)
        return sum(int(held.ready[one.slots].sum()) for one in groups if one.alive(at))

    @property
    def zero(self) -> Instant:
        """Return when the time of faults is 0: the traffic shift, before it the opening."""
        return self.opening if self.shift is None else self.shift

    def failing(self, when: Floats, *, at: float) -> tuple[Floats, Floats]:
        """Return the chances that a request to stable and to the canary fails, noise apart; each of `when`'s shape.

        when: unix seconds. at: time by which weight is taken.
        """
        held = self.conditions(np.repeat((when - self.zero)[..., None], self.width, axis=-1), at=at)
        stable, canary = (held.errors[..., group.slots].mean(axis=-1) for group in self.topology.groups[:2])
        return stable, canary

    def _share(self, t: Floats, at: float) -> Floats:
        """Return the canary's share of traffic at some moments; t, at: see `conditions`.

        Where users keep their track for a session, those there are came under the weights of the last session, evenly.
        A router that has no weight for a track keeps nobody on it.
        """
        weight, session = self.weight(at) + self._left_open(at), self.spec.platform.session
        if session == 0.0 or self.shift is None or not 0.0 < weight < 1.0:
            return np.full(t.shape, float(weight))
        moves = [move for move in self.weights if move[0] <= at]
        stayed = [np.clip((t + self.shift - began) / session, 0.0, 1.0) for began, _ in moves[1:]]
        changes = [new - old for (_, old), (_, new) in pairwise(moves)]
        return np.asarray(sum(change * part for change, part in zip(changes, stayed, strict=True)))

    def _left_open(self, at: float) -> float:
        """Return the share of traffic that is on the canary over connections from before its weight fell."""
        open_ = self.spec.platform.connections
        if open_ is None or not self.topology.canary.alive(at):
            return 0.0
        moves = pairwise(move for move in self.weights if move[0] <= at)
        falls = [old - new for (_, old), (since, new) in moves if new < old and at < since + open_.lasts]
        return open_.share * sum(falls)

    def conditions(
        self, t: Floats, *, at: float, noise: slice | int | None = None, share: Floats | None = None
    ) -> Conditions:
        """Return what holds at some moments.

        t: seconds since the shift, shape (..., slots). at: time by which weight is taken. noise: rounds
        whose wobble applies; None for none (the ground truth). share: of the canary, instead of what the router serves.
        """
        temper_, width = self.temper, t.shape[-1]
        one = np.ones_like(t)
        rate, errors, slow = self.spec.traffic.at(t), self._errors[:width] * one, self._slow[:width] * one
        if noise is not None:
            rate = rate * self._rate_noise[noise]
            errors = errors * temper_.errors[:width] * self._error_noise[noise, :width]
            slow = temper_.slow[:width] * self._slow_noise[noise, :width] * slow
        wrong, levels = self.meters.usual(t.shape)
        bent = Conditions(
            t=t,
            slots=self.topology.slots.first(width),
            rate=rate,
            share=self._share(t, at) if share is None else share,
            errors=errors,
            slow=slow,
            tail=self.spec.service.latency.tail.share * one,
            ready=np.ones(t.shape, dtype=np.bool_),
            wrong=wrong,
            levels=levels,
        )
        for fault in self._service_faults:
            fault.bend(bent)
        for calls in self.calls:
            calls.bend(bent, zero=self.zero, at=at)
        bent.errors = np.clip(bent.errors, 0.0, 1.0)
        return bent

    def loads(self, conditions: Conditions, at: float) -> Floats:
        """Return requests/s of each slot, given who is alive at that time; shape of `conditions.t`.

        Pods that are not ready get none; where no pod of a track is, what would have been theirs is still told.
        What is not the canary's goes to stable, but that each control pod gets as much of it as a canary pod has.
        """
        shares = np.zeros_like(conditions.t)
        pods = self.spec.service.pods
        times = pods.control / pods.canary if self.topology.control.alive(at) else 0.0
        for group in self.topology.groups:
            if not group.alive(at) or group.slots.stop > conditions.t.shape[-1]:
                continue
            slots = group.slots
            ready = conditions.ready[..., slots]
            able = self._load[slots] * (ready | ~ready.any(axis=-1, keepdims=True))
            part = able / able.sum(axis=-1, keepdims=True)
            canary = conditions.share[..., slots]
            control = np.minimum(times * canary, 1.0 - canary)
            tracks = {Track.CANARY: canary, Track.CONTROL: control, Track.STABLE: 1.0 - canary - control}
            shares[..., slots] = part * tracks[group.track]
        return shares * conditions.rate

    # -- drawing

    def _draw_history(self) -> None:
        """Draw all rounds before the rollout at once: nothing jumps there."""
        rounds = math.floor(self.spec.history / self.every + 1e-9)
        which = np.arange(1, rounds + 1)
        width = self.width
        until = self.start + which[:, None] * self.every + (self._places + self._jitter[which])[:, :width]
        since = np.vstack([self._previous[:width], until[:-1]])
        middle = (since + until) / 2 - self.opening
        _, counts = self._counts(middle, until - since, at=self.start, noise=slice(1, rounds + 1), key=0)
        sums = np.cumsum(counts, axis=0)
        seen = np.zeros(until.shape, dtype=np.bool_)
        seen[:, self.topology.stable.slots] = True
        levels = self._levels(until - self.opening, at=self.start, noise=slice(1, rounds + 1))
        self._record(which, until, sums, seen & self._scraped(until, which), levels)
        self._counters[:width], self._previous[:width], self._next = sums[-1], until[-1], rounds + 1

    def _draw_round(self, number: int) -> None:
        row = min(number, len(self._jitter) - 1)  # past the horizon the last noise stays
        since, counters = self._previous[: self.width], self._counters[: self.width]
        until = self.start + number * self.every + (self._places + self._jitter[row])[: self.width]
        low, high = float(since.min()), float(until.max())
        cuts = [low, *(jump for jump in self.jumps if low < jump < high), high]
        served = np.zeros_like(counters)
        for piece, (begin, end) in enumerate(pairwise(cuts)):
            self._reset(begin, since, until)
            begins, ends = (np.minimum(np.maximum(edge, begin), end) for edge in (since, until))
            middle = (begins + ends) / 2 - self.zero
            lasted = np.maximum(ends - begins, 0.0)
            met, counted = self._counts(middle, lasted, at=begin, noise=row, key=number * 64 + piece)
            served += met
            counters += counted
        alive = np.zeros(until.shape, dtype=np.bool_)
        for group in (one for one in self.topology.groups if one.slots.stop <= self.width):
            alive[group.slots] = (group.since <= until[group.slots]) & (until[group.slots] < group.until)
        levels = self._levels(until - self.zero, at=high, noise=row)
        which = np.array([number])
        seen = alive & self._scraped(until[None], which)
        self._record(which, until[None], counters[None].copy(), seen, levels[None])
        self._previous[: self.width] = np.maximum(since, until)
        self._tally(low, served)

    def _counts(self, t: Floats, lasted: Floats, *, at: float, noise: slice | int, key: int) -> tuple[Ints, Ints]:
        """Draw requests, failures, buckets and attempts of stretches, as users meet and as pods count them, with bots.

        Each of shape (..., slots, columns). Who is sent where nobody is ready fails, and is counted nowhere.
        """
        conditions = self.conditions(t, at=at, noise=noise)
        loads = self.loads(conditions, at)
        total = self.chance.at(Purpose.TRAFFIC, key).poisson(loads * lasted)
        counts = np.empty((*total.shape, self._counters.shape[1]), dtype=np.int64)
        counts[..., 0] = total
        counts[..., 1] = self.chance.at(Purpose.ERRORS, key).binomial(total, conditions.errors)
        shares = self.spec.service.latency.shares(conditions.slow, conditions.tail)
        counts[..., 2 : self._first_attempt] = self.chance.at(Purpose.LATENCY, key).multinomial(total, shares)
        if self.meters.attempts:
            chance = self.chance.at(Purpose.ATTEMPTS, key)
            well = total - counts[..., 1]
            counts[..., self._first_attempt :] = self.meters.counts(well, conditions.wrong, chance)
        met = counts
        if not conditions.ready.all():
            refused = ~conditions.ready
            met = counts.copy()
            met[refused, 1], met[refused, 2:] = total[refused], 0
            counts = np.where(refused[..., None], 0, counts)
        for number, bot in enumerate(self.spec.bots):
            conditions.rate = self._bot_rate(number, t, noise)
            chance, asked = self.chance.at(Purpose.BOTS, key * MOST_BOTS + number), self.loads(conditions, at) * lasted
            latency, columns = self.spec.service.latency, counts.shape[-1]
            counts = counts + bot.counts(conditions, asked, latency, columns=columns, chance=chance)
        return met, counts

    def _bot_rate(self, number: int, t: Floats, noise: slice | int) -> Floats:
        """Return requests/s of one kind of bots; t, noise: see `conditions`."""
        return np.asarray(self.spec.bots[number].traffic.at(t) * self._bot_noise[number][noise])

    def _levels(self, t: Floats, *, at: float, noise: slice | int) -> Floats:
        """Return what gauges show at some moments, shape (*t, gauges)."""
        if not self.meters.gauges:
            return np.zeros((*t.shape, 0))
        return self.meters.readings(self.conditions(t, at=at).levels, noise)

    def _reset(self, begin: float, since: Floats, until: Floats) -> None:
        """Set counters to 0 of the pods that restart at `begin`."""
        if self.shift is None:
            return
        for fault in self._resets:
            if any(self.shift + fall == begin for fall in fault.falls(self.scenario.horizon)):
                fallen = fault.hits(self.topology.slots.first(self.width)) & (since < begin) & (begin <= until)
                self._counters[: self.width][fallen] = 0

    def _scraped(self, until: Floats, number: Ints) -> Flags:
        """Return which samples are not lost in a gap. until: shape (rounds, slots); number: of these rounds."""
        got = np.ones(until.shape, dtype=np.bool_)
        if self.shift is not None:
            for down in self._downs:
                got &= ~down.loses(until - self.shift, self.spec.scrape.scraper(number)[:, None])
            for gap in self._gaps:
                got &= ~gap.loses(until - self.shift, self.topology.slots.first(self.width))
        return got

    def _record(self, number: Ints, time: Floats, sums: Ints, seen: Flags, levels: Floats) -> None:
        total, bad, rest = sums[..., 0], sums[..., 1], self._first_attempt
        buckets, attempts = sums[..., 2:rest], sums[..., rest:]
        one = Rounds(
            number=number, time=time, total=total, bad=bad, buckets=buckets, seen=seen, attempts=attempts, levels=levels
        )  # fmt: skip
        self.rounds.append(one)

    def _tally(self, low: float, served: Ints) -> None:
        """Count users, for the outcome and for the router's own statistics."""
        failed = served[:, 1] + served[:, self._first_attempt + 1 :: 2].sum(axis=1)
        total, bad = int(served[:, 0].sum()), int(failed.sum())
        self._served.append((low, int(served[self.topology.canary.slots, 0].sum()), total))
        if self.shift is not None:
            fresh = self.topology.slots.fresh[: self.width]
            self.harm.total += total
            self.harm.bad += bad
            self.harm.slow += int(served[:, 2 + self._first_slow : self._first_attempt].sum())
            self.harm.fresh_total += int(served[fresh, 0].sum())
            self.harm.fresh_bad += int(failed[fresh].sum())
