"""The guardian's own deploy events (CONTRACTS section 2): type and data -> fact."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from guardian.core.facts import DeployEnd, DeployReported, DeployRequested, Fact
from guardian.core.model import Change, Driver, EventRef, Instant, Place, Revision
from guardian.errors import EventError
from guardian.wire.reading import convert, kept

PREFIX: Final = "slo-guardian.deploy."
REQUESTED: Final = f"{PREFIX}requested.v1"
DRIVERS: Final[dict[str, Driver]] = {REQUESTED: Driver.GUARDIAN, f"{PREFIX}started.v1": Driver.OTHER}
ENDS: Final[dict[str, DeployEnd]] = {f"{PREFIX}{end.value}.v1": end for end in DeployEnd}
TYPES: Final = (*DRIVERS, *ENDS)

NamePart = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[^\s/\x00-\x1f\x7f]+$")]
"""Part of a place: it becomes part of ids and addresses, so no space, slash or control character."""
RevisionName = Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, Meta(max_length=4096)]


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of requested and started."""

    service: NamePart
    environment: NamePart
    revision: RevisionName
    region: NamePart | None = None
    previous: RevisionName | None = None
    change: Change | None = None
    policy: NamePart | None = None
    retry: bool | None = None
    irreversible: bool | None = None
    depends_on: tuple[NamePart, ...] | None = None
    commit: Text | None = None
    author: Text | None = None
    url: Text | None = None


class KnownData(_Data, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`data` of requested and started that says nothing further."""


class _End(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of finished, cancelled and approved; without revision: whatever is under way there."""

    service: NamePart
    environment: NamePart
    revision: RevisionName | None = None
    region: NamePart | None = None
    author: Text | None = None


_KNOWN: Final = frozenset(_Data.__struct_fields__)


def deploy_fact(
    kind: str, data: Any, *, event: EventRef, time: Instant, where: str = "", extra: dict[str, Any] | None = None
) -> Fact:
    """Return the fact of a deploy event. extra: further attributes to keep. Raises EventError."""
    if kind in ENDS:
        return _reported(ENDS[kind], convert(data, _End, where=where), event=event, time=time)
    if kind not in DRIVERS:
        remedy = f"send one of {', '.join(TYPES)}, or a CDEvents type"
        raise EventError(f"type '{kind}' is not known", reason="unknown-type", where=where, remedy=remedy)
    known = convert(data, _Data, where=where)
    further = {**(extra or {}), **{name: value for name, value in data.items() if name not in _KNOWN}}
    return requested(kind, known, event=event, time=time, extra=kept(further, where=where))


def requested(
    kind: str, known: _Data, *, event: EventRef, time: Instant, extra: dict[str, Any] | None = None
) -> DeployRequested:
    """Return the fact of requested or started, whose `data` was read already."""
    return DeployRequested(
        event=event,
        time=time,
        place=Place(service=known.service, environment=known.environment, region=known.region or ""),
        revision=Revision(known.revision),
        driver=DRIVERS[kind],
        previous=None if known.previous is None else Revision(known.previous),
        change=known.change or Change.IMAGE,
        policy=known.policy,
        retry=bool(known.retry),
        irreversible=bool(known.irreversible),
        depends_on=known.depends_on or (),
        commit=known.commit or "",
        author=known.author or "",
        url=known.url or "",
        extra=extra or {},
    )


def _reported(end: DeployEnd, data: _End, *, event: EventRef, time: Instant) -> DeployReported:
    return DeployReported(
        event=event,
        time=time,
        place=Place(service=data.service, environment=data.environment, region=data.region or ""),
        end=end,
        revision=None if data.revision is None else Revision(data.revision),
        author=data.author or "",
    )
