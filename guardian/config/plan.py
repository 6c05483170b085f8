"""Strategy, alerts, labels and adapters of a policy as a user writes them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from guardian.config.fields import Duration, Section, ShareField
from guardian.config.findings import complaint
from guardian.config.units import format_duration, format_share
from guardian.core.model import Seconds, Weight
from guardian.core.policy import Adapter, AlertRule, OnAlert
from guardian.core.strategies import Approval, BlueGreen, Canary, Step, Strategy


class ApprovalConfig(Section):
    """A person must agree before the step passes."""

    expires: Duration = Field(86400.0, gt=0, description="without an answer the rollout is aborted")
    role: str = Field("", description="role the person should have; shown, not checked")

    def to_core(self) -> Approval:
        """Return the gate as the core reads it."""
        return Approval(expires=Seconds(self.expires), role=self.role)


def _approval(value: object) -> object:
    if value is True:
        return ApprovalConfig()
    if value is False:
        return None
    if isinstance(value, dict | ApprovalConfig):
        return value
    raise complaint(f"{value!r} is not an approval", "write true, or {expires: 24h, role: NAME}")


ApprovalField = Annotated[
    ApprovalConfig | None,
    BeforeValidator(_approval),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, ApprovalConfig.model_json_schema()]}),
]


def _limit_of(bake: float, limit: float | None) -> None:
    """Raise a complaint where a step has no time to be decided in."""
    if limit is None and bake == 0:
        raise complaint("bake 0 leaves no time to decide", "write a longer bake, or a limit", at=("bake",))
    if limit is not None and limit < bake:
        what = f"limit {format_duration(limit)} is shorter than bake {format_duration(bake)}"
        raise complaint(what, "make it longer, or leave it out (6 x bake)", at=("limit",))


class StepConfig(Section):
    """A weight and how long it is watched."""

    weight: ShareField = Field(gt=0, description="share of traffic for the canary")
    bake: Duration = Field(description="shortest time at this weight")
    limit: Duration | None = Field(None, gt=0, description="page when undecided for longer; default 6 x bake")
    approval: ApprovalField = Field(
        None,
        description="true, or {expires, role}: a person must agree; asked when this step was served, before the next",
    )

    @model_validator(mode="after")
    def _limit_fits(self) -> Self:
        _limit_of(self.bake, self.limit)
        return self

    def to_core(self) -> Step:
        """Return the step as the core reads it."""
        approval = self.approval
        return Step(
            weight=Weight(self.weight),
            bake=Seconds(self.bake),
            limit=None if self.limit is None else Seconds(self.limit),
            approval=None if approval is None else approval.to_core(),
        )


class CanaryConfig(Section):
    """Traffic moves by rising weights; the last is 100 %."""

    kind: Literal["canary"]
    steps: tuple[StepConfig, ...]

    @model_validator(mode="after")
    def _weights_rise(self) -> Self:
        if not self.steps:
            raise complaint("there are no steps", "add {weight: 100%, bake: 10m} at least", at=("steps",))
        before = 0.0
        for number, step in enumerate(self.steps):
            if step.weight <= before:
                what = f"weights must rise: {format_share(step.weight)} follows {format_share(before)}"
                raise complaint(what, "order the steps by weight", at=("steps", number, "weight"))
            before = step.weight
        if before < 1.0:
            what = f"the last weight is {format_share(before)}: the rollout would never complete"
            at = ("steps", len(self.steps) - 1, "weight")
            raise complaint(what, "end with weight 100%; its bake is the watch after promotion", at=at)
        return self

    def to_core(self) -> Strategy:
        """Return the strategy as the core reads it."""
        return Canary(plan=tuple(step.to_core() for step in self.steps))


class PreviewConfig(Section):
    """The new revision runs without users."""

    bake: Duration = Field(description="shortest time without users")
    limit: Duration | None = Field(None, gt=0, description="page when undecided for longer; default 6 x bake")
    approval: ApprovalField = Field(
        None, description="true, or {expires, role}: a person must agree to the switch; none: it follows the preview"
    )

    @model_validator(mode="after")
    def _limit_fits(self) -> Self:
        _limit_of(self.bake, self.limit)
        return self


class BlueGreenConfig(Section):
    """The new revision runs beside the old one without users, then gets all of them at once."""

    kind: Literal["blue-green"]
    preview: PreviewConfig
    keep: Duration = Field(
        gt=0, description="how long the old revision stays after the switch, ready to take users back"
    )

    def to_core(self) -> Strategy:
        """Return the strategy as the core reads it."""
        limit, approval = self.preview.limit, self.preview.approval
        return BlueGreen(
            preview=Seconds(self.preview.bake),
            keep=Seconds(self.keep),
            limit=None if limit is None else Seconds(limit),
            approval=None if approval is None else approval.to_core(),
        )


StrategyField = Annotated[CanaryConfig | BlueGreenConfig, Field(discriminator="kind")]
STRATEGIES: Final[dict[str, type[CanaryConfig | BlueGreenConfig]]] = {
    "canary": CanaryConfig,
    "blue-green": BlueGreenConfig,
}
"""Strategy as written, by `kind`; the same names as guardian.core.strategies.STRATEGIES."""


def _alert_label(value: object) -> str:
    if isinstance(value, str) and value.startswith("labels.") and len(value) > len("labels."):
        return value.removeprefix("labels.")
    raise complaint(f"{value!r} does not name a label of the alert", "write labels.NAME, such as labels.service")


AlertLabel = Annotated[str, BeforeValidator(_alert_label), WithJsonSchema({"type": "string", "pattern": r"^labels\.."})]


class AlertConfig(Section):
    """Which alerts touch a rollout, and what they do."""

    match: dict[str, str] = Field(min_length=1, description="label -> exact value; all must match")
    service: AlertLabel = Field(
        "labels.service", validate_default=True, description="the alert's label that names the service"
    )
    track: AlertLabel = Field(
        "labels.track", validate_default=True, description="the alert's label that names the track"
    )
    on_firing: OnAlert = OnAlert.HOLD
    on_resolved: Literal["resume", "ignore"] = Field("resume", description="never undoes a rollback")

    def to_core(self) -> AlertRule:
        """Return the rule as the core reads it."""
        return AlertRule(
            match=self.match,
            service=self.service,
            track=self.track,
            on_firing=self.on_firing,
            on_resolved=self.on_resolved,
        )


def _adapter(value: object) -> Adapter:
    remedy = "write {KIND: {option: value, ...}}, such as {haproxy: {backend: checkout}}"
    if isinstance(value, Adapter):
        return value
    if isinstance(value, str) and value:
        return Adapter(kind=value)
    if not isinstance(value, dict) or len(value) != 1:
        raise complaint("needs exactly one adapter", remedy)
    (kind, options), *_ = value.items()
    options = {} if options is None else options
    if not isinstance(options, dict):
        raise complaint("options must be a mapping", remedy, at=(kind,))
    for name, option in options.items():
        if not _is_option(option):
            what = "is neither text, number, true, false, a list of texts nor a flat mapping of texts"
            raise complaint(what, "quote it, or see the adapter's options in docs/reference", at=(kind, name))
    return Adapter(kind=kind, options=options)


def _is_option(option: Any) -> bool:
    if isinstance(option, list):
        return all(isinstance(item, str) for item in option)
    if isinstance(option, dict):
        return all(isinstance(item, str) for item in option.values())
    return isinstance(option, str | int | float | bool)


_ADAPTER_SCHEMA: Final = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": {"type": "object"},
        },
    ]
}
AdapterField = Annotated[Any, BeforeValidator(_adapter), WithJsonSchema(_ADAPTER_SCHEMA)]
"""A guardian.core.policy.Adapter, written {KIND: {options}} or KIND."""
