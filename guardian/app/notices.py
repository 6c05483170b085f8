"""From guardian.yaml's `notify` to outlets of the journal: decision events that a person is told of, in words.

Each notifier is a sink of its own, with its own place in the journal: one that is down is tried again for as long as it
takes, and holds neither a rollback nor the others. What was told once is not told again when a later notice fails.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from guardian import catalog
from guardian.config.settings import Notify, Settings
from guardian.core.sentences import share
from guardian.ports import Clock, Journal, Notifier
from guardian.runtime.outbox import CURSOR, Outlet
from guardian.runtime.story import Told

STALE: Final = 24 * 3600.0
"""Seconds after which nobody wants to be told any more."""
_Place = tuple[int, int]


class _Data(msgspec.Struct, frozen=True):
    """What a notice says of a decision event's data."""

    rollout: str
    service: str
    environment: str
    region: str
    revision: str
    phase: str
    step: int
    weight: float
    guardrail: str
    reason: str
    mode: str


class _Event(msgspec.Struct, frozen=True):
    """A decision event as it is on the wire."""

    id: str
    type: str
    time: datetime
    data: _Data


_DECODER: Final = msgspec.json.Decoder(_Event)


class Notices:
    """The notifiers of guardian.yaml. `close` ends their connections."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self.outlets: Sequence[Outlet] = [
            _outlet(name, notify, self._notifier(name, notify), clock) for name, notify in settings.notify.items()
        ]

    async def begin(self, journal: Journal) -> None:
        """Have a notifier that is new here begin with what comes next: nobody wants to be told of the past."""
        known = journal.notes(CURSOR)
        added = [CURSOR + outlet.name for outlet in self.outlets if CURSOR + outlet.name not in known]
        if added:
            head = await journal.append(())
            await journal.append((), notes=dict.fromkeys(added, b"%d" % head))

    async def close(self) -> None:
        """End the connections."""
        while self._closers:
            await self._closers.pop()()

    def _notifier(self, name: str, notify: Notify) -> Notifier:
        made: Any
        if notify.webhook is None:
            made = catalog.imported(catalog.NOTIFIERS["log"])()
        else:
            login = catalog.imported("guardian.adapters._http:Login")(token=notify.token.read if notify.token else None)
            client = catalog.imported("guardian.adapters._http:HttpClient")(
                timeout=notify.timeout, ca=notify.ca, login=login
            )
            self._closers.append(client.close)
            made = catalog.imported(catalog.NOTIFIERS["webhook"])(
                client, url=notify.webhook.read, name=f"notify.{name}"
            )
        notifier: Notifier = made
        return notifier


def _outlet(name: str, notify: Notify, notifier: Notifier, clock: Clock) -> Outlet:
    """Return the outlet of one notifier."""
    done: _Place = (0, 0)

    async def publish(events: Sequence[Told]) -> None:
        nonlocal done
        for told in events:
            if (told.seq, told.index) <= done or event_of(told.type) not in notify.events:
                continue
            event = _DECODER.decode(told.body)
            wanted = not notify.environments or event.data.environment in notify.environments
            if wanted and event.time.timestamp() > clock.now() - STALE:
                await notifier.notify(dedup=event.id, summary=_summary(event), body=_body(event))
            done = (told.seq, told.index)

    return Outlet(name=f"notify-{name}", publish=publish)


def event_of(kind: str) -> str:
    """Return the part of an event's type that guardian.yaml names.

    >>> event_of("slo-guardian.rollout.rolled-back.v1")
    'rolled-back'
    """
    return kind.split(".")[2]


def _summary(event: _Event) -> str:
    data = event.data
    place = f"{data.environment}, {data.region}" if data.region else data.environment
    return f"{event_of(event.type)}: {data.service} {data.revision} in {place}"


def _body(event: _Event) -> str:
    data = event.data
    state = f"phase {data.phase}, step {data.step + 1}, canary at {share(data.weight)}"
    lines = [
        data.reason,
        f"{event.time.isoformat(timespec='seconds')}: {state}{'' if data.mode == 'enforce' else f', mode {data.mode}'}",
        f"guardrail {data.guardrail}" if data.guardrail else "",
        f"guardian explain {data.rollout}",
    ]
    return "\n".join(line for line in lines if line)
