"""Decision events to Kafka: in order per service, acknowledged by all in-sync replicas, idempotent.

Events go out in batches, one for each partition: a future for each event would cost as much as making it.
A batch that was not answered in time stays under way; publishing the same event again joins it instead of
sending it twice. The outbox repeats what was not acknowledged; nothing is kept here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Final

from aiokafka.partitioner import DefaultPartitioner

from guardian.adapters._kafka import KafkaAccess, stopped, within, writer
from guardian.core.model import Seconds
from guardian.errors import AdapterError

DEADLINE: Final = Seconds(10.0)
"""Longest wait for an acknowledgement; aiokafka itself says nothing while the brokers are away."""
HEADERS: Final = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
LARGEST_BATCH: Final = 128 * 1024
"""Bytes of a batch; the next one to a partition waits until this one is on its way."""
_PARTITIONER: Final = DefaultPartitioner()

_Event = tuple[str, bytes]


class KafkaSink:
    """EventSink to one topic. Connects at the first publish; `close` ends it."""

    def __init__(self, access: KafkaAccess, *, topic: str, deadline: Seconds = DEADLINE) -> None:
        self._access, self._topic, self._deadline = access, topic, deadline
        self._producer: Any = None
        self._starting = asyncio.Lock()
        self._under_way: dict[_Event, asyncio.Future[Any]] = {}
        self._partitions: list[int] = []
        self._places: dict[str, int] = {}

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
        partitions = list(await producer.partitions_for(self._topic))
        fresh: dict[int, list[_Event]] = {}
        sent: set[asyncio.Future[Any]] = set()
        for event in dict.fromkeys(events):
            if (under_way := self._under_way.get(event)) is not None:
                sent.add(under_way)
            else:
                fresh.setdefault(self._partition(event[0], partitions), []).append(event)
        for partition, wanted in fresh.items():
            sent.update([one async for one in self._send(producer, partition, wanted)])
        # Only waited for: a deadline that passes must not make us forget what is about to be delivered.
        if sent:
            await asyncio.wait(sent)
        for one in sent:
            one.result()

    def _partition(self, key: str, partitions: list[int]) -> int:
        """Return where a key belongs: with the same partitions always the same, as every Kafka client has it."""
        if partitions != self._partitions:
            self._partitions = partitions
            self._places.clear()
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = _PARTITIONER(key.encode(), partitions, partitions)
        return place

    async def _send(
        self, producer: Any, partition: int, events: Sequence[_Event]
    ) -> AsyncIterator[asyncio.Future[Any]]:
        """Hand events of one partition over, in as many batches as they need; yield what ends with each."""
        batch, members = producer.create_batch(), list[_Event]()
        for event in events:
            key, value = event
            while batch.append(key=key.encode(), value=value, timestamp=None, headers=HEADERS) is None:
                yield await self._hand_over(producer, partition, batch, members)
                batch, members = producer.create_batch(), []
            members.append(event)
        yield await self._hand_over(producer, partition, batch, members)

    async def _hand_over(
        self, producer: Any, partition: int, batch: Any, events: Sequence[_Event]
    ) -> asyncio.Future[Any]:
        sent: asyncio.Future[Any] = await producer.send_batch(batch, self._topic, partition=partition)
        self._under_way.update(dict.fromkeys(events, sent))
        sent.add_done_callback(partial(self._ended, events))
        return sent

    def _ended(self, events: Sequence[_Event], ended: asyncio.Future[Any]) -> None:
        for event in events:
            if self._under_way.get(event) is ended:
                del self._under_way[event]
        if not ended.cancelled():
            ended.exception()  # looked at, whether or not anybody still waits

    async def _started(self) -> Any:
        async with self._starting:
            if self._producer is None:
                self._producer = await writer(self._access, max_batch_size=LARGEST_BATCH)
            return self._producer

    async def close(self) -> None:
        """Send what is queued, within a deadline, and disconnect."""
        producer, self._producer = self._producer, None
        self._under_way.clear()
        if producer is not None:
            await stopped(producer)
