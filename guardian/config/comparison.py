"""`compare`: how much worse than stable fails, and how little worse may be promoted."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from guardian.config.fields import Number, Section, ShareField
from guardian.config.findings import complaint
from guardian.config.units import format_share
from guardian.core.model import Ratio
from guardian.core.policy import Compare, Margin

RATIO: Final = Compare(rollback=Margin(relative=1.05, absolute=5e-5), promote=Margin(relative=1.5, absolute=5e-4))
HISTOGRAM: Final = Compare(rollback=Margin(relative=1.02), promote=Margin(relative=1.15))
GAUGE: Final = Compare(rollback=Margin(relative=1.2), promote=Margin(relative=1.5))
COUNT: Final = Compare(rollback=Margin(relative=1.1), promote=Margin(relative=1.5))
DEFAULTS: Final = {"ratio": RATIO, "histogram": HISTOGRAM, "gauge": GAUGE, "count": COUNT}
"""Margins where a policy names none, by kind of SLI."""
LEVELS: Final = {"histogram": "latency", "gauge": "level", "count": "events"}


def _label(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", value):
        raise complaint(f"'{value}' cannot be a label", "write a label of the metric, such as zone")
    if value == "le":
        raise complaint("'le' tells buckets apart, not requests", "remove it")
    return value


LabelName = Annotated[str, BeforeValidator(_label), WithJsonSchema({"type": "string"})]


class MarginConfig(Section):
    """Worse when p_canary > p_stable * relative + absolute."""

    relative: Number = Field(1.0, description="factor on what stable does, 1 or more")
    absolute: ShareField = Field(0.0, description="share added to it; ratios only")

    def to_core(self) -> Margin:
        """Return the margin as the core reads it."""
        return Margin(relative=self.relative, absolute=self.absolute)


class TailConfig(Section):
    """Share of requests that may become 4 or more times slower; histograms only."""

    rollback: ShareField | None = None
    promote: ShareField | None = None


class CompareConfig(Section):
    """The change: canary against stable. What is left out has the default of its kind of SLI."""

    rollback: MarginConfig | None = Field(None, description="more than this is worse: it rolls back")
    promote: MarginConfig | None = Field(None, description="shown to be within this: it may be promoted")
    tail: TailConfig | None = None
    fresh_pods: bool = Field(
        default=False,
        description="the canary's pods run on machines drawn anew while stable's are old: stable's pods do not show "
        "how much such machines differ, so more is asked of the evidence; false where both are of an age",
    )
    strata: tuple[LabelName, ...] = Field(
        (),
        max_length=4,
        description="labels by whose values like is compared with like: a zone, an endpoint, a kind of client; the "
        "first 64 combinations",
    )


def compare_to_core(config: CompareConfig | None, kind: str) -> Compare:
    """Return the margins, defaults filled in: one left out never contradicts the one that is written.

    Raises the complaint "inverted" when promote is below rollback, with the path below `compare`.
    """
    defaults = DEFAULTS[kind]
    if config is None:
        return defaults
    _fits_kind(config, kind)
    rollback = config.rollback.to_core() if config.rollback else None
    promote = config.promote.to_core() if config.promote else None
    tail = config.tail or TailConfig()
    compare = Compare(
        rollback=rollback or _bounded(defaults.rollback, promote, min),
        promote=promote or _bounded(defaults.promote, rollback, max),
        tail_rollback=_share(tail.rollback, defaults.tail_rollback, tail.promote, min),
        tail_promote=_share(tail.promote, defaults.tail_promote, tail.rollback, max),
        fresh_pods=config.fresh_pods,
        strata=config.strata,
    )
    _not_inverted(compare, kind)
    return compare


def _bounded(default: Margin, other: Margin | None, bound: Any) -> Margin:
    if other is None:
        return default
    return Margin(relative=bound(default.relative, other.relative), absolute=bound(default.absolute, other.absolute))


def _share(written: float | None, default: float, other: float | None, bound: Any) -> Ratio:
    if written is not None:
        return Ratio(written)
    return Ratio(default if other is None else bound(default, other))


def _fits_kind(config: CompareConfig, kind: str) -> None:
    if config.strata and kind == "count":
        what = "events without a denominator have no requests to be told apart"
        raise complaint(what, "remove 'strata', or count requests: a ratio", at=("strata",))
    if len(set(config.strata)) < len(config.strata):
        raise complaint("a label stands twice", "write each once", at=("strata",))
    if config.tail is not None and kind != "histogram":
        raise complaint(f"'tail' is about latencies, this SLI is a {kind}", "remove 'tail'", at=("tail",))
    for side in ("rollback", "promote"):
        margin: MarginConfig | None = getattr(config, side)
        if margin is None:
            continue
        if margin.relative < 1.0:
            what = f"relative {margin.relative:g} is below 1: a canary like stable would count as worse"
            raise complaint(what, "write 1 or more, such as 1.05", at=(side, "relative"))
        if margin.absolute and kind != "ratio":
            what = f"'absolute' is a share of requests, this SLI is a {kind}"
            raise complaint(what, "remove 'absolute'", at=(side, "absolute"))


def _not_inverted(compare: Compare, kind: str) -> None:
    """Refuse margins where, for some stable error share or for a multiple, promote allows less than rollback."""
    rollback, promote = compare.rollback, compare.promote
    if kind != "ratio":
        if promote.relative < rollback.relative:
            times = f"{promote.relative:g} times stable's {LEVELS[kind]}"
            what = f"inverted: promote ends at {times}, below rollback at"
            raise complaint(f"{what} {rollback.relative:g}", "write rollback below promote", at=("promote", "relative"))
    else:
        _no_share_inverted(rollback, promote)
    if compare.tail_promote < compare.tail_rollback:
        raise complaint(
            f"inverted: tail promote {format_share(compare.tail_promote)} is below "
            f"rollback {format_share(compare.tail_rollback)}",
            "give 'promote' at least what 'rollback' has",
            at=("tail", "promote"),
        )


def _no_share_inverted(rollback: Margin, promote: Margin) -> None:
    remedy = "give 'promote' at least the relative and the absolute margin of 'rollback'"
    for stable in (0.0, max((1.0 - rollback.absolute) / rollback.relative, 0.0)):
        failing = min(1.0, stable * rollback.relative + rollback.absolute)
        passing = min(1.0, stable * promote.relative + promote.absolute)
        if passing < failing - 1e-12:
            raise complaint(
                f"inverted: where stable fails {format_share(stable)}, promote ends at "
                f"{format_share(passing)}, below rollback at {format_share(failing)}",
                remedy,
                at=("promote",),
            )


def _none_or_mapping(value: object) -> object:
    if value == "none" or isinstance(value, CompareConfig | dict):
        return value
    what = "is empty" if value is None else f"{value!r} is neither margins nor 'none'"
    remedy = "write 'none' for no comparison, or remove the key for the default margins"
    raise complaint(what, remedy)


CompareField = Annotated[CompareConfig | str | None, BeforeValidator(_none_or_mapping)]
"""CompareConfig, the word `none`, or None where the key was left out."""
