"""One check of another system (a query and its limits) -> one guardrail: SLI, objective, and what was decided."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from guardian.config.units import LONGEST, format_duration
from guardian.importing.conditions import Limit, Side
from guardian.importing.draft import Guardrail, Track, Value, share
from guardian.importing.promql import Matcher, NoShape, Quantile, Query, Ratio, Selection, read_query, without

Telling = Callable[[Matcher], Track | None]
"""What a condition says about the tracks; None: nothing, it stays. Raises NoShape where it is no label's value."""
_SHORTEST: Final = 10.0
"""Seconds a level lasts at least: the evidence is looked at so often."""
_OTHER: Final[dict[Side, Side]] = {"above": "below", "below": "above"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What is asked, and what fails it.

    warning: limits that hold; critical: limits that roll back; lasts: seconds they must be exceeded, None: the
    query's range.
    """

    name: str
    query: str
    warning: Sequence[Limit] = ()
    critical: Sequence[Limit]
    lasts: float | None
    notes: tuple[str, ...] = ()


def guardrail_of(check: Check, telling: Telling) -> Guardrail:
    """Return the check as a guardrail. Raises NoShape with the reason where there is none."""
    query = read_query(check.query)
    if isinstance(query.core, Ratio):
        return _ratio(check, query, query.core, telling)
    assert isinstance(query.core, Quantile)  # noqa: S101  read_query says so; this is for the type checker
    return _quantile(check, query, query.core, telling)


def _ratio(check: Check, query: Query, core: Ratio, telling: Telling) -> Guardrail:
    warning, critical = _unscaled(check.warning, query), _unscaled(check.critical, query)
    side = _side([*warning, *critical])
    tracks, (part, total) = _told([core.part, core.total], telling)
    if part.name.endswith("_sum") and total.name.endswith("_count"):
        raise NoShape("it is a mean of sizes or latencies; name the _bucket series of that histogram instead")
    bad = part if side == "above" else _complement(part, total)
    bounds = {
        name: 1.0 - limit.bound if side == "above" else limit.bound
        for name, limit in (("warning", _worst(warning, side)), ("critical", _worst(critical, side)))
        if limit is not None
    }
    for bound in bounds.values():
        if not 0.0 < bound <= 1.0:
            raise NoShape(f"its limit is a share of {share(bound)} good events, which is never breached or always")
    objective, said = _objective(bounds, check, total, shown=share, key="below")
    sli: dict[str, Value] = {"ratio": {"bad": str(bad), "total": str(total)}}
    notes = (*check.notes, said, *_seen(total))
    return Guardrail(name=slug(check.name), sli=sli, objective=objective, notes=notes, track=tracks)


def _quantile(check: Check, query: Query, core: Quantile, telling: Telling) -> Guardrail:
    warning, critical = _unscaled(check.warning, query), _unscaled(check.critical, query)
    if _side([*warning, *critical]) != "above":
        raise NoShape("it asks that latencies are not too short")
    track, (buckets,) = _told([core.buckets], telling)
    sli: dict[str, Value] = {"histogram": {"buckets": str(buckets)}}
    limits = (("warning", _worst(warning, "above")), ("critical", _worst(critical, "above")))
    bounds = {name: limit.bound for name, limit in limits if limit is not None}
    if not re.search(r"_seconds_bucket$", buckets.name):
        worst = max(bounds.values())
        note = (
            f"COMPARED ONLY, without objective (p{core.share * 100:g}, limit {worst:g} in the unit of the buckets): an "
            f"objective reads buckets in seconds, which {buckets.name} does not say to have; record the histogram in "
            f"seconds, then add objective: {{quantile: {share(core.share)}, ...}}"
        )
        notes = (*check.notes, note, *_seen(buckets))
        return Guardrail(name=slug(check.name), sli=sli, objective=None, notes=notes, track=track)
    if any(not 0.001 <= bound <= LONGEST for bound in bounds.values()):
        raise NoShape("its limit is no latency between 1 ms and ten years")
    objective, said = _objective(bounds, check, buckets, shown=format_duration, key="above")
    objective = {"quantile": share(core.share)} | objective
    notes = (*check.notes, said, *_seen(buckets))
    return Guardrail(name=slug(check.name), sli=sli, objective=objective, notes=notes, track=track)


def _unscaled(limits: Sequence[Limit], query: Query) -> list[Limit]:
    found = [
        Limit(limit.side if query.scale > 0.0 else _OTHER[limit.side], query.unscaled(limit.bound)) for limit in limits
    ]
    if any(not math.isfinite(limit.bound) for limit in found):
        raise NoShape("its limit is no number")
    return found


def _side(limits: Sequence[Limit]) -> Side:
    sides = {limit.side for limit in limits}
    if len(sides) != 1:
        raise NoShape("it has limits on both sides, or none: which of them hurts users is not said")
    return sides.pop()


def _worst(limits: Sequence[Limit], side: Side) -> Limit | None:
    """Return the limit that is reached first; None where there is none."""
    choose = max if side == "below" else min
    return choose(limits, key=lambda limit: limit.bound, default=None)


def _told(selections: Sequence[Selection], telling: Telling) -> tuple[Track | None, list[Selection]]:
    """Return the track that the conditions tell, and the selections without them."""
    found = {
        matcher: track for one in selections for matcher in one.matchers if (track := telling(matcher)) is not None
    }
    tracks = set(found.values())
    if len(tracks) > 1:
        raise NoShape(f"it tells canary by several labels: {', '.join(sorted(track.label for track in tracks))}")
    return (tracks.pop() if tracks else None), [without(one, frozenset(found)) for one in selections]


def _complement(good: Selection, total: Selection) -> Selection:
    """Return the events of the total that are not good."""
    more = good.matchers - total.matchers
    if good.name != total.name or total.matchers - good.matchers or len(more) != 1:
        what = f"it counts good events ({good}); which counter or label has the bad ones cannot be read off it"
        raise NoShape(f"{what}. Write ratio: {{bad: ..., total: '{total}'}} yourself")
    (condition,) = more
    return Selection(name=good.name, matchers=total.matchers | {condition.negated}, window=good.window)


def _objective(
    bounds: Mapping[str, float], check: Check, selection: Selection, *, shown: Callable[[float], str], key: Side
) -> tuple[dict[str, Value], str]:
    """Return the objective, and in words when it is breached.

    A warning that is not milder than critical says nothing more and is left out.
    """
    window = max(_SHORTEST, selection.window)
    lasts = min(max(_SHORTEST, window if check.lasts is None else check.lasts), LONGEST)
    critical = bounds["critical"]
    warning = bounds.get("warning", critical)
    objective: dict[str, Value] = {"target": shown(critical)}
    if warning > critical if key == "below" else warning < critical:
        objective = {"target": shown(warning), "warning": {key: shown(warning), "for": format_duration(lasts)}}
    objective["critical"] = {key: shown(critical), "for": format_duration(lasts)}
    if window != lasts:
        objective["window"] = format_duration(window)
    said = f"breached when the canary's data of {format_duration(window)} exclude the limit with 99 %"
    return objective, f"{said}, for {format_duration(lasts)}"


def _seen(selection: Selection) -> tuple[str, ...]:
    """Return what is doubtful in the series themselves."""
    if Matcher("reporter", "=", "source") in selection.matchers:
        return (
            'reporter="source" has the callers\' pods; with reporter="destination" each canary pod is seen by itself',
        )
    return ()


def slug(name: str) -> str:
    """Return a name that a policy may have: without blanks and slashes."""
    return re.sub(r"[\s/\x00-\x1f\x7f]+", "-", name.strip()).strip("-")[:253] or "check"
