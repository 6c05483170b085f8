"""One notifier at work: given notices in the order of the journal, within its limit, and told when incidents are over.

Whatever it does waits for its own notifier only. What it remembers is a note of the journal, so that a restart changes
neither the limit nor which incidents are open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog

from guardian.app.tally import Tally
from guardian.config.notify import AtMost
from guardian.core.model import Instant
from guardian.errors import GuardianError, Refused, Unavailable
from guardian.ports import Clock, Notice, Notifier, Pager, Urgency

_log = structlog.get_logger(__name__)
_AGAIN: Final = 30.0
"""Seconds between attempts to tell how many notices were withheld."""
_DEADLINE: Final = 30.0


class Messenger:
    """name: as guardian.yaml has it. limit: None for no limit. keep: stores what it remembers, and never waits.

    pager: the notifier where it keeps incidents open; pages are never withheld from it.
    """

    def __init__(
        self, name: str, notifier: Notifier, *, pager: Pager | None, limit: AtMost | None, clock: Clock
    ) -> None:
        self._name, self._notifier, self._pager, self._limit, self._clock = name, notifier, pager, limit, clock
        self._tally = Tally()
        self._keep: Callable[[bytes], None] = lambda _: None
        self._withheld = asyncio.Event()
        self._tried, self._unsure = "", False

    def begin(self, remembered: bytes | None, keep: Callable[[bytes], None]) -> None:
        """Go on with what was remembered at the end of the last run; `keep` stores it from here on."""
        self._keep = keep
        if remembered is not None:
            self._tally = msgspec.json.decode(remembered, type=Tally)
            if self._tally.withheld:
                self._withheld.set()

    async def tell(self, notice: Notice, *, page: bool = False, ends: bool = False) -> None:
        """Tell a notice, or withhold it. page: a person is called. ends: its incident will be over one day.

        Raises what the notifier raises: then it is to be told again.
        """
        again = self._tried == notice.dedup
        if not (again or (page and self._pager is not None)) and not self._tally.take(self._limit, self._clock.now()):
            self._withheld.set()
            self._remember()
            return
        unsure = again and self._unsure
        self._tried, self._unsure = notice.dedup, True  # unless it is heard that it was not taken
        try:
            await self._notifier.notify(replace(notice, repeated=notice.repeated or unsure))
        except (Refused, Unavailable) as error:
            self._unsure = unsure or (isinstance(error, Unavailable) and error.after is None)
            raise
        if ends and self._pager is not None:
            self._tally.opened(notice.subject, notice.incident)
        self._remember()

    async def over(self, rollout: str, incident: str) -> None:
        """Say that an incident is over, where it was opened here. Raises what the notifier raises."""
        if self._pager is not None and incident in self._tally.open.get(rollout, ()):
            await self._pager.resolve(incident)
            self._tally.over(rollout, incident)
            self._remember()

    async def run(self) -> None:
        """Tell how many notices were withheld, each time there is room again; until cancelled."""
        while True:
            await self._withheld.wait()
            now = self._clock.now()
            free = self._tally.free_at(self._limit, now)
            if free > now:
                await self._clock.sleep_until(Instant(free))
            elif await self._own_up(self._tally.withheld, now):
                if not self._tally.withheld:
                    self._withheld.clear()
                self._remember()
            else:
                await self._clock.sleep_until(Instant(now + _AGAIN))

    async def _own_up(self, withheld: int, now: Instant) -> bool:
        try:
            async with asyncio.timeout(_DEADLINE):
                await self._notifier.notify(_summary(self._name, withheld, self._tally.since, now))
        except (GuardianError, TimeoutError) as error:
            _log.warning("summary_failed", notifier=self._name, error=str(error) or "no answer")
            return False
        except Exception:  # noqa: BLE001  a notifier's mistake must not end the daemon
            _log.exception("summary_failed", notifier=self._name)
            return False
        self._tally.owned_up(withheld, now)
        return True

    def _remember(self) -> None:
        self._keep(msgspec.json.encode(self._tally))


def _summary(name: str, withheld: int, since: float, now: Instant) -> Notice:
    """Return the notice that stands for those that were withheld."""
    began = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
    what = "1 notice was" if withheld == 1 else f"{withheld} notices were"
    return Notice(
        at=now,
        dedup=f"withheld/{name}/{since:.0f}",
        incident=f"withheld/{name}",
        subject=f"withheld/{name}",
        urgency=Urgency.INFO,
        summary=f"{what} withheld from {name}",
        reason=f"{what} more than the limit of notify.{name} since {began}: none of them is sent any more.",
        facts={"limit": f"notify.{name}.at_most", "read on": "guardian list"},
    )
