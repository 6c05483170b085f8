"""`notify` in guardian.yaml: who is told of decisions, by which way, of what, and how often at most."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from guardian.config.fields import Address, AddressField, Duration, FilePath, Secret, Section
from guardian.config.findings import complaint, quantity
from guardian.config.units import UnitError, parse_duration

DecisionName = Literal[
    "queued", "started", "advanced", "held", "resumed", "paused", "awaiting-approval", "promoted", "verified",
    "rolled-back", "aborted", "superseded", "rejected", "paged", "failed",
]  # fmt: skip
"""Last part of a decision event's type (CONTRACTS section 3)."""


class AtMost(NamedTuple):
    """No more than `most` notices in any `span` seconds."""

    most: int
    span: float


_AT_MOST: Final = re.compile(r"\s*(\d+)\s+in\s+(\S+)\s*")
_EXAMPLE: Final = "30 in 1h"
_MOST: Final = 1000


def parse_at_most(value: object) -> AtMost:
    """Return a limit written `30 in 1h`. Raises UnitError.

    >>> parse_at_most("30 in 1h")
    AtMost(most=30, span=3600.0)
    """
    if isinstance(value, AtMost):
        return value
    found = _AT_MOST.fullmatch(value) if isinstance(value, str) else None
    remedy = f"write a number and a span, for example {_EXAMPLE}"
    if found is None:
        raise UnitError(f"{value!r} is not a limit", remedy)
    limit = AtMost(int(found[1]), parse_duration(found[2]))
    if not 1 <= limit.most <= _MOST or limit.span == 0.0:
        raise UnitError(f"{value!r} is no limit to go by", f"write 1 to {_MOST} notices in a span above 0: {_EXAMPLE}")
    return limit


AtMostField = Annotated[
    AtMost, BeforeValidator(quantity(parse_at_most)), WithJsonSchema({"type": "string", "examples": [_EXAMPLE]})
]
MailAddress = Annotated[str, Field(max_length=254, pattern=r"^[!-~]+@[A-Za-z0-9.-]+$")]
"""Mailbox as SMTP knows it, without a display name."""


class PagerDuty(Section):
    """An integration "Events API v2" of PagerDuty; incidents are resolved when what they are about is over."""

    routing_key: Secret = Field(description="integration key of the service")
    url: str = Field(
        "https://events.pagerduty.com",
        pattern=r"^https?://",
        description="without the path; the European one is https://events.eu.pagerduty.com",
    )


class Email(Section):
    """Mail over SMTP."""

    server: AddressField = Field(description="host:port of the mail server")
    security: Literal["tls", "starttls", "none"] = Field(
        "starttls", description="tls from the start (mostly port 465), starttls (587), or none"
    )
    sender: MailAddress = Field(alias="from", description="address that mails come from")
    to: tuple[MailAddress, ...] = Field(min_length=1, description="addresses that mails go to")
    username: str | None = None
    password: Secret | None = None

    @model_validator(mode="after")
    def _is_sensible(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise complaint("'username' and 'password' belong together", "add the other one")
        if self.password is not None and self.security == "none" and not Address(*self.server).loopback:
            what = f"security none sends the password to {self.server} where others can read it"
            raise complaint(what, "use starttls or tls, or a server without login", at=("security",))
        return self


class Way(StrEnum):
    """How somebody is told; each is a key of Notify."""

    WEBHOOK = "webhook"
    SLACK = "slack"
    PAGERDUTY = "pagerduty"
    EMAIL = "email"
    LOG = "log"


_TO_PEOPLE: Final = frozenset({Way.SLACK, Way.PAGERDUTY, Way.EMAIL})


def _quoted(ways: Iterable[Way]) -> str:
    return ", ".join(f"'{way}'" for way in ways)


class Notify(Section):
    """Somebody who is told of decisions, and by which way."""

    webhook: Secret | None = Field(None, description="address that JSON {dedup, summary, body} is posted to")
    slack: Secret | None = Field(None, description="address of an incoming webhook of Slack")
    pagerduty: PagerDuty | None = None
    email: Email | None = None
    log: bool = Field(default=False, description="write notices into the daemon's log instead")
    events: tuple[DecisionName, ...] = Field(
        ("paged", "awaiting-approval", "rolled-back", "aborted", "failed", "rejected"),
        min_length=1,
        description="decisions that are told",
    )
    environments: tuple[str, ...] = Field((), description="only of these environments; default: of all")
    at_most: AtMostField | None = Field(
        None,
        description="more are withheld and counted; default: 30 in 1h for slack, pagerduty (without pages) and email",
    )
    timeout: Duration = Field(10.0, description="longest wait for one answer")
    token: Secret | None = Field(None, description="bearer token sent to the webhook")
    ca: FilePath | None = Field(None, description="certificate authority, PEM; default: the system's")

    @property
    def way(self) -> Way:
        """The way there is."""
        return next(way for way in Way if getattr(self, way))

    @property
    def address(self) -> Secret | None:
        """The address that is a secret by itself, where the way has one."""
        return self.webhook if self.webhook is not None else self.slack

    @property
    def limit(self) -> AtMost | None:
        """The most that is told; None: all. Programs behind webhooks and logs do not tire."""
        if self.at_most is None and self.way in _TO_PEOPLE:
            return parse_at_most(_EXAMPLE)
        return self.at_most

    @model_validator(mode="after")
    def _has_one_way(self) -> Self:
        ways = [way for way in Way if getattr(self, way)]
        if len(ways) != 1:
            what = f"needs exactly one of {_quoted(Way)}" + (f", not {_quoted(ways)}" if ways else "")
            raise complaint(what, "write slack: {file: PATH}, for example; a second way is another notifier")
        if self.token is not None and ways != [Way.WEBHOOK]:
            raise complaint(f"'token' is sent to a webhook, not to {ways[0]}", "remove it", at=("token",))
        return self
