"""Polled metrics: which questions are asked, and what is made of good, partial, bad, slow and absent answers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from guardian.adapters._http import HttpClient, Login
from guardian.adapters._series import wanted_of
from guardian.adapters.metrics.polled import Part as Asking
from guardian.adapters.metrics.polled import PolledSource, plan
from guardian.core.looks import Part
from guardian.core.measures import MeasureRequest
from guardian.core.model import Instant, Place, RolloutId, Seconds
from guardian.core.policy import CountSli, Guardrail, Labels
from guardian.errors import Refused, Unavailable
from guardian.ports import Samples
from tests.adapters.clock import SetClock
from tests.adapters.http_server import Asked, Reply, answering
from tests.builders import ERRORS, T0

LOGINS = Guardrail(name="logins", sli=CountSli(events="logins_total"))
POD = {"__name__": "logins_total", "service": "checkout", "track": "canary", "pod": "c1"}


def request(service: str = "checkout", *, since: float = T0 - 60, guardrail: Guardrail = LOGINS) -> MeasureRequest:
    """What the core asks of one rollout."""
    return MeasureRequest(
        rollout=RolloutId(f"{service}-1"),
        place=Place(service=service, environment="production"),
        guardrail=guardrail,
        labels=Labels(),
        since=Instant(since),
        until=T0,
    )


def succeeded(data: dict[str, Any], **more: Any) -> Reply:
    """An answer of Prometheus."""
    return Reply(body=json.dumps({"status": "success", "data": data, **more}).encode())


def matrix(*series: tuple[Mapping[str, str], list[tuple[float, str]]], **more: Any) -> Reply:
    """Prometheus' answer to a range selector."""
    result = [{"metric": metric, "values": values} for metric, values in series]
    return succeeded({"resultType": "matrix", "result": result}, **more)


def now_is(at: float) -> Reply:
    """Prometheus' answer to time()."""
    return succeeded({"resultType": "scalar", "result": [at, str(at)]})


def prometheus(answer: Reply | Callable[[Asked], Reply], *, at: float = T0) -> Callable[[Asked], Reply]:
    """A server that knows the time and gives one answer to everything else."""

    def reply(asked: Asked) -> Reply:
        if asked.form["query"] == "time()":
            return now_is(at)
        return answer if isinstance(answer, Reply) else answer(asked)

    return reply


async def measure(url: str, *requests: MeasureRequest, timeout: float = 2.0, **options: Any) -> Samples:
    """Measure once."""
    client = HttpClient(timeout=timeout, login=options.pop("login", None))
    try:
        source = PolledSource(url=url, client=client, clock=options.pop("clock", SetClock()), **options)
        return await source.measure(requests or (request(),))
    finally:
        await client.close()


def rows(samples: Samples) -> list[tuple[str, Part, float, float]]:
    """Pod, part, time and value of each sample."""
    keys = [samples.keys[index] for index in samples.key.tolist()]
    return [
        (key.pod, key.part, at, value)
        for key, at, value in zip(keys, samples.time.tolist(), samples.value.tolist(), strict=True)
    ]


async def test_raw_samples_come_with_their_own_times() -> None:
    """Nothing is rated, extrapolated or moved to the time of the question."""
    answer = matrix((POD, [(T0 - 20.5, "3"), (T0 - 10.5, "7.5")]))
    async with answering(prometheus(answer)) as web:
        assert rows(await measure(web.url)) == [
            ("c1", Part.COUNT, T0 - 20.5, 3.0),
            ("c1", Part.COUNT, T0 - 10.5, 7.5),
        ]
    query = web.asked[-1].form
    assert query["query"] == '{__name__="logins_total",track=~"canary|stable",service="checkout"}[120s]'
    assert float(query["time"]) == T0


async def test_samples_not_later_than_since_are_left_out() -> None:
    """The reach of a query is rounded up; what the core has had it need not read again."""
    answer = matrix((POD, [(T0 - 60, "1"), (T0 - 59, "2")]))
    async with answering(prometheus(answer)) as web:
        assert [row[2] for row in rows(await measure(web.url))] == [T0 - 59]


async def test_rollouts_that_differ_only_in_service_are_one_question() -> None:
    """One query of many services costs Prometheus less than many queries, and its answer is dealt out."""
    other = POD | {"service": "pay.ment", "pod": "p1"}
    async with answering(prometheus(matrix((POD, [(T0, "1")]), (other, [(T0, "2")])))) as web:
        samples = await measure(web.url, request(), request("pay.ment"))
    assert sorted((key.rollout, key.pod) for key in samples.keys) == [("checkout-1", "c1"), ("pay.ment-1", "p1")]
    queries = [asked.form["query"] for asked in web.asked if asked.form["query"] != "time()"]
    assert queries == ['{__name__="logins_total",track=~"canary|stable",service=~"checkout|pay\\\\.ment"}[120s]']


def test_a_long_history_is_a_question_of_its_own() -> None:
    """Else one new rollout would make the answers of all others as long as its own."""
    asked = [
        Asking(wanted=wanted, since=Instant(T0 - reach), until=T0)
        for service, reach in [("a", 50.0), ("b", 55.0), ("c", 2400.0)]
        for wanted in wanted_of(
            rollout=RolloutId(service), service=service, guardrail=LOGINS, labels=Labels(), everywhere={}
        )
    ]
    reaches = {query.reach: sorted(query.parts) for query in plan(asked, scrape_interval=Seconds(15.0))}
    assert reaches == {120: ["a", "b"], 3840: ["c"]}


def test_an_answer_stays_of_bounded_size() -> None:
    """A thousand rollouts are asked for in tens of questions, not in one that Prometheus refuses."""
    asked = [
        Asking(wanted=wanted, since=Instant(T0 - 50.0), until=T0)
        for number in range(1000)
        for wanted in wanted_of(
            rollout=RolloutId(str(number)), service=f"s{number}", guardrail=LOGINS, labels=Labels(), everywhere={}
        )
    ]
    sizes = [len(query.parts) for query in plan(asked, scrape_interval=Seconds(15.0))]
    assert sum(sizes) == 1000
    assert max(sizes) <= 100


async def test_not_a_number_and_infinity_are_passed_on_as_they_are() -> None:
    """They are errors in the data, which the core counts; zero would be a lie."""
    answer = matrix((POD, [(T0 - 2, "NaN"), (T0 - 1, "+Inf"), (T0, "5")]))
    async with answering(prometheus(answer)) as web:
        values = [row[3] for row in rows(await measure(web.url))]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, 5.0]


async def test_warnings_make_the_answer_incomplete() -> None:
    """A partial response looks like an empty one; it is unknown, not zero."""
    async with answering(prometheus(matrix(warnings=["store eu-2 did not answer"]))) as web:
        samples = await measure(web.url)
    assert samples.key.size == 0
    assert samples.problems == (f"{web.url}: incomplete answer: store eu-2 did not answer",)


async def test_an_empty_answer_is_empty_and_no_error() -> None:
    """An error counter that never counted has no series yet."""
    async with answering(prometheus(matrix())) as web:
        samples = await measure(web.url)
    assert (samples.key.size, samples.problems) == (0, ())


@pytest.mark.parametrize(
    ("reply", "error", "said"),
    [
        (Reply(status=503, body=b"overloaded"), Unavailable, "answered 503: overloaded"),
        (Reply(status=429, body=b""), Unavailable, "answered 429"),
        (
            Reply(status=503, body=b'{"status":"error","errorType":"timeout","error":"query timed out"}'),
            Unavailable,
            "timeout: query timed out",
        ),
        (
            Reply(status=400, body=b'{"status":"error","errorType":"bad_data","error":"parse error"}'),
            Refused,
            "bad_data: parse error",
        ),
        (Reply(status=401, body=b"who are you"), Refused, "check token, user and password"),
        (Reply(status=302, headers={"Location": "/login"}), Refused, "give the address it redirects to"),
        (Reply(body=b"<html>log in</html>"), Unavailable, "the answer is not Prometheus' JSON"),
        (Reply(body=b""), Unavailable, "the answer is not Prometheus' JSON"),
        (Reply(body=b'{"status":"success"}'), Unavailable, "answered success without data"),
        (now_is(1.0), Refused, "answered a scalar, not raw samples"),
        (matrix((POD, [(T0, "much")])), Unavailable, "unreadable samples"),
    ],
)
async def test_a_bad_answer_is_a_clear_error(reply: Reply, error: type[Exception], said: str) -> None:
    """Whether to try again, what was got, and what to do; never an empty measurement."""
    async with answering(prometheus(reply)) as web:
        with pytest.raises(error, match=r".+; .+") as raised:
            await measure(web.url)
    assert said in str(raised.value)
    assert web.url in str(raised.value)


@pytest.mark.parametrize("drips", [False, True])
async def test_a_prometheus_that_hangs_is_given_up_in_time(*, drips: bool) -> None:
    """Also one that sends a byte now and then: the deadline is over the whole answer."""
    async with answering(prometheus(Reply(body=b" " * 100, pause=5.0 if not drips else 0.1, drips=drips))) as web:
        with pytest.raises(Unavailable, match=r"no answer within 0\.3 s; check that it runs"):
            await measure(web.url, timeout=0.3)


async def test_a_prometheus_that_is_not_there_is_unavailable() -> None:
    """No connection: worth another try."""
    async with answering(prometheus(matrix())) as web:
        url = web.url
    with pytest.raises(Unavailable, match="no connection"):
        await measure(url)


async def test_one_failing_question_is_a_problem_beside_the_other_answers() -> None:
    """A selector that Prometheus refuses must not blind the other guardrails."""

    def answer(asked: Asked) -> Reply:
        if "logins" in asked.form["query"]:
            return matrix((POD, [(T0, "1")]))
        return Reply(status=422, body=b'{"status":"error","errorType":"execution","error":"too many samples"}')

    async with answering(prometheus(answer)) as web:
        samples = await measure(web.url, request(), request(guardrail=ERRORS))
    assert len(rows(samples)) == 1
    assert samples.problems == (f"{web.url}: execution: too many samples; check the policy's selectors",)


@pytest.mark.parametrize("refused", ["5..", "http_requests_total{"])
async def test_half_of_a_guardrail_is_none_of_it(refused: str) -> None:
    """All requests without the bad ones would pass for no errors: the other half is left out, and asked for again."""

    def answer(asked: Asked) -> Reply:
        bad = "5.." in asked.form["query"]
        if "logins" not in asked.form["query"] and bad == (refused == "5.."):
            return Reply(status=503, body=b'{"status":"error","errorType":"timeout","error":"query timed out"}')
        return matrix((POD, [(T0, "1")]))

    async with answering(prometheus(answer)) as web:
        samples = await measure(web.url, request(), request(guardrail=ERRORS))
    assert [row[1] for row in rows(samples)] == [Part.COUNT]
    assert samples.unanswered == {(RolloutId("checkout-1"), "errors")}
    assert len(samples.problems) == 1


async def test_a_selector_that_cannot_be_read_is_a_problem_beside_the_others() -> None:
    """Policies are checked when they are loaded; a journaled one may still be older than the check."""
    broken = Guardrail(name="broken", sli=CountSli(events="rate(x[5m])"))
    async with answering(prometheus(matrix((POD, [(T0, "1")])))) as web:
        samples = await measure(web.url, request(), request(guardrail=broken))
    assert len(rows(samples)) == 1
    assert samples.problems[0].startswith("guardrail 'broken': selector 'rate(x[5m])'")


async def test_a_clock_that_is_off_is_measured_and_subtracted() -> None:
    """Sample times are Prometheus' own; the core compares them with ours."""
    answer = matrix((POD, [(T0 + 100.0, "1")]))
    async with answering(prometheus(answer, at=T0 + 120.4)) as web:
        assert [row[2] for row in rows(await measure(web.url))] == [T0 - 20.0]
    assert float(web.asked[-1].form["time"]) == T0 + 120.0


async def test_a_clock_within_a_second_is_left_alone() -> None:
    """Else sample times would shake with every measurement of the clock."""
    async with answering(prometheus(matrix((POD, [(T0, "1")])), at=T0 + 0.9)) as web:
        assert [row[2] for row in rows(await measure(web.url))] == [T0]


@pytest.mark.parametrize(("behind", "value"), [(29.0, 1.0), (31.0, 2.0)])
async def test_of_a_pair_one_replica_counts_and_the_other_after_30_s(behind: float, value: float) -> None:
    """Two replicas scrape at different moments: their samples together would step back and forth."""
    first, second = POD | {"replica": "a"}, POD | {"replica": "b"}
    answer = matrix((second, [(T0, "2")]), (first, [(T0 - behind, "1")]))
    async with answering(prometheus(answer)) as web:
        samples = await measure(web.url, dropped=("replica",))
    assert [row[3] for row in rows(samples)] == [value]


async def test_credentials_are_read_at_each_question() -> None:
    """A token that is renewed in its file counts at once."""
    tokens = iter(["one", "two", "three"])
    async with answering(prometheus(matrix())) as web:
        await measure(web.url, login=Login(token=lambda: next(tokens)))
    assert [asked.headers["authorization"] for asked in web.asked] == ["Bearer one", "Bearer two"]
