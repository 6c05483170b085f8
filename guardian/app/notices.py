"""From guardian.yaml's `notify` to outlets of the journal: decision events that a person is told of, in words.

Each notifier is a sink of its own, with its own place in the journal: one that is down is tried again for as long as it
takes, and holds neither a rollback nor the others. What was told once is not told again when a later notice fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final
from urllib.parse import quote

import msgspec

from guardian.app.messenger import Messenger
from guardian.app.notifiers import Notifiers, pager
from guardian.config.notify import Notify
from guardian.config.settings import Settings
from guardian.core.model import Instant, Phase
from guardian.core.paging import AWAITING
from guardian.core.sentences import share
from guardian.ports import Clock, Journal, Notice, Urgency
from guardian.runtime.outbox import CURSOR, Outlet
from guardian.runtime.story import Told

STALE: Final = 24 * 3600.0
"""Seconds after which nobody wants to be told any more."""
TALLY: Final = "notify/"
"""Prefix of the journal notes that say what each notifier was told lately."""
_URGENCY: Final = {
    "paged": Urgency.CRITICAL,
    "failed": Urgency.ERROR,
    "rolled-back": Urgency.ERROR,
    "aborted": Urgency.WARNING,
    "rejected": Urgency.WARNING,
    "held": Urgency.WARNING,
    AWAITING: Urgency.WARNING,
}


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
    """The notifiers of guardian.yaml. `run` tells what was withheld; `close` ends their connections."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self._notifiers = Notifiers()
        self._head = 0
        self._messengers: dict[str, Messenger] = {}
        self._clock, self._console = clock, settings.console
        for name, notify in settings.notify.items():
            notifier = self._notifiers.make(name, notify)
            self._messengers[name] = Messenger(
                name, notifier, pager=pager(notify, notifier), limit=notify.limit, clock=clock
            )
        self.outlets: Sequence[Outlet] = [
            Outlet(name=f"notify-{name}", publish=partial(self._publish, self._messengers[name], notify, _Done()))
            for name, notify in settings.notify.items()
        ]

    async def begin(self, journal: Journal) -> None:
        """Go on where the last run ended. A notifier that is new begins with what comes next, not with the past."""
        known = journal.notes(CURSOR)
        self._head = await journal.append(())
        added = [CURSOR + outlet.name for outlet in self.outlets if CURSOR + outlet.name not in known]
        if added:
            await journal.append((), notes=dict.fromkeys(added, b"%d" % self._head))
        remembered = journal.notes(TALLY)
        for name, messenger in self._messengers.items():
            messenger.begin(remembered.get(TALLY + name), partial(_keep, journal, TALLY + name))

    async def run(self) -> None:
        """Tell of what was withheld, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, messenger in self._messengers.items():
                tasks.create_task(messenger.run(), name=f"notify-{name}")

    async def close(self) -> None:
        """End the connections."""
        await self._notifiers.close()

    async def _publish(self, messenger: Messenger, notify: Notify, done: _Done, events: Sequence[Told]) -> None:
        """Tell one notifier, which may be asked again for what it did not take."""
        for told in events:
            if (told.seq, told.index) > done.place:
                await self._tell(messenger, notify, told)
                done.place = (told.seq, told.index)

    async def _tell(self, messenger: Messenger, notify: Notify, told: Told) -> None:
        name = event_of(told.type)
        if name not in notify.events and not told.over:
            return
        event = _DECODER.decode(told.body)
        if notify.environments and event.data.environment not in notify.environments:
            return
        for key in told.over:
            await messenger.over(event.data.rollout, _incident(event, key))
        if name not in notify.events or event.time.timestamp() <= self._clock.now() - STALE:
            return
        key = told.page or name
        notice = _notice(event, key, link=self._link(event.data.rollout), repeated=told.seq <= self._head)
        ends = key in {told.page, AWAITING} and not Phase(event.data.phase).terminal
        await messenger.tell(notice, page=key == told.page, ends=ends)

    def _link(self, rollout: str) -> str:
        return f"{self._console.rstrip('/')}/v1/rollouts/{quote(rollout)}/explanation" if self._console else ""


@dataclass(slots=True)
class _Done:
    """How far a notifier is: journal row, and place in that row."""

    place: tuple[int, int] = (0, 0)


def _keep(journal: Journal, note: str, body: bytes) -> None:
    journal.append((), notes={note: body})


def event_of(kind: str) -> str:
    """Return the part of an event's type that guardian.yaml names.

    >>> event_of("slo-guardian.rollout.rolled-back.v1")
    'rolled-back'
    """
    return kind.split(".")[2]


def _incident(event: _Event, key: str) -> str:
    return f"{event.data.rollout}/{key}"


def _notice(event: _Event, key: str, *, link: str, repeated: bool) -> Notice:
    """Return what a person is told of an event. key: of its incident, within the rollout."""
    data, name = event.data, event_of(event.type)
    place = f"{data.environment}, {data.region}" if data.region else data.environment
    state = f"phase {data.phase}, step {data.step + 1}, canary at {share(data.weight)}"
    facts = {
        "when": event.time.isoformat(timespec="seconds"),
        "state": state if data.mode == "enforce" else f"{state}, mode {data.mode}",
        "guardrail": data.guardrail,
        "read on": f"guardian explain {data.rollout}",
    }
    return Notice(
        at=Instant(event.time.timestamp()),
        dedup=event.id,
        incident=_incident(event, key),
        subject=data.rollout,
        urgency=_URGENCY.get(name, Urgency.INFO),
        summary=f"{name}: {data.service} {data.revision} in {place}",
        reason=data.reason,
        facts={name: value for name, value in facts.items() if value},
        link=link,
        repeated=repeated,
    )
