"""Every notifier keeps its promise: the notice arrives whole, a repeat can be told, and trouble is an error in time.

Slack, PagerDuty and webhooks are real HTTP servers on loopback, mail goes through a real mail server.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import structlog

from guardian import catalog
from guardian.adapters.notify.memory import MemoryNotifier
from guardian.app.notifiers import Notifiers
from guardian.config.notify import Notify, Way
from guardian.errors import AdapterError, Refused, Unavailable
from guardian.ports import Notifier
from tests.adapters.http_server import Asked, Reply, answering
from tests.adapters.mail_server import receiving
from tests.adapters.notices import notice

SECRET = "T0secretB0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One notice as its receiver has it: all of its text, and what it knows a repeat by."""

    text: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A notifier, and the other end of it."""

    notifier: Notifier
    told: Callable[[], list[Told]]


Trouble = Callable[[Asked], Reply]


def well(asked: Asked) -> Reply:
    """Take everything."""
    return Reply(status=202)


@asynccontextmanager
async def over_http(way: Way, folder: Path, answer: Trouble = well) -> AsyncIterator[Receiver]:
    """A notifier by HTTP and its receiver."""
    async with answering(answer) as web:
        (folder / "secret").write_text(SECRET if way is Way.PAGERDUTY else f"{web.url}/{SECRET}")
        secret = {"file": str(folder / "secret")}
        entry = {"routing_key": secret, "url": web.url} if way is Way.PAGERDUTY else secret
        async with made(Notify.model_validate({way.value: entry, "timeout": "2s"})) as notifier:
            yield Receiver(notifier=notifier, told=lambda: [http_told(asked) for asked in web.asked])


def http_told(asked: Asked) -> Told:
    """A request: PagerDuty's key is in the event, the webhook's a header, Slack's a line that people read."""
    said = json.loads(asked.body)
    key = said.get("dedup_key") or asked.headers.get("idempotency-key") or said["blocks"][-1]["elements"][0]["text"]
    return Told(text=json.dumps(said, ensure_ascii=False), key=key)


@asynccontextmanager
async def by_mail() -> AsyncIterator[Receiver]:
    """A notifier by mail and the mailbox."""
    async with receiving() as box:
        email = {
            "server": f"127.0.0.1:{box.port}",
            "security": "none",
            "from": "g@example.org",
            "to": ["a@example.org"],
        }
        async with made(Notify.model_validate({"email": email, "timeout": "2s"})) as notifier:
            yield Receiver(
                notifier=notifier,
                told=lambda: [
                    Told(text=f"{mail['subject']}\n{mail.get_content()}", key=mail["message-id"]) for mail in box.mails
                ],
            )


@asynccontextmanager
async def by_log() -> AsyncIterator[Receiver]:
    """The log and who reads it."""
    with structlog.testing.capture_logs() as lines:
        async with made(Notify(log=True)) as notifier:
            yield Receiver(
                notifier=notifier,
                told=lambda: [Told(text=f"{line['summary']}\n{line['body']}", key=line["dedup"]) for line in lines],
            )


@asynccontextmanager
async def in_memory() -> AsyncIterator[Receiver]:
    """The notifier of runs without anybody to tell."""
    memory = MemoryNotifier()

    def told() -> list[Told]:
        shown = [one for key, one in memory.notices.items() for _ in range(memory.times[key])]
        return [Told(text=f"{one.summary}\n{one.body}", key=one.dedup) for one in shown]

    yield Receiver(notifier=memory, told=told)


@asynccontextmanager
async def made(notify: Notify) -> AsyncIterator[Notifier]:
    """The notifier of an entry in guardian.yaml, as the daemon makes it."""
    notifiers = Notifiers()
    try:
        yield notifiers.make("oncall", notify)
    finally:
        await notifiers.close()


@pytest.fixture(params=sorted(catalog.NOTIFIERS))
async def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Receiver]:
    """Every notifier of the catalog, connected."""
    others = {"memory": in_memory, "log": by_log, "email": by_mail}
    async with AsyncExitStack() as stack:
        kind: str = request.param
        opened = others[kind]() if kind in others else over_http(Way(kind), tmp_path)
        yield await stack.enter_async_context(opened)


async def test_a_notice_arrives_with_all_that_it_says(receiver: Receiver) -> None:
    """Summary, reason, facts: who is woken by it needs nothing else to begin."""
    await receiver.notifier.notify(notice(reason="no metrics of the canary"))
    [told] = receiver.told()
    for said in ("paged: checkout 2.1.0 in production", "no metrics of the canary", "phase progressing", "errors"):
        assert said in told.text


async def test_a_repeat_has_the_key_of_the_first_and_another_notice_has_its_own(receiver: Receiver) -> None:
    """Notices may be sent again after a crash."""
    await receiver.notifier.notify(notice())
    await receiver.notifier.notify(notice())
    await receiver.notifier.notify(notice(dedup="checkout-9907d8c65a/8", incident="checkout-9907d8c65a/failed"))
    first, again, other = (told.key for told in receiver.told())
    assert first == again != other


async def test_texts_of_any_length_and_in_any_letters_are_taken(receiver: Receiver) -> None:
    """Reasons hold what alerts and clusters say; one that is refused would keep back all that follow."""
    long = notice(summary="é" * 3000, reason="ü\n" * 9000, facts={f"fact {n}": "ö" * 5000 for n in range(12)})
    await receiver.notifier.notify(long)
    assert "é" * 100 in receiver.told()[0].text.replace("\n", "").replace(" ", "")


HTTP = (Way.WEBHOOK, Way.SLACK, Way.PAGERDUTY)


@pytest.mark.parametrize("way", HTTP)
@pytest.mark.parametrize(("status", "error"), [(500, Unavailable), (429, Unavailable), (400, Refused), (302, Refused)])
async def test_an_answer_that_is_no_yes_is_an_error_that_names_the_notifier_and_no_secret(
    way: Way, status: int, error: type[AdapterError], tmp_path: Path
) -> None:
    """/readyz and the log show it to everybody, and an answer may repeat what it was asked."""

    def no(asked: Asked) -> Reply:
        return Reply(status=status, body=f"no to {asked.path} {asked.body.decode()}"[:200].encode())

    async with over_http(way, tmp_path, no) as receiver:
        with pytest.raises(error, match=rf"^notify\.oncall: answered {status}: no to ") as raised:
            await receiver.notifier.notify(notice())
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("way", HTTP)
@pytest.mark.parametrize("said", ["17", "a date", "soon"], ids=["seconds", "date", "nonsense"])
async def test_a_receiver_that_asks_for_patience_gets_it(way: Way, said: str, tmp_path: Path) -> None:
    """Slack and PagerDuty answer 429 with Retry-After, in seconds or as a date; asking before would make it last."""
    if said == "a date":
        said = format_datetime(datetime.now(UTC) + timedelta(hours=9), usegmt=True)
    patience = Reply(status=429, headers={"Retry-After": said})
    async with over_http(way, tmp_path, lambda _: patience) as receiver:
        with pytest.raises(Unavailable) as raised:
            await receiver.notifier.notify(notice())
    expected = {"17": 17.0, "soon": None}
    assert raised.value.after == expected.get(said, pytest.approx(9 * 3600.0, abs=600.0))


@pytest.mark.parametrize("way", HTTP)
async def test_a_receiver_that_hangs_is_an_error_in_time(way: Way, tmp_path: Path) -> None:
    """After the notifier's own timeout."""
    async with over_http(way, tmp_path, lambda _: Reply(pause=30.0)) as receiver:
        with pytest.raises(Unavailable, match=r"^notify\.oncall: no answer within 2 s") as raised:
            await receiver.notifier.notify(notice())
    assert SECRET not in str(raised.value)
