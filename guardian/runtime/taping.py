"""Parts of tapes on their way to where they are kept: written in a thread, one after the other, in nobody's way.

What cannot be written is lost, counted and told; rollouts go on. A crash loses what was not handed out yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from guardian.core.model import Seconds
from guardian.core.tape import Part
from guardian.core.taping import Taping
from guardian.errors import TapeError
from guardian.ports import Clock, Tape
from guardian.runtime.health import Health
from guardian.runtime.telemetry import Telemetry

_log = structlog.get_logger(__name__)
_PART_BYTES: Final = 4 * 1024 * 1024
"""In memory; some 300 kB on disk."""
_WAITING: Final = 32
"""Parts that may wait for a slow disk; 128 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What is recorded. wanted: of which services. every: most seconds of a part, and so what a crash loses."""

    tape: Tape
    wanted: Callable[[str], bool]
    every: Seconds


class TapeWriter:
    """Takes parts from the engine and stores them, until cancelled."""

    def __init__(self, recording: Recording, *, clock: Clock, telemetry: Telemetry, health: Health) -> None:
        self._tape, self._clock = recording.tape, clock
        self._telemetry, self._health = telemetry, health
        self._parts: asyncio.Queue[Part] = asyncio.Queue(_WAITING)
        self.taping = Taping(
            keep=self.keep, failed=self._lose, wanted=recording.wanted, part=_PART_BYTES, every=recording.every
        )

    def keep(self, part: Part) -> None:
        """Take a part; never waits."""
        try:
            self._parts.put_nowait(part)
        except asyncio.QueueFull:
            text = f"{_WAITING} parts wait to be written; {_named(part)} is lost: the disk is too slow"
            self._lose(TapeError(text, where="tapes"))

    async def run(self) -> None:
        """Store parts as they come."""
        try:
            await asyncio.to_thread(self._tape.begin, self._clock.now())
        except Exception as error:  # noqa: BLE001  a mistake in recording must not end the daemon
            self._report(error)
        while True:
            part = await self._parts.get()
            try:
                size = await asyncio.to_thread(self._tape.keep, part)
            except Exception as error:  # noqa: BLE001  nor may one in writing it
                self._lose(error)
            else:
                self._telemetry.tape_parts.labels("kept").inc()
                self._telemetry.tape_bytes.inc(size)
                self._health.clear("tape")
            finally:
                self._parts.task_done()

    async def settle(self) -> None:
        """Return when everything handed out is stored, or lost."""
        await self._parts.join()

    def _lose(self, error: Exception) -> None:
        self._telemetry.tape_parts.labels("lost").inc()
        self._report(error)

    def _report(self, error: Exception) -> None:
        """Say what is wrong, until a part is stored again; what nobody foresaw with its trace in the log."""
        if isinstance(error, TapeError):
            self._health.report("tape", str(error))
            return
        _log.error("recording_failed", exc_info=error)
        self._health.report("tape", f"a mistake in recording, what was under way is lost: {error!r}")


def _named(part: Part) -> str:
    header = part.header
    return f"part {header.number} of {header.service} in {header.environment}"
