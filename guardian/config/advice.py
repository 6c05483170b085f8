"""What is lawful in a policy and yet likely not meant: advice, with its place. Errors are guardian.config.policy's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from guardian.config.findings import Finding, Severity
from guardian.config.policy import PolicyFile
from guardian.config.source import YamlPath
from guardian.config.units import format_duration, format_share
from guardian.core.model import Mode, Track
from guardian.core.policy import CountSli, Guardrail, HistogramSli, Policy, RatioSli, Scope, full
from guardian.core.strategies import Canary

HISTORY: float = 1800.0
"""Seconds of stable history it takes to learn how much equal pods differ."""
_SECRET: Final = re.compile(r"(?i)auth|token|secret|cookie|api-?key")
_LOGIN: Final = re.compile(r"\w+://[^/@]+@")
_Said = tuple[YamlPath, str, str]


def advice(file: PolicyFile) -> list[Finding]:
    """Return what is unwise in a policy that is valid; nothing for one that is not."""
    if file.policy is None:
        return []
    said = [
        *_mode(file.policy),
        *_steps(file.policy, file.document.file),
        *_approvals(file.policy),
        *_reach(file.policy),
        *_exposure(file.policy),
        *_sessions(file.policy),
        *_control(file.policy),
        *_secrets(file.policy),
    ]
    for number, guardrail in enumerate(file.policy.guardrails):
        path: YamlPath = ("spec", "guardrails", number)
        found = (*_guardrail(guardrail), *_burn_rate(guardrail, file.policy.history))
        said += [(path + below, what, remedy) for below, what, remedy in found]
    return [
        Finding(severity=Severity.ADVICE, what=what, where=file.document.where(path), remedy=remedy)
        for path, what, remedy in said
    ]


def _mode(policy: Policy) -> Iterator[_Said]:
    path: YamlPath = ("spec", "mode")
    production = "prod" in policy.match.environment.lower() or not policy.match.environment
    if policy.mode is Mode.ENFORCE and production:
        what = "mode enforce moves production traffic from the first rollout on"
        yield path, what, "for a first policy write mode: observe, send deploy.started, and read `guardian explain`"
    if policy.mode is Mode.OBSERVE and policy.router is not None:
        yield path, "mode observe never uses the router", "write mode: enforce or advise when you trust it"
    if policy.mode is not Mode.OBSERVE and policy.router is None and policy.workload is None:
        what = "without router and workload the guardian can judge only what somebody else has started"
        yield ("spec",), what, "send deploy.started events, or add spec.router"


def _steps(policy: Policy, file: str) -> Iterator[_Said]:
    path: YamlPath = ("spec", "strategy", "steps")
    if not policy.strategy.splits:
        return
    comparable = [step for step in policy.strategy.steps() if not full(step.weight)]
    if not policy.participating:
        yield ("spec", "guardrails"), "no guardrail compares: no promote verdict is asked", "remove compare: none"
        return
    if not comparable:
        what = "no step has traffic on both tracks: nothing can be compared before all traffic has moved"
        yield path, what, "add a step such as {weight: 10%, bake: 5m}"
        return
    last = (*path, len(comparable) - 1)
    weight, earliest = format_share(comparable[-1].weight), policy.risk.earliest_promotion
    baked = sum(step.bake for step in comparable)
    what = f"the step at {weight} is the last that compares: it extends itself until the promote verdict"
    if earliest > baked:
        what += f", not before {format_duration(earliest)} of canary traffic (the bakes are {format_duration(baked)})"
    yield last, what, f"`guardian plan {file}` says how long your traffic takes"


def _approvals(policy: Policy) -> Iterator[_Said]:
    for number, step in enumerate(policy.strategy.steps()):
        if step.approval is not None and step.approval.role:
            path: YamlPath = ("spec", "strategy", *_place(policy, number), "approval", "role")
            what = f"role '{step.approval.role}' is shown to people and not checked by this version"
            yield path, what, "whoever may use the API may approve: keep its token to those people"


def _place(policy: Policy, number: int) -> YamlPath:
    return ("steps", number) if isinstance(policy.strategy, Canary) else ("preview",)


def _reach(policy: Policy) -> Iterator[_Said]:
    if policy.risk.false_rollback > 0.1:
        what = f"one healthy rollout in {1 / policy.risk.false_rollback:.0f} would be rolled back"
        yield ("spec", "risk", "false_rollback"), what, "1% is usual"
    if policy.history < HISTORY and policy.participating:
        what = f"{format_duration(policy.history)} of stable history is too short to learn how much equal pods differ"
        yield ("spec", "history"), what, "write 30m or more"


def _exposure(policy: Policy) -> Iterator[_Said]:
    """Say by what events are judged where no guardrail counts requests."""
    for number, guardrail in enumerate(policy.guardrails):
        if isinstance(guardrail.sli, CountSli) and policy.exposing is None:
            what = (
                f"no guardrail counts requests: '{guardrail.name}' is judged by the weight, in equal parts for all pods"
            )
            remedy = "add a ratio or a histogram: then each pod's events are judged by its own requests"
            yield ("spec", "guardrails", number, "sli", "count"), what, remedy


def _sessions(policy: Policy) -> Iterator[_Said]:
    """Say where a step ends before its users came: those with a session stay where a former weight put them."""
    if policy.affinity is None:
        return
    session = policy.affinity.session
    for number, step in enumerate(policy.strategy.steps()):
        if step.bake < session and 0 < step.weight < 1:
            ends = f"a step of {format_duration(step.bake)} ends before its {format_share(step.weight)} are served"
            remedy = f"write bake: {format_duration(session)}, or expect the canary to get less than its weight"
            path: YamlPath = ("spec", "strategy", "steps", number)
            yield path, f"{ends}: users keep their track for {format_duration(session)}", remedy


def _control(policy: Policy) -> Iterator[_Said]:
    """Say what a control track makes needless."""
    for number, guardrail in enumerate(policy.guardrails if policy.baseline is Track.CONTROL else ()):
        if guardrail.compare is not None and guardrail.compare.fresh_pods:
            path: YamlPath = ("spec", "guardrails", number, "compare", "fresh_pods")
            what = "fresh_pods changes nothing beside labels.control: control's pods are as fresh as the canary's"
            yield path, what, "remove it"


def _secrets(policy: Policy) -> Iterator[_Said]:
    """Policies are journaled in full, and shown to whoever may ask: they are no place for a secret."""
    for number, probe in enumerate(policy.probes):
        path: YamlPath = ("spec", "probes", number, probe.kind)
        headers = probe.options.get("headers")
        found: list[YamlPath] = [
            (*path, "headers", name) for name in (headers if isinstance(headers, dict) else ()) if _SECRET.search(name)
        ]
        if _LOGIN.match(str(probe.options.get("url", ""))):
            found.append((*path, "url"))
        for at in found:
            what = "this looks like a secret, and a policy is journaled in full"
            yield at, what, "probe an address that needs none, such as a health endpoint inside the cluster"


def _guardrail(guardrail: Guardrail) -> Iterator[_Said]:
    sli, objective = guardrail.sli, guardrail.objective
    if isinstance(sli, RatioSli) and objective is not None and objective.target < 0.5:
        what = f"the target {format_share(objective.target)} is a share of GOOD events"
        yield ("objective", "target"), what, f"write {format_share(1 - objective.target)} if errors were meant"
    if isinstance(sli, RatioSli) and sli.bad == sli.total:
        yield ("sli", "ratio", "bad"), "bad and total are the same series", "narrow 'bad', by status for example"
    if isinstance(sli, HistogramSli) and "_bucket" not in sli.buckets:
        what = f"'{sli.buckets}' does not look like the buckets of a histogram"
        yield ("sli", "histogram", "buckets"), what, "name the series that ends with _bucket"


def _burn_rate(guardrail: Guardrail, history: float) -> Iterator[_Said]:
    """Say which pairs of windows will say nothing, or rest on less than they are for."""
    objective = guardrail.objective
    if objective is None or objective.burn_rate is None:
        return
    path: YamlPath = ("objective", "burn_rate")
    fastest = objective.fastest_burn
    for pair, limit in objective.burn_rate.pages:
        if limit >= fastest:
            windows = f"{format_duration(pair.long)} and {format_duration(pair.short)}"
            what = (
                f"{windows} never page: they do from burn rate {limit:.3g} on, and there can be {fastest:.3g} at most"
            )
            yield path, what, "ask for a larger share of good requests, or leave it to the other windows and `critical`"
    longest = objective.burn_rate.pages[0][0].long
    if objective.scope is Scope.SERVICE and history < longest:
        what = f"the service's last hour is judged on {format_duration(history)} of history at first"
        yield path, what, f"write history: {format_duration(longest)}, if the metric source can give as much at once"
