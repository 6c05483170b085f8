"""A writer killed at any moment: whatever it had acknowledged is there, whole and in order."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guardian.adapters.journal.audit import export, verify

WRITER = """
import asyncio, pathlib, sys
from guardian.adapters.journal.sqlite import SqliteJournal
from guardian.core.model import EventRef, Instant
from guardian.ports import Row

async def write(path):
    journal = SqliteJournal(path)
    number = journal.read(after=0, limit=1_000_000)[-1].seq if journal.read(limit=1) else 0
    print("open", flush=True)
    async def one(number):
        row = Row(at=Instant(1.0), rollout="r", event=EventRef(source="w", id=str(number)), body=b"{}")
        print(await journal.append([row]), flush=True)
    while True:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                number += 1
                tasks.create_task(one(number))

asyncio.run(write(pathlib.Path(sys.argv[1])))
"""


def killed_writer(path: Path, after: float) -> list[int]:
    """Run a writer for that long, kill it, return the numbers it had acknowledged."""
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        time.sleep(after)
        writer.send_signal(signal.SIGKILL)
        lines = writer.stdout.read().split("\n")
    return [int(line) for line in lines[:-1]]  # the last line may be cut


@pytest.mark.parametrize("seed", [11, 12])
def test_everything_acknowledged_survives_kill_9(tmp_path: Path, seed: int) -> None:
    """Five lives of one journal, each ended at a random moment of its writing."""
    chance = random.Random(seed)
    path = tmp_path / "journal.sqlite"
    acknowledged: list[int] = []
    for _ in range(5):
        acknowledged += killed_writer(path, after=chance.uniform(0.02, 0.3))
        assert verify(path).rows >= max(acknowledged, default=0)
    assert acknowledged
    assert len(set(acknowledged)) == len(acknowledged)
    assert sum(1 for _ in export(path)) == verify(path).rows
