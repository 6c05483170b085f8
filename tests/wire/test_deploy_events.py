"""Deploy events become facts as CONTRACTS section 2 says, in every mode a producer may choose."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from guardian.core.facts import DeployEnd, DeployReported, DeployRequested, Fact
from guardian.core.model import Change, Driver, EventRef, Instant, Place
from guardian.errors import EventError, EventTooLarge
from guardian.wire import Headers, decode_event, read_headers

NOW = Instant(1795251700.0)
NINE = 1795251600.0
FALLBACK = EventRef(source="kafka/deploy-events", id="3/17")
DATA: dict[str, Any] = {
    "service": "checkout",
    "environment": "production",
    "revision": "2.1.0",
    "previous": "2.0.3",
    "change": "image",
    "policy": "checkout",
    "commit": "4f1c2d",
    "author": "dev@example.org",
    "url": "https://ci.example/42",
    "depends_on": ["payment"],
    "irreversible": False,
}
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "8a6f",
    "source": "ci/shop/42",
    "type": "slo-guardian.deploy.requested.v1",
    "subject": "checkout",
    "time": "2026-11-21T09:00:00Z",
    "datacontenttype": "application/json",
    "data": DATA,
}
WANTED = DeployRequested(
    event=EventRef(source="ci/shop/42", id="8a6f"),
    time=Instant(NINE),
    place=Place(service="checkout", environment="production"),
    revision="2.1.0",  # type: ignore[arg-type]
    previous="2.0.3",  # type: ignore[arg-type]
    policy="checkout",
    depends_on=("payment",),
    commit="4f1c2d",
    author="dev@example.org",
    url="https://ci.example/42",
)


def decode(content: Any, headers: dict[str, str] | None = None) -> tuple[Fact, ...]:
    """Return the facts of one message."""
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return decode_event(body, Headers(values=headers or {}), received=NOW, fallback=FALLBACK).facts


def refused(content: Any, headers: dict[str, str] | None = None) -> EventError:
    """Return the error that decoding raises."""
    with pytest.raises(EventError) as caught:
        decode(content, headers)
    assert caught.value.remedy
    return caught.value


def with_data(**changes: Any) -> dict[str, Any]:
    """Return the contract's event with other data."""
    return {**EVENT, "data": {**DATA, **changes}}


def without(name: str) -> dict[str, Any]:
    """Return the contract's event without one field."""
    return {**EVENT, "data": {key: value for key, value in DATA.items() if key != name}}


def test_the_contracts_example_is_read_in_full() -> None:
    """Every field of the example arrives where the core expects it."""
    assert decode(EVENT) == (WANTED,)


def test_structured_mode_is_recognised_by_its_content_type() -> None:
    """Parameters of the media type change nothing."""
    assert decode(EVENT, {"content-type": "application/cloudevents+json; charset=utf-8"}) == (WANTED,)


@pytest.mark.parametrize("prefix", ["ce-", "ce_"])
def test_binary_mode_reads_attributes_from_headers(prefix: str) -> None:
    """HTTP writes ce-id, Kafka ce_id; the body is the data alone."""
    names = ("specversion", "id", "source", "type", "time")
    pairs = [(f"{prefix}{name}", str(EVENT[name]).encode()) for name in names]
    headers = read_headers([*pairs, ("Content-Type", b"application/json")])
    body = msgspec.json.encode(DATA)
    assert decode_event(body, headers, received=NOW, fallback=FALLBACK).facts == (WANTED,)


def test_a_batch_gives_its_facts_in_order() -> None:
    """Order is intake order."""
    second = {**EVENT, "id": "8a70"}
    facts = decode([EVENT, second], {"content-type": "application/cloudevents-batch+json"})
    assert [fact.event.id for fact in facts if isinstance(fact, DeployRequested)] == ["8a6f", "8a70"]


def test_a_bad_event_of_a_batch_is_named_by_its_index() -> None:
    """All or nothing: the sender must know which one to mend."""
    error = refused([EVENT, without("service")], {"content-type": "application/cloudevents-batch+json"})
    assert error.where == "event 1"
    assert error.reason == "missing-field"


def test_plain_json_takes_its_identity_from_where_it_stood() -> None:
    """A message that is read twice from a broker is one event."""
    (fact,) = decode(DATA)
    assert isinstance(fact, DeployRequested)
    assert fact.event == FALLBACK
    assert fact.time == NOW
    assert fact.driver is Driver.GUARDIAN


def test_plain_json_may_name_its_own_identity() -> None:
    """So that curl can be repeated without effect."""
    (fact,) = decode({**DATA, "id": "x1", "source": "hand", "time": NINE})
    assert isinstance(fact, DeployRequested)
    assert fact.event == EventRef(source="hand", id="x1")
    assert fact.time == NINE
    assert fact.extra == {}


def test_data_may_come_in_base64() -> None:
    """CloudEvents allows it for any payload."""
    event = {name: value for name, value in EVENT.items() if name != "data"}
    encoded = base64.b64encode(msgspec.json.encode(DATA)).decode()
    assert decode({**event, "data_base64": encoded}) == (WANTED,)


def test_started_means_that_somebody_else_carries_it_out() -> None:
    """The guardian then only judges, and moves traffic if the policy gives it a router."""
    (fact,) = decode({**with_data(change="flag"), "type": "slo-guardian.deploy.started.v1"})
    assert isinstance(fact, DeployRequested)
    assert fact.driver is Driver.OTHER
    assert fact.change is Change.FLAG


@pytest.mark.parametrize("end", list(DeployEnd))
def test_reports_of_a_deploy_driven_elsewhere_are_read(end: DeployEnd) -> None:
    """finished, cancelled and approved name the place; the revision may be left out."""
    event = {**without("revision"), "type": f"slo-guardian.deploy.{end.value}.v1"}
    assert decode(event) == (
        DeployReported(
            event=EventRef(source="ci/shop/42", id="8a6f"),
            time=Instant(NINE),
            place=Place(service="checkout", environment="production"),
            end=end,
            author="dev@example.org",
        ),
    )


def test_unknown_fields_are_kept() -> None:
    """Of the data and of the envelope: extensions such as traceparent belong to the sender."""
    (fact,) = decode({**with_data(team="shop"), "traceparent": "00-ab"})
    assert isinstance(fact, DeployRequested)
    assert fact.extra == {"team": "shop", "traceparent": "00-ab"}


def test_region_and_retry_are_read() -> None:
    """A place is service, environment and region; retry lifts a refusal."""
    (fact,) = decode(with_data(region="eu-1", retry=True))
    assert isinstance(fact, DeployRequested)
    assert fact.place.region == "eu-1"
    assert fact.retry


@pytest.mark.parametrize("field", ["service", "environment", "revision"])
def test_a_missing_field_is_named(field: str) -> None:
    """The dead letter says which."""
    error = refused(without(field))
    assert error.reason == "missing-field"
    assert f"'{field}' is missing" in str(error)


@pytest.mark.parametrize("field", ["id", "source", "type"])
def test_a_missing_attribute_is_named(field: str) -> None:
    """Without (source, id) a repeat could not be told from a new event."""
    error = refused({name: value for name, value in EVENT.items() if name != field})
    assert error.reason == "missing-field"
    assert f"'{field}' is missing" in str(error)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "unparsable"),
        (b"{", "unparsable"),
        (b"\xff\xfe", "unparsable"),
        (b"[" * 5000, "unparsable"),
        (b"3", "unparsable"),
        (b"[]", "unparsable"),
        ({**EVENT, "type": "slo-guardian.deploy.requested.v2"}, "unknown-type"),
        ({**EVENT, "type": "com.example.push"}, "unknown-type"),
        ({**EVENT, "specversion": "0.3"}, "unknown-specversion"),
        ({**EVENT, "time": "yesterday"}, "bad-time"),
        ({**EVENT, "time": "2026-11-21T09:00:00"}, "bad-time"),
        ({**EVENT, "time": -1}, "bad-time"),
        ({**EVENT, "time": 1e300}, "bad-time"),
        ({**EVENT, "data": None}, "missing-field"),
        ({**EVENT, "data": [1]}, "bad-field"),
        (with_data(service=""), "bad-field"),
        (with_data(service="a/b"), "bad-field"),
        (with_data(service=7), "bad-field"),
        (with_data(revision="a\nb"), "bad-field"),
        (with_data(change="reboot"), "bad-field"),
        (with_data(retry="yes"), "bad-field"),
        ({**EVENT, "data_base64": "%"}, "bad-field"),
    ],
)
def test_each_mistake_has_its_reason(content: Any, reason: str) -> None:
    """The reason is a header of the dead letter and a label of the counter."""
    assert refused(content).reason == reason


def test_a_body_over_the_limit_is_told_apart() -> None:
    """HTTP answers it with 413."""
    with pytest.raises(EventTooLarge) as caught:
        decode(b" " * (2 * 1024 * 1024))
    assert caught.value.reason == "too-large"


def test_a_header_that_is_no_text_is_refused_only_where_it_matters() -> None:
    """Tracing headers of a producer may hold anything."""
    assert read_headers([("trace", b"\xff")]).values == {}
    with pytest.raises(EventError):
        read_headers([("ce_id", b"\xff")])


@pytest.mark.parametrize("name", ["id", "source"])
def test_identities_hold_no_control_characters(name: str) -> None:
    """CloudEvents forbids them, and stores and logs read them differently."""
    with pytest.raises(EventError, match=f"field '{name}'") as refused:
        decode({**EVENT, name: "a\0b"})
    assert refused.value.reason == "bad-field"


@pytest.mark.parametrize("levels", [63, 64, 500])
def test_what_is_kept_unread_is_not_nested_deeper_than_it_can_be_read_again(levels: int) -> None:
    """An event taken at the edge of what JSON readers bear could not be read from the journal after a restart."""
    nested = b"[" * levels + b"]" * levels
    body = msgspec.json.encode(DATA)[:-1] + b',"build":' + nested + b"}"
    if levels < 64:
        (fact,) = decode(body)
        assert isinstance(fact, DeployRequested)
        assert "build" in fact.extra
    else:
        with pytest.raises(EventError, match="64 levels"):
            decode(body)


def test_a_number_for_a_text_is_answered_with_quotes() -> None:
    """`revision: 5` is what a shell script writes first."""
    error = refused(with_data(revision=5))
    assert "field 'revision'" in error.what
    assert error.remedy == "write a text, in quotes"
    assert refused(with_data(service="a/b")).remedy != error.remedy


@pytest.mark.parametrize("kind", ["requested", "started"])
@pytest.mark.parametrize("left_out", [None, "time", "policy", "previous", "depends_on", "commit", "subject"])
def test_an_event_with_nothing_unknown_reads_like_one_with_something(kind: str, left_out: str | None) -> None:
    """The usual event is read in one pass, others step by step: but for what is unknown, the fact is the same."""
    event = {**EVENT, "type": f"slo-guardian.deploy.{kind}.v1"}
    usual = {name: value for name, value in event.items() if name != left_out}
    usual["data"] = {name: value for name, value in DATA.items() if name != left_out}
    odd = {**usual, "data": {**usual["data"], "team": "shop"}}
    (fact,), (other,) = decode(usual), decode(odd)
    assert isinstance(fact, DeployRequested)
    assert isinstance(other, DeployRequested)
    assert other.extra == {"team": "shop"}
    assert msgspec.structs.replace(other, extra={}) == fact
