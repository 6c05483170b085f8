"""Decision events to Kafka: in order per service, acknowledged by all in-sync replicas, idempotent.

A send that was not answered in time stays under way; publishing the same event again joins it instead of
sending it twice. The outbox repeats what was not acknowledged; nothing is kept here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from guardian.adapters._kafka import KafkaAccess, calmed, limit_logs, stopped, within
from guardian.core.model import Seconds
from guardian.errors import AdapterError

DEADLINE: Final = Seconds(10.0)
"""Longest wait for an acknowledgement; aiokafka itself says nothing while the brokers are away."""
HEADERS: Final = [("content-type", b"application/cloudevents+json; charset=UTF-8")]

_Event = tuple[str, bytes]


class KafkaSink:
    """EventSink to one topic. Connects at the first publish; `close` ends it."""

    def __init__(self, access: KafkaAccess, *, topic: str, deadline: Seconds = DEADLINE) -> None:
        self._access, self._topic, self._deadline = access, topic, deadline
        self._producer: Any = None
        self._starting = asyncio.Lock()
        self._under_way: dict[_Event, asyncio.Future[Any]] = {}

    async def publish(self, events: Sequence[_Event]) -> None:
        """Send (key, CloudEvents JSON) pairs; returns when all in-sync replicas have them.

        Raises Unavailable or Refused; some of the events may have been sent then.
        """
        what = f"publishing to {self._topic}"
        try:
            await within(self._deadline, self._publish(events), where=self._access.where, what=what)
        except AdapterError as error:
            if not isinstance(error.__cause__, TimeoutError):
                await self.close()  # a producer may be beyond use after an error: the next publish makes another
            raise

    async def _publish(self, events: Sequence[_Event]) -> None:
        producer = await self._started()
        sent = [await self._send(producer, event) for event in events]
        # Shielded: a deadline that passes must not make us forget what is about to be delivered.
        await asyncio.gather(*map(asyncio.shield, sent))

    async def _send(self, producer: Any, event: _Event) -> asyncio.Future[Any]:
        sent = self._under_way.get(event)
        if sent is None:
            key, value = event
            sent = await producer.send(self._topic, value, key=key.encode(), headers=HEADERS)
            self._under_way[event] = sent
            sent.add_done_callback(partial(self._ended, event))
        return sent

    def _ended(self, event: _Event, ended: asyncio.Future[Any]) -> None:
        self._under_way.pop(event, None)
        if not ended.cancelled():
            ended.exception()  # looked at, whether or not anybody still waits

    async def _started(self) -> Any:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(**self._access.options(), acks="all", enable_idempotence=True)
                calmed(producer.client)
                limit_logs()
                try:
                    await producer.start()
                except BaseException:
                    await stopped(producer)
                    raise
                self._producer = producer
            return self._producer

    async def close(self) -> None:
        """Send what is queued, within a deadline, and disconnect."""
        producer, self._producer = self._producer, None
        self._under_way.clear()
        if producer is not None:
            await stopped(producer)
