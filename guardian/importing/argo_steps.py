"""Steps of an Argo Rollouts canary -> weights, bakes and approvals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from guardian.config.units import format_duration
from guardian.errors import ConfigError
from guardian.importing.draft import Step, share
from guardian.importing.gather import Left
from guardian.importing.manifests import Node

_OTHERS: Final = {
    "setCanaryScale": "how many pods the canary has is the workload's matter: workload.deployment.replicas",
    "experiment": "write labels.control for pods of the old revision that are as young as the canary's",
    "setHeaderRoute": "strategy header-routed is not built yet: requests with that header come on top of the weight",
    "setMirrorRoute": "strategy shadow is not built yet: mirrored requests come on top of the weight",
    "plugin": "has no equal",
    "replicaProgressThreshold": "a canary none of whose pods is ready goes back after `unready`",
}


@dataclass(slots=True, kw_only=True)
class _Plan:
    """The steps so far; weight: where the traffic is, bake and approval: what was asked for there."""

    left: Left
    steps: list[Step] = field(default_factory=list)
    weight: float = 0.0
    bake: float = 0.0
    approval: bool = False
    notes: list[str] = field(default_factory=list)
    key: str = ""

    def move(self, weight: float, node: Node) -> None:
        if weight < self.weight:
            what = f"the weight falls from {share(self.weight)} to {share(weight)}: weights of a canary only rise here"
            raise node.wrong(what, "order the steps by weight")
        if weight > self.weight:
            self.close()
            self.weight, self.key = weight, node.key

    def stay(self, node: Node, *, bake: float = 0.0, approval: bool = False, note: str) -> None:
        if self.weight == 0.0:
            self.left.append(
                (node.key, f"before any traffic: {note}. Let the deploy event wait for what must come first")
            )
            return
        if approval and self.weight == 1.0:
            self.left.append(
                (node.key, "a pause at 100 % is no gate here: the bake there watches, then it is verified")
            )
            return
        self.bake, self.approval = self.bake + bake, self.approval or approval
        self.notes.append(f"{node.key}: {note}")

    def close(self) -> None:
        if self.weight and not (self.bake or self.approval or self.weight == 1.0):
            self.left.append((self.key, f"nothing waits at {share(self.weight)}: it is no step"))
        elif self.weight:
            step = Step(weight=self.weight, bake=self.bake, approval=self.approval, notes=tuple(self.notes))
            self.steps.append(step)
        self.bake, self.approval, self.notes = 0.0, False, []


def steps_of(canary: Node, takes: Callable[[Node], float], left: Left) -> tuple[Step, ...]:
    """Return the steps below and at 100 %, without the watch after promotion.

    takes: is handed each step's analysis and returns how long it is at least, in seconds.
    Raises ConfigError where weights fall or nothing could be compared.
    """
    plan, total = _Plan(left=left), canary.at("trafficRouting", "maxTrafficWeight").number(100)
    for step in canary.at("steps").items():
        for kind in step.mapping():
            node = step.at(kind)
            if kind == "setWeight":
                if not 0.0 <= node.number(0) <= total or not total:
                    raise node.wrong(f"{node.text()} is not between 0 and {total:g}", "write a weight in that range")
                plan.move(node.number(0) / total, node)
            elif kind == "pause":
                _pause(plan, node)
            elif kind == "analysis":
                lasts = takes(node)
                note = f"analysis of {format_duration(lasts)}" if lasts else "an analysis of one measurement"
                plan.stay(node, bake=lasts, note=f"{note}; the guardian judges all the time")
            else:
                left.append((node.key, _OTHERS.get(kind, "is not known here: see whether it matters to you")))
    plan.close()
    if not any(step.weight < 1.0 for step in plan.steps):
        what = "no step keeps traffic on both tracks: nothing could be compared"
        raise ConfigError(
            what, where=canary.at("steps").where, remedy="add `- pause: {duration: 10m}` after a setWeight"
        )
    return tuple(plan.steps)


def _pause(plan: _Plan, node: Node) -> None:
    lasts = node.at("duration").duration()
    if lasts:
        plan.stay(node, bake=lasts, note=f"pause of {format_duration(lasts)}")
    else:
        note = (
            "an endless pause: a person approves (`guardian approve`), within 24h unless approval says {expires: ...}"
        )
        plan.stay(node, approval=True, note=note)
