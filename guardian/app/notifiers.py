"""From an entry of guardian.yaml's `notify` to what tells somebody. Adapters are imported when one is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from guardian import catalog
from guardian.config.notify import Email, Notify, Way
from guardian.ports import Notifier, Pager


class Notifiers:
    """Makes notifiers; `close` ends their connections."""

    def __init__(self) -> None:
        self._closers: list[Callable[[], Awaitable[None]]] = []

    def make(self, name: str, notify: Notify) -> Notifier:
        """Return the notifier of an entry; one for PagerDuty is a Pager. Connects to nothing yet."""
        kind = catalog.imported(catalog.NOTIFIERS[notify.way])
        where = f"notify.{name}"
        made: Any
        if notify.email is not None:
            made = kind(_server(notify, notify.email), sender=notify.email.sender, to=notify.email.to, name=where)
        elif notify.pagerduty is not None:
            pagerduty = notify.pagerduty
            made = kind(self._client(notify), key=pagerduty.routing_key.read, url=pagerduty.url, name=where)
        elif (address := notify.address) is not None:
            made = kind(self._client(notify), url=address.read, name=where)
        else:
            made = kind()
        notifier: Notifier = made
        return notifier

    async def close(self) -> None:
        """End the connections."""
        while self._closers:
            await self._closers.pop()()

    def _client(self, notify: Notify) -> Any:
        login = catalog.imported("guardian.adapters._http:Login")(token=notify.token.read if notify.token else None)
        client = catalog.imported("guardian.adapters._http:HttpClient")(
            timeout=notify.timeout, ca=notify.ca, login=login
        )
        self._closers.append(client.close)
        return client


def pager(notify: Notify, notifier: Notifier) -> Pager | None:
    """Return the notifier where it keeps incidents open."""
    if notify.way is not Way.PAGERDUTY:
        return None
    found: Any = notifier
    kept: Pager = found
    return kept


def _server(notify: Notify, email: Email) -> Any:
    return catalog.imported("guardian.adapters.notify.email:MailServer")(
        host=email.server.host,
        port=email.server.port,
        security=email.security,
        timeout=notify.timeout,
        ca=notify.ca,
        username=email.username,
        password=email.password.read if email.password is not None else None,
    )
