"""Events, webhooks and samples over HTTP: what is taken, what is refused, and with which words."""

import asyncio
import json
from typing import Any

import pytest

from guardian.config.settings import Limits, Settings
from guardian.core.deploys import rollout_id
from guardian.core.model import EventRef
from guardian.errors import EventError, JournalError
from guardian.web.problem import PROBLEM_JSON
from tests.web.site import site

DATA = {"service": "checkout", "environment": "production", "revision": "2.1.0"}
EVENT = {
    "specversion": "1.0",
    "id": "8a6f",
    "source": "ci/shop/42",
    "type": "slo-guardian.deploy.requested.v1",
    "data": DATA,
}


def alerts(*, status: str = "firing", count: int = 1, **labels: str) -> dict[str, Any]:
    """Return a webhook of Alertmanager, as Debian's 0.25 sends it."""
    return {
        "version": "4",
        "status": "firing",
        "receiver": "guardian",
        "groupKey": "{}",
        "truncatedAlerts": 0,
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://prometheus.example:9803",
        "alerts": [
            {
                "status": status,
                "labels": {"alertname": "CheckoutErrors", "service": "checkout", **labels},
                "annotations": {"summary": "..."},
                "startsAt": "2026-11-21T08:04:16.225Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://prometheus.example:9802/graph",
                "fingerprint": f"{number:016x}",
            }
            for number in range(count)
        ],
    }


async def test_a_structured_event_is_taken_once() -> None:
    """The answer names the rollout; the same event again has no effect."""
    headers = {"content-type": "application/cloudevents+json"}
    async with site() as at:
        first = await at.client.post("/v1/events", content=json.dumps(EVENT), headers=headers)
        again = await at.client.post("/v1/events", content=json.dumps(EVENT), headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() | {"notes": []} == {
        "taken": 1,
        "repeats": 0,
        "seq": 1,
        "rollouts": [rollout_id("checkout", EventRef(source="ci/shop/42", id="8a6f"))],
        "notes": [],
    }
    assert (again.json()["taken"], again.json()["repeats"], again.json()["seq"]) == (0, 1, 1)


async def test_binary_mode_is_the_same_event() -> None:
    """Whichever way it comes, (source, id) is its identity."""
    headers = {f"ce-{name}": value for name, value in EVENT.items() if isinstance(value, str)}
    headers["content-type"] = "application/json"
    async with site() as at:
        await at.client.post("/v1/events", json=EVENT)
        again = await at.client.post("/v1/events", content=json.dumps(DATA), headers=headers)
    assert again.json()["repeats"] == 1


async def test_a_batch_is_taken_as_a_whole_or_not_at_all() -> None:
    """The problem names the one that is wrong, and none of the others is in the journal."""
    headers = {"content-type": "application/cloudevents-batch+json"}
    bad = [EVENT, {**EVENT, "id": "2", "data": {"service": "checkout"}}]
    async with site() as at:
        refused = await at.client.post("/v1/events", content=json.dumps(bad), headers=headers)
        assert at.journal.read() == []
        good = [EVENT, {**EVENT, "id": "2"}]
        taken = await at.client.post("/v1/events", content=json.dumps(good), headers=headers)
    assert refused.status_code == 400
    assert "1" in refused.text
    assert taken.json()["taken"] == 2


async def test_plain_json_is_enough_for_curl() -> None:
    """With an Idempotency-Key, sending it again is harmless; without, each is an event of its own."""
    async with site() as at:
        answers = [
            await at.client.post("/v1/events", json=DATA, headers={"idempotency-key": "a"}),
            await at.client.post("/v1/events", json=DATA, headers={"idempotency-key": "a"}),
            await at.client.post("/v1/events", json=DATA),
        ]
    assert [answer.json()["taken"] for answer in answers] == [1, 0, 1]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"\xff\xfe", 400, "unparsable"),
        (b"[1, 2]", 400, "unparsable"),
        (json.dumps({**EVENT, "data": {"environment": "production"}}).encode(), 400, "missing-field"),
        (json.dumps({**EVENT, "type": "com.example.lunch"}).encode(), 400, "unknown-type"),
        (b'"' + b"x" * (2 * 1024 * 1024) + b'"', 413, "too-large"),
    ],
)
async def test_what_cannot_be_understood_is_a_problem_with_a_remedy(body: bytes, status: int, reason: str) -> None:
    """The sender learns what is wrong and what to do; nothing is stored, and it is counted."""
    async with site() as at:
        answer = await at.client.post("/v1/events", content=body)
        metrics = (await at.client.get("/metrics")).text
        assert at.journal.read() == []
    assert answer.status_code == status
    assert answer.headers["content-type"] == PROBLEM_JSON
    problem = answer.json()
    assert (problem["status"], problem["reason"]) == (status, reason)
    assert problem["detail"]
    assert problem["remedy"]
    assert f'guardian_refused_total{{reason="{reason}",way="events"}} 1.0' in metrics


async def test_a_body_without_length_is_cut_off_at_the_limit() -> None:
    """A sender that streams for ever does not fill the memory."""

    async def endless() -> Any:
        while True:
            yield b"x" * 65_536

    async with site() as at:
        answer = await at.client.post("/v1/events", content=endless())
    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/hooks/alertmanager", "/v1/events"])
@pytest.mark.parametrize(("limit", "taken"), [(2, False), (4, True)])
async def test_the_settings_say_how_large_a_body_may_be(path: str, limit: int, taken: bool) -> None:  # noqa: FBT001
    """limits.body holds for the decoders, too; 413 names it and what it is."""
    settings = Settings(limits=Limits(body=limit * 1024 * 1024))
    large = "x" * 3 * 1024 * 1024
    body = alerts(note=large) if path.startswith("/hooks") else {**EVENT, "data": {**DATA, "note": large}}
    async with site(settings=settings) as at:
        answer = await at.client.post(path, json=body)
    assert answer.is_success == taken, answer.text
    if not taken:
        assert answer.status_code == 413
        assert f"{limit * 1024 * 1024} are allowed" in answer.json()["detail"]
        assert "limits.body" in answer.json()["remedy"]


async def test_an_event_for_what_is_going_out_already_is_told_so() -> None:
    """No rollout of its own begins, and the answer names the one there is."""
    async with site() as at:
        first = await at.client.post("/v1/events", json=DATA)
        again = await at.client.post("/v1/events", json=DATA)
        old = await at.client.post("/v1/events", json={**DATA, "revision": "2.0.9", "time": 1.0})
    (name,) = first.json()["rollouts"]
    assert first.json()["notes"] == []
    assert again.json()["notes"] == [f"2.1.0 is going out already as {name}: no new rollout begins"]
    (note,) = old.json()["notes"]
    assert note.startswith("the event for 2.0.9 is ")
    assert note.endswith(f" older than that of {name}, and was ignored")


@pytest.mark.parametrize(
    ("changed", "remedy"),
    [
        ({"environment": "prod"}, "its policies are for 'production'"),
        ({"service": "chekout"}, "did you mean 'checkout'?"),
    ],
)
async def test_a_deploy_that_is_rejected_at_once_says_so(changed: dict[str, str], remedy: str) -> None:
    """A pipeline sees it where it looks, also when it asks again; the event is taken all the same."""
    async with site() as at:
        answers = [
            await at.client.post("/v1/events", json={**DATA, **changed}, headers={"idempotency-key": "a"})
            for _ in range(2)
        ]
    (name,) = answers[0].json()["rollouts"]
    for answer in answers:
        assert answer.status_code == 202
        (note,) = answer.json()["notes"]
        assert note.startswith(f"{name} is rejected: no policy matches service ")
        assert remedy in note


async def test_a_report_about_no_rollout_says_so() -> None:
    """A pipeline that cancels another revision than it deployed must not believe that it is cancelled."""
    event = {**EVENT, "type": "slo-guardian.deploy.cancelled.v1"}
    async with site() as at:
        answer = await at.client.post("/v1/events", json=event)
    assert answer.json()["notes"] == ["deploy.cancelled names no rollout that is open here"]


async def test_a_group_of_alerts_that_touches_nothing_says_why_once() -> None:
    """Alertmanager needs its 200; whoever tries the webhook by hand needs the reason."""
    async with site() as at:
        nobody = await at.client.post("/hooks/alertmanager", json=alerts(count=3, service=""))
    async with site() as at:
        await at.client.post("/v1/events", json=DATA)
        holds = await at.client.post("/hooks/alertmanager", json=alerts(count=3, severity="warning"))
    assert (nobody.status_code, nobody.json()["taken"]) == (200, 3)
    (note,) = nobody.json()["notes"]
    assert "it names no service" in note
    assert holds.json()["notes"] == []
    assert holds.json()["rollouts"]


async def test_the_same_alert_again_is_200_and_no_effect() -> None:
    """Alertmanager sends what it has sent before, by design and after each of its crashes."""
    async with site() as at:
        first = await at.client.post("/hooks/alertmanager", json=alerts(count=2))
        again = await at.client.post("/hooks/alertmanager", json=alerts(count=2))
        rows = at.journal.read()
    assert (first.status_code, first.json()["taken"]) == (200, 2)
    assert (again.status_code, again.json()["repeats"]) == (200, 2)
    assert len(rows) == 2


async def test_resolved_is_another_event_than_firing() -> None:
    """Each alert counts by its own status."""
    async with site() as at:
        await at.client.post("/hooks/alertmanager", json=alerts())
        resolved = await at.client.post("/hooks/alertmanager", json=alerts(status="resolved"))
    assert resolved.json()["taken"] == 1


async def test_a_full_inbox_answers_503() -> None:
    """5xx is what Alertmanager tries again; everything else it drops."""
    async with site(room=3) as at:
        answers = await asyncio.gather(
            *(at.client.post("/hooks/alertmanager", json=alerts(count=3, n=str(n))) for n in range(4))
        )
    assert {answer.status_code for answer in answers} == {200, 503}


async def test_a_journal_that_cannot_store_answers_503() -> None:
    """Nothing is acknowledged that is not durable."""
    async with site() as at:
        at.journal.trouble = JournalError("cannot be written: the disk is full", remedy="free space")
        answer = await at.client.post("/hooks/alertmanager", json=alerts())
        await asyncio.sleep(0.5)
        ready = await at.client.get("/readyz")
        at.journal.trouble = None
    assert answer.status_code == 503
    assert answer.json()["remedy"] == "free space"
    assert ready.status_code == 503
    assert ready.json()["problems"][0]["part"] == "journal"


async def test_nonsense_and_unknown_hooks_are_told_so() -> None:
    """400 for what is no webhook, 404 for a name nobody listens to."""
    async with site() as at:
        nonsense = await at.client.post("/hooks/alertmanager", json={"alerts": "none"})
        unknown = await at.client.post("/hooks/pigeon", json=alerts())
    assert nonsense.status_code == 400
    assert unknown.status_code == 404
    assert "alertmanager" in unknown.json()["remedy"]


class Taker:
    """Takes samples; refuses what is no snappy."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def receive(self, body: bytes, *, content_type: str = "", content_encoding: str = "snappy") -> int:
        if content_encoding != "snappy":
            raise EventError("cannot read it", reason="unsupported", remedy="send snappy")
        self.bodies.append(body)
        return 1


async def test_remote_write_is_passed_on_as_it_came() -> None:
    """204 is what Prometheus counts as delivered, 400 what it drops, and without a taker it is told where to look."""
    taker = Taker()
    async with site(takers=[taker]) as at:
        good = await at.client.post("/api/v1/write", content=b"snap", headers={"content-encoding": "snappy"})
        bad = await at.client.post("/api/v1/write", content=b"snap")
    async with site() as at:
        nobody = await at.client.post("/api/v1/write", content=b"snap")
    assert (good.status_code, bad.status_code, nobody.status_code) == (204, 400, 404)
    assert taker.bodies == [b"snap"]
    assert "stream: true" in nobody.json()["remedy"]


async def test_recorded_webhooks_are_understood() -> None:
    """A group that is firing may hold a resolved alert; both are taken, each by its own status."""
    mixed = alerts(count=2)
    mixed["alerts"][1]["status"] = "resolved"
    mixed["alerts"][1]["endsAt"] = "2026-11-21T08:05:16.225Z"
    async with site() as at:
        answer = await at.client.post("/hooks/alertmanager", json=mixed)
        firing = [json.loads(row.body)["fact"]["firing"] for row in at.journal.read()]
    assert answer.json()["taken"] == 2
    assert firing == [True, False]
