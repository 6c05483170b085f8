"""The HTTP probe and the notifiers, against real HTTP servers that answer well, badly, slowly or not at all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog

from guardian.adapters._http import HttpClient, Login
from guardian.adapters.notify.log import LogNotifier
from guardian.adapters.notify.memory import MemoryNotifier
from guardian.adapters.notify.webhook import WebhookNotifier
from guardian.adapters.probes.http import HttpProbe
from guardian.adapters.probes.memory import MemoryProbe
from guardian.core.model import Place, Revision
from guardian.errors import AdapterError, Refused, Unavailable
from guardian.ports import Target
from tests.adapters.http_server import Asked, Reply, answering
from tests.adapters.notices import notice

CHECKOUT = Place(service="checkout", environment="production")
NEW = Revision("2.1.0")
WHY = notice(dedup="r1/7", summary="held", reason="why", facts={}, link="")


def target(**options: object) -> Target:
    """What a policy says of a probe."""
    return Target(place=CHECKOUT, options=options)


@asynccontextmanager
async def client(timeout: float = 2.0, login: Login | None = None) -> AsyncIterator[HttpClient]:
    """A client that is closed."""
    http = HttpClient(timeout=timeout, login=login)
    try:
        yield http
    finally:
        await http.close()


def service(asked: Asked) -> Reply:
    """A service whose canary runs 2.1.0 and is not ready."""
    if asked.path == "/version":
        return Reply(body=b'{"version": "2.1.0"}')
    return Reply(status=503 if asked.path == "/ready" else 200, body=b"warming\n up")


async def test_a_probe_passes_when_every_path_answers_as_it_should() -> None:
    """Health, and that the new revision is what answers."""
    async with answering(service) as web, client() as http:
        probe = HttpProbe(http)
        await probe.probe(target(url=web.url, paths=["/health", "live"], headers={"canary": "true"}), NEW)
        await probe.probe(target(url=f"{web.url}/version", contains='"{revision}"'), NEW)
    assert [asked.path for asked in web.asked] == ["/health", "/live", "/version"]
    assert web.asked[0].headers["canary"] == "true"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"paths": ["/health", "/ready"]}, "/ready: answered 503, not 200: warming up"),
        ({"paths": ["/version"], "contains": "9.9.9"}, 'does not hold \'9.9.9\': {"version": "2.1.0"}'),
        ({"status": 204}, "answered 200, not 204"),
        ({"contains": "{colour}"}, "use {service}, {environment}, {region}, {revision}"),
        ({"timeout": "soon"}, "option 'timeout' is 'soon', not a number"),
        ({"patsh": "/"}, "no option 'patsh'; known: contains, headers, paths"),
        ({"headers": {"a": 1}}, "not a mapping of texts"),
        ({"paths": []}, "option 'paths' is [], not a text"),
    ],
)
async def test_a_probe_that_fails_says_what_it_got(options: dict[str, object], said: str) -> None:
    """The operator reads the answer, not just that there was a wrong one."""
    async with answering(service) as web, client() as http:
        with pytest.raises(Refused) as refused:
            await HttpProbe(http).probe(target(**({"url": web.url} | options)), NEW)
    assert said in str(refused.value)
    assert refused.value.remedy


async def test_a_probe_without_answer_is_unavailable() -> None:
    """Slow, or not there: it may be up in a moment."""
    async with answering(lambda _: Reply(pause=5.0)) as web, client() as http:
        with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
            await HttpProbe(http).probe(target(url=web.url, timeout=0.2), NEW)
        url = web.url
    async with client() as http:
        with pytest.raises(Unavailable, match="no connection"):
            await HttpProbe(http).probe(target(url=url), NEW)
        with pytest.raises(Refused, match="write http://host:port"):
            await HttpProbe(http).probe(target(url="checkout:80"), NEW)


async def test_an_answer_without_end_is_refused() -> None:
    """A probe reads at most 1 MiB."""
    async with answering(lambda _: Reply(body=b"x" * 2**21)) as web, client() as http:
        with pytest.raises(Refused, match="larger than 1048576 bytes"):
            await HttpProbe(http).probe(target(url=web.url), NEW)


async def test_a_probe_in_memory_fails_as_told() -> None:
    """For runs without a platform."""
    probe = MemoryProbe({Revision("bad"): "/health answered 500"})
    await probe.probe(target(), NEW)
    with pytest.raises(Refused, match="/health answered 500"):
        await probe.probe(target(), Revision("bad"))


async def test_a_webhook_gets_the_notice_and_its_key() -> None:
    """The key makes a repeat harmless for whoever receives it."""
    async with answering(lambda _: Reply(status=202)) as web, client(login=Login(token=lambda: "s3cret")) as http:
        await WebhookNotifier(http, url=lambda: f"{web.url}/hook").notify(WHY)
    [asked] = web.asked
    assert (asked.method, asked.path) == ("POST", "/hook")
    assert json.loads(asked.body) == {"dedup": "r1/7", "summary": "held", "body": "why"}
    assert asked.headers["idempotency-key"] == "r1/7"
    assert asked.headers["authorization"] == "Bearer s3cret"


async def test_notices_in_memory_stand_once_per_key() -> None:
    """As a pager shows them."""
    notifier = MemoryNotifier()
    for _ in range(2):
        await notifier.notify(WHY)
    assert notifier.times["r1/7"] == 2
    await notifier.resolve(WHY.incident)
    assert not notifier.open


async def test_the_log_notifier_writes_one_line() -> None:
    """With the key, so that repeats are seen as such."""
    with structlog.testing.capture_logs() as lines:
        await LogNotifier().notify(WHY)
    assert lines == [{"event": "notice", "log_level": "warning", "dedup": "r1/7", "summary": "held", "body": "why"}]


@pytest.mark.parametrize("address", ["{url}/services/T0/SECRET?key=SECRET", "http://127.0.0.1:9/SECRET", "SECRET"])
async def test_no_error_of_a_webhook_tells_its_address(address: str) -> None:
    """Such an address is a password, and /readyz shows errors to everybody; an answer may repeat it."""
    async with (
        answering(lambda asked: Reply(status=404, body=f"Cannot POST {asked.path}".encode())) as web,
        client() as http,
    ):
        notifier = WebhookNotifier(http, url=lambda: address.format(url=web.url), name="notify.oncall")
        with pytest.raises(AdapterError, match=r"^notify\.oncall: ") as raised:
            await notifier.notify(WHY)
    assert "SECRET" not in str(raised.value)
