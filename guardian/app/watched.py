"""Which services the monitor watches: those of policies and those that were rolled out, where metrics have a past.

A policy without an environment is for every environment of guardian.yaml; an environment with regions is watched in
each of them. Where rollouts went to another region, or named another policy than the one that matches, that is
watched too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from guardian.config.settings import Settings
from guardian.core.model import Place
from guardian.core.policies import Policies
from guardian.core.policy import Policy
from guardian.core.world import World
from guardian.ports import PastSource
from guardian.runtime.monitor import Watched


def watched(
    settings: Settings, policies: Policies, world: World, past: Callable[[Place], Callable[[], PastSource] | None]
) -> Iterator[Watched]:
    """Yield each place and policy once, the policy in force first. past: None where nobody keeps one."""
    told: set[tuple[Place, str]] = set()
    for place, policy in (*_named(settings, policies), *_seen(policies, world)):
        key = (place, policy.digest)
        source = past(place) if policy.participating and key not in told else None
        if source is not None:
            told.add(key)
            yield Watched(place=place, policy=policy, past=source)


def _named(settings: Settings, policies: Policies) -> Iterator[tuple[Place, Policy]]:
    for policy in policies:
        names = [policy.match.environment] if policy.match.environment else list(settings.environments)
        for name in names:
            environment = settings.environments.get(name)
            for region in (environment.regions if environment is not None else ()) or ("",):
                place = Place(service=policy.match.service, environment=name, region=region)
                if policies.find(place) is policy:
                    yield place, policy


def _seen(policies: Policies, world: World) -> Iterator[tuple[Place, Policy]]:
    """Yield the policies of rollouts: the one it has while it is open, else its successor of the same name."""
    for place, state in world.places.items():
        for name in (state.running, state.last, *state.queue):
            rollout = world.rollouts.get(name) if name is not None else None
            if rollout is not None and not rollout.phase.terminal:
                yield place, rollout.policy
            elif rollout is not None and (policy := policies.named(rollout.policy.name)) is not None:
                yield place, policy
