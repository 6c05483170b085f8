"""CDEvents (0.1 to 0.3) -> facts: service, change and incident events.

CDEvents have no field for most of what a rollout needs: `customData` may carry every field of a deploy event, and for
an incident the labels `track` and `severity`. A service that was deployed or upgraded is a deploy somebody else
started; a merged change is one when customData names its service; an incident is an alert.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import msgspec

from guardian.core.facts import AlertSeen, DeployEnd, Fact
from guardian.core.model import Change, EventRef, Instant
from guardian.errors import EventError
from guardian.wire.deploy import PREFIX, deploy_fact
from guardian.wire.reading import Name, Time, convert, instant

_TYPE: Final = re.compile(r"dev\.cdevents\.([a-z]+)\.([a-z]+)\.0\.\d+\.\d+(?:-[\w.]+)?")
STARTED: Final = frozenset({"deployed", "upgraded"})
ENDED: Final = frozenset({"rolledback", "removed"})
INCIDENT: Final = {"detected": True, "reported": True, "resolved": False}
CHANGE: Final = frozenset({"created", "updated", "reviewed", "merged", "abandoned"})


class _Reference(msgspec.Struct, frozen=True):
    """Something named by its id."""

    id: Name


class _Content(msgspec.Struct, frozen=True, rename="camel"):
    """The parts of a subject's content that the guardian reads."""

    environment: _Reference | None = None
    service: _Reference | None = None
    artifact_id: str | None = None
    description: str | None = None


class _Subject(msgspec.Struct, frozen=True):
    """What the event is about."""

    id: Name
    content: _Content = _Content()


class _Context(msgspec.Struct, frozen=True):
    """Who says it, and when."""

    id: Name
    source: Name
    type: Name
    timestamp: Time | None = None


class _Event(msgspec.Struct, frozen=True, rename="camel"):
    """A CDEvent."""

    context: _Context
    subject: _Subject
    custom_data: Any = None


def is_cdevent(kind: str) -> bool:
    """Say whether the type is one of CDEvents'."""
    return kind.startswith("dev.cdevents.")


def cdevent_facts(data: Any, *, received: Instant, where: str = "") -> tuple[Fact, ...]:
    """Return what a CDEvent means for the guardian: one fact, or none. Raises EventError."""
    event = convert(data, _Event, where=where)
    match = _TYPE.fullmatch(event.context.type)
    subject, predicate = match.groups() if match else ("", "")
    stamp = event.context.timestamp
    time = received if stamp is None else instant(stamp, field="context.timestamp", where=where)
    if subject == "service" and predicate in STARTED:
        return (_started(event, _fields(event), Change.IMAGE, time, where),)
    if subject == "service" and predicate in ENDED:
        return (_cancelled(event, time, where),)
    if subject == "incident" and predicate in INCIDENT:
        return (_incident(event, time, firing=INCIDENT[predicate]),)
    if subject == "change" and predicate in CHANGE:
        return _changed(event, predicate, time, where)
    raise EventError(
        f"CDEvents type '{event.context.type}' is not known",
        reason="unknown-type",
        where=where,
        remedy="send service.deployed, upgraded, rolledback, removed, or a change or incident event, 0.x",
    )


def _ref(event: _Event) -> EventRef:
    return EventRef(source=event.context.source, id=event.context.id)


def _custom(event: _Event) -> dict[str, Any]:
    return event.custom_data if isinstance(event.custom_data, dict) else {}


def _fields(event: _Event) -> dict[str, Any]:
    """Return the data of a deploy event: what CDEvents says, and over it what customData says."""
    content, found = event.subject.content, {}
    found["service"] = event.subject.id.rsplit("/", 1)[-1]  # CDEvents writes kind/name, such as deployment/cart
    if content.environment is not None:
        found["environment"] = content.environment.id.rsplit("/", 1)[-1]
    if content.artifact_id:
        found["revision"] = revision_of(content.artifact_id)
    return {**found, **_custom(event)}


def revision_of(artifact: str) -> str:
    """Return the revision in a package URL: its tag, else its version; any other text is the revision itself.

    >>> revision_of("pkg:oci/cart@sha256%3Aab12?tag=2.1.0"), revision_of("pkg:oci/cart@2.0"), revision_of("v3")
    ('2.1.0', '2.0', 'v3')
    """
    if not artifact.startswith("pkg:"):
        return artifact
    path, _, query = artifact.partition("?")
    tags = parse_qs(query).get("tag")
    if tags:
        return tags[0]
    _, at, version = path.rpartition("@")
    return unquote(version) if at else artifact


def _started(event: _Event, fields: dict[str, Any], change: Change, time: Instant, where: str) -> Fact:
    data = {"change": change.value, **fields}
    return deploy_fact(f"{PREFIX}started.v1", data, event=_ref(event), time=time, where=where)


def _cancelled(event: _Event, time: Instant, where: str) -> Fact:
    # The artifact of these events is the one that runs now, not the one that went: any rollout there is meant.
    fields = {name: value for name, value in _fields(event).items() if name != "revision"}
    kind = f"{PREFIX}{DeployEnd.CANCELLED.value}.v1"
    return deploy_fact(kind, fields, event=_ref(event), time=time, where=where)


def _changed(event: _Event, predicate: str, time: Instant, where: str) -> tuple[Fact, ...]:
    custom = _custom(event)
    if predicate != "merged" or "service" not in custom:
        return ()
    return (_started(event, {"revision": event.subject.id, **custom}, Change.CONFIG, time, where),)


def _incident(event: _Event, time: Instant, *, firing: bool) -> AlertSeen:
    content = event.subject.content
    labels = {name: value for name, value in _custom(event).items() if isinstance(value, str)}
    labels.setdefault("alertname", "incident")
    if content.service is not None:
        labels.setdefault("service", content.service.id.rsplit("/", 1)[-1])
    if content.environment is not None:
        labels.setdefault("environment", content.environment.id.rsplit("/", 1)[-1])
    status = "firing" if firing else "resolved"
    return AlertSeen(
        # detected, reported and resolved share the subject's id, so that the last ends what the first began
        event=EventRef(source=event.context.source, id=f"{event.subject.id}/{status}"),
        firing=firing,
        starts_at=time,
        labels=labels,
        annotations={"description": content.description} if content.description else {},
        ends_at=None if firing else time,
    )
