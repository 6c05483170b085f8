"""A plain client of a real broker, for what tests send and look at themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from guardian.adapters._kafka import KafkaAccess


def access(bootstrap: str) -> KafkaAccess:
    """How to reach a broker of the tests."""
    return KafkaAccess(bootstrap=(bootstrap,), request_timeout=10.0)


@asynccontextmanager
async def producing(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    """A plain producer, as a pipeline has it."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_request_size=2**24
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def send(bootstrap: str, topic: str, values: Sequence[bytes], *, partition: int = 0) -> None:
    """Produce and wait for every acknowledgement."""
    async with producing(bootstrap) as producer:
        await asyncio.gather(*[await producer.send(topic, value, partition=partition) for value in values])


async def until(true: Callable[[], bool]) -> None:
    """Wait until something holds; the caller has the deadline."""
    while True:
        if true():
            return
        await asyncio.sleep(0.02)


async def kept(bootstrap: str, topic: str, count: int) -> list[object]:
    """The first `count` records of a topic."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", fetch_max_bytes=2**26)
    await consumer.start()
    try:
        async with asyncio.timeout(20):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


def numbers(count: int, *, start: int = 0) -> list[bytes]:
    """Values that show their order."""
    return [str(number).encode() for number in range(start, start + count)]
