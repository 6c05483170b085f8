"""POST /v1/gate: may something go on with this service now? Rules by name or inline, each of them for real or dry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response

from guardian.core.looks import Breach, GuardrailLook
from guardian.core.model import Place
from guardian.core.policy import Guardrail, HistogramSli, Policy, RatioSli
from guardian.core.sentences import burning, duration
from guardian.core.sentences import level as said
from guardian.errors import EventError, PolicyError
from guardian.web.answers import answer
from guardian.web.body import read_body
from guardian.web.desk import Desk


class Result(StrEnum):
    """How one rule stands; UNKNOWN: too little data, or no objective to judge."""

    PASS = "pass"  # noqa: S105  not a password
    WARNING = "warning"
    FAIL = "fail"
    UNKNOWN = "unknown"


class GateVerdict(StrEnum):
    """The answer over all rules that are not dry."""

    HEALTHY = "healthy"
    FAILED = "failed"
    UNDECIDED = "undecided"


class Unit(StrEnum):
    """What a level is: a share of bad events, seconds at the objective's quantile, or the metric's own number."""

    SHARE = "share"
    SECONDS = "seconds"
    VALUE = "value"


_RESULTS: Final = {
    Breach.NONE: Result.PASS,
    Breach.WARNING: Result.WARNING,
    Breach.CRITICAL: Result.FAIL,
    Breach.UNKNOWN: Result.UNKNOWN,
}


_UNITS: Final[dict[type, Unit]] = {RatioSli: Unit.SHARE, HistogramSli: Unit.SECONDS}


class RuleBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule: a guardrail of the service's policy by name, or one written out as a policy has it."""

    name: str = ""
    guardrail: dict[str, Any] | None = None
    dry_run: bool = False


class GateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked. Without rules: every guardrail of the policy that has an objective."""

    service: str
    environment: str
    region: str = ""
    policy: str | None = None
    rules: tuple[RuleBody, ...] = ()


class RuleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How one rule stands. requests, bad, level (in its unit): of all that was measured."""

    name: str
    result: Result
    dry_run: bool
    requests: float
    bad: float
    level: float | None
    unit: Unit
    reason: str


class GateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, and what it rests on."""

    service: str
    environment: str
    verdict: GateVerdict
    rules: tuple[RuleAnswer, ...]
    problems: tuple[str, ...]


def routes(desk: Desk) -> APIRouter:
    """Return the gate's route."""
    router = APIRouter(tags=["rollouts"])

    @router.post("/v1/gate")
    async def post_gate(request: Request) -> Response:
        """Judge a service's guardrails now, without a rollout."""
        asked = _read(await read_body(request, limit=desk.body_limit))
        place = Place(service=asked.service, environment=asked.environment, region=asked.region)
        policy = desk.engine().policies.find(place, asked.policy)
        rules = list(_rules(desk, policy, asked))
        judged = await desk.gate.judge(place, policy, [guardrail for guardrail, _ in rules])
        answers = tuple(_rule(*rule, look) for rule, look in zip(rules, judged.looks, strict=True))
        return answer(
            GateAnswer(
                service=asked.service,
                environment=asked.environment,
                verdict=verdict(answers),
                rules=answers,
                problems=tuple(judged.problems),
            )
        )

    return router


def _read(body: bytes) -> GateBody:
    try:
        return msgspec.json.decode(body, type=GateBody)
    except msgspec.MsgspecError as error:
        raise EventError(
            f"the question does not read: {error}",
            reason="unparsable",
            remedy='send {"service": ..., "environment": ..., "rules": [{"name": ..., "dry_run": false}]}',
        ) from None


def _rules(desk: Desk, policy: Policy, asked: GateBody) -> Iterator[tuple[Guardrail, bool]]:
    if not asked.rules:
        found = [guardrail for guardrail in policy.guardrails if guardrail.objective is not None]
        if not found:
            raise PolicyError(
                f"no guardrail of policy '{policy.name}' has an objective",
                remedy="add one, or send rules with the guardrail written out",
            )
        yield from ((guardrail, False) for guardrail in found)
        return
    for index, rule in enumerate(asked.rules):
        if (rule.guardrail is None) == (not rule.name):
            raise EventError(
                "needs exactly one of 'name' and 'guardrail'", where=f"rules[{index}]", remedy="leave one out"
            )
        if rule.guardrail is not None:
            yield desk.read_guardrail(rule.guardrail, f"rules[{index}]"), rule.dry_run
        else:
            yield _named(policy, rule.name), rule.dry_run


def _named(policy: Policy, name: str) -> Guardrail:
    try:
        return policy.guardrail(name)
    except KeyError:
        names = ", ".join(guardrail.name for guardrail in policy.guardrails)
        raise PolicyError(f"policy '{policy.name}' has no guardrail '{name}'", remedy=f"it has: {names}") from None


def _rule(guardrail: Guardrail, dry_run: bool, look: GuardrailLook) -> RuleAnswer:  # noqa: FBT001  from a pair
    result = Result.UNKNOWN if guardrail.objective is None else _RESULTS[look.breach]
    return RuleAnswer(
        name=guardrail.name,
        result=result,
        dry_run=dry_run,
        requests=look.canary.requests,
        bad=look.canary.bad,
        level=look.canary.level,
        unit=_UNITS.get(type(guardrail.sli), Unit.VALUE),
        reason=_reason(guardrail, result, look),
    )


def _reason(guardrail: Guardrail, result: Result, look: GuardrailLook) -> str:
    objective = guardrail.objective
    if objective is None:
        return "it has no objective, and without a rollout there is nothing to compare with"
    if result is Result.UNKNOWN:
        return "no data in its window; check the selector and that the service has traffic"
    if look.burn is not None and look.breach is not Breach.NONE and look.burn.breach is look.breach:
        return f"{burning(look.burn)} ({result.value})"
    level = {Result.FAIL: objective.critical, Result.WARNING: objective.warning}.get(result)
    if level is None:
        return "within its objective"
    bound = said(guardrail, level.bound)
    return f"{objective.breached} {bound} for {duration(level.lasts)} ({result.value})"


def verdict(rules: Sequence[RuleAnswer]) -> GateVerdict:
    """Return the verdict: one failure fails it, else one unknown leaves it undecided; dry rules do not count.

    >>> verdict(())
    <GateVerdict.HEALTHY: 'healthy'>
    """
    results = {rule.result for rule in rules if not rule.dry_run}
    if Result.FAIL in results:
        return GateVerdict.FAILED
    return GateVerdict.UNDECIDED if Result.UNKNOWN in results else GateVerdict.HEALTHY
