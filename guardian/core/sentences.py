"""Numbers as an operator reads them. Shared by reasons in records and by explain()."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from analysis.users import Users
from guardian.core import records as r
from guardian.core.contest import OLDER
from guardian.core.looks import Breach, Burn, Counted, GuardrailLook, Look, Side, evidence
from guardian.core.model import Instant, Seconds
from guardian.core.policy import CountSli, GaugeSli, Guardrail, HistogramSli, RatioSli

MOST_TOLD: Final = 1e6
"""Evidence of which more is not told: nobody's history is that long."""


def share(value: float) -> str:
    """Format a share.

    >>> share(0.019), share(0.1), share(0.00012), share(1.0)
    ('1.9%', '10%', '0.012%', '100%')
    """
    return f"{100.0 * value:.3g}%"


def weighed(value: float) -> str:
    """Format evidence with three digits, rounded down: what is promised is never more than what was found.

    >>> [weighed(value) for value in (0.0, 0.01239, 19.96, 225.9, 12_345.6, 3e9, float("inf"))]
    ['0', '0.0123', '19.9', '225', '12,300', 'over a million', 'over a million']
    """
    if value >= MOST_TOLD:
        return "over a million"
    if not value > 0.0:
        return "0"
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    floored = math.floor(value / step * (1.0 + 1e-12)) * step
    return f"{floored:,.0f}" if floored >= 100.0 else f"{floored:.3g}"


def duration(seconds: float) -> str:
    """Format a length of time by its two largest units.

    >>> duration(42), duration(372), duration(5400)
    ('42s', '6m12s', '1h30m')
    """
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    if minutes:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    return f"{rest}s"


def latency(seconds: float) -> str:
    """Format a latency.

    >>> latency(0.1234), latency(2.5)
    ('123ms', '2.5s')
    """
    return f"{1000.0 * seconds:.3g}ms" if seconds < 1.0 else f"{seconds:.3g}s"


def quantity(value: float) -> str:
    """Format a number whose unit only the metric knows.

    >>> quantity(1.0234e9), quantity(0.5), quantity(-12345.0), quantity(2e20)
    ('1.023G', '0.5', '-12.35k', '2e+20')
    """
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size <= abs(value) < 1e16:
            return f"{value / (1e3 if letter == 'k' else size):.4g}{letter}"
    return f"{value:.4g}"


def level(guardrail: Guardrail, value: float | None) -> str:
    """Format a track's level in the guardrail's own terms."""
    if value is None:
        return "no data"
    if isinstance(guardrail.sli, RatioSli):
        return share(value)
    if isinstance(guardrail.sli, HistogramSli):
        return latency(value)
    return quantity(value)


def burning(burn: Burn) -> str:
    """Say how fast an error budget is used up: in each window that is known, over all that is known, and too fast when.

    A longer window than what is known has nothing else in it.
    """
    rates = {
        length: rate for pair in burn.pairs for length, rate in zip((pair.long, pair.short), pair.rates, strict=True)
    }
    known = [length for length in sorted(rates) if length <= burn.seen]
    told = [f"{_rate(rates[length])} over {duration(length)}" for length in known]
    if len(known) < len(rates):
        told.append(f"{_rate(rates[max(rates)])} over {duration(burn.seen)} so far")
    text = f"error budget of {burn.period / 86400.0:.3g} days: burn rate {', '.join(told)}"
    fast = next((pair for pair in burn.pairs if pair.found), None)
    if fast is None:
        return text
    return f"{text}, too fast from {fast.limit:.3g} over {duration(fast.long)} and {duration(fast.short)} on"


def _rate(rate: float | None) -> str:
    return "unknown" if rate is None else f"{rate:.3g}"


def broken(guardrail: Guardrail, at: GuardrailLook) -> str:
    """Say what of its critical objective a guardrail breaks; "" where there is none."""
    if at.burn is not None and (at.burn.breach, at.burn.stable) == (Breach.CRITICAL, at.stable_breach):
        return burning(at.burn)
    objective = guardrail.objective
    if objective is None or objective.critical is None:
        return ""
    bound = level(guardrail, objective.critical.bound)
    return f"{objective.breached} {bound} for {duration(objective.critical.lasts)}"


def answers(rollout: str) -> str:
    """Return the two commands that answer what waits for a person."""
    return f"guardian approve {rollout} --reason TEXT, or guardian reject {rollout} --reason TEXT"


def note(side: Side) -> r.SideNote:
    """Return the part of a side that is journaled."""
    return r.SideNote(requests=side.requests, bad=side.bad, level=side.level)


def evidence_note(look: Look, name: str) -> r.Evidence:
    """Return the evidence of one guardrail as it is journaled; `harm` is the one combined over guardrails."""
    at = look.of(name)
    began = look.began if look.began is not None else look.at
    return r.Evidence(
        guardrail=name,
        harm=evidence(look.log_harm),
        safe=evidence(at.log_safe),
        canary=note(at.canary),
        stable=note(at.stable),
        lasted=Seconds(max(0.0, look.at - began)),
        calibrated=at.calibrated,
        moved=at.moved,
        counted=at.counted,
        control=None if at.control is None else note(at.control),
        controls=0 if at.control is None else at.control.pods,
    )


def comparison(guardrail: Guardrail, at: GuardrailLook, lasted: float) -> str:
    """Say what both tracks did: level against level (counts: events against what stable makes), requests, time."""
    if isinstance(guardrail.sli, CountSli):
        seen = _events(at)
    else:
        moved = f" (most at the {share(at.moved)} quantile)" if at.moved else ""
        seen = f"{level(guardrail, at.canary.level)} against {level(guardrail, at.baseline.level)}{_whose(at)}{moved}"
    rests = "" if at.counted is Counted.WEIGHT else f", {at.canary.requests:,.0f} canary {at.counted}"
    return f"{seen}{rests}, {duration(lasted)}"


def _whose(at: GuardrailLook) -> str:
    """Say whom it was compared with, where that is not stable."""
    return "" if at.control is None else f" of {pods_of(at.control.pods)} of its age"


def pods_of(number: int) -> str:
    """Count control pods.

    >>> pods_of(1), pods_of(3)
    ('1 control pod', '3 control pods')
    """
    return f"{number} control pod{'' if number == 1 else 's'}"


def no_control(older: int) -> str:
    """Say what a control track lacks that has no pods of the canary's age, and that old pods do not stand in for them.

    older: pods that carry its label and are too old.
    """
    text = f"{pods_of(older)} began more than {duration(OLDER)} before the canary's first. " if older else ""
    return (
        f"{text}The canary is compared with control pods of its age only, never with old ones: start as many pods of "
        "the old revision as the canary has, and with it"
    )


def _events(at: GuardrailLook) -> str:
    """Say how many events the canary had, and how many stable makes at as many requests, or at the same weight."""
    if at.canary.level is None:
        return "no data"
    got = f"{at.canary.level * at.canary.requests:,.0f} events"
    if at.baseline.level is None:
        return got
    name = "stable" if at.control is None else pods_of(at.control.pods)
    return f"{got} where {name} make{'s' if at.control is None else ''} {at.baseline.level * at.canary.requests:,.0f}"


def _worse(guardrail: Guardrail, at: GuardrailLook) -> str:
    """Say in which way a canary beyond the rollback margin is worse."""
    if isinstance(guardrail.sli, GaugeSli):
        lies = "lies or grows above" if guardrail.sli.worse == "above" else "lies or falls below"
        return f"{lies} what"
    if isinstance(guardrail.sli, CountSli):
        more = (at.canary.level or 0.0) > (at.baseline.level or 0.0)
        return "has more events than" if more else "has fewer events than"
    return "is slower than" if isinstance(guardrail.sli, HistogramSli) else "fails more than"


def crowd(users: Users | None) -> str:
    """Say for which users evidence was corrected; nothing where requests count one by one."""
    if users is None:
        return ""
    return f", and for users who stick to a track: up to {users.dispersion(np.array(np.inf)):.3g} requests count as one"


def rollback_sentence(
    service: str, revision: str, guardrail: Guardrail, look: Look, *, users: Users | None = None
) -> str:
    """Say why the evidence rolls back (STATISTICS section 6): never promises more than was proved or measured.

    users: for whom evidence was corrected, who stick to a track.
    """
    at = look.of(guardrail.name)
    lasted = look.at - (look.began if look.began is not None else look.at)
    value = weighed(evidence(look.log_harm))
    independent = "readings" if at.counted is Counted.READINGS else "requests"
    text = (
        f"{service} {revision} {_worse(guardrail, at)} the margin of '{guardrail.name}' allows: "
        f"{comparison(guardrail, at, lasted)}. Evidence {value}: a healthy release reaches this in at most "
        f"1 of {value} if {independent} are independent"
    )
    if at.calibrated:
        whose = "stable pods" if at.control is None else "pods of its age, the canary's and control's,"
        return f"{text}, corrected for how much {whose} were seen to differ{crowd(users)}"
    lacking = "too little history" if at.control is None else "too little history, or only one pod of its age a track,"
    return f"{text}; uncalibrated: {lacking} to see how much equal pods differ{crowd(users)}"


def without_end(guardrail: str, pod: str) -> str:
    """Say that a histogram's buckets do not say how many requests there are."""
    return (
        f"'{guardrail}': the buckets of pod '{pod}' end without le=\"+Inf\", so how many requests there are is not "
        "known; let the exporter and every relabelling keep that bucket, and the selector include it"
    )


def silence(since: Instant | None, now: Instant) -> str:
    """Say how long nothing came."""
    return "yet" if since is None else f"for {duration(now - since)}"
