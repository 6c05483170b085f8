"""What PagerDuty is sent: incidents by key, opened once, resolved by the same key."""

from __future__ import annotations

import json

from guardian.adapters._http import HttpClient
from guardian.adapters.notify.pagerduty import PagerDutyNotifier, dedup_key, trigger
from tests.adapters.http_server import Reply, answering
from tests.adapters.notices import notice


async def test_an_incident_is_triggered_and_resolved_by_one_key() -> None:
    """Of the rollout and the page; the routing key is read when it is needed."""
    async with answering(lambda _: Reply(status=202)) as web:
        client = HttpClient(timeout=2.0)
        pagerduty = PagerDutyNotifier(client, key=lambda: "R0UTE", url=f"{web.url}/")
        await pagerduty.notify(notice())
        await pagerduty.resolve(notice().incident)
        await client.close()
    opened, closed = (json.loads(asked.body) for asked in web.asked)
    assert {asked.path for asked in web.asked} == {"/v2/enqueue"}
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"] == "checkout-9907d8c65a/no-data-errors"
    assert opened["routing_key"] == closed["routing_key"] == "R0UTE"


def test_an_incident_tells_how_bad_it_is_what_and_where() -> None:
    """The fields that PagerDuty asks for, and what it shows beside them."""
    event = trigger(notice())
    assert event["payload"]["summary"] == "paged: checkout 2.1.0 in production"
    assert event["payload"]["severity"] == "critical"
    assert event["payload"]["source"] == "checkout-9907d8c65a"
    assert event["payload"]["timestamp"] == "2026-11-21T09:00:00+00:00"
    assert event["payload"]["custom_details"]["guardrail"] == "errors"
    assert event["links"] == [{"href": notice().link, "text": "the rollout"}]


def test_a_key_that_is_too_long_is_cut_and_stays_its_own() -> None:
    """PagerDuty takes 255 characters; keys of alerts are as long as somebody made them."""
    one, other = dedup_key("x" * 300 + "1"), dedup_key("x" * 300 + "2")
    assert len(one) == len(other) == 255
    assert one != other
