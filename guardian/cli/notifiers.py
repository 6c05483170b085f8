"""What `guardian doctor` asks of notifiers: whether they can be reached and, if wished, whether they take a notice."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

from guardian.app.notifiers import Notifiers, pager
from guardian.cli.diagnosis import Symptom, ok, problem
from guardian.config.notify import Notify
from guardian.core.model import Instant
from guardian.ports import Notice, Urgency


async def reached(name: str, notify: Notify) -> Symptom:
    """Return whether a notifier's secrets can be read and somebody listens at its address; telling him nothing."""
    check = f"notify {name}"
    _read_secrets(notify)
    address = _address(notify)
    if address is None:
        return ok(check, "into the daemon's log")
    place = _place(address)
    if place is None:
        return problem(check, "its address is no http or https URL", f"mend what notify.{name}.{notify.way} names")
    host, port = place
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        what = f"no connection to {host}:{port}: {error.strerror or error}"
        return problem(check, what, "check the address and network")
    writer.close()
    return ok(check, f"{host}:{port} can be reached; doctor --notify shows whether it takes a notice")


async def tried(name: str, notify: Notify) -> Symptom:
    """Return whether a notifier takes a test notice. Raises what it raises."""
    notifiers = Notifiers()
    try:
        notifier = notifiers.make(name, notify)
        notice = _test(name)
        await notifier.notify(notice)
        if (kept := pager(notify, notifier)) is not None:
            await kept.resolve(notice.incident)
            return ok(f"notify {name}", "took a test notice, and that it is over")
        return ok(f"notify {name}", "took a test notice")
    finally:
        await notifiers.close()


def _test(name: str) -> Notice:
    now = Instant(time.time())
    return Notice(
        at=now,
        dedup=f"test/{name}/{now:.3f}",
        incident=f"test/{name}",
        subject=f"test/{name}",
        urgency=Urgency.INFO,
        summary=f"test: notify.{name} can be told",
        reason="Somebody ran `guardian doctor --notify`. Nothing is wrong, and there is nothing to do.",
        facts={},
    )


def _read_secrets(notify: Notify) -> None:
    """Read what would be needed. Raises ConfigError."""
    if notify.token is not None:
        notify.token.read()
    if notify.pagerduty is not None:
        notify.pagerduty.routing_key.read()
    if notify.email is not None and notify.email.password is not None:
        notify.email.password.read()


def _address(notify: Notify) -> str | None:
    """Return where a notifier sends to, as a URL; None for the log. Raises ConfigError."""
    if notify.email is not None:
        return f"smtp://{notify.email.server}"
    if notify.pagerduty is not None:
        return notify.pagerduty.url
    return None if (address := notify.address) is None else address.read()


def _place(address: str) -> tuple[str, int] | None:
    """Return host and port of an address, None when it has none; the rest of it may be a secret."""
    try:
        url = urlsplit(address)
        port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    except ValueError:
        return None
    return (url.hostname, port) if url.hostname and port and url.scheme in {"http", "https", "smtp"} else None
