"""What the API shows of a rollout: stable names, times in RFC 3339, shares in 0..1. Computes nothing new."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from guardian.core.engine import Engine
from guardian.core.explain import Explanation, queued_behind
from guardian.core.gates import missing
from guardian.core.looks import Look
from guardian.core.model import Change, Driver, Instant, Mode, Phase, RolloutId, Verdict
from guardian.core.monitor import Standing
from guardian.core.records import Evidence, Hold, Proposal, Why
from guardian.core.rollout import Rollout
from guardian.errors import UnknownRollout
from guardian.wire.decisions import rfc3339

API_VERSION: Final = "slo-guardian/v1"


class _View(msgspec.Struct, frozen=True, kw_only=True):
    """Part of an answer; every field is always there, null when it has no value."""


class WeightView(_View, frozen=True, kw_only=True):
    """Canary share of traffic: wanted, read back, and seen with the number of requests it rests on."""

    desired: float
    accepted: float | None
    observed: float | None
    requests: float


class StepView(_View, frozen=True, kw_only=True):
    """One step of the plan; bake and limit in seconds (null: the default, 6 x bake)."""

    weight: float
    bake: float
    limit: float | None
    approval: bool


class HeldView(_View, frozen=True, kw_only=True):
    """Why the engine waits."""

    kind: Hold
    reason: str
    guardrail: str
    since: str


class AwaitingView(_View, frozen=True, kw_only=True):
    """What a person must decide, and until when."""

    proposal: Proposal
    step: int
    reason: str
    since: str
    expires: str | None


class EffectView(_View, frozen=True, kw_only=True):
    """Something that is being done outside and has not ended."""

    id: str
    kind: str
    since: str
    attempts: int
    next_at: str | None


class CauseView(_View, frozen=True, kw_only=True):
    """What ordered the rollback."""

    why: Why
    guardrail: str
    who: str
    reason: str
    at: str


class RolloutView(_View, frozen=True, kw_only=True):
    """One rollout as it stands. step: 0-based, -1 before the first weight. waits: what the step still lacks."""

    id: RolloutId
    service: str
    environment: str
    region: str
    revision: str
    previous: str | None
    goal: str | None
    phase: Phase
    mode: Mode
    strategy: str
    policy: str
    policy_digest: str
    change: Change
    driver: Driver
    author: str
    url: str
    step: int
    steps: tuple[StepView, ...]
    weight: WeightView
    verdict: Verdict | None
    evidence: Evidence | None
    held: HeldView | None
    awaiting: AwaitingView | None
    waits: tuple[str, ...]
    cause: CauseView | None
    effects: tuple[EffectView, ...]
    sequence: int
    opened_at: str
    started_at: str | None
    promoted_at: str | None
    ended_at: str | None
    end_reason: str | None


def view(rollout: Rollout, look: Look | None, now: Instant, *, queued: tuple[str, ...] = ()) -> RolloutView:
    """Return the rollout as the API shows it. queued: what it waits for before it starts."""
    steady = rollout.phase in (Phase.PROGRESSING, Phase.PAUSED)
    return RolloutView(
        id=rollout.id,
        service=rollout.place.service,
        environment=rollout.place.environment,
        region=rollout.place.region,
        revision=rollout.revision,
        previous=rollout.previous,
        goal=rollout.goal,
        phase=rollout.phase,
        mode=rollout.policy.mode,
        strategy=str(rollout.policy.strategy.__struct_config__.tag),
        policy=rollout.policy.name,
        policy_digest=rollout.policy.digest,
        change=rollout.change,
        driver=rollout.driver,
        author=rollout.author,
        url=rollout.url,
        step=rollout.step,
        steps=_steps(rollout),
        weight=_weight(rollout, look),
        verdict=rollout.verdict,
        evidence=rollout.evidence,
        held=_held(rollout),
        awaiting=_awaiting(rollout),
        waits=tuple(item.text for item in missing(rollout, look, now)) if steady else queued,
        cause=_cause(rollout),
        effects=tuple(_effects(rollout)),
        sequence=rollout.sequence,
        opened_at=rfc3339(rollout.opened_at),
        started_at=_time(rollout.started_at),
        promoted_at=_time(rollout.promoted_at),
        ended_at=_time(rollout.ended_at),
        end_reason=rollout.end_reason or None,
    )


class MeasuredView(_View, frozen=True, kw_only=True):
    """Stable against stable at the rollout's service over a trailing span; limits at 95 %, shares in 0..1."""

    sentence: str
    windows: int
    false_rollbacks: int
    lower: float | None
    upper: float | None
    risk: float
    guardrails: dict[str, int]
    left_out: int
    since: str | None
    newest: str | None
    complete: bool
    exceeded: bool
    problem: str


def explained(explanation: Explanation) -> dict[str, object]:
    """Return an explanation as the API tells it, with times in RFC 3339 like every other time of the API."""
    return {
        **msgspec.structs.asdict(explanation),
        "history_at": [rfc3339(at) for at in explanation.history_at],
        "measured": _measured(explanation.measured) if explanation.measured is not None else None,
    }


def _measured(found: Standing) -> MeasuredView:
    told = msgspec.structs.asdict(found) | {"since": _time(found.since), "newest": _time(found.newest)}
    return MeasuredView(sentence=found.sentence, **told)


def _time(at: Instant | None) -> str | None:
    return None if at is None else rfc3339(at)


def _steps(rollout: Rollout) -> tuple[StepView, ...]:
    return tuple(
        StepView(weight=step.weight, bake=step.bake, limit=step.limit, approval=step.approval is not None)
        for step in rollout.steps
    )


def _weight(rollout: Rollout, look: Look | None) -> WeightView:
    seen = look.observed if look is not None else None
    return WeightView(
        desired=rollout.desired,
        accepted=rollout.accepted,
        observed=seen.share if seen is not None else None,
        requests=seen.requests if seen is not None else 0.0,
    )


def _held(rollout: Rollout) -> HeldView | None:
    held = rollout.held
    if held is None:
        return None
    return HeldView(kind=held.hold, reason=held.reason, guardrail=held.guardrail, since=rfc3339(held.at))


def _awaiting(rollout: Rollout) -> AwaitingView | None:
    waiting = rollout.awaiting
    if waiting is None:
        return None
    return AwaitingView(
        proposal=waiting.proposal,
        step=waiting.step,
        reason=waiting.reason,
        since=rfc3339(waiting.since),
        expires=_time(waiting.expires),
    )


def _cause(rollout: Rollout) -> CauseView | None:
    cause = rollout.cause
    if cause is None:
        return None
    return CauseView(why=cause.why, guardrail=cause.guardrail, who=cause.who, reason=cause.reason, at=rfc3339(cause.at))


def _effects(rollout: Rollout) -> Iterator[EffectView]:
    for pending in rollout.effects:
        yield EffectView(
            id=pending.effect.id,
            kind=str(pending.effect.__struct_config__.tag),
            since=rfc3339(pending.since),
            attempts=pending.attempts,
            next_at=_time(pending.next_at) if pending.next_at else None,
        )


class Listing(_View, frozen=True, kw_only=True):
    """Rollouts, newest first. more: there are older ones than `limit` allowed."""

    apiVersion: str  # noqa: N815  the name users know from YAML
    items: tuple[RolloutView, ...]
    more: bool


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which rollouts; "" is any."""

    service: str = ""
    environment: str = ""
    region: str = ""
    phases: frozenset[Phase] = frozenset()
    open: bool = False
    limit: int = 100

    def fits(self, rollout: Rollout) -> bool:
        place = rollout.place
        return (
            (not self.service or place.service == self.service)
            and (not self.environment or place.environment == self.environment)
            and (not self.region or place.region == self.region)
            and (not self.phases or rollout.phase in self.phases)
            and not (self.open and rollout.phase.terminal)
        )


def listing(engine: Engine, wanted: Wanted, now: Instant) -> Listing:
    """Return the rollouts wanted, of those in memory (all that are open, and the newest that ended)."""
    found: list[RolloutView] = []
    for rollout in reversed(engine.world.rollouts.values()):
        if wanted.fits(rollout):
            if len(found) == wanted.limit:
                return Listing(apiVersion=API_VERSION, items=tuple(found), more=True)
            queued = queued_behind(engine.world, rollout)
            found.append(view(rollout, engine.look(rollout.id), now, queued=queued))
    return Listing(apiVersion=API_VERSION, items=tuple(found), more=False)


def find(engine: Engine, name: str) -> Rollout:
    """Return the rollout of that id. Raises UnknownRollout with ids of the same service."""
    rollout = engine.world.rollouts.get(RolloutId(name))
    if rollout is None:
        service = name.rpartition("-")[0] or name
        near = [one.id for one in engine.world.rollouts.values() if one.place.service == service][-3:]
        remedy = f"the newest of '{service}': {', '.join(near)}" if near else "GET /v1/rollouts lists them"
        raise UnknownRollout(f"there is no rollout '{name}'", remedy=remedy)
    return rollout
