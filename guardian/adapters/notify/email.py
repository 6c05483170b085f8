"""Notices as plain-text mail over SMTP. Message-ID comes from the notice's key: repeats are one message to a mailbox.

All mails of one rollout refer to one message that was never sent, so that they are shown as one thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path
from typing import Final, Literal

import aiosmtplib
import structlog

from guardian.adapters._http import Secret, told
from guardian.errors import AdapterError, Refused, Unavailable
from guardian.ports import Notice

_log = structlog.get_logger(__name__)
REPEATED: Final = "This may have been sent before."
Security = Literal["tls", "starttls", "none"]
"""How the connection to the mail server is protected: from the start, by STARTTLS or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mail is handed in, and how. ca: certificate authority, PEM; None: the system's. timeout: seconds."""

    host: str
    port: int
    security: Security
    timeout: float
    ca: Path | None = None
    username: str | None = None
    password: Secret | None = None


class EmailNotifier:
    """Notifier by SMTP, one connection a mail. sender: address the mails come from."""

    def __init__(self, server: MailServer, *, sender: str, to: Sequence[str], name: str = "email") -> None:
        self._server, self._sender, self._to, self._name = server, sender, to, name

    async def notify(self, notice: Notice) -> None:
        """Send the notice. Raises Unavailable (no answer, 4xx) or Refused (5xx, certificate). See Notifier."""
        client = self._client()
        try:
            async with asyncio.timeout(self._server.timeout):
                await client.connect()
                refused, _ = await client.send_message(mail(notice, sender=self._sender, to=self._to))
        except (aiosmtplib.SMTPException, OSError) as error:  # TimeoutError is an OSError
            raise self._told(error) from None
        finally:
            client.close()  # without QUIT: what comes after the mail was taken can only make it look as if it was not
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError  # wait_for of Python 3.11 loses one that comes together with an answer
        for to, answer in sorted(refused.items()):  # the others have it: sending it again would tell them twice
            _log.warning("mail_refused", notifier=self._name, to=to, answer=f"{answer.code} {answer.message}")

    def _client(self) -> aiosmtplib.SMTP:
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=ssl.create_default_context(cafile=server.ca) if server.security != "none" else None,
            username=server.username,
            password=told(server.password) if server.password is not None else None,
            timeout=server.timeout,
        )

    def _told(self, error: Exception) -> AdapterError:
        """Return what an error means; its text comes from the server and does not hold the password."""
        text = " ".join((str(getattr(error, "message", "")) or str(error) or type(error).__name__).split())
        if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
            worst = max(refused.code for refused in error.recipients)
            text = "; ".join(f"{one.recipient}: {one.code} {one.message}" for one in error.recipients)
            return self._answered(worst, text)
        if isinstance(error, aiosmtplib.SMTPResponseException):
            return self._answered(error.code, f"{error.code} {text}")
        if isinstance(error, ssl.SSLCertVerificationError) or isinstance(error.__cause__, ssl.SSLCertVerificationError):
            return Refused(
                f"its certificate is not trusted: {text}", where=self._name, remedy="name its authority: 'ca'"
            )
        if isinstance(error, aiosmtplib.SMTPNotSupported) or type(error) is aiosmtplib.SMTPException:  # no STARTTLS
            return Refused(text, where=self._name, remedy="check 'security' and login against what it offers")
        if isinstance(error, TimeoutError):
            text = f"no answer within {self._server.timeout:g} s"
        return Unavailable(f"not sent: {text}", where=self._name, remedy="check server, port, 'security' and network")

    def _answered(self, code: int, text: str) -> AdapterError:
        if 400 <= code < 500:
            return Unavailable(f"answered {text}", where=self._name, remedy="it will be asked again")
        return Refused(f"answered {text}", where=self._name, remedy="check login, 'from' and 'to' for it")


def mail(notice: Notice, *, sender: str, to: Sequence[str]) -> EmailMessage:
    """Return the mail of a notice; a repeat has the same Message-ID."""
    _, _, domain = parseaddr(sender)[1].rpartition("@")
    message = EmailMessage()
    message["From"], message["To"] = sender, ", ".join(to)
    message["Subject"] = " ".join(notice.summary.split())
    message["Date"] = datetime.fromtimestamp(notice.at, UTC)
    message["Message-ID"] = _reference(notice.dedup, domain)
    message["In-Reply-To"] = message["References"] = _reference(notice.subject, domain)
    message["Auto-Submitted"] = "auto-generated"
    told_before = f"\n{REPEATED}" if notice.repeated else ""
    message.set_content(f"{notice.body}\n\n--\nslo-guardian, {notice.dedup}{told_before}\n")
    return message


def _reference(key: str, domain: str) -> str:
    """Return a Message-ID: keys may hold what is not allowed there."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{domain}>"
