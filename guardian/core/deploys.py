"""A deploy event comes in: what becomes of it, and of rollouts of the same place before it."""

from __future__ import annotations

import hashlib
import re

from guardian.core import records as r
from guardian.core.alerts import touches, weigh_into
from guardian.core.draft import Draft
from guardian.core.effects import Preflight
from guardian.core.facts import DeployRequested
from guardian.core.model import Change, Driver, EventRef, Instant, Mode, Phase, RolloutId, Seconds
from guardian.core.outcomes import begin
from guardian.core.overlaps import in_circle
from guardian.core.policies import Policies
from guardian.core.policy import Concurrency, Match, Policy
from guardian.core.rollback import take_back
from guardian.core.rollout import Rollout
from guardian.core.sentences import duration
from guardian.core.strategies import Canary
from guardian.core.world import PlaceState, World
from guardian.errors import PolicyError

NO_POLICY = Policy(name="(none)", match=Match(service=""), strategy=Canary(plan=()), guardrails=(), mode=Mode.OBSERVE)
"""What a rollout is rejected under when no policy matches it."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")  # ids stand in URLs, effect ids and log fields


def rollout_id(service: str, event: EventRef) -> RolloutId:
    """Return the id of the rollout that this event begins: the same on every replay.

    >>> rollout_id("checkout", EventRef(source="ci/shop/42", id="8a6f"))
    'checkout-9907d8c65a'
    """
    digest = hashlib.sha256(f"{event.source}\0{event.id}".encode()).hexdigest()
    return RolloutId(f"{_UNSAFE.sub('-', service)}-{digest[:10]}")


def take_in(world: World, policies: Policies, request: DeployRequested, now: Instant) -> list[r.Record]:
    """Return what follows from a deploy event: a rollout, a rejection, or a note that nothing does."""
    place, state = request.place, world.place(request.place)
    refusal = ""
    try:
        policy = policies.find(place, request.policy)
    except PolicyError as error:
        policy, refusal = NO_POLICY, str(error)
    running = world.rollouts.get(state.running) if state.running else None
    if (why := _ignored(world, request, running, policy)) is not None:
        return [r.Noted(at=now, reason=why, place=place)]
    refusal = refusal or _refused(state, request, running, policy, now)
    records: list[r.Record] = []
    if policy.digest not in world.policies:
        records.append(r.PolicyAdopted(at=now, digest=policy.digest, policy=policy))
    if not refusal and policy.concurrency is Concurrency.SUPERSEDE:
        records += _superseded(world, state, request, now)
    draft = _opened(state, request, policy, now)
    if refusal:
        draft.end(Phase.REJECTED, refusal)
    elif circle := in_circle(world, policies, place, request.depends_on):
        draft.note(circle)
    return records + draft.records


def _opened(state: PlaceState, request: DeployRequested, policy: Policy, now: Instant) -> Draft:
    opened = r.Opened(
        rollout=rollout_id(request.place.service, request.event),
        at=now,
        request=request,
        policy=policy.digest,
        verified=state.verified,
        reason=f"{request.revision} of {request.place} is to go out",
    )
    return Draft.open(opened, policy)


def _ignored(world: World, request: DeployRequested, running: Rollout | None, policy: Policy) -> str | None:
    identity = rollout_id(request.place.service, request.event)
    if identity in world.rollouts:
        return f"the event that began {identity} came again"
    for waiting in (world.rollouts[name] for name in world.place(request.place).queue):
        if request.revision == waiting.revision and not request.retry:
            return f"{request.revision} waits already as {waiting.id}"
    if (why := _stale(world, request, running)) is not None:
        return why
    if running is None or running.phase.terminal:
        return None
    if (age := older(request.time, running, policy.skew)) is not None:
        return f"event for {request.revision} is {age} older than that of the running {running.revision}: ignored"
    going_back = running.phase is Phase.ROLLING_BACK
    if request.revision == running.revision and not request.retry and not going_back:
        return f"{request.revision} is going out already as {running.id}"
    return None


def _stale(world: World, request: DeployRequested, running: Rollout | None) -> str | None:
    """Say that an event of before the newest rollout asks for what stable runs anyway; None where it does not.

    Events come late and out of order, by clocks that differ: the workload settles which of two was the later.
    """
    state = world.place(request.place)
    newest = running if running is not None and not running.phase.terminal else None
    if newest is None and state.last is not None:
        newest = world.rollouts.get(state.last)
    if newest is None or request.retry or request.revision == newest.revision:
        return None
    age = older(request.time, newest, Seconds(0.0))
    if age is None or request.revision != (newest.stable or state.verified):
        return None
    what = f"stable runs {request.revision}" if newest.phase is not Phase.VERIFIED else "it was replaced by that"
    return (
        f"event for {request.revision} is {age} older than that of {newest.revision} ({newest.id}), and {what}: "
        "ignored; to have it all the same, send the event with retry: true"
    )


def older(time: Instant, rollout: Rollout, skew: Seconds | None = None) -> str | None:
    """Return by how much an event is older than the rollout's own, None within the skew (default: its policy's).

    An event cannot be later than it came: a clock ahead of ours must not make all that follows too old.
    """
    age = min(rollout.event_time, rollout.opened_at) - time
    return duration(age) if age > (rollout.policy.skew if skew is None else skew) else None


def _refused(state: PlaceState, request: DeployRequested, running: Rollout | None, policy: Policy, now: Instant) -> str:
    until = state.refuses(request.revision, now)
    if until is not None and not request.retry:
        return (
            f"{request.revision} was rolled back here and is refused for {duration(until - now)}; "
            "send the event with retry: true (`guardian deploy --retry`) to try it again"
        )
    if request.driver is Driver.GUARDIAN:
        if policy.mode is Mode.OBSERVE:
            return (
                "mode observe only watches rollouts that somebody else has started; "
                "send deploy.started, or set spec.mode to enforce or advise"
            )
        if policy.router is None:
            return "the policy names no router that could move its traffic; add spec.router, or send deploy.started"
        if request.change is not Change.IMAGE and policy.router.kind != "webhook":
            return f"a change of kind {request.change} can only be watched here; send deploy.started"
    if running is not None and not running.phase.terminal and policy.concurrency is Concurrency.REJECT:
        return f"{running.id} ({running.revision}) is running and the policy says concurrency: reject"
    return ""


def _superseded(world: World, state: PlaceState, request: DeployRequested, now: Instant) -> list[r.Record]:
    reason = f"superseded by {request.revision}"
    records: list[r.Record] = []
    for waiting in state.queue:
        draft = Draft(world.rollouts[waiting], now)
        draft.end(Phase.SUPERSEDED, reason, why=r.Why.SUPERSEDED)
        records += draft.records
    running = world.rollouts.get(state.running) if state.running else None
    if running is not None and not running.phase.terminal:
        draft = Draft(running, now)
        if running.phase is not Phase.ROLLING_BACK:
            take_back(draft, why=r.Why.SUPERSEDED, outcome=Phase.SUPERSEDED, reason=reason)
        records += draft.records
    return records


def start_next(world: World, state: PlaceState, now: Instant) -> Draft | None:
    """Start the rollout that waits longest for a place, if the place is free."""
    if state.running is not None or not state.queue:
        return None
    draft = Draft(world.rollouts[state.queue[0]], now)
    rollout = draft.rollout
    draft.add(r.Started(rollout=rollout.id, at=now, reason=f"{rollout.revision} starts in {rollout.place}"))
    for alert in world.alerts.values():
        if (rule := touches(rollout, alert)) is not None:
            weigh_into(draft, alert, rule, None)
    if rollout.policy.router is None and rollout.policy.workload is None and not rollout.policy.probes:
        draft.add(r.PreflightPassed(rollout=rollout.id, at=now))
        begin(draft)
    else:
        effect = Preflight(id=draft.effect_id("preflight"), place=rollout.place, revision=rollout.revision)
        draft.order(effect)
    return draft
