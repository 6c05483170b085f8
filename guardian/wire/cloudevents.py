"""CloudEvents 1.0 -> facts: structured and binary mode (Kafka, HTTP), batch (HTTP), and plain JSON for curl.

Recognised by content type and headers: `application/cloudevents+json` is structured, `-batch+json` a batch (all or
nothing; errors name the index), `ce-` or `ce_` headers are binary mode. Other JSON is structured when it has
`specversion`, a CDEvent when it has `context`, else the plain `data` of a deploy event; that may carry `id`,
`source`, `time` and `type` of its own, and is `fallback` otherwise.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from guardian.core.facts import Fact
from guardian.core.model import EventRef, Instant
from guardian.errors import EventError
from guardian.wire.cdevents import cdevent_facts, is_cdevent
from guardian.wire.deploy import DRIVERS, REQUESTED, KnownData, deploy_fact, requested
from guardian.wire.reading import MOST_BYTES, Decoded, Headers, Name, Time, convert, instant, read_json

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
MOST_IN_BATCH: Final = 1000


class _Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes of a CloudEvent; `time` is optional there."""

    specversion: str
    id: Name
    source: Name
    type: Name
    time: Time | None = None


class _Usual(_Envelope, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A structured deploy event without anything unknown in it, as nearly all are: read in one pass."""

    subject: Any = None
    datacontenttype: Any = None
    dataschema: Any = None
    data: KnownData


class _Plain(msgspec.Struct, frozen=True, kw_only=True):
    """What plain JSON may say about itself."""

    id: Name | None = None
    source: Name | None = None
    type: Name = REQUESTED
    time: Time | None = None


_ATTRIBUTES: Final = frozenset(
    {"specversion", "id", "source", "type", "time", "subject", "datacontenttype", "dataschema", "data", "data_base64"}
)
_PLAIN: Final = frozenset({"id", "source", "type", "time"})
_USUAL: Final = msgspec.json.Decoder(_Usual)


def read_headers(pairs: Iterable[tuple[str, bytes | str]]) -> Headers:
    """Return headers as decoders want them. Raises EventError `unparsable` for one that is not text."""
    values: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        if key.startswith("ce_"):
            key = f"ce-{key[3:]}"
        if isinstance(value, str):
            values[key] = value
            continue
        try:
            values[key] = (value or b"").decode()
        except UnicodeDecodeError:
            if key.startswith("ce-") or key == "content-type":
                what, remedy = f"header '{name}' is not UTF-8", "send CloudEvents attributes as UTF-8 text"
                raise EventError(what, reason="unparsable", remedy=remedy) from None
    return Headers(values=values)


def decode_event(
    body: bytes, headers: Headers, *, received: Instant, fallback: EventRef, limit: int = MOST_BYTES
) -> Decoded:
    """Return the facts of one message. Raises EventError with its reason, and nothing else.

    received: stands in for a missing time. fallback: identity of plain JSON without its own, for example
    (kafka/TOPIC, PARTITION/OFFSET), so that a message read twice is one event.
    """
    values = headers.values
    if "ce-id" in values or "ce-specversion" in values or "ce-type" in values:
        return Decoded(facts=_binary(body, values, received, limit))
    if (usual := _usual(body, headers, received, limit)) is not None:
        return Decoded(facts=(usual,))
    content = read_json(body, limit=limit)
    if headers.content_type == BATCH:
        return Decoded(facts=_batch(content, received, limit))
    if not isinstance(content, dict):
        remedy = f"send one object, or a list as {BATCH}" if isinstance(content, list) else "send an object"
        raise EventError("is not a JSON object", reason="unparsable", remedy=remedy)
    if headers.content_type == STRUCTURED or "specversion" in content:
        return Decoded(facts=_structured(content, received, limit, where=""))
    if "context" in content and "subject" in content:
        return Decoded(facts=cdevent_facts(content, received=received))
    return Decoded(facts=(_plain(content, received, fallback),))


def _usual(body: bytes, headers: Headers, received: Instant, limit: int) -> Fact | None:
    """Return the fact of a usual event; None for anything else, errors included, which is then read step by step."""
    if len(body) > limit or (headers.values and headers.content_type == BATCH):
        return None
    try:
        read = _USUAL.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if read.specversion != "1.0" or read.type not in DRIVERS:
        return None
    time = received if read.time is None else instant(read.time, field="time")
    return requested(read.type, read.data, event=EventRef(source=read.source, id=read.id), time=time)


def _batch(content: Any, received: Instant, limit: int) -> tuple[Fact, ...]:
    if not isinstance(content, list):
        raise EventError("a batch is a list of events", reason="unparsable", remedy="send [ ... ]")
    if len(content) > MOST_IN_BATCH:
        what = f"{len(content)} events where {MOST_IN_BATCH} are allowed"
        raise EventError(what, reason="too-large", remedy="send several batches")
    facts: list[Fact] = []
    for index, event in enumerate(content):
        facts += _structured(event, received, limit, where=f"event {index}")
    return tuple(facts)


def _structured(content: Any, received: Instant, limit: int, *, where: str) -> tuple[Fact, ...]:
    envelope = convert(content, _Envelope, where=where)
    encoded = content.get("data_base64")
    data = content.get("data") if encoded is None else _from_base64(encoded, limit, where)
    extra = {name: value for name, value in content.items() if name not in _ATTRIBUTES}
    return _facts(envelope, data, extra, received, where)


def _binary(body: bytes, values: Any, received: Instant, limit: int) -> tuple[Fact, ...]:
    attributes = {name[3:]: unquote(value) for name, value in values.items() if name.startswith("ce-")}
    envelope = convert(attributes, _Envelope, where="headers")
    data = read_json(body, limit=limit)
    extra = {name: value for name, value in attributes.items() if name not in _ATTRIBUTES}
    return _facts(envelope, data, extra, received, "")


def _facts(envelope: _Envelope, data: Any, extra: dict[str, Any], received: Instant, where: str) -> tuple[Fact, ...]:
    if envelope.specversion != "1.0":
        what = f"specversion '{envelope.specversion}' is not known"
        raise EventError(what, reason="unknown-specversion", where=where, remedy="send CloudEvents 1.0")
    if not isinstance(data, dict):
        missing = data is None
        what = "field 'data' is missing" if missing else "field 'data' is not a JSON object"
        reason = "missing-field" if missing else "bad-field"
        raise EventError(what, reason=reason, where=where, remedy="send the event's fields in 'data'")
    time = received if envelope.time is None else instant(envelope.time, field="time", where=where)
    if is_cdevent(envelope.type):
        context = {"id": envelope.id, "source": envelope.source, "type": envelope.type, "timestamp": time}
        own = data.get("context")
        merged = {**context, **own} if isinstance(own, dict) else context
        return cdevent_facts({**data, "context": merged}, received=received, where=where)
    event = EventRef(source=envelope.source, id=envelope.id)
    return (deploy_fact(envelope.type, data, event=event, time=time, where=where, extra=extra),)


def _from_base64(value: Any, limit: int, where: str) -> Any:
    try:
        return read_json(base64.b64decode(value, validate=True), limit=limit)
    except (binascii.Error, TypeError, ValueError):
        what, remedy = "field 'data_base64' is not base64", "send JSON in 'data'"
        raise EventError(what, reason="bad-field", where=where, remedy=remedy) from None


def _plain(content: dict[str, Any], received: Instant, fallback: EventRef) -> Fact:
    own = convert(content, _Plain)
    time = received if own.time is None else instant(own.time, field="time")
    event = fallback if own.id is None else EventRef(source=own.source or fallback.source, id=own.id)
    data = {name: value for name, value in content.items() if name not in _PLAIN}
    return deploy_fact(own.type, data, event=event, time=time)
