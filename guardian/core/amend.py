"""Whether a changed policy is nowhere looser than the one a rollout is judged by."""

from __future__ import annotations

import math
from collections.abc import Iterator

from guardian.core.policy import Guardrail, Policy, Slo


def loosened(old: Policy, new: Policy) -> tuple[str, ...]:
    """Return what the new policy would loosen, or change in a way that evidence already gathered cannot follow."""
    return tuple(_looser(old, new))


def _looser(old: Policy, new: Policy) -> Iterator[str]:
    if old.name != new.name or old.match != new.match:
        yield "it is another policy (name, match)"
    if new.risk.false_promotion > old.risk.false_promotion:
        yield "risk.false_promotion is larger"
    if new.risk.earliest_promotion < old.risk.earliest_promotion:
        yield "risk.earliest_promotion is earlier"
    if new.risk.false_rollback < old.risk.false_rollback:
        yield "risk.false_rollback is smaller, so harm would be acted on later"
    if (old.mode, old.router, old.workload, old.labels) != (new.mode, new.router, new.workload, new.labels):
        yield "mode, router, workload and labels cannot change while it runs"
    yield from _rules(old, new)
    yield from _patience(old, new)
    yield from _steps(old, new)
    for before in old.guardrails:
        after = next((item for item in new.guardrails if item.name == before.name), None)
        if after is None:
            yield f"guardrail '{before.name}' is gone"
        else:
            yield from _guardrail(before, after)
    if {item.name for item in new.guardrails} != {item.name for item in old.guardrails}:
        yield "guardrails cannot be added: the risk was split before the first canary row"


def _rules(old: Policy, new: Policy) -> Iterator[str]:
    if old.on_undecided == "rollback" and new.on_undecided != "rollback":
        yield "on_undecided would hold instead of rolling back"
    if old.first_release == "remove" and new.first_release != "remove":
        yield "first_release would hold instead of removing the canary"
    if new.alerts[: len(old.alerts)] != old.alerts or (new.alerts and not old.alerts):
        yield "alerts: rules can only be added after those there are; the first that matches counts"
    if (old.hold_back, old.history) != (new.hold_back, new.history):
        yield "hold_back and history are what the evidence so far rests on and cannot change"
    if new.attribution.limit > old.attribution.limit or not set(new.depends_on) <= set(old.depends_on):
        yield "attribution.limit cannot grow, and depends_on cannot name more: harm would be acted on later"
    if old.attribution.one_pod == "rollback" and new.attribution.one_pod != "rollback":
        yield "attribution.one_pod would hold instead of rolling back"
    if old.affinity != new.affinity:
        yield "affinity is what the evidence so far rests on and cannot change"
    if old.probes != new.probes:
        yield "probes cannot change while it runs"


def _patience(old: Policy, new: Policy) -> Iterator[str]:
    for name in ("interval", "drain", "unready"):
        if getattr(new, name) > getattr(old, name):
            yield f"{name} cannot grow"
    if new.refuse_for < old.refuse_for:
        yield "refuse_for cannot shrink"


def _steps(old: Policy, new: Policy) -> Iterator[str]:
    before, after = old.strategy.steps(), new.strategy.steps()
    if [step.weight for step in before] != [step.weight for step in after]:
        yield "the weights of the steps cannot change"
        return
    for number, (was, becomes) in enumerate(zip(before, after, strict=True), start=1):
        if becomes.bake < was.bake:
            yield f"step {number} bakes for less time"
        if was.approval is not None and becomes.approval is None:
            yield f"step {number} needs no approval any more"
        if (becomes.limit, was.limit) != (None, None) and becomes.time_limit > was.time_limit:
            yield f"step {number} may be undecided for longer"


def _guardrail(old: Guardrail, new: Guardrail) -> Iterator[str]:
    if (old.sli, old.compare, old.warm_up, old.units) != (new.sli, new.compare, new.warm_up, new.units):
        yield f"'{old.name}': sli, compare, warm_up and units are what the evidence so far rests on and cannot change"
    if new.min_requests != old.min_requests and (new.min_requests or 0) <= (old.min_requests or math.inf):
        yield f"'{old.name}': min_requests is smaller, or was the default, which may ask for more"
    if new.page_after > old.page_after:
        yield f"'{old.name}': page_after is later"
    if old.objective is not None:
        if new.objective is None:
            yield f"'{old.name}': the objective is gone"
        else:
            yield from _objective(old.name, old.objective, new.objective)


def _objective(name: str, old: Slo, new: Slo) -> Iterator[str]:
    about = [(one.breached, one.quantile, one.scope, one.window) for one in (old, new)]
    if about[0] != about[1]:
        yield f"'{name}': side, quantile, scope and window of the objective cannot change"
    sign = 1.0 if old.breached == "above" else -1.0
    yield from _burn_rate(name, old, new, sign)
    for label in ("warning", "critical"):
        was, becomes = getattr(old, label), getattr(new, label)
        if was is None:
            continue
        if becomes is None or sign * becomes.bound > sign * was.bound or becomes.lasts > was.lasts:
            yield f"'{name}': the {label} threshold is looser"


def _burn_rate(name: str, old: Slo, new: Slo, sign: float) -> Iterator[str]:
    if old.burn_rate is None:
        return
    if new.burn_rate is None:
        yield f"'{name}': burn_rate is gone"
    elif new.burn_rate.period > old.burn_rate.period:
        yield f"'{name}': burn_rate is for a longer period, so a faster burn would be allowed"
    if sign * new.target > sign * old.target:
        yield f"'{name}': the target is looser, so burn_rate has a larger error budget"
