"""One guardrail as a user writes it: SLI, comparison, objective, warm-up."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from guardian.config.comparison import CompareConfig, CompareField, compare_to_core
from guardian.config.fields import Duration, Name, Number, Section
from guardian.config.findings import complaint
from guardian.config.objectives import PARSERS, ObjectiveConfig, objective_to_core
from guardian.config.selectors import Selector
from guardian.core.model import Seconds
from guardian.core.policy import (
    Compare,
    CountSli,
    GaugeSli,
    Guardrail,
    HistogramSli,
    RatioSli,
    Sli,
    Slo,
    WarmUp,
)


class RatioConfig(Section):
    """Bad events among all events: two counters."""

    bad: Selector = Field(description="counter of bad events")
    total: Selector = Field(description="counter of all events")

    def to_core(self) -> Sli:
        """Return the SLI as the core reads it."""
        return RatioSli(bad=self.bad, total=self.total)


class HistogramConfig(Section):
    """Latencies: the buckets of a histogram in seconds."""

    buckets: Selector = Field(
        description="the _bucket series, with label le", examples=["http_request_duration_seconds_bucket"]
    )

    def to_core(self) -> Sli:
        """Return the SLI as the core reads it."""
        return HistogramSli(buckets=self.buckets)


class GaugeConfig(Section):
    """A level of each pod, such as memory or queue length."""

    value: Selector = Field(
        description="the gauge; series of one pod are added up", examples=["process_resident_memory_bytes"]
    )
    worse: Literal["above", "below"] = Field("above", description="on which side of stable it hurts")

    def to_core(self) -> Sli:
        """Return the SLI as the core reads it."""
        return GaugeSli(value=self.value, worse=self.worse)


class CountConfig(Section):
    """Events that have no denominator, such as logins or orders."""

    events: Selector = Field(description="counter of the events", examples=["orders_total"])

    def to_core(self) -> Sli:
        """Return the SLI as the core reads it."""
        return CountSli(events=self.events)


class SliConfig(Section):
    """What is measured: exactly one kind."""

    ratio: RatioConfig | None = None
    histogram: HistogramConfig | None = None
    gauge: GaugeConfig | None = None
    count: CountConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_one_kind(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        kinds = cls.model_fields.keys()
        if not value.keys() - kinds and (len(value) != 1 or None in value.values()):
            raise complaint("needs exactly one kind", f"write one of {', '.join(kinds)}")
        return value

    @property
    def kind(self) -> str:
        """Which kind was written."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    def to_core(self) -> Sli:
        """Return the SLI as the core reads it."""
        sli: Sli = getattr(self, self.kind).to_core()
        return sli


class WarmUpConfig(Section):
    """Time after a pod's first row in which up to `factor` times worse is normal."""

    lasts: Duration = Field(alias="for", gt=0)
    factor: Number = Field(ge=1, description="how many times worse, 1 or more")


class GuardrailConfig(Section):
    """A metric that may fail a rollout."""

    name: Name
    sli: SliConfig
    compare: CompareField = Field(
        None, description="the change, canary against stable; 'none': this guardrail has its objective only"
    )
    objective: ObjectiveConfig | None = None
    warm_up: WarmUpConfig | None = None
    min_requests: int | None = Field(
        None,
        ge=1,
        description="canary requests (gauges: readings) a step needs; default: what 80 % power takes, none for gauges",
    )
    page_after: Duration = Field(600.0, gt=0, description="page when there is no data for this long")
    units: Literal["requests", "users"] = Field(
        "requests", description="what its metric counts; users, each once: `affinity` does not apply to it"
    )
    _compare: Compare | None = PrivateAttr(None)
    _objective: Slo | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _fits_its_sli(self) -> Self:
        kind = self.sli.kind
        if self.compare != "none":
            written = self.compare if isinstance(self.compare, CompareConfig) else None
            self._compare = _below("compare", lambda: compare_to_core(written, kind))
        if self.objective is not None:
            objective = self.objective
            if kind not in PARSERS:
                what = f"a {kind} has no objective: how many events there should be depends on the hour of the day"
                raise complaint(what, "remove 'objective'; `compare` holds it against stable", at=("objective",))
            worse = self.sli.gauge.worse if self.sli.gauge is not None else None
            self._objective = _below("objective", lambda: objective_to_core(objective, kind, worse))
        if kind == "gauge" and self.units == "users":
            raise complaint("a gauge is a level of pods, it counts no users", "remove 'units'", at=("units",))
        if self._compare is None and self._objective is None:
            what = f"guardrail '{self.name}' neither compares nor has an objective"
            raise complaint(what, "add 'objective', or remove 'compare: none'")
        return self

    @property
    def strata(self) -> tuple[str, ...]:
        """Labels by which like is compared with like."""
        return self._compare.strata if self._compare is not None else ()

    def to_core(self) -> Guardrail:
        """Return the guardrail as the core reads it."""
        warm_up = self.warm_up
        return Guardrail(
            name=self.name,
            sli=self.sli.to_core(),
            compare=self._compare,
            objective=self._objective,
            warm_up=None if warm_up is None else WarmUp(lasts=Seconds(warm_up.lasts), factor=warm_up.factor),
            min_requests=self.min_requests,
            page_after=Seconds(self.page_after),
            units=self.units,
        )


def _below(key: str, build: Any) -> Any:
    """Return what `build` returns; a complaint of it gets the key in front of its path."""
    try:
        return build()
    except PydanticCustomError as error:
        context = error.context or {}
        raise complaint(context["what"], context["remedy"], at=(key, *context["at"])) from None
