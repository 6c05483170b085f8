"""Flagger -> policies: a Canary with rising weights, and the MetricTemplates it names.

Source: flagger.app/v1beta1, docs/gitbook/usage/how-it-works.md and pkg/controller/scheduler.go of fluxcd/flagger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from guardian.config.units import format_duration
from guardian.errors import ConfigError
from guardian.importing.draft import Draft, Step, Value, plan_of
from guardian.importing.flagger_checks import Names, checks_of, telling
from guardian.importing.gather import Gathering, Left, Wanted, leave
from guardian.importing.manifests import Manifest, Node, begins_with

_API: Final = "flagger.app/v1beta1"
VERSIONS: Final = {"Canary": _API, "MetricTemplate": _API}
_SPEC: Final = {
    "analysis": "", "canaryAnalysis": "", "targetRef": "", "service": "", "provider": "",
    "progressDeadlineSeconds": "a canary none of whose pods is ready goes back after `unready` (default 1m)",
    "skipAnalysis": "nothing skips the analysis: `guardian promote --reason TEXT` passes a step",
    "autoscalerRef": "scaling is the workload's matter",
    "autoscalerRefs": "scaling is the workload's matter",
    "ingressRef": "only istio and haproxy are routers of ours",
    "routeRef": "only istio and haproxy are routers of ours",
    "upstreamRef": "only istio and haproxy are routers of ours",
    "metricsServer": "write the address in guardian.yaml: environments.NAME.metrics.url",
    "revertOnDeletion": "removing a policy leaves the traffic where it is",
    "suspend": "write mode: observe, or take the policy away",
}  # fmt: skip
_ANALYSIS: Final = {
    "interval": "", "threshold": "", "maxWeight": "", "stepWeight": "", "stepWeights": "", "metrics": "",
    "webhooks": "", "iterations": "", "match": "",
    "stepWeightPromotion": "promotion is one step to 100 %",
    "alerts": "write notifiers in guardian.yaml (docs/reference/settings.md)",
    "mirror": "strategy shadow is not built yet: no requests are mirrored before the first step",
    "mirrorWeight": "strategy shadow is not built yet: no requests are mirrored before the first step",
    "primaryReadyThreshold": "a canary none of whose pods is ready goes back after `unready`",
    "canaryReadyThreshold": "a canary none of whose pods is ready goes back after `unready`",
    "sessionAffinity": "USERS STICK TO A TRACK: write affinity: {requests: N, session: maxAge}, N = a user's requests "
    "(docs/reference/guardrails.md); without it the evidence counts too many independent requests",
}  # fmt: skip
_HOOKS: Final = {
    "confirm-rollout": "let the deploy event wait for it",
    "pre-rollout": "run it before the deploy event, or write probes: [{http: {url: ...}}]",
    "rollout": "the guardian sends no requests of its own: a load test goes on beside it, a check becomes a guardrail",
    "rollback": "order `guardian rollback` from there",
    "post-rollout": "listen to the decision events (docs/reference/events.md)",
    "event": "listen to the decision events (docs/reference/events.md)",
}
_DEFAULT_INTERVAL: Final = 60.0


def import_flagger(manifests: Sequence[Manifest], wanted: Wanted) -> list[Draft]:
    """Return a policy for each Canary. Raises ConfigError with place and remedy for what cannot be translated."""
    canaries, templates = begins_with("Canary", manifests, VERSIONS, service=wanted.service)
    return [_draft(canary, templates, wanted) for canary in canaries]


def _draft(canary: Manifest, templates: Sequence[Manifest], wanted: Wanted) -> Draft:
    spec = canary.node.at("spec")
    analysis = spec.at("analysis") or spec.at("canaryAnalysis")
    if not analysis:
        remedy = "add spec.analysis with stepWeight and metrics"
        raise ConfigError(f"{canary} has no analysis: nothing would be judged", where=spec.where, remedy=remedy)
    provider = wanted.provider or spec.at("provider").text("")
    _rises(canary, analysis, provider)
    left: Left = []
    names = Names.of(canary, provider)
    gathering = Gathering(telling=telling(names), wanted=wanted, left=left)
    lasts = _interval(analysis) * max(1.0, analysis.at("threshold").number(1))
    checks_of(analysis.at("metrics"), names, templates, gathering, lasts)
    gathered = gathering.done(str(canary), canary.node.where)
    steps = plan_of(_gated(_steps(analysis), analysis, left))
    router = _router(names, provider, spec, left)
    leave(left, spec.key, spec.mapping(), _SPEC)
    leave(left, analysis.key, analysis.mapping(), _ANALYSIS)
    notes = [] if wanted.service else [f"service {names.target}: the Canary's target; --service NAME says otherwise"]
    if gathered.labels.doubt:
        notes.append(gathered.labels.doubt)
    return Draft(
        name=canary.name,
        service=wanted.service or names.target,
        environment=wanted.environment,
        origin=f"{canary} ({canary.node.where})",
        labels=gathered.labels.written,
        label_notes=gathered.labels.notes,
        steps=steps,
        guardrails=gathered.guardrails,
        router=router,
        left=tuple(dict.fromkeys(left)),
        notes=tuple(notes),
    )


_BLUE_GREEN: Final = "blue-green, which import does not translate yet"


def _rises(canary: Manifest, analysis: Node, provider: str) -> None:
    """Raise ConfigError for the strategies that are not built yet, or not translated."""
    remedy = "leave it to Flagger, or write stepWeight and maxWeight for it"
    by_hand = "write strategy: {kind: blue-green, preview: {bake: 5m}, keep: 10m} by hand"
    if analysis.at("iterations").number(0) > 0:
        what, where = f"{canary} counts iterations, which makes it", analysis.at("iterations").where
        if analysis.at("match").items():
            raise ConfigError(
                f"{what} A/B testing: strategy header-routed is not built yet", where=where, remedy=remedy
            )
        raise ConfigError(f"{what} {_BLUE_GREEN}", where=where, remedy=by_hand)
    if provider == "kubernetes":
        what = f"{canary} has provider kubernetes, which makes it {_BLUE_GREEN}"
        raise ConfigError(what, where=canary.node.at("spec", "provider").where, remedy=by_hand)
    if not (analysis.at("stepWeight").number(0) > 0 or analysis.at("stepWeights").items()):
        what = f"{canary} has neither stepWeight nor stepWeights: no step has traffic on both tracks"
        raise ConfigError(what, where=analysis.where, remedy=remedy)


def _interval(analysis: Node) -> float:
    return analysis.at("interval").duration(_DEFAULT_INTERVAL) or _DEFAULT_INTERVAL


def _steps(analysis: Node) -> list[Step]:
    """Return the weights as the scheduler of Flagger sets them, each kept for an interval."""
    size, listed = analysis.at("stepWeight").number(0), analysis.at("stepWeights").items()
    if size:
        most = analysis.at("maxWeight").number(100) or 100.0
        weights = [size]
        while weights[-1] < most:
            weights.append(weights[-1] + size)
    else:
        weights = [item.number(0) for item in listed]
        for item, before, after in zip(listed[1:], weights, weights[1:], strict=False):
            if after <= before:
                raise item.wrong(f"{after:g} follows {before:g}: weights must rise", "order them")
        if weights[0] <= 0:
            raise listed[0].wrong("a weight of 0 is no step", "write more than 0")
    shares = list(dict.fromkeys(min(weight, 100.0) / 100.0 for weight in weights))
    note = f"each step is kept for the interval of {format_duration(_interval(analysis))}, as there"
    bake = _interval(analysis)
    return [Step(weight=one, bake=bake, notes=(note,) if not number else ()) for number, one in enumerate(shares)]


def _gated(steps: Sequence[Step], analysis: Node, left: Left) -> list[Step]:
    """Return the steps with approvals for the hooks that confirm; other hooks are told."""
    gates: dict[str, str] = {}
    for hook in analysis.at("webhooks").items():
        kind, key = hook.at("type").text("rollout"), f"{hook.key} ({hook.at('name').text('')})"
        if kind in {"confirm-promotion", "confirm-traffic-increase"}:
            gates[kind] = f"{key}: {kind} became an approval by a person (`guardian approve`)"
        else:
            left.append((key, _HOOKS.get(kind, "is not known here: see whether it matters to you")))
    gated = list(steps)
    shared = [number for number, step in enumerate(steps) if step.weight < 1.0]
    for number in shared:
        said = [gates[kind] for kind in sorted(gates) if kind == "confirm-traffic-increase" or number == shared[-1]]
        if said:
            step = steps[number]
            gated[number] = Step(weight=step.weight, bake=step.bake, approval=True, notes=(*step.notes, *said))
    return gated


def _router(names: Names, provider: str, spec: Node, left: Left) -> dict[str, Value] | None:
    """Return the router over what Flagger made, None where there is none of ours."""
    if provider != "istio":
        said = f"provider {provider} is no router of ours" if provider else "which provider moves traffic is not said"
        left.append(
            (spec.at("provider").key, f"{said} (there are istio and haproxy): the guardian judges what Flagger moves")
        )
        return None
    kept = (
        "Flagger deletes its VirtualService with the Canary: keep a copy for `router`. It copies what was promoted to "
        "-primary and moves traffic back; with mode enforce that is the workload's matter"
    )
    left.append((spec.at("service").key, kept))
    options: dict[str, Value] = {"namespace": names.namespace} if names.namespace else {}
    options |= {"virtual_service": names.service, "stable_host": f"{names.service}-primary"}
    return {"istio": options | {"canary_host": f"{names.service}-canary"}}
