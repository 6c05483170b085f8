"""Looking at rollouts, giving orders, asking the gate and listening to the stream."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from guardian.config.settings import Settings
from guardian.core.model import Phase
from guardian.web.stream import Hub, position
from tests.runtime.stage import only, phase, until
from tests.web.site import Site, site
from tests.web.test_intake import DATA


@pytest.fixture
async def progressing() -> AsyncIterator[Site]:
    """A site on which one rollout is at its first step."""
    async with site() as at:
        await at.client.post("/v1/events", json=DATA)
        await until(lambda: phase(at.daemon) is Phase.PROGRESSING)
        yield at


async def test_rollouts_are_listed_newest_first_and_filtered(progressing: Site) -> None:
    """The API shows what is going on, for one place or all."""
    client = progressing.client
    await client.post("/v1/events", json={**DATA, "revision": "2.2.0"})
    everything = (await client.get("/v1/rollouts")).json()
    assert [one["revision"] for one in everything["items"]] == ["2.2.0", "2.1.0"]
    assert everything["apiVersion"] == "slo-guardian/v1"
    one = (await client.get("/v1/rollouts", params={"limit": 1})).json()
    assert (len(one["items"]), one["more"]) == (1, True)
    nobody = (await client.get("/v1/rollouts", params={"service": "payment"})).json()
    assert nobody["items"] == []
    phases = await client.get("/v1/rollouts", params={"phase": "lunch"})
    assert phases.status_code == 422


async def test_a_rollout_is_shown_and_explained(progressing: Site) -> None:
    """Silence is explained: what it waits for is said, and its history is there."""
    name = only(progressing.daemon).id
    shown = (await progressing.client.get(f"/v1/rollouts/{name}")).json()
    assert (shown["phase"], shown["step"], shown["weight"]["desired"]) == ("progressing", 0, 0.1)
    assert shown["waits"]
    told = (await progressing.client.get(f"/v1/rollouts/{name}/explanation")).json()
    assert told["summary"]
    assert any("starts" in line for line in told["history"])
    assert len(told["history_at"]) == len(told["history"])
    assert told["history_at"] == sorted(told["history_at"])
    assert told["history_at"][0] == shown["opened_at"]


async def test_a_place_that_is_not_measured_is_explained_from_the_first_second_on() -> None:
    """Half a minute of "bake time" would hide that it can never be judged."""
    async with site(settings=Settings.model_validate({"environments": {"production": {}}})) as at:
        (name,) = (await at.client.post("/v1/events", json=DATA)).json()["rollouts"]
        told = (await at.client.get(f"/v1/rollouts/{name}/explanation")).json()
    assert told["waits"][0].startswith("no metrics are configured for environment 'production', so no guardrail")
    assert "environments.production.metrics" in told["waits"][0]


async def test_an_unknown_rollout_is_404_with_the_nearest(progressing: Site) -> None:
    """A typing error costs no second request."""
    answer = await progressing.client.get("/v1/rollouts/checkout-0000000000")
    assert answer.status_code == 404
    assert only(progressing.daemon).id in answer.json()["remedy"]
    order = await progressing.client.post("/v1/rollouts/nobody-1/abort", json={"reason": "x"})
    assert order.status_code == 404


async def test_orders_are_carried_out_and_recorded_with_who_and_why(progressing: Site) -> None:
    """Pause and resume; a repeat of the same request changes nothing."""
    name = only(progressing.daemon).id
    path = f"/v1/rollouts/{name}"
    key = {"idempotency-key": "k1"}
    body = {"reason": "lunch", "who": "ann"}
    paused = await progressing.client.post(f"{path}/pause", json=body, headers=key)
    again = await progressing.client.post(f"{path}/pause", json=body, headers=key)
    assert (paused.json()["phase"], paused.json()["new"]) == ("paused", True)
    assert (again.status_code, again.json()["new"]) == (200, False)
    resumed = await progressing.client.post(f"{path}/resume", json=body)
    assert resumed.json()["phase"] == "progressing"
    history = (await progressing.client.get(f"{path}/explanation")).json()["history"]
    assert any("ann (unchecked)" in line and "lunch" in line for line in history)


async def test_an_order_that_cannot_be_carried_out_is_409(progressing: Site) -> None:
    """With what can be done instead."""
    name = only(progressing.daemon).id
    answer = await progressing.client.post(f"/v1/rollouts/{name}/resume", json={"reason": "x"})
    assert answer.status_code == 409
    assert answer.json()["remedy"]
    silent = await progressing.client.post(f"/v1/rollouts/{name}/abort", json={})
    assert silent.status_code == 409
    assert "reason" in silent.json()["remedy"]


async def test_a_rollback_by_a_person_takes_the_weight_back(progressing: Site) -> None:
    """One order, and the users are back on the good version."""
    name = only(progressing.daemon).id
    await until(lambda: progressing.stage.router.history == [0.1])
    answer = await progressing.client.post(f"/v1/rollouts/{name}/rollback", json={"reason": "users complain"})
    assert answer.json()["phase"] == "rolling-back"
    await until(lambda: phase(progressing.daemon) is Phase.ROLLED_BACK)
    assert progressing.stage.router.history == [0.1, 0.0]


async def test_an_amendment_must_be_a_policy(progressing: Site) -> None:
    """What cannot be read is refused before anything is recorded."""
    name = only(progressing.daemon).id
    answer = await progressing.client.post(
        f"/v1/rollouts/{name}/amend", json={"reason": "tighter", "policy": "kind: Policy"}
    )
    assert answer.status_code == 400
    assert answer.json()["remedy"]


RULE = {
    "name": "errors",
    "sli": {"ratio": {"bad": 'http_requests_total{status="500"}', "total": "http_requests_total"}},
    "compare": "none",
    "objective": {"target": "99.9%", "critical": {"below": "90%", "for": "1m"}},
}


def strict(share: str) -> dict[str, object]:
    """Return the rule with another threshold."""
    return {**RULE, "objective": {"target": "99.9%", "critical": {"below": share, "for": "1m"}}}


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        ([{"guardrail": RULE}], "healthy"),
        ([{"guardrail": strict("99.8%")}], "failed"),
        ([{"guardrail": strict("99.8%"), "dry_run": True}], "healthy"),
        ([{"guardrail": RULE}, {"name": "errors"}], "undecided"),
    ],
)
async def test_the_gate_judges_a_service_without_a_rollout(rules: list[dict[str, object]], verdict: str) -> None:
    """0.5 % of requests fail: within 90 %, beyond 99.8 %; a dry rule is shown and does not count."""
    async with site() as at:
        asked = {"service": "checkout", "environment": "production", "rules": rules}
        answer = await at.client.post("/v1/gate", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["verdict"] == verdict
    assert answer.json()["rules"][0]["requests"] > 0


async def test_the_gate_tells_levels_and_bounds_in_their_units() -> None:
    """0.998 may be a share or nearly a second."""
    async with site() as at:
        asked = {"service": "checkout", "environment": "production", "rules": [{"guardrail": strict("99.8%")}]}
        (rule,) = (await at.client.post("/v1/gate", json=asked)).json()["rules"]
    assert (rule["unit"], rule["reason"]) == ("share", "below 99.8% for 1m (fail)")


@pytest.mark.parametrize(("target", "result"), [("99.9%", "pass"), ("99.99%", "fail")])
async def test_the_gate_judges_burn_rates(target: str, result: str) -> None:
    """0.5 % of requests fail: five times, and fifty times, as fast as the budget of a month allows."""
    rule = {**RULE, "objective": {"target": target, "burn_rate": {}}}
    async with site() as at:
        asked = {"service": "checkout", "environment": "production", "rules": [{"guardrail": rule}]}
        (told,) = (await at.client.post("/v1/gate", json=asked)).json()["rules"]
    assert told["result"] == result
    assert told["reason"].startswith("within its objective" if result == "pass" else "error budget of 30 days: burn")


@pytest.mark.parametrize(("bound", "result"), [(0.9e9, "fail"), (1.1e9, "pass")])
async def test_the_gate_judges_levels(bound: float, result: str) -> None:
    """A gauge needs no requests beside it: all pods that are measured serve."""
    rule = {
        "name": "memory", "sli": {"gauge": {"value": "memory_bytes"}}, "compare": "none",
        "objective": {"target": bound, "critical": {"above": bound, "for": "1m"}},
    }  # fmt: skip
    async with site() as at:
        asked = {"service": "checkout", "environment": "production", "rules": [{"guardrail": rule}]}
        (told,) = (await at.client.post("/v1/gate", json=asked)).json()["rules"]
    assert (told["result"], told["unit"]) == (result, "value")
    assert told["level"] == pytest.approx(1e9, rel=0.05)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"service": "checkout"}, 400),
        ({"service": "payment", "environment": "production"}, 400),
        ({"service": "checkout", "environment": "production", "rules": [{"name": "lunch"}]}, 400),
        ({"service": "checkout", "environment": "production", "rules": [{}]}, 400),
        ({"service": "checkout", "environment": "production", "rules": [{"guardrail": {"name": "x"}}]}, 400),
        ({"service": "checkout", "environment": "production"}, 400),
    ],
)
async def test_a_question_to_the_gate_that_makes_no_sense_is_explained(asked: dict[str, object], status: int) -> None:
    """Each with its remedy; no verdict from nothing."""
    async with site() as at:
        answer = await at.client.post("/v1/gate", json=asked)
    assert answer.status_code == status
    assert answer.json()["remedy"]


async def test_an_environment_nobody_configured_is_told_with_those_there_are() -> None:
    """It is a mistake of the question, not of the guardian."""
    settings = Settings.model_validate({"environments": {"production": {}, "staging": {}}})
    async with site(settings=settings) as at:
        asked = {"service": "checkout", "environment": "stagin", "policy": "checkout", "rules": [{"guardrail": RULE}]}
        answer = await at.client.post("/v1/gate", json=asked)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "environment 'stagin' is not configured"
    assert answer.json()["remedy"] == "did you mean 'staging'? Allowed: production, staging"


@pytest.mark.parametrize(
    ("header", "who"),
    [({"x-forwarded-user": "eve"}, "eve paused the rollout: lunch"), ({}, "ann (unchecked) paused the rollout: lunch")],
)
async def test_who_orders_is_what_the_proxy_says(header: dict[str, str], who: str) -> None:
    """The header of `user_header` is believed of whoever may ask; without it, people speak for themselves."""
    async with site(settings=Settings(user_header="X-Forwarded-User")) as at:
        await at.client.post("/v1/events", json=DATA)
        await until(lambda: phase(at.daemon) is Phase.PROGRESSING)
        path = f"/v1/rollouts/{only(at.daemon).id}"
        await at.client.post(f"{path}/pause", json={"reason": "lunch", "who": "ann"}, headers=header)
        history = (await at.client.get(f"{path}/explanation")).json()["history"]
    assert any(who in line for line in history), history


async def test_a_name_that_came_twice_is_not_believed() -> None:
    """A proxy that adds its header to the client's leaves both: the first one is whatever the client wrote."""
    async with site(settings=Settings(user_header="X-Forwarded-User")) as at:
        await at.client.post("/v1/events", json=DATA)
        await until(lambda: phase(at.daemon) is Phase.PROGRESSING)
        path = f"/v1/rollouts/{only(at.daemon).id}"
        twice = [("x-forwarded-user", "boss"), ("x-forwarded-user", "eve")]
        await at.client.post(f"{path}/pause", json={"reason": "lunch"}, headers=twice)
        history = (await at.client.get(f"{path}/explanation")).json()["history"]
    assert any("somebody with access to the API paused" in line for line in history), history


async def test_without_user_header_nobody_is_taken_at_a_headers_word(progressing: Site) -> None:
    """Any client could send one."""
    path = f"/v1/rollouts/{only(progressing.daemon).id}"
    await progressing.client.post(f"{path}/pause", json={"reason": "x"}, headers={"x-forwarded-user": "eve"})
    history = (await progressing.client.get(f"{path}/explanation")).json()["history"]
    assert any("somebody with access to the API" in line for line in history)
    assert not any("eve" in line for line in history)


async def frames(hub: Hub, last: str, count: int = 0, *, until: str = "") -> list[tuple[str, str]]:
    """Return (id, event) of the frames after the one named: so many, or up to the first event of that name."""
    found: list[tuple[str, str]] = []
    stream = hub.listen(position(last))
    async with asyncio.timeout(20):
        async for part in stream:
            lines = dict(line.split(": ", 1) for line in part.decode().strip().split("\n") if ": " in line)
            if "id" in lines:
                found.append((lines["id"], lines["event"]))
            if len(found) == count or (until and found and f".{until}." in found[-1][1]):
                break
    await stream.aclose()  # type: ignore[attr-defined]
    return found


async def test_the_stream_goes_on_where_a_listener_was_cut_off(progressing: Site) -> None:
    """Replay and live come together without a gap or a repeat."""
    everything = await frames(progressing.hub, "0.0", 3)
    assert [event.split(".")[2] for _, event in everything] == ["queued", "started", "advanced"]
    for seen, (last, _) in enumerate(everything[:-1], start=1):
        assert await frames(progressing.hub, last, 3 - seen) == everything[seen:]
    name = only(progressing.daemon).id
    live = asyncio.ensure_future(frames(progressing.hub, everything[-1][0], until="paused"))
    await asyncio.sleep(0)
    await progressing.client.post(f"/v1/rollouts/{name}/pause", json={"reason": "x"})
    ids = [tuple(map(int, one.split("."))) for one, _ in await live]
    assert ids == sorted(set(ids))


async def test_too_many_listeners_are_told_to_come_later() -> None:
    """And a Last-Event-ID that is none is a 400."""
    async with site(streams=0) as at:
        full = await at.client.get("/v1/stream")
        odd = await at.client.get("/v1/stream", headers={"last-event-id": "yesterday"})
    assert (full.status_code, odd.status_code) == (503, 400)


async def test_metrics_name_deployments_as_the_contract_says(progressing: Site) -> None:
    """With labels service, environment and strategy."""
    text = (await progressing.client.get("/metrics")).text
    labels = '{environment="production",service="checkout",strategy="canary"}'
    assert f"deployment_total{labels} 1.0" in text
    assert "guardian_intake_seconds_count" in text


async def test_the_api_documents_itself(progressing: Site) -> None:
    """Every path of the contract is in the OpenAPI document."""
    document = (await progressing.client.get("/openapi.json")).json()
    assert set(document["paths"]) >= {
        "/v1/events", "/hooks/alertmanager", "/v1/rollouts", "/v1/rollouts/{rollout_id}", "/v1/gate", "/v1/stream",
        "/v1/rollouts/{rollout_id}/explanation", "/v1/rollouts/{rollout_id}/{order}", "/api/v1/write", "/metrics",
        "/healthz", "/readyz",
    }  # fmt: skip
    welcome = await progressing.client.get("/")
    assert "/openapi.json" in welcome.text


async def test_wrong_paths_and_methods_are_problems_too(progressing: Site) -> None:
    """Whoever reads answers by machine needs one form of errors only."""
    for answer in (await progressing.client.get("/v2"), await progressing.client.delete("/v1/rollouts")):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["remedy"]


async def asked(token: str | None, *, host: str = "127.0.0.1", **headers: str) -> dict[str, int]:
    """Return the status of each kind of path, asked with these headers."""
    async with site(token=None if token is None else lambda: token, host=host) as at:
        calls: dict[str, httpx.Response] = {
            "api": await at.client.get("/v1/rollouts", headers=headers),
            "hook": await at.client.post("/hooks/alertmanager", json={}, headers=headers),
            "write": await at.client.post("/api/v1/write", headers=headers),
            "health": await at.client.get("/healthz", headers=headers),
        }
    return {name: answer.status_code for name, answer in calls.items()}


@pytest.mark.parametrize("query", ["limit=0", "limit=99999", "limit=x", "phase=zap", "open=perhaps"])
async def test_a_wrong_parameter_is_a_problem_too(progressing: Site, query: str) -> None:
    """Every error has the same form, with the parameter that is wrong."""
    answer = await progressing.client.get(f"/v1/rollouts?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert query.partition("=")[0] in answer.json()["detail"]


async def test_with_a_token_everything_but_health_needs_it() -> None:
    """API, hooks and remote write alike."""
    assert await asked("s3cret") == {"api": 401, "hook": 401, "write": 401, "health": 200}
    assert await asked("s3cret", authorization="Bearer wrong") == {"api": 401, "hook": 401, "write": 401, "health": 200}
    good = await asked("s3cret", authorization="Bearer s3cret")
    assert good == {"api": 200, "hook": 400, "write": 404, "health": 200}


async def test_without_a_token_no_web_page_can_give_orders() -> None:
    """A browser on this machine could be made to: neither from another origin nor by another name of ours."""
    assert (await asked(None))["api"] == 200
    assert (await asked(None, origin="https://evil.example"))["api"] == 403
    assert (await asked(None, host="evil.example"))["api"] == 403
    assert (await asked(None, host="localhost", origin="http://localhost"))["api"] == 200
