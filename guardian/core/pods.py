"""Whether a verdict rests on one pod, of the canary or of stable, and the sentence that says so. Orders nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from analysis import outlier
from analysis.sequential.latency import LatencyTest
from analysis.sequential.ratio import RatioTest
from guardian.core import records as r
from guardian.core.gates import harmful
from guardian.core.looks import Allocation, Look, OnePod
from guardian.core.model import Track
from guardian.core.policy import Guardrail
from guardian.core.rollout import Rollout
from guardian.core.sentences import level
from guardian.core.sheets import Sheet

if TYPE_CHECKING:
    from guardian.core.fleet import Fleet, Opened


def one_pod(fleet: Fleet, opened: Opened, sheet: Sheet, log_harm: float) -> OnePod | None:
    """Return the pod that all evidence against the canary comes from; looked for only where there is some."""
    alpha = opened.policy.risk.false_rollback
    if sheet.layout is None or not _counts_requests(fleet, sheet) or not log_harm > 0.0:
        return None
    contest = fleet.roster.contests[sheet.contest]
    canaries = [pod for (track, _), pod in sheet.pods.items() if track is Track.CANARY and pod.slot >= 0]
    counts = sheet.layout.carry["live"][[pod.slot for pod in canaries]]
    stable = sheet.layout.totals["counts"][sheet.slot, sheet.baseline.code]
    began, front = fleet.rollouts["began"][opened.number], fleet.sheets["front"][sheet.number]
    memory = contest.panel.strata.memory(np.array([sheet.cell]))[0]
    found = outlier.outlier(contest.test, counts, stable, memory, elapsed=float(front - began), alpha=alpha)
    if found is None:
        return None
    others = np.delete(counts, found.pod, axis=0).sum(axis=0)
    levels = sheet.levels(np.stack((counts[found.pod], others, stable)))
    return OnePod(
        name=canaries[found.pod].name,
        pods=len(canaries),
        level=levels[0],
        others=levels[1],
        stable=levels[2],
        without=found.without,
    )


def flatterer(fleet: Fleet, opened: Opened, sheet: Sheet, log_safe: float, at: float) -> str:
    """Return the pod of what it stands against that the promotion evidence hangs on, "" where there is no such pod.

    at: time of the look. Not looked for before the earliest promotion: nothing hangs on it.
    """
    risk, began = opened.policy.risk, float(fleet.rollouts["began"][opened.number])
    chance, soon = risk.false_promotion, at - began < risk.earliest_promotion
    if soon or sheet.layout is None or not _counts_requests(fleet, sheet) or not log_safe >= -math.log(chance):
        return ""
    contest = fleet.roster.contests[sheet.contest]
    stable = [pod for (track, _), pod in sheet.pods.items() if track is sheet.baseline and pod.slot >= 0]
    counts = sheet.layout.carry["live"][[pod.slot for pod in stable]]
    canary, memory = (
        sheet.layout.totals["counts"][sheet.slot, 0],
        contest.panel.strata.memory(np.array([sheet.cell]))[0],
    )
    elapsed = float(fleet.sheets["front"][sheet.number] - began)
    found = outlier.flatterer(contest.test, canary, counts, memory, elapsed=elapsed, chance=chance)
    return stable[found].name if found is not None else ""


def _counts_requests(fleet: Fleet, sheet: Sheet) -> bool:
    """Whether totals say it all: readings of a gauge hang together over time, so their sum says less than it seems.

    Sums over strata say less as well: a pod may stand out by what it is asked.
    """
    return (
        sheet.arm >= 0
        and len(sheet.strata) <= 1
        and isinstance(fleet.roster.contests[sheet.contest].test, RatioTest | LatencyTest)
    )


def alone(rollout: Rollout, look: Look) -> tuple[Guardrail, OnePod] | None:
    """Return the guardrail and pod that are all there is against a rollout, None where more is or nothing much."""
    held = rollout.held is not None and rollout.held.hold is r.Hold.ONE_POD
    least = 0.0 if held else -0.5 * math.log(rollout.policy.risk.false_rollback)
    if rollout.policy.attribution.one_pod != "hold" or look.allocation is Allocation.SKEWED:
        return None
    against = [at for at in look.guardrails if at.participates and at.log_harm >= least]
    if not against and harmful(rollout, look):
        return None
    pods = {at.one_pod.name if at.one_pod is not None else "" for at in against}
    if len(pods) != 1 or "" in pods:
        return None
    worst = max(against, key=lambda at: at.log_harm)
    return (rollout.policy.guardrail(worst.name), worst.one_pod) if worst.one_pod is not None else None


def sentence(rollout: Rollout, guardrail: Guardrail, one: OnePod) -> str:
    """Say which pod it is, by how much, and what to do."""
    return (
        f"'{guardrail.name}': all that speaks against {rollout.revision} comes from one of its {one.pods} pods, "
        f"{one.name}: {level(guardrail, one.level)}, the others {level(guardrail, one.others)}, "
        f"{rollout.policy.baseline} {level(guardrail, one.stable)}. That is a fact about a machine as often as about a "
        "version: replace the pod; when another one repeats it, the rollout goes back"
    )
