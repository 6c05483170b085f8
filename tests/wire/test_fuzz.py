"""Whatever is sent, a decoder gives facts or an EventError, never another exception."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.core.facts import Fact
from guardian.core.model import EventRef, Instant
from guardian.errors import EventError
from guardian.wire import DECODERS, Headers, decode_event, read_headers
from guardian.wire.alertmanager import _Webhook
from tests.wire.test_alertmanager import alert, webhook
from tests.wire.test_cdevents import event as cdevent
from tests.wire.test_deploy_events import DATA, EVENT

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KNOWN: list[Any] = [
    EVENT,
    DATA,
    cdevent("service.deployed", artifactId="v1", custom={"region": "eu"}),
    cdevent("incident.detected", service={"id": "checkout"}, custom={"track": "canary"}),
    cdevent("change.merged", custom={"service": "checkout", "environment": "production"}),
]
CONTENT_TYPES = ["", "application/json", "application/cloudevents+json", "application/cloudevents-batch+json"]


def encodable(facts: tuple[Fact, ...]) -> bool:
    """Say whether the journal gives back what it was given."""
    return all(msgspec.json.decode(msgspec.json.encode(fact), type=type(fact)) == fact for fact in facts)


def decoded(body: bytes, headers: Headers) -> tuple[Fact, ...]:
    """Return the facts, or none where an EventError was raised."""
    try:
        fallback = EventRef(source="s", id="i")
        return decode_event(body, headers, received=Instant(1.0), fallback=fallback).facts
    except EventError:
        return ()


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value."""
    found = [prefix]
    if isinstance(value, dict):
        found += [path for key, child in value.items() for path in paths(child, (*prefix, key))]
    if isinstance(value, list | tuple):
        found += [path for key, child in enumerate(value) for path in paths(child, (*prefix, key))]
    return found


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy with one value replaced."""
    if not path:
        return new
    changed = copy.deepcopy(value)
    node = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = new
    return changed


@given(st.binary(max_size=300), st.sampled_from(CONTENT_TYPES))
def test_any_bytes_are_facts_or_an_event_error(body: bytes, content_type: str) -> None:
    """A message that cannot be understood blocks nobody."""
    decoded(body, Headers(values={"content-type": content_type}))


@given(JSON, st.sampled_from(CONTENT_TYPES))
def test_any_json_is_facts_or_an_event_error(content: Any, content_type: str) -> None:
    """Also where every value is well formed and none is what was meant."""
    try:
        body = msgspec.json.encode(content)
    except (OverflowError, UnicodeEncodeError):
        return
    decoded(body, Headers(values={"content-type": content_type}))


@given(st.data())
def test_one_wrong_value_anywhere_is_facts_or_an_event_error(data: st.DataObject) -> None:
    """What comes out can be written to the journal and read back the same."""
    known = data.draw(st.sampled_from(KNOWN))
    path = data.draw(st.sampled_from(paths(known)))
    broken = replaced(known, path, data.draw(JSON))
    try:
        body = msgspec.json.encode(broken)
    except (OverflowError, UnicodeEncodeError):
        return
    assert encodable(decoded(body, Headers()))


@given(st.data())
def test_one_wrong_value_in_a_webhook_is_facts_or_an_event_error(data: st.DataObject) -> None:
    """Alertmanager is answered 400, never 500."""
    known = msgspec.json.decode(webhook(alert(), alert(status="resolved")))
    path = data.draw(st.sampled_from(paths(known)))
    try:
        body = msgspec.json.encode(replaced(known, path, data.draw(JSON)))
        facts = DECODERS["alertmanager"](body).facts
    except (EventError, OverflowError, UnicodeEncodeError):
        return
    assert encodable(facts)


@given(st.lists(st.tuples(st.sampled_from(["ce_id", "ce_time", "ce_type", "content-type", "x"]), st.binary())))
def test_any_headers_are_read_or_an_event_error(pairs: list[tuple[str, bytes]]) -> None:
    """Producers put what they like into headers."""
    try:
        headers = read_headers(pairs)
    except EventError:
        return
    decoded(msgspec.json.encode(DATA), headers)


@pytest.mark.parametrize("name", sorted(_Webhook.__struct_fields__))
def test_a_webhook_without_one_key_is_facts_or_an_event_error(name: str) -> None:
    """Old payloads lack keys."""
    content = msgspec.json.decode(webhook(alert()))
    content.pop(msgspec.structs.fields(_Webhook)[_Webhook.__struct_fields__.index(name)].encode_name)
    try:
        assert DECODERS["alertmanager"](msgspec.json.encode(content)).notes == ()
    except EventError as error:
        reason = error.reason
    else:
        reason = "missing-field"
    assert reason == "missing-field"
