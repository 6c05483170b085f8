"""The past that the monitor reads: what the commands' client reads, and what becomes of bad answers."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import numpy as np
import pytest

from guardian.adapters import _past
from guardian.adapters._http import HttpClient
from guardian.adapters._past import stretch
from guardian.adapters._series import wanted_of
from guardian.adapters.metrics import past as adapter
from guardian.adapters.metrics.history import PrometheusHistory
from guardian.adapters.metrics.past import PrometheusPast
from guardian.core.model import Instant, RolloutId, Seconds
from guardian.core.pretend import Shape, Window, in_order_of_names
from guardian.errors import AdapterError, Refused, Unavailable
from simulator.testing.plugin import MakePrometheus
from simulator.testing.prometheus import PrometheusPlan
from tests.adapters.http_server import Reply, answering
from tests.builders import ERRORS, LATENCY, PLACE, policy
from tests.cli.test_backtest import pods

SHAPE = Shape(length=Seconds(1800.0), history=Seconds(2400.0), weight=0.5)
RULES = policy(guardrails=(ERRORS, LATENCY))
STEP = Seconds(15.0)


async def read(
    url: str, *, start: float = 1e9, shape: Shape = SHAPE, everywhere: Mapping[str, str] | None = None
) -> tuple[Window, dict[str, int]]:
    """One window as a daemon reads it, and the codes of its pods."""
    client, codes = HttpClient(timeout=5.0), dict[str, int]()
    past = PrometheusPast(url=url, client=client, everywhere=everywhere or {}, dropped=(), step=STEP)
    try:
        return await past.window(PLACE, RULES, start=Instant(start), shape=shape, pods=codes), codes
    finally:
        await client.close()


async def test_a_window_is_what_the_commands_read(prometheus: MakePrometheus) -> None:
    """Errors and latencies of three pods, row by row."""
    end = float(int(time.time() - 60.0))
    server, start = prometheus(PrometheusPlan(history=pods(3, hours=2.0, end=end))), end - SHAPE.length
    wanted = [
        wanted_of(rollout=RolloutId("x"), service="checkout", guardrail=one, labels=RULES.labels, everywhere={})
        for one in RULES.participating
    ]
    other = dict[str, int]()
    found = await stretch(
        PrometheusHistory(url=server.url), wanted, (), start=Instant(start), before=SHAPE.history, after=SHAPE.length,
        step=STEP,
    )  # fmt: skip
    (theirs,), _ = in_order_of_names([found.window(other)], other)
    window, codes = await read(server.url, start=start)
    (ours,), names = in_order_of_names([window], codes)
    assert names == ("s-0", "s-1", "s-2")
    [mine], [his] = ours.parts, theirs.parts
    assert (mine.time.min(), mine.time.max()) == (-SHAPE.history, SHAPE.length)
    assert set(mine.metric) == {0, 1}
    assert all(np.array_equal(getattr(mine, one), getattr(his, one), equal_nan=True) for one in mine.__slots__)


async def test_a_service_without_series_is_an_empty_window_asked_for_within_bounds() -> None:
    """Two queries for a ratio and one for a histogram, as long as one rollout with its history, service and all."""
    body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}}).encode()
    async with answering(lambda _: Reply(body=body)) as web:
        window, codes = await read(web.url, everywhere={"cluster": "eu"})
        long = Shape(length=Seconds(10 * 86400.0), history=SHAPE.history, weight=0.5)
        await read(web.url, shape=long)
    assert (window.parts, codes) == ((), {})
    first, *_ = forms = [asked.form for asked in web.asked]
    assert [asked.path for asked in web.asked] == ["/api/v1/query_range"] * 6
    assert 'service="checkout"' in first["query"]
    assert 'cluster="eu"' in first["query"]
    assert (first["start"], first["end"], first["step"]) == ("999997600.000", "1000001800.000", "15")
    points = [(float(one["end"]) - float(one["start"])) / float(one["step"]) + 1 for one in forms]
    assert max(points) <= _past.POINTS
    assert float(forms[-1]["step"]) == 79.0


@pytest.mark.parametrize(
    ("reply", "error", "said"),
    [
        (Reply(status=503, body=b"busy"), Unavailable, "answered 503"),
        (Reply(status=401, body=b""), Refused, "check token"),
        (Reply(body=b"<html>"), Unavailable, "not Prometheus' JSON"),
        (Reply(status=400, body=b'{"status":"error","errorType":"bad_data","error":"parse"}'), Refused, "bad_data"),
        (
            Reply(
                body=b'{"status":"success","data":{"resultType":"matrix","result":[]},"warnings":["a store is down"]}'
            ),
            Unavailable,
            "incomplete answer: a store is down",
        ),
        (Reply(body=b" " * 2000), Refused, "larger than 1000 bytes"),
    ],
    ids=["busy", "login", "page", "query", "half", "large"],
)
async def test_half_an_answer_is_none(
    monkeypatch: pytest.MonkeyPatch, reply: Reply, error: type[AdapterError], said: str
) -> None:
    """Pods that a store keeps to itself would look like pods that are gone."""
    monkeypatch.setattr(adapter, "MOST", 1000)
    async with answering(lambda _: reply) as web:
        with pytest.raises(error, match=said):
            await read(web.url)
