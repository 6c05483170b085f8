"""Mail over a real mail server: keys become Message-IDs, TLS is checked, refusals are told apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from guardian.adapters.notify.email import REPEATED, EmailNotifier, MailServer, Security
from guardian.errors import Refused, Unavailable
from tests.adapters.mail_server import Mailbox, certified, receiving
from tests.adapters.notices import notice


def notifier(box: Mailbox, *to: str, **changes: Any) -> EmailNotifier:
    """A notifier for this mail server."""
    chosen: dict[str, Any] = {"security": "none", "timeout": 2.0, **changes}
    server = MailServer(host="127.0.0.1", port=box.port, **chosen)
    return EmailNotifier(server, sender="guardian@example.org", to=to or ("ann@example.org",), name="notify.mail")


@asynccontextmanager
async def guarded(security: Security, folder: Path) -> AsyncIterator[Mailbox]:
    """A mail server with a certificate of an own authority, and a login."""
    async with receiving(security=security, context=certified(folder), login=True) as box:
        yield box


async def test_a_repeat_has_the_same_message_id_and_a_rollout_is_one_thread() -> None:
    """Mailboxes show it once; what else is said of the rollout stands below it."""
    async with receiving() as box:
        mail = notifier(box, "ann@example.org", "bob@example.org")
        await mail.notify(notice())
        await mail.notify(notice(repeated=True))
        await mail.notify(notice(dedup="checkout-9907d8c65a/8"))
    first, again, other = box.mails
    assert first["message-id"] == again["message-id"] != other["message-id"]
    assert first["message-id"].endswith("@example.org>")
    assert first["references"] == other["references"]
    assert (REPEATED in first.get_content(), REPEATED in again.get_content()) == (False, True)
    assert first["subject"] == "paged: checkout 2.1.0 in production"
    assert first["auto-submitted"] == "auto-generated"
    assert first.get_content_type() == "text/plain"
    assert box.to[0] == ["ann@example.org", "bob@example.org"]


async def test_a_summary_cannot_add_a_header() -> None:
    """Names come from events."""
    async with receiving() as box:
        await notifier(box).notify(notice(summary="held\r\nBcc: eve@example.org"))
    assert box.mails[0]["bcc"] is None
    assert box.to == [["ann@example.org"]]


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_mail_goes_over_tls_of_an_own_authority_after_a_login(security: Security, tmp_path: Path) -> None:
    """As nearly every company has it."""
    async with guarded(security, tmp_path) as box:
        login: dict[str, Any] = {"username": "guardian", "password": lambda: "s3cret", "ca": tmp_path / "ca.crt"}
        await notifier(box, security=security, **login).notify(notice())
    assert len(box.mails) == 1
    assert box.logins == [(b"guardian", b"s3cret")]


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_certificate_that_nobody_vouches_for_gets_neither_password_nor_mail(
    security: Security, tmp_path: Path
) -> None:
    """Somebody may stand in between."""
    async with guarded(security, tmp_path) as box:
        login: dict[str, Any] = {"username": "guardian", "password": lambda: "s3cret"}
        with pytest.raises(Refused, match=r"^notify\.mail: its certificate is not trusted: .*'ca'"):
            await notifier(box, security=security, **login).notify(notice())
    assert (box.mails, box.logins) == ([], [])


async def test_a_server_without_starttls_is_not_told_anything_in_plain() -> None:
    """Falling back would send the password to whoever took STARTTLS out."""
    async with receiving() as box:
        with pytest.raises(Refused, match="STARTTLS"):
            await notifier(box, security="starttls").notify(notice())
    assert box.mails == []


async def test_a_wrong_password_is_refused_and_not_shown(tmp_path: Path) -> None:
    """The server's answer is; /readyz shows it."""
    async with guarded("tls", tmp_path) as box:
        login: dict[str, Any] = {"username": "guardian", "password": lambda: "wr0ng", "ca": tmp_path / "ca.crt"}
        with pytest.raises(Refused, match=r"^notify\.mail: answered 535 .*; check login") as raised:
            await notifier(box, security="tls", **login).notify(notice())
    assert "wr0ng" not in str(raised.value)


@pytest.mark.parametrize(("answer", "error"), [("451 greylisted", Unavailable), ("554 spam", Refused)])
async def test_not_now_and_no_are_told_apart(answer: str, error: type[Exception]) -> None:
    """4xx is worth another try (RFC 5321, 4.2.1)."""
    async with receiving() as box:
        box.answers.append(answer)
        with pytest.raises(error, match=f"answered {answer}"):
            await notifier(box).notify(notice())


async def test_one_wrong_address_does_not_keep_the_mail_from_the_others() -> None:
    """Nor does it have them told again and again; nobody at all is an error."""
    async with receiving() as box:
        box.unknown = ("gone@example.org",)
        await notifier(box, "gone@example.org", "ann@example.org").notify(notice())
        assert box.to == [["ann@example.org"]]
        with pytest.raises(Refused, match=r"gone@example\.org: 550 no such mailbox"):
            await notifier(box, "gone@example.org").notify(notice())


async def test_a_server_that_hangs_or_is_not_there_is_an_error_in_time() -> None:
    """After the notifier's own timeout, over all of it."""
    async with receiving() as box:
        box.answers.append(None)
        with pytest.raises(Unavailable, match=r"no answer within 0\.3 s"):
            await notifier(box, timeout=0.3).notify(notice())
    with pytest.raises(Unavailable, match=r"^notify\.mail: not sent"):
        await notifier(box).notify(notice())


async def test_a_mail_that_is_cancelled_as_it_is_taken_ends_there() -> None:
    """Else a daemon that is stopped would wait for ever for the task that sent it."""
    async with receiving() as box:
        sending = asyncio.create_task(notifier(box).notify(notice()))
        while not box.mails:  # noqa: ASYNC110  the server takes it
            await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
