"""A real mail server on loopback for tests: keeps what it takes, with TLS, login, refusals and silence as wished."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from guardian.adapters.notify.email import Security
from simulator.testing.certificates import make_authority, sign


@dataclass(slots=True)
class Mailbox:
    """What a mail server took. answers: what it says after each mail, "250" when there are no more; None: nothing."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    to: list[list[str]] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    answers: list[str | None] = field(default_factory=list)
    unknown: tuple[str, ...] = ()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        """Refuse mailboxes that are not there."""
        if address in self.unknown:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Keep a mail, or do what is next in `answers`."""
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer is None:
            await asyncio.sleep(60.0)
        if answer is not None and answer.startswith("250"):
            self.mails.append(message_from_bytes(envelope.content, EmailMessage, policy=WIRE))
            self.to.append(envelope.rcpt_tos)
        return answer or "451 too late"

    def login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        """Let in who knows the password."""
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"s3cret", handled=False)


def certified(folder: Path) -> ssl.SSLContext:
    """Make an authority in a folder (ca.crt) and return what a server on 127.0.0.1 proves itself with."""
    make_authority(folder, "/CN=mail lab")
    sign(folder, "mail", "/CN=127.0.0.1", extension="subjectAltName=IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "mail.crt", folder / "mail.key")
    return context


@asynccontextmanager
async def receiving(
    *, security: Security = "none", context: ssl.SSLContext | None = None, login: bool = False
) -> AsyncIterator[Mailbox]:
    """Take mail on loopback until the block ends."""
    mailbox = Mailbox()
    starttls = context if security == "starttls" else None

    def session() -> SMTP:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # it knows no TLS but that of STARTTLS
            return SMTP(
                mailbox,
                tls_context=starttls,
                require_starttls=starttls is not None,
                auth_required=login,
                auth_require_tls=starttls is not None,
                authenticator=mailbox.login if login else None,
                loop=asyncio.get_running_loop(),
            )

    tls = context if security == "tls" else None
    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0, ssl=tls)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
