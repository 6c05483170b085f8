"""What would change the verdict of a rollout that runs or ran: forecasts from the totals of its newest look.

The samples are not kept, so nothing is judged anew here: evidence is carried on from its present value by the growth
that requests independent of each other, or users who stick, would give it (analysis.power). Pods that differ need
more. For recorded samples counterfactual.py tries the judge itself. Only error ratios are reckoned; other kinds have no
count to change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import msgspec
import numpy as np

from analysis.power import ratio_growth
from guardian.core.foresight import Traffic, foresee
from guardian.core.looks import GuardrailLook, Look
from guardian.core.model import Instant, Phase, Value
from guardian.core.policy import Compare, Guardrail, Policy, RatioSli
from guardian.core.records import Why
from guardian.core.rollout import Rollout

_LEAST_BAD = 0.5
"""Stands in for stable's bad requests where there were none."""


class Tally(Value, frozen=True, kw_only=True):
    """Totals of both tracks since the canary's first traffic. log_harm: evidence of this guardrail alone."""

    guardrail: str
    requests: float
    bad: float
    stable_requests: float
    stable_bad: float
    log_harm: float


class Supposition(Value, frozen=True, kw_only=True):
    """A forecast. requests: bad requests more (< 0: fewer) at which the rollback evidence crosses its threshold.

    None: no number of them does. rolled: the evidence as it stands is enough to roll back. margin: relative rollback
    margin at which it crosses; None: none >= 1 does.
    """

    tally: Tally
    rolled: bool
    requests: int | None
    margin: float | None


class Waiting(Value, frozen=True, kw_only=True):
    """Seconds that are still wanted at this guardrail's traffic; inf: never at this pace, None: not reckoned.

    sample: to the requests that the step asks for. promotion: to the promotion evidence, for a canary like stable.
    """

    guardrail: str
    sample: float
    promotion: float | None


def tallies(rollout: Rollout, look: Look | None) -> tuple[Tally, ...]:
    """Return the totals of each error ratio that compares: at the rollback, or else at the newest look."""
    known = {one.name: one for one in rollout.policy.participating if isinstance(one.sli, RatioSli)}
    cause = rollout.cause
    if cause is not None:
        note = cause.evidence
        if cause.why is not Why.GUARDRAIL or note is None or note.guardrail not in known or note.harm <= 0:
            return ()
        if note.canary.requests <= 0 or note.baseline.requests <= 0:
            return ()
        return (
            Tally(
                guardrail=note.guardrail, requests=note.canary.requests, bad=note.canary.bad,
                stable_requests=note.baseline.requests, stable_bad=note.baseline.bad,
                log_harm=math.log(note.harm * len(rollout.policy.participating)),
            ),
        )  # fmt: skip
    if look is None:
        return ()
    return tuple(_tally(one) for one in look.guardrails if one.name in known and one.participates and _has_data(one))


def _has_data(one: GuardrailLook) -> bool:
    return one.canary.requests > 0 and one.baseline.requests > 0 and not math.isnan(one.log_harm)


def _tally(one: GuardrailLook) -> Tally:
    return Tally(
        guardrail=one.name, requests=one.canary.requests, bad=one.canary.bad, stable_requests=one.baseline.requests,
        stable_bad=one.baseline.bad, log_harm=one.log_harm,
    )  # fmt: skip


def suppose(policy: Policy, tally: Tally) -> Supposition:
    """Return at how many bad requests more or fewer, and at which margin, the rollback verdict would flip."""
    guardrail = policy.guardrail(tally.guardrail)
    threshold = math.log(len(policy.participating) / policy.risk.false_rollback)
    rolled = tally.log_harm >= threshold
    now = _growth(guardrail, tally, bad=tally.bad)

    effective = tally.requests / policy.dispersion(guardrail)

    def reaches(growth: float) -> bool:
        return tally.log_harm + effective * (growth - now) >= threshold

    def more(count: int) -> bool:
        return reaches(_growth(guardrail, tally, bad=tally.bad + count)) != rolled

    def fewer(count: int) -> bool:
        return reaches(_growth(guardrail, tally, bad=tally.bad - count)) != rolled

    most = int(tally.bad if rolled else tally.requests - tally.bad)
    requests = first(fewer if rolled else more, most)
    return Supposition(
        tally=tally,
        rolled=rolled,
        requests=None if requests is None else (-requests if rolled else requests),
        margin=_margin(guardrail, tally, reaches, rolled=rolled),
    )


def _margin(guardrail: Guardrail, tally: Tally, reaches: Callable[[float], bool], *, rolled: bool) -> float | None:
    now = _compare(guardrail).rollback.relative

    def at(steps: int) -> float:
        return now + (steps if rolled else -steps) / 100.0

    def flips(steps: int) -> bool:
        return reaches(_growth(guardrail, tally, bad=tally.bad, relative=at(steps))) != rolled

    steps = first(flips, 10_000 if rolled else int((now - 1.0) * 100.0 + 1e-9))
    return None if steps is None else round(at(steps), 4)


def first(holds: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest of 1..most for which a claim that stays true holds; None where it never does.

    >>> first(lambda count: count * count > 50, 100), first(lambda count: False, 100)
    (8, None)
    """
    if most < 1 or not holds(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _compare(guardrail: Guardrail) -> Compare:
    if guardrail.compare is None:
        raise ValueError(f"guardrail {guardrail.name!r} compares nothing")
    return guardrail.compare


def _growth(guardrail: Guardrail, tally: Tally, *, bad: float, relative: float | None = None) -> float:
    """Log evidence per canary request, had `bad` of them failed and were the relative margin this."""
    margin = _compare(guardrail).rollback
    stable = max(tally.stable_bad, _LEAST_BAD) / tally.stable_requests
    theta = (margin.relative if relative is None else relative) + margin.absolute / stable
    share = tally.requests / (tally.requests + tally.stable_requests)
    rates = {"stable_rate": np.array(stable), "canary_rate": np.array(min(bad / tally.requests, 1.0 - 1e-9))}
    if bad <= 0:
        return 0.0
    return float(ratio_growth(**rates, theta=np.array(theta), weight=np.array(share)))


def waits(rollout: Rollout, look: Look | None, now: Instant) -> Iterator[Waiting]:
    """Yield what each guardrail still wants of time in the present step, at the traffic seen in it so far."""
    if look is None or rollout.phase is not Phase.PROGRESSING or rollout.step_began is None:
        return
    lasted = min(look.at, now) - rollout.step_began
    for one in look.guardrails:
        if not one.participates or one.step_requests <= 0 or lasted <= 0:
            continue
        rate = one.step_requests / lasted
        yield Waiting(
            guardrail=one.name,
            sample=max(one.needed - one.step_requests, 0.0) / rate,
            promotion=_promotion(rollout, one, rate),
        )


def _promotion(rollout: Rollout, one: GuardrailLook, rate: float) -> float | None:
    """Return seconds to the promotion evidence by `guardian plan`'s forecast, less what is gathered; ratios only."""
    step = rollout.current
    guardrail = rollout.policy.guardrail(one.name)
    if step is None or not isinstance(guardrail.sli, RatioSli) or not _has_data(one) or not 0 < step.weight < 1:
        return None
    alone = msgspec.structs.replace(rollout.policy, guardrails=(guardrail,))
    errors = max(one.baseline.bad, _LEAST_BAD) / one.baseline.requests
    traffic = Traffic(requests={one.name: rate / step.weight}, errors={one.name: errors})
    sights = foresee(alone, traffic)[rollout.step].sights
    wanted = -math.log(rollout.policy.risk.false_promotion)
    gathered = min(max(one.log_safe / wanted, 0.0), 1.0)
    return float(sights[0].promote) * (1.0 - gathered) if sights and gathered < 1.0 else 0.0
