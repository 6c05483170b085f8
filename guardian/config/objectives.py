"""`objective`: what users may suffer, in the unit of its SLI, and how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from guardian.config.fields import Duration, Section, ShareField
from guardian.config.findings import complaint
from guardian.config.units import UnitError, format_duration, format_share, parse_duration, parse_number, parse_share
from guardian.core.model import Ratio, Seconds
from guardian.core.policy import BurnRate, Level, Scope, Slo

_QUANTITY: Final = {
    "type": ["string", "number"],
    "description": "ratio: a share of good events; histogram: a latency; gauge: a level in its own unit",
    "examples": ["99.9%", "500ms", 0.8],
}
Quantity = Annotated[Any, WithJsonSchema(_QUANTITY)]
Side = Literal["above", "below"]
PARSERS: Final[dict[str, Callable[[object], float]]] = {
    "ratio": parse_share,
    "histogram": parse_duration,
    "gauge": parse_number,
}
"""What a bound is, by kind of SLI; a kind that is not named has no objective."""
SIDES: Final[dict[str, Side]] = {"ratio": "below", "histogram": "above"}
"""On which side of a bound users suffer; gauges say it themselves."""


class LevelConfig(Section):
    """A threshold and how long it must be exceeded."""

    below: Quantity = Field(
        None, description="ratios: breached below this share of good events; gauges: below this level"
    )
    above: Quantity = Field(None, description="histograms: breached above this latency; gauges: above this level")
    lasts: Duration = Field(alias="for", description="how long it must last")

    @property
    def side(self) -> Side:
        """On which side of the bound users suffer."""
        return "above" if self.above is not None else "below"


SHORTEST: Final = 7 * 86400.0
LONGEST: Final = 366 * 86400.0
"""Seconds an error budget may be for: the slowest pair of windows looks three days back."""


class BurnRateConfig(Section):
    """How fast the error budget (all that need not be good by `target`) may be used up, in pairs of windows."""

    period: Duration = Field(
        float(BurnRate().period), description="what the error budget is for; 7d to 366d, a month is usual"
    )


def _not_empty(value: object) -> object:
    if value is None:
        raise complaint("is empty", "write {} for a budget of 30d, or {period: 28d}, or remove the key")
    return value


class ObjectiveConfig(Section):
    """The user's pain, judged over a trailing window at every look."""

    target: Quantity = Field(description="what was promised: a share of good events, a latency, or a level")
    quantile: ShareField | None = Field(None, description="histograms: the share of requests meant, such as 95%")
    warning: LevelConfig | None = Field(None, description="holds the rollout")
    critical: LevelConfig | None = Field(None, description="rolls back")
    window: Duration | None = Field(None, gt=0, description="default: the level's own 'for'")
    scope: Scope = Field(Scope.CANARY, description="whose users are meant")
    burn_rate: Annotated[BurnRateConfig | None, BeforeValidator(_not_empty)] = Field(
        None,
        description="ratios and histograms: rolls back where the budget is used up so fast in both of 1h and 5m, or of "
        "6h and 30m, that a person would be called; holds where it is in 3d and 6h; write {} for a month",
    )


def objective_to_core(config: ObjectiveConfig, kind: str, worse: Side | None = None) -> Slo:
    """Return the objective in the unit of its SLI. Raises complaints with the path below `objective`.

    worse: on which side a gauge hurts.
    """
    written = {"warning": config.warning, "critical": config.critical}
    levels = {name: level for name, level in written.items() if level is not None}
    side = _side(levels, kind, worse or SIDES[kind])
    _quantile_fits(config, kind)
    bounds = {name: _level(name, level, side, kind) for name, level in levels.items()}
    _ordered(bounds, side)
    slo = Slo(
        target=_number(config.target, kind, ("target",)),
        breached=side,
        quantile=None if config.quantile is None else Ratio(config.quantile),
        warning=bounds.get("warning"),
        critical=bounds.get("critical"),
        window=None if config.window is None else Seconds(config.window),
        scope=config.scope,
        burn_rate=None if config.burn_rate is None else BurnRate(period=Seconds(config.burn_rate.period)),
    )
    _budget_fits(slo, kind)
    return slo


def _budget_fits(slo: Slo, kind: str) -> None:
    """Refuse a burn rate of what has no error budget, and one that nothing could ever reach."""
    if slo.burn_rate is None:
        return
    at = ("burn_rate",)
    if kind not in SIDES:
        what = f"a {kind} has no error budget: its levels are not good or bad"
        raise complaint(what, "remove it; `critical` bounds the level", at=at)
    if not SHORTEST <= slo.burn_rate.period <= LONGEST:
        what = f"a period of {format_duration(slo.burn_rate.period)} is not between 7d and 366d"
        raise complaint(what, "write 30d, or what the objective is agreed for", at=(*at, "period"))
    good, key = slo.good, "target" if slo.quantile is None else "quantile"
    if good >= 1.0:
        what = f"{key} 100 % leaves no error budget that could be used up"
        raise complaint(what, "write less than 100%, or remove 'burn_rate'", at=at)
    least, most = min(limit for _, limit in slo.burn_rate.pages), slo.fastest_burn
    if least >= most:
        what = (
            f"{key} {format_share(good)}: even if every request were bad, the burn rate would be {most:.3g}, and a "
            f"person is called from {least:.3g} on"
        )
        raise complaint(what, f"write a {key} above {format_share(1.0 - 1.0 / least)}, or remove 'burn_rate'", at=at)


def _number(value: object, kind: str, at: tuple[str, ...]) -> float:
    try:
        return PARSERS[kind](value)
    except UnitError as error:
        raise complaint(error.what, error.remedy, at=at) from None


def _side(levels: dict[str, LevelConfig], kind: str, wanted: Side) -> Side:
    for name, level in levels.items():
        if (level.above is None) == (level.below is None):
            raise complaint("needs exactly one of 'above' and 'below'", f"write '{wanted}'", at=(name,))
        if level.side != wanted:
            meaning = {"ratio": "is a share of good events", "histogram": "is a latency"}.get(kind)
            if meaning is None:
                what = f"this gauge hurts '{wanted}', as 'worse' says, and is bounded '{level.side}'"
                raise complaint(what, f"write '{wanted}', or another 'worse'", at=(name, level.side))
            what = f"a {kind} {meaning}: '{level.side}' never hurts users"
            raise complaint(what, f"write '{wanted}'", at=(name, level.side))
    return wanted


def _quantile_fits(config: ObjectiveConfig, kind: str) -> None:
    if kind == "histogram" and config.quantile is None:
        raise complaint("a latency objective needs 'quantile'", "write quantile: 95%")
    if kind != "histogram" and config.quantile is not None:
        raise complaint(f"'quantile' is about latencies, this SLI is a {kind}", "remove it", at=("quantile",))
    if config.quantile is not None and not 0.0 < config.quantile < 1.0:
        what = f"quantile {config.quantile:g} is not between 0 and 1"
        raise complaint(what, "write 95% or 0.95", at=("quantile",))


def _level(name: str, level: LevelConfig, side: Side, kind: str) -> Level:
    return Level(bound=_number(getattr(level, side), kind, (name, side)), lasts=Seconds(level.lasts))


def _ordered(bounds: dict[str, Level], side: Side) -> None:
    warning, critical = bounds.get("warning"), bounds.get("critical")
    if warning is None or critical is None:
        return
    worse = critical.bound >= warning.bound if side == "above" else critical.bound <= warning.bound
    if not worse:
        what = "inverted: critical is milder than warning"
        raise complaint(what, "make critical the worse of the two", at=("critical", side))
