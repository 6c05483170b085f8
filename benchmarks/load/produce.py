"""Write prepared messages to a topic at a fixed rate, in a process of its own: `produce(...)`.

Each message's record carries the broker client's own timestamp (milliseconds), which is when it was due to be
sent, so waiting in the producer counts. Rate 0: as fast as it goes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaProducer

from simulator.testing.process import Server, python_module
from simulator.testing.run import ServiceRun

EVERY = 0.005
"""Seconds between two bursts at a fixed rate."""


def produce(run: ServiceRun, bootstrap: str, topic: str, messages: list[str], *, rate: float, name: str) -> Server:
    """Start writing; the process ends when the broker has every message."""
    folder = run.workdir(name)
    file = folder / "messages.json"
    file.write_text(json.dumps(messages))
    argv = python_module(__name__, bootstrap, topic, str(rate), str(file))
    return Server(name, argv, folder=folder, run=run).start()


async def main(bootstrap: str, topic: str, rate: float, file: Path) -> None:
    """Send all messages of the file."""
    messages = [message.encode() for message in json.loads(file.read_text())]
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=2, max_batch_size=65_536)
    await producer.start()
    partitions = sorted(await producer.partitions_for(topic))
    began, offset = time.monotonic(), time.time() - time.monotonic()
    sent: list[asyncio.Future[object]] = []
    for number, message in enumerate(messages):
        due = began + number / rate if rate else time.monotonic()
        if rate and due > time.monotonic():
            await asyncio.sleep(max(EVERY, due - time.monotonic()))
        stamp = int((due + offset) * 1000)
        partition = partitions[number % len(partitions)]
        sent.append(await producer.send(topic, message, partition=partition, timestamp_ms=stamp))
    await asyncio.gather(*sent)
    await producer.stop()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), Path(sys.argv[4])))
