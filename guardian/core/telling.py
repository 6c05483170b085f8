"""From the fleet's arrays to the Look of one rollout: what decide.py and explain.py read."""

from __future__ import annotations

from math import isnan, log
from typing import TYPE_CHECKING

import numpy as np

from analysis.power import latency_growth, ratio_growth, requests_needed
from analysis.sequential.base import Floats
from analysis.sequential.count import CountTest
from analysis.sequential.latency import LatencyTest, moved_quantile
from analysis.sequential.ratio import RatioTest
from guardian.core import shares
from guardian.core.burning import worse
from guardian.core.contest import Contest
from guardian.core.looks import Breach, Counted, GuardrailLook, Look, Side
from guardian.core.model import TRACKS, Instant, Ratio, Track
from guardian.core.pods import flatterer, one_pod
from guardian.core.policy import Compare, CountSli, GaugeSli, Guardrail, Policy
from guardian.core.roster import combine
from guardian.core.sheets import Sheet
from guardian.core.verdicts import silent, uneasy

if TYPE_CHECKING:
    from guardian.core.fleet import Fleet, Opened


def tell(fleet: Fleet, opened: Opened, now: Instant) -> Look:
    """How one rollout stands; reads the fleet, and notes the combined evidence for `rising`."""
    sheets = tuple(opened.sheets.values())
    began = float(fleet.rollouts["began"][opened.number])
    numbers = [sheet.number for sheet in sheets]
    front = _newest(fleet.sheets["front"][numbers])
    at = front if front is not None else now
    looks = tuple(_guardrail(fleet, opened, sheet, began, at) for sheet in sheets)
    split = opened.policy.strategy.splits and not np.isnan(began)
    compared = [look for look in looks if look.participates and split]
    harm = np.array([[look.log_harm for look in compared]])
    safe = np.array([[look.log_safe for look in compared]])
    log_harm, log_safe, rising = np.nan, np.nan, False
    if compared:
        log_harm, log_safe = (float(each[0]) for each in combine(harm, safe, np.ones_like(harm)))
        rising = _rising(fleet, opened, log_harm, float(at))
    last = [_newest(fleet.sheets["last"][numbers, tracks].ravel()) for tracks in (slice(1), slice(1, None))]
    return Look(
        rollout=opened.id,
        at=at,
        began=None if np.isnan(began) else Instant(began),
        log_harm=log_harm,
        log_safe=log_safe - log(2.0) * (len(opened.left_out) + bool(opened.marks)),
        rising=rising,
        worst=compared[int(np.argmax(harm))].name if compared else "",
        weakest=compared[int(np.argmin(safe))].name if compared else "",
        guardrails=looks,
        allocation=shares.allocation(fleet, opened),
        observed=shares.observed(fleet, opened.number),
        canary_last=last[0],
        stable_last=last[1],
        overlapping=tuple(opened.marks),
        left_out=tuple(opened.left_out),
    )


def _newest(times: Floats) -> Instant | None:
    newest = float(np.fmax.reduce(times, initial=np.nan))
    return None if isnan(newest) else Instant(newest)


def _rising(fleet: Fleet, opened: Opened, log_harm: float, at: float) -> bool:
    """Whether evidence is above 1 and higher than `hold_back` ago, or one late start stands out."""
    notes = fleet.rollouts["notes"][opened.number][None]
    now, value = np.array([at]), np.array([log_harm])
    before = fleet.trace.before(notes, now, opened.policy.hold_back)
    fleet.trace.note(notes, now, value, opened.policy.hold_back)
    fleet.rollouts["notes"][opened.number] = notes[0]
    arms = [sheet.arm for sheet in opened.sheets.values() if sheet.arm >= 0]
    unrest = fleet.roster.arms["unrest"][arms].max(initial=0.0)
    return bool(uneasy(value, before, np.array([unrest]))[0])


def _guardrail(fleet: Fleet, opened: Opened, sheet: Sheet, began: float, at: float) -> GuardrailLook:
    burn = fleet.burning.standing(sheet.burn, sheet.burn_alike)
    breach, stable_breach = worse(*_levels(fleet, sheet), burn)
    log_harm, log_safe, needed, moved = np.nan, np.nan, 0.0, None
    participates = comparable = calibrated = False
    if sheet.arm >= 0:
        contest = fleet.roster.contests[sheet.contest]
        participates, calibrated = bool(contest.cells["history"][sheet.cell] > 0), contest.calibrated(sheet.cell)
        needed, moved = _needed(fleet, opened, sheet), _moved(sheet)
        if opened.policy.strategy.splits and not np.isnan(began):
            log_harm, log_safe = (float(fleet.roster.arms[name][sheet.arm]) for name in ("harm", "safe"))
            comparable = _comparable(contest, sheet.cell)
    older = _older(fleet, sheet)
    canary, stable, control = _sides(fleet, sheet, older)
    return GuardrailLook(
        name=sheet.guardrail.name,
        participates=participates,
        log_harm=log_harm,
        log_safe=log_safe,
        comparable=comparable,
        counted=counted(opened.policy, sheet.guardrail),
        canary=canary,
        stable=stable,
        control=control if sheet.baseline is Track.CONTROL else None,
        older=older,
        step_requests=float(fleet.sheets["step"][sheet.number]),
        needed=needed,
        breach=breach,
        stable_breach=stable_breach,
        calibrated=calibrated,
        moved=moved,
        anomalies=dict(sheet.anomalies),
        one_pod=one_pod(fleet, opened, sheet, log_harm),
        flatterer=flatterer(fleet, opened, sheet, log_safe, at),
        refused=_refused(fleet, sheet),
        unmatched=_unmatched(fleet, sheet),
        open_ended=sheet.open_ended,
        past=fleet.own_past.standing(sheet.past) if participates and sheet.past >= 0 else None,
        burn=burn,
    )


def _levels(fleet: Fleet, sheet: Sheet) -> tuple[Breach, bool]:
    """How the levels of the objective stand on its scope, and whether stable breaks them."""
    if sheet.objective < 0:
        return Breach.NONE, False
    asked = (sheet.objective, sheet.alike) if sheet.alike >= 0 else (sheet.objective,)
    return fleet.objectives.breach(sheet.objective), any(fleet.objectives.stable_breach(row) for row in asked)


def _refused(fleet: Fleet, sheet: Sheet) -> float:
    """Largest share of impossible rows on a track, 0 before the first row."""
    lost = fleet.sheets["refused"][sheet.number]
    rows = lost + fleet.sheets["taken"][sheet.number]
    return float(np.divide(lost, rows, out=np.zeros(len(TRACKS)), where=rows > 0).max())


def _unmatched(fleet: Fleet, sheet: Sheet) -> float:
    """Share of the canary's requests in strata that stable does not serve; 0 where all is one stratum."""
    if sheet.arm < 0 or sheet.layout is None or len(sheet.strata) <= 1:
        return 0.0
    within = fleet.roster.contests[sheet.contest].panel.strata.unmatched(sheet.cell)
    beyond = [pod.slot for pod in sheet.pods.values() if pod.member < 0 and pod.track is Track.CANARY]
    asked = float(sheet.layout.requests(sheet.layout.carry["live"][beyond]).sum())
    share = asked / max(float(fleet.sheets["requests"][sheet.number][0]), 1.0)
    return within * (1.0 - share) + share


def counted(policy: Policy, guardrail: Guardrail) -> Counted:
    """What the requests of a guardrail's looks count."""
    if isinstance(guardrail.sli, GaugeSli):
        return Counted.READINGS
    return Counted.WEIGHT if isinstance(guardrail.sli, CountSli) and policy.exposing is None else Counted.REQUESTS


def _comparable(contest: Contest, cell: int) -> bool:
    """Whether both tracks gave rows lately."""
    newest = np.array([contest.cells[name][cell] for name in ("canary_last", "stable_last")])
    return not silent(newest, contest.cells["front"][cell], contest.tick(np.array([cell]))[0]).any()


def _older(fleet: Fleet, sheet: Sheet) -> int:
    """How many control pods are too old for it: they are stable's."""
    return fleet.roster.contests[sheet.contest].older(sheet.cell) if sheet.arm >= 0 else 0


def _sides(fleet: Fleet, sheet: Sheet, older: int) -> tuple[Side, ...]:
    """Totals of each track, in the order of their codes; `older` control pods are stable's."""
    asked, bad, last, seen = (fleet.sheets[name][sheet.number].tolist() for name in ("requests", "bad", "last", "seen"))
    totals = np.zeros((len(TRACKS), 2)) if sheet.layout is None else sheet.layout.totals["counts"][sheet.slot]
    levels = sheet.levels(totals)
    pods = [sum(each is track for each, _ in sheet.hosts) for track in TRACKS]
    pods[Track.STABLE.code] += older
    pods[Track.CONTROL.code] -= older
    return tuple(
        Side(
            requests=asked[side],
            bad=bad[side],
            level=levels[side],
            pods=pods[side],
            last=None if isnan(last[side]) else Instant(last[side]),
            seen=None if isnan(seen[side]) else Instant(seen[side]),
        )
        for side in range(len(TRACKS))
    )


def _moved(sheet: Sheet) -> Ratio | None:
    if sheet.layout is None or not sheet.layout.bounds:
        return None
    counts = sheet.layout.totals["counts"][sheet.slot]
    other = sheet.baseline.code
    found = float(moved_quantile(counts[:1], counts[other : other + 1], sheet.layout.bounds)[0])
    return None if np.isnan(found) else Ratio(found)


def _needed(fleet: Fleet, opened: Opened, sheet: Sheet) -> float:
    """Canary requests the step rule asks for: the policy's, or those that show twice the promote margin."""
    if sheet.guardrail.min_requests is not None:
        return float(sheet.guardrail.min_requests)
    weight = opened.weight if opened.weight is not None else 0.1
    known = (weight, fleet.rollouts["began"][opened.number])
    if sheet.needed is None or sheet.needed[0] != known:
        sheet.needed = (known, default_requests(fleet, sheet, opened.policy, weight))
    return sheet.needed[1]


def default_requests(fleet: Fleet, sheet: Sheet, policy: Policy, weight: float) -> float:
    """Canary requests that show a canary twice as bad as the promote margin allows, at 80 % power.

    Where users stick to a track several requests count as one: so many times as many.
    """
    contest = fleet.roster.contests[sheet.contest]
    memory = contest.panel.strata.memory(np.array([sheet.cell]))
    part = weight if sheet.baseline is Track.STABLE else 0.5  # as many control pods as the canary's serve as much
    share = np.array([min(max(part, 0.01), 0.99)])
    compare = sheet.guardrail.compare
    if isinstance(contest.test, LatencyTest) and compare is not None:
        growth = latency_growth(contest.test, memory, scale=2.0 * compare.promote.relative, weight=share)
    elif isinstance(contest.test, RatioTest | CountTest) and compare is not None:
        growth = _growth(compare, *_seen_of(contest.test, memory), share)
    else:
        return 0.0
    needed = requests_needed(growth, alpha=policy.risk.false_rollback)[0]
    return float(np.ceil(needed * policy.dispersion(sheet.guardrail)))


def _seen_of(test: RatioTest | CountTest, memory: Floats) -> tuple[Floats, float]:
    """Events per request of stable (n,), an unknown rate as half an event, and the largest rate there can be."""
    events, asked, most = (0, 1, 1.0) if isinstance(test, RatioTest) else (1, 0, np.inf)
    return np.maximum(memory[:, events], 0.5) / np.maximum(memory[:, asked], 1.0), most


def _growth(compare: Compare, base: Floats, most: float, share: Floats) -> Floats:
    """Growth per canary request at twice the promote margin; base: (n,) stable's rate, most: the largest there is."""
    base = np.clip(base, 1e-9, most / 2.0)
    bad = np.clip(2.0 * (base * compare.promote.relative + compare.promote.absolute), 0.0, most)
    theta = compare.rollback.relative + compare.rollback.absolute / base
    return ratio_growth(stable_rate=base, canary_rate=bad, theta=theta, weight=share)
