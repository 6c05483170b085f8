"""One sentence that says what the evidence of one guardrail is, what it rests on, and what it does not promise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from analysis.sequential.base import Floats
from analysis.sequential.latency import LatencyTest, moved_quantile
from analysis.users import Users
from guardian.core.contest import Contest
from guardian.core.model import Track, Verdict
from guardian.core.policy import CountSli, GaugeSli, Guardrail, HistogramSli, RatioSli, Sli
from guardian.core.sentences import crowd, no_control, pods_of, quantity, share, weighed
from guardian.core.sheets import QUANTILE
from guardian.core.strata import MOST_UNMATCHED

UNITS: Final[Mapping[type[Sli], str]] = {
    RatioSli: "share", HistogramSli: "seconds", GaugeSli: "level", CountSli: "events"
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is known of one guardrail when a verdict is put into words.

    Levels are error shares, seconds, means of readings or events per request. stable_*: of what the canary is compared
    with, which `against` names.
    """

    name: str
    unit: str
    canary_level: float
    stable_level: float
    canary_requests: float
    stable_requests: float
    elapsed: float
    evidence: float
    calibrated: bool
    pods: int
    moved: float
    against: Track = Track.STABLE
    controls: int = 0
    older: int = 0
    """Pods of the control track that are of the canary's age, and that are too old for it."""
    strata: int = 0
    """In how many it was compared; 0 where the policy names none."""
    unmatched: float = 0.0
    """Share of the canary's requests in strata that stable does not serve."""
    users: Users | None = None
    """Who stick to a track, where the evidence was corrected for them."""

    @classmethod
    def absent(cls, name: str) -> Self:
        """Nothing at all is known: no guardrail takes part."""
        return cls(
            name=name, unit="", canary_level=np.nan, stable_level=np.nan, canary_requests=0.0, stable_requests=0.0,
            elapsed=0.0, evidence=0.0, calibrated=False, pods=0, moved=np.nan,
        )  # fmt: skip

    @classmethod
    def of(cls, guardrail: Guardrail, contest: Contest, cell: int, *, evidence: float, elapsed: float) -> Self:
        """What a contest knows of one cell."""
        totals = contest.panel.cells["totals"][cell]
        canary, stable = (contest.test.requests(totals[side]) for side in (0, 1))
        moved, levels = np.nan, [np.nan, np.nan]
        if isinstance(contest.test, LatencyTest):
            moved = float(moved_quantile(totals[:1], totals[1:], contest.bounds)[0])
            levels = [_bucket_bound(side, contest.bounds, QUANTILE if np.isnan(moved) else moved) for side in totals]
        else:  # a share of requests, a mean of readings, events per request
            levels = [float(side[1] / side[0]) if side[0] > 0 else np.nan for side in totals]
        return cls(
            name=guardrail.name, unit=UNITS[type(guardrail.sli)], canary_level=levels[0],
            stable_level=levels[1], canary_requests=float(canary), stable_requests=float(stable), elapsed=elapsed,
            evidence=evidence, calibrated=contest.calibrated(cell), against=contest.baseline,
            controls=contest.controls(cell), older=contest.older(cell),
            pods=int(contest.panel.noise.cells["pods"][cell]), moved=moved,
            strata=contest.panel.strata.count(cell) if guardrail.strata else 0,
            unmatched=contest.panel.strata.unmatched(cell), users=contest.panel.users,
        )  # fmt: skip


def _bucket_bound(counts: Floats, bounds: tuple[float, ...], level: float) -> float:
    total = counts.sum()
    if total <= 0:
        return float("nan")
    return bounds[min(int(np.searchsorted(np.cumsum(counts), level * total)), len(bounds) - 1)]


def sentence(verdict: Verdict, finding: Finding) -> str:
    """Say a verdict in one sentence or two, for an operator."""
    if verdict is Verdict.ROLLBACK:
        what = f"'{finding.name}' is worse than the rollback margin allows: {_levels(finding)}"
        return f"{what}. {_promise(finding)}"
    if verdict is Verdict.PROMOTE:
        what = f"every guardrail is shown to be within its promote margin; the weakest is '{finding.name}'"
        return f"{what}: {_levels(finding)}. Evidence {weighed(finding.evidence)}{_caveat(finding)}."
    if verdict is Verdict.HOLD:
        what = f"neither worse nor shown to be within the margin; closest to a rollback is '{finding.name}'"
        what += f": {_levels(finding)}. Rollback evidence {weighed(finding.evidence)}{_caveat(finding)}."
        return f"{what} {_alone(finding)}" if finding.unmatched > MOST_UNMATCHED else what
    if not finding.unit:
        return (
            "no guardrail of the policy has stable rows before the canary's first traffic (t <= 0): nothing to "
            "compare with; check the metric names and the history"
        )
    text = (
        f"'{finding.name}' has no recent rows with requests on both tracks ({_requests(finding)}): data missing or "
        "unusable; check that the canary still reports it"
    )
    return text if finding.against is Track.STABLE or finding.controls else f"{text}. {no_control(finding.older)}"


def _levels(finding: Finding) -> str:
    if finding.unit == "share":
        seen = f"{share(finding.canary_level)} against {share(finding.stable_level)}"
    elif finding.unit == "level":
        seen = f"{quantity(finding.canary_level)} on average against {quantity(finding.stable_level)}"
    elif finding.unit == "events":
        had, expected = (level * finding.canary_requests for level in (finding.canary_level, finding.stable_level))
        seen = f"{had:,.0f} events where {finding.against} makes {expected:,.0f}"
    else:
        level = QUANTILE if np.isnan(finding.moved) else finding.moved
        seen = f"{level:.4g}-quantile up to {finding.canary_level:.3g} s against {finding.stable_level:.3g} s"
        seen += "" if np.isnan(finding.moved) else " (it moved most)"
    within = f" (sums; compared within {finding.strata} strata)" if finding.strata else ""
    return f"{seen}{within}, {_requests(finding)}, {finding.elapsed / 60.0:.1f} min"


def _alone(finding: Finding) -> str:
    return (
        f"{finding.unmatched:.0%} of the canary's requests are in strata that stable does not serve: held against "
        "nothing, they promote nothing; check `compare.strata`"
    )


def _requests(finding: Finding) -> str:
    what = "readings" if finding.unit == "level" else "requests"
    whose = f" of {pods_of(finding.controls)} of its age" if finding.against is Track.CONTROL else ""
    seen = f"{finding.canary_requests:,.0f} canary and {finding.stable_requests:,.0f} {finding.against} {what}"
    return seen + whose


def _promise(finding: Finding) -> str:
    value = weighed(finding.evidence)
    chance = f"Evidence {value}: a healthy release reaches this in at most 1 of {value}"
    what = "readings" if finding.unit == "level" else "requests"
    return f"{chance} if {what} are independent{_caveat(finding)}."


def _caveat(finding: Finding) -> str:
    if finding.against is Track.CONTROL:
        return _caveat_of_control(finding)
    also = crowd(finding.users)
    if finding.calibrated:
        return f", corrected for what {finding.pods} stable pods differ{also}"
    if finding.pods < 2:
        what = "with a single stable series the difference between equal pods is assumed, not measured"
        return f"; uncalibrated: {what}{also}"
    return f"; uncalibrated: less than 30 min of stable history{also}"


def _caveat_of_control(finding: Finding) -> str:
    also = crowd(finding.users)
    if finding.calibrated:
        return f", corrected for what pods of its age, the canary's and control's, differ{also}"
    return f"; uncalibrated: less than 30 min of stable history, or a single pod of its age a track{also}"
