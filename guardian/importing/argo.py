"""Argo Rollouts -> policies: a Rollout with canary steps, and the analysis templates it names.

Source: argoproj.io/v1alpha1, docs/features/specification.md of argoproj/argo-rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from guardian.errors import ConfigError
from guardian.importing.argo_checks import LATEST, STABLE, Analysis, checks_of
from guardian.importing.argo_steps import steps_of
from guardian.importing.draft import Draft, Track, Value, plan_of
from guardian.importing.gather import Gathering, Left, Wanted, leave
from guardian.importing.guardrails import Telling
from guardian.importing.manifests import Manifest, Node, begins_with
from guardian.importing.promql import Matcher, NoShape

_API: Final = "argoproj.io/v1alpha1"
VERSIONS: Final = {"Rollout": _API, "AnalysisTemplate": _API, "ClusterAnalysisTemplate": _API}
_SPEC: Final = {
    "strategy": "", "selector": "", "template": "", "replicas": "", "revisionHistoryLimit": "", "analysis": "",
    "restartAt": "", "paused": "",
    "workloadRef": "write workload: {deployment: {image: 'registry/x:{revision}'}} if the guardian shall run revisions",
    "minReadySeconds": "write it in the Deployment: its pods count as ready from then on",
    "progressDeadlineSeconds": "a canary none of whose pods is ready goes back after `unready` (default 1m)",
    "progressDeadlineAbort": "a canary none of whose pods is ready goes back after `unready` (default 1m)",
    "rollbackWindow": "no step is skipped for a revision that was there before",
}  # fmt: skip
_PODS: Final = "how many pods there are is the workload's matter: workload.deployment.replicas"
_CANARY: Final = {
    "steps": "", "analysis": "", "trafficRouting": "", "canaryService": "", "stableService": "",
    "canaryMetadata": "", "stableMetadata": "",
    "maxSurge": _PODS, "maxUnavailable": _PODS, "minPodsPerReplicaSet": _PODS, "dynamicStableScale": _PODS,
    "scaleDownDelaySeconds": "after promotion the bake at 100 % is the time in which the old revision is kept",
    "abortScaleDownDelaySeconds": "after a rollback `drain` (default 30s) is how long canary requests may still come",
    "scaleDownDelayRevisionLimit": "one old revision is kept, the last verified one",
    "antiAffinity": "write it in the pod template",
    "pingPong": "name the two fixed Services in the router: stable and canary do not change places",
}  # fmt: skip


def import_argo(manifests: Sequence[Manifest], wanted: Wanted) -> list[Draft]:
    """Return a policy for each Rollout. Raises ConfigError with place and remedy for what cannot be translated."""
    rollouts, templates = begins_with("Rollout", manifests, VERSIONS, service=wanted.service)
    return [_draft(rollout, templates, wanted) for rollout in rollouts]


def _draft(rollout: Manifest, templates: Sequence[Manifest], wanted: Wanted) -> Draft:
    canary = _canary(rollout)
    left: Left = []
    guess = _labelled(canary)
    gathering = Gathering(telling=_telling(canary, guess), wanted=wanted, left=left, guess=guess)

    def takes(node: Node) -> float:
        return checks_of(Analysis(node=node, rollout=rollout), templates, gathering)

    if canary.at("analysis"):
        takes(canary.at("analysis"))
        if canary.at("analysis", "startingStep"):
            left.append((canary.at("analysis", "startingStep").key, "the guardian judges from the first request on"))
    steps = plan_of(steps_of(canary, takes, left))
    gathered = gathering.done(str(rollout), rollout.node.where)
    router = _router(canary, left)
    spec = rollout.node.at("spec")
    leave(left, "spec", spec.mapping(), _SPEC)
    leave(left, canary.key, canary.mapping(), _CANARY)
    service = wanted.service or rollout.name
    notes = [] if wanted.service else [f"service {service}: the name of the Rollout; --service NAME says otherwise"]
    if gathered.labels.doubt:
        notes.append(gathered.labels.doubt)
    return Draft(
        name=rollout.name,
        service=service,
        environment=wanted.environment,
        origin=f"{rollout} ({rollout.node.where})",
        labels=gathered.labels.written,
        label_notes=gathered.labels.notes,
        steps=steps,
        guardrails=gathered.guardrails,
        router=router,
        left=tuple(dict.fromkeys(left)),
        notes=tuple(notes),
    )


def _canary(rollout: Manifest) -> Node:
    strategy = rollout.node.at("spec", "strategy")
    if strategy.at("blueGreen").value is not None or "blueGreen" in strategy.mapping():
        what = f"{rollout} is blue-green, which import does not translate yet"
        remedy = "write strategy: {kind: blue-green, preview: {bake: 5m}, keep: 10m} by hand"
        raise ConfigError(what, where=strategy.at("blueGreen").where, remedy=remedy)
    canary = strategy.at("canary")
    if not canary.at("steps").items():
        what = f"{rollout} has no canary steps, which makes it a rolling update: strategy rolling is not built yet"
        raise ConfigError(
            what, where=(canary or strategy or rollout.node).where, remedy="add spec.strategy.canary.steps"
        )
    return canary


def _labelled(canary: Node) -> Track | None:
    """Return the label that the Rollout itself puts on its pods, with another value for each track."""
    stable, fresh = (canary.at(name, "labels").mapping() for name in ("stableMetadata", "canaryMetadata"))
    for label in sorted(stable.keys() & fresh.keys()):
        if stable[label] != fresh[label]:
            return Track(label=label, stable=str(stable[label]), canary=str(fresh[label]))
    return None


def _telling(canary: Node, guess: Track | None) -> Telling:
    """Return what conditions of this Rollout's queries say: its canary Service, its hashes, its pods' own label."""
    stable, fresh = canary.at("stableService").text(""), canary.at("canaryService").text("")

    def tell(matcher: Matcher) -> Track | None:
        if STABLE in matcher.value:
            raise NoShape("it asks the stable pods; a guardrail compares canary with them anyway")
        if LATEST in matcher.value:
            if guess is None:
                what = f"it tells canary by {matcher.label}, a hash that is new each release; a policy has fixed values"
                raise NoShape(f"{what}. Write labels in canaryMetadata and stableMetadata, or name --track-label")
            return guess
        if guess is not None and matcher == Matcher(guess.label, "=", guess.canary):
            return guess
        rest = matcher.value.removeprefix(fresh)
        if (
            not (stable and fresh)
            or matcher.op not in {"=", "=~"}
            or matcher.value == rest
            or rest[:1] not in {"", "."}
        ):
            return None
        if matcher.op == "=~" and not all(sign.isalnum() or sign in "-." for sign in rest):
            raise NoShape(f"it tells canary by a pattern, {matcher}; a policy has fixed values of one label")
        return Track(label=matcher.label, stable=f"{stable}{rest}", canary=matcher.value)

    return tell


def _router(canary: Node, left: Left) -> dict[str, Value] | None:
    """Return the router that moves the same traffic, None where there is none of ours."""
    routing = canary.at("trafficRouting")
    kinds = [name for name in routing.mapping() if name not in {"managedRoutes", "maxTrafficWeight"}]
    if kinds != ["istio"]:
        said = (
            f"{', '.join(kinds)} is no router of ours" if kinds else "weights by numbers of pods are no router of ours"
        )
        key = routing.key if routing else canary.key
        left.append((key, f"{said} (there are istio and haproxy): the guardian judges what Argo Rollouts moves"))
        return None
    istio = routing.at("istio")
    services = istio.at("virtualServices").items() or [istio.at("virtualService")]
    if len(services) != 1:
        left.append((istio.at("virtualServices").key, "a router of ours moves one VirtualService"))
        return None
    options: dict[str, Value] = {"virtual_service": services[0].at("name").text()}
    routes = services[0].at("routes").items()
    if len(routes) == 1:
        options["route"] = routes[0].text()
    elif routes:
        left.append((services[0].at("routes").key, "not named: every route with both tracks is moved"))
    subsets = istio.at("destinationRule")
    if subsets:
        options["stable"] = subsets.at("stableSubsetName").text()
        options["canary"] = subsets.at("canarySubsetName").text()
    else:
        options["stable_host"], options["canary_host"] = (
            canary.at("stableService").text(),
            canary.at("canaryService").text(),
        )
    return {"istio": options}
