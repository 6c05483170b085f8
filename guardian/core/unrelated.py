"""Why an alert touches no running rollout: for the journal and for who sent it. Answers only that; decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

from guardian.core.alerts import DEFAULT, TOUCHABLE, fits, is_there
from guardian.core.facts import AlertSeen
from guardian.core.policies import Policies
from guardian.core.policy import Policy
from guardian.core.rollout import Rollout
from guardian.core.world import World


def unrelated(alert: AlertSeen, policies: Policies, world: World) -> str:
    """Return, as one sentence, why this alert touches no running rollout. It must be known that it touches none."""
    name, status = alert.labels.get("alertname", ""), "firing" if alert.firing else "resolved"
    return f"alert {name} ({status}) touches no running rollout: {_why(alert, policies, world)}"


def _why(alert: AlertSeen, policies: Policies, world: World) -> str:
    services = [name for name in alert.labels.values() if policies.of_service(name) or name in world.services]
    if not services:
        return _no_service(alert, policies)
    service = next((name for name in services if name == alert.labels.get(DEFAULT.service)), services[0])
    running = [rollout for rollout in _running(world, service) if is_there(alert, rollout.place)]
    if running:
        return _not_that(alert, running)
    environment = alert.labels.get("environment", "")
    known = policies.of_service(service)
    in_force = [policy for policy in known if not environment or policy.match.environment in ("", environment)]
    if known and not in_force:
        there = ", ".join(f"'{policy.match.environment}'" for policy in known)
        return f"no policy of '{service}' is for environment '{environment}', only for {there}"
    if in_force and not any(_has_rule(policy, alert, service) for policy in in_force):
        return _no_rule(alert, in_force)
    where = "/".join(part for part in (environment, alert.labels.get("region", "")) if part)
    return f"no rollout of '{service}' is open" + (f" in '{where}'" if where else "")


def _no_service(alert: AlertSeen, policies: Policies) -> str:
    label = DEFAULT.service
    named = alert.labels.get(label, "")
    if not named:
        return f"it names no service; give it the label '{label}', or name another one in spec.alerts[].service"
    near = policies.nearest(named)
    return f"no policy is for service '{named}'" + (f"; did you mean '{near}'?" if near else "")


def _not_that(alert: AlertSeen, running: Sequence[Rollout]) -> str:
    """Why it touches none of the rollouts that run where it is about."""
    meant = [one for one in running if _has_rule(one.policy, alert, one.place.service)]
    if not meant:
        return _no_rule(alert, [rollout.policy for rollout in running])
    return ", ".join(f"{one.id} is in phase {one.phase}" for one in meant if one.phase not in TOUCHABLE)


def _no_rule(alert: AlertSeen, policies: Sequence[Policy]) -> str:
    rules = [rule for policy in policies for rule in policy.alerts or (DEFAULT,)]
    asked = dict.fromkeys(label for rule in rules for label in (*rule.match, rule.service))
    told = ", ".join(f"{label}={alert.labels[label]}" if label in alert.labels else f"no {label}" for label in asked)
    names = ", ".join(dict.fromkeys(policy.name for policy in policies))
    return f"no rule of policy {names} matches {told}"


def _has_rule(policy: Policy, alert: AlertSeen, service: str) -> bool:
    return any(fits(rule, alert, service) for rule in policy.alerts or (DEFAULT,))


def _running(world: World, service: str) -> list[Rollout]:
    states = (world.place(place) for place in world.services.get(service, ()))
    return [world.rollouts[state.running] for state in states if state.running is not None]
