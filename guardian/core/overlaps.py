"""Rollouts that overlap with those of services they depend on: who is around, and which stretches count.

Level-triggered: everything follows from the world, the newest looks and the marks kept with the evidence, so a restart
changes nothing. What a suspicion does to a rollout is decide.py's part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from analysis.graph import beneath, circle
from guardian.core.apart import Apart
from guardian.core.attribution import ALONE, Around, deepest_first, did_harm, lasts, over, suspect
from guardian.core.gates import critical
from guardian.core.looks import Look
from guardian.core.model import Instant, Place, RolloutId
from guardian.core.policies import Policies
from guardian.core.rollout import Rollout
from guardian.core.sentences import duration
from guardian.core.world import World


def calls(world: World, policies: Policies, environment: str, service: str) -> tuple[str, ...]:
    """Return the services a service is said to call: by its policy, and by the event and policy of what runs there."""
    names: list[str] = []
    for policy in policies.of_service(service):
        if policy.match.environment in ("", environment):
            names += policy.depends_on
    for place in world.services.get(service, ()):
        running = world.place(place).running if place.environment == environment else None
        if running is not None:
            names += (*world.rollouts[running].policy.depends_on, *world.rollouts[running].depends_on)
    return tuple(dict.fromkeys(names))


def in_circle(world: World, policies: Policies, place: Place, named: Iterable[str]) -> str:
    """Say that what an event names makes a circle with what is known; "" where it does not."""
    known = partial(calls, world, policies, place.environment)
    way = circle(lambda name: (*known(name), *(named if name == place.service else ())), place.service)
    if not way:
        return ""
    told = " -> ".join(way)
    return f"depends_on makes a circle, {told}: none of these is blamed for another; name the callee only"


class Overlaps:
    """Who is around each rollout. Owns nothing: world, looks and marks are the engine's."""

    def __init__(self, world: World, looks: Mapping[RolloutId, Look], apart: Apart) -> None:
        self._world, self._looks, self._apart = world, looks, apart
        self._dependents: dict[RolloutId, None] = {}

    def beneath(self, policies: Policies, place: Place) -> frozenset[str]:
        """Return all services that the place's service depends on."""
        return beneath(partial(calls, self._world, policies, place.environment), place.service)

    def _others(self, place: Place, services: Iterable[str]) -> Iterator[Rollout]:
        """Yield what runs, or ran last, of these services where the place is."""
        for service in sorted(services):
            for there in self._world.services.get(service, ()):
                regions = {there.region, place.region}
                if there.environment != place.environment or len(regions - {""}) > 1:
                    continue
                state = self._world.place(there)
                for name in dict.fromkeys((state.running, state.last)):
                    if name is not None and name in self._world.rollouts:
                        yield self._world.rollouts[name]

    def began(self, other: Rollout, policies: Policies) -> None:
        """A canary is about to get its first users: remember the evidence of what depends on it as it is."""
        for name in tuple(self._dependents):
            rollout = self._world.rollouts.get(name)
            if rollout is None or rollout.phase.terminal:
                del self._dependents[name]
            elif other in self._others(rollout.place, self.beneath(policies, rollout.place)):
                self._apart.mark(name, other.id)

    def tend(self, names: Iterable[RolloutId], policies: Policies) -> None:
        """Begin and end the stretches that may not count, before anything newer becomes evidence."""
        for name in names:
            rollout = self._world.rollouts[name]
            services = self.beneath(policies, rollout.place)
            if services:
                self._dependents[name] = None
            for other in self._others(rollout.place, services):
                if other.had_traffic and _meet(rollout, other):
                    self._apart.mark(name, other.id)
            for marked in self._apart.marked(name):
                self._end(rollout, self._looks.get(name), marked)

    def _end(self, rollout: Rollout, look: Look | None, marked: str) -> None:
        other = self._world.rollouts.get(RolloutId(marked))
        if other is None or (other.phase.terminal and not did_harm(other)):
            self._apart.unmark(rollout.id, marked)
            return
        end = over(other)
        if end is not None and look is not None and look.at >= end + rollout.policy.interval:
            self._apart.leave_out(rollout.id, marked)

    def around(self, rollout: Rollout, policies: Policies, now: Instant) -> Around:
        """Return what goes on beneath a rollout's service."""
        services = self.beneath(policies, rollout.place)
        if not services:
            return ALONE
        others = [one for one in self._others(rollout.place, services) if one.had_traffic and _meet(rollout, one)]
        found = []
        for other in others:
            one = suspect(other, self._looks.get(other.id), now)
            if one is not None and lasts(one, rollout, now):
                found.append((one, self.beneath(policies, other.place)))
        around = Around(
            suspects=deepest_first(found), counted=frozenset(map(RolloutId, self._apart.marked(rollout.id)))
        )
        look = self._looks.get(rollout.id)
        if critical(look, shared=True) is None:
            return around
        return Around(
            suspects=around.suspects, counted=around.counted, cause=self._cause(around, others, services, now)
        )

    def _cause(self, around: Around, others: Iterable[Rollout], services: frozenset[str], now: Instant) -> str:
        """Say what probably breaks both tracks alike: who is suspected, what changes beneath, what is alerted of."""
        if around.suspects:
            one = around.suspects[0]
            return f"probably {one}, which it depends on: {one.text}"
        for other in others:
            if not other.phase.terminal and other.step_ordered is not None:
                since = duration(now - (other.canary_since or other.step_ordered))
                what = f"{other.place.service} {other.revision} ({other.id})"
                return f"possibly {what}, which it depends on: its canary got users {since} ago"
        for alert in self._world.alerts.values():
            named = services.intersection(alert.labels.values())
            if named:
                what = alert.labels.get("alertname", "")
                return f"possibly {min(named)}, which it depends on: alert {what} is firing"
        return ""


def _meet(rollout: Rollout, other: Rollout) -> bool:
    """Whether users of the other's canary and the rollout's own time have any moment in common."""
    end, since = over(other), rollout.started_at if rollout.started_at is not None else rollout.opened_at
    return end is None or end > since
