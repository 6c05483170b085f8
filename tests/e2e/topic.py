"""Kafka as a pipeline and an onlooker use it: plain clients, nothing of the product.

`send` writes one message and waits until the broker has it; `read` returns everything a topic holds now.
Both may be called from ordinary functions only, not from a running event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One record of a topic, as bytes. at: the record's own time (unix seconds)."""

    key: str
    value: bytes
    headers: Mapping[str, str]
    partition: int
    offset: int
    at: float

    def json(self) -> Any:
        """Return the value, decoded."""
        return json.loads(self.value)


def send(bootstrap: str, topic: str, *bodies: bytes, partition: int | None = None) -> None:
    """Write messages in order, without a key, to a partition or to any; returns when the broker has them."""
    asyncio.run(_send(bootstrap, topic, bodies, partition))


def read(bootstrap: str, topic: str) -> list[Message]:
    """Return all messages of all partitions, each partition in its order."""
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    return asyncio.run(_read(bootstrap, topic))


async def _send(bootstrap: str, topic: str, bodies: Sequence[bytes], partition: int | None) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for body in bodies:
            await producer.send_and_wait(topic, body, partition=partition)
    finally:
        await producer.stop()


async def _read(bootstrap: str, topic: str) -> list[Message]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(list(consumer.assignment()))
        found: list[Message] = []
        while any([await consumer.position(one) < end for one, end in ends.items()]):
            batches = await consumer.getmany(timeout_ms=200)
            found += [_message(record) for batch in batches.values() for record in batch]
        return sorted(found, key=lambda message: (message.partition, message.offset))
    finally:
        await consumer.stop()


def _message(record: Any) -> Message:
    headers = {name: value.decode() for name, value in record.headers}
    return Message(
        key=(record.key or b"").decode(),
        value=record.value or b"",
        headers=headers,
        partition=record.partition,
        offset=record.offset,
        at=record.timestamp / 1000.0,
    )
