"""The daemon records what decides: end to end, within bounds, and never in the way of a rollout."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from guardian.adapters.journal.sqlite import SqliteJournal
from guardian.adapters.tapes.folder import TapeFolder, parts_of, read
from guardian.core import records as r
from guardian.core.differences import compare
from guardian.core.model import Phase, Seconds
from guardian.core.playback import Playback, Played
from guardian.core.tape import Part
from guardian.core.taping import TapedEngine
from guardian.errors import TapeError
from guardian.ports import Journal
from guardian.runtime.daemon import Daemon
from guardian.runtime.taping import Recording
from guardian.wire.entry import decode_entry
from tests.adapters.tapes import part
from tests.runtime.stage import Stage, only, other, phase, quick, until


@pytest.fixture
async def journal(tmp_path: Path) -> Journal:
    """An empty journal on disk."""
    return SqliteJournal(tmp_path / "journal.sqlite")


def recording(folder: Path, *services: str, every: float = 30.0) -> Recording:
    """Record into a folder, in parts of so many virtual seconds."""
    return Recording(
        tape=TapeFolder(folder), wanted=lambda service: not services or service in services, every=Seconds(every)
    )


def journaled(journal: Journal) -> list[r.OfRollout]:
    """Return every conclusion about a rollout that the journal holds."""
    rows = [decode_entry(row.body, seq=row.seq) for row in journal.read(limit=10_000)]
    return [record for row in rows for record in row.records if isinstance(record, r.OfRollout)]


def replayed(folder: Path) -> Played:
    """Return what the tape of the only service comes to."""
    ((key, parts),) = parts_of([folder]).items()
    playback = Playback(key[1], key[0])
    for _, file in parts:
        playback.take(read(file))
    return playback.finish()


async def until_written(daemon: Daemon, folder: Path) -> None:
    """Return when the tape has its last part."""
    await until(lambda: any(header.last for parts in parts_of([folder]).values() for header, _ in parts))
    await daemon.stop()


async def test_a_rollout_of_the_daemon_is_replayed_to_the_same_decisions(journal: Journal, tmp_path: Path) -> None:
    """Real clock, real threads, samples in slices: all that decided is on the tape."""
    stage = Stage(journal=journal, recording=recording(tmp_path / "tapes"))
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is Phase.VERIFIED and only(daemon).settled)
        await until_written(daemon, tmp_path / "tapes")
    found = replayed(tmp_path / "tapes")
    (name,) = found.recorded
    assert found.recorded[name] == journaled(journal)
    assert [one.differences for one in compare(found)] == [()]
    assert (found.diverged, found.faults, found.notes) == ({}, [], [])


async def test_a_killed_daemon_leaves_whole_parts_and_says_what_is_missing(journal: Journal, tmp_path: Path) -> None:
    """The next one goes on; decisions on the tape are replayed the same, those of the lost part are not known."""
    folder = tmp_path / "tapes"
    stage = Stage(journal=journal, recording=recording(folder))
    stage.service.bad = 0.005
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: len(list(folder.glob("*/*/*.parquet"))) >= 2)
        assert phase(daemon) is Phase.PROGRESSING
    stage.service.bad = 0.2
    (folder / "production" / "checkout" / "1.000000-000000.part").write_bytes(b"PAR1 cut")
    async with stage.running() as daemon:
        await until(lambda: phase(daemon) is Phase.ROLLED_BACK and only(daemon).settled)
        await until_written(daemon, folder)
    assert list(folder.glob("*/*/*.part")) == []
    found = replayed(folder)
    (note,) = found.notes
    assert "are missing after part" in note
    (one,) = compare(found)
    assert one.replayed.phase is Phase.ROLLED_BACK
    assert one.differences == ()


async def test_only_services_that_are_asked_for_are_recorded(journal: Journal, tmp_path: Path) -> None:
    """A service that nobody named leaves nothing on the disk."""
    folder = tmp_path / "tapes"
    stage = Stage(
        journal=journal, recording=recording(folder, "payment"), policies=(quick(), other("payment", quick()))
    )
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is Phase.PROGRESSING)
        await daemon.stop()
    assert list(folder.rglob("*.parquet")) == []


class FullDisk(TapeFolder):
    """A disk without room."""

    def keep(self, part: Part) -> int:
        """Write to the device that is always full."""
        try:
            with Path("/dev/full").open("wb") as device:
                device.write(b"x")
        except OSError as cause:
            raise TapeError(f"cannot be written: {os.strerror(cause.errno or 0)}", where="/dev/full") from cause
        return super().keep(part)


async def test_a_full_disk_stops_nobody(journal: Journal, tmp_path: Path) -> None:
    """The rollout goes its way; health, log and metrics say that parts are lost, and events are still taken."""
    tape = FullDisk(tmp_path / "tapes")
    stage = Stage(journal=journal, recording=Recording(tape=tape, wanted=lambda _: True, every=Seconds(30.0)))
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is Phase.VERIFIED)
        await until(lambda: any(problem.part == "tape" for problem in daemon.health.problems))
        (problem,) = [problem for problem in daemon.health.problems if problem.part == "tape"]
        assert "No space left on device" in problem.text
        assert daemon.health.ready
        assert b'guardian_tape_parts_total{outcome="lost"}' in daemon.telemetry.render()


async def test_a_mistake_in_recording_decides_on_nothing(journal: Journal, tmp_path: Path) -> None:
    """The rollout goes its way; what was under way is given up, and recorded anew from there on."""
    stage = Stage(journal=journal, recording=recording(tmp_path / "tapes"))
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is Phase.PROGRESSING)
        assert isinstance(daemon.engine, TapedEngine)
        daemon.engine._recorder._listening = None  # type: ignore[assignment]
        await until(lambda: b'guardian_tape_parts_total{outcome="lost"} 1.0' in daemon.telemetry.render())
        await until(lambda: phase(daemon) is Phase.VERIFIED and only(daemon).settled)
        await until_written(daemon, tmp_path / "tapes")
    found = replayed(tmp_path / "tapes")
    assert found.before == set(found.recorded)


async def test_a_disk_that_is_too_slow_loses_parts_not_rollouts(journal: Journal, tmp_path: Path) -> None:
    """More parts than may wait are dropped; the engine is never held up."""
    stage = Stage(journal=journal, recording=recording(tmp_path / "tapes"))
    daemon = stage.daemon()
    running = asyncio.create_task(daemon.run())
    await daemon.recovered.wait()
    writer = daemon._tapes
    assert writer is not None
    for number in range(200):
        writer.keep(part(number=number))
    (problem,) = [problem for problem in daemon.health.problems if problem.part == "tape"]
    assert "the disk is too slow" in problem.text
    running.cancel()
    await asyncio.wait({running})
