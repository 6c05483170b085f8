"""Which member of the consumer group we are, kept in a file: the next process ends what a killed one left behind.

A killed daemon does not leave its group, and the group waits for it until the session times out. The data folder
belongs to one daemon at a time (its lock), so whoever holds it may say that the former member is gone. Why not static
membership: docs/decisions. Without a file, or when anything here fails, the group waits, and nothing else happens.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from aiokafka.errors import KafkaError, NoError, UnknownMemberIdError, for_code
from aiokafka.protocol.group import LeaveGroupRequest

from guardian.core.model import Seconds

_log = structlog.get_logger(__name__)

DEADLINE: Final = Seconds(10.0)


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One membership: the group, and the id that its broker gave us."""

    group: str
    member: str


class Membership:
    """Our place in the group, over restarts. file: in a folder that is ours alone; None: nothing is kept."""

    def __init__(self, file: Path | None, *, group: str) -> None:
        self._file, self._group = file, group
        self._kept: Member | None = None

    async def end_former(self, consumer: Any) -> None:
        """Take the former process's member out of the group, before joining it. Raises nothing."""
        former = await asyncio.to_thread(self._read)
        if former is None or former.group != self._group:
            return
        coordinator = consumer._coordinator  # noqa: SLF001  aiokafka leaves a group for itself only
        try:
            async with asyncio.timeout(DEADLINE):
                await coordinator.ensure_coordinator_known()
                answer = await coordinator._send_req(LeaveGroupRequest(former.group, former.member))  # noqa: SLF001
        except (TimeoutError, KafkaError, OSError) as error:
            _log.warning("kafka_former_member_stays", error=str(error) or type(error).__name__)
            return
        said = for_code(answer.error_code)
        if said is NoError:
            _log.info("kafka_former_member_ended", member=former.member)
        elif said is not UnknownMemberIdError:  # it had left by itself
            _log.warning("kafka_former_member_stays", error=said.__name__)

    async def keep(self, consumer: Any) -> None:
        """Keep which member we have become. Raises nothing."""
        now = Member(group=self._group, member=consumer._coordinator.member_id)  # noqa: SLF001
        if self._file is None or now == self._kept:
            return
        try:
            await asyncio.to_thread(self._write, self._file, now)
        except OSError as error:
            _log.warning("kafka_member_not_kept", file=str(self._file), error=str(error))
        else:
            self._kept = now

    def _read(self) -> Member | None:
        if self._file is None:
            return None
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Member)
        except (OSError, msgspec.MsgspecError):
            return None  # none was kept, or the machine went down while it was written

    @staticmethod
    def _write(file: Path, member: Member) -> None:
        fresh = file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(member))
        fresh.replace(file)
