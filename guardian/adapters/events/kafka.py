"""Deploy events from Kafka: a consumer group that gives bytes and commits only what is done.

- Nothing is decoded here: a deserializer that fails would stop a partition for ever. What cannot be understood is
  given back to `dead_letter`, which keeps the original bytes before the offset moves.
- An outage raises nothing in aiokafka, so this has a clock of its own: `silence` is how long no broker answered.
- Messages are given at least once: after a crash, a lost commit or a rebalance they come again.
- A message larger than the dead-letter topic takes is kept there cut off, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, MessageSizeTooLargeError

from guardian.adapters._kafka import KafkaAccess, calmed, limit_logs, stopped, translated, within, writer
from guardian.adapters._membership import Membership
from guardian.adapters._offsets import Progress
from guardian.core.model import Seconds
from guardian.errors import AdapterError
from guardian.ports import Received

_log = structlog.get_logger(__name__)

AT_ONCE: Final = 500
"""Messages given at a time."""
POLL: Final = 1.0
"""Seconds to wait for messages before looking after the connection."""
PROBE: Final = 5.0
"""Seconds without a message after which the broker is asked for a sign of life."""
DEADLINE: Final = Seconds(10.0)
SESSION: Final = Seconds(30.0)
LEAVE: Final = Seconds(2.0)
"""Longest wait for the last commit: what it does not tell, comes again as a repeat."""
BACKOFF: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between tries to connect; the last one is repeated."""
LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a dead letter that the client lets pass; the topic's own limit is what counts."""
KEPT: Final = 256 * 1024
"""Bytes kept of a dead letter that the topic refuses as too large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaTopics:
    """Names: where events come from, where what cannot be understood goes, and the consumer group."""

    events: str = "deploy-events"
    dead_letter: str = "deploy-events.dead-letter"
    group: str = "slo-guardian"


class KafkaSource:
    """EventSource over one topic. `messages` connects, for as long as it is iterated; there is one iteration at a time.

    session: seconds without a sign of life after which the group gives our partitions to another member. member: file
    that says which member we are, in a folder of ours alone: after a crash the group need not wait that long.
    """

    def __init__(
        self,
        access: KafkaAccess,
        *,
        topics: KafkaTopics | None = None,
        session: Seconds = SESSION,
        member: Path | None = None,
    ) -> None:
        self._access, self._topics, self._session = access, topics or KafkaTopics(), session
        self._membership = Membership(member, group=self._topics.group)
        self._consumer: Any = None
        self._producer: Any = None
        self._starting, self._committing = asyncio.Lock(), asyncio.Lock()
        self._progress: dict[TopicPartition, Progress] = {}
        self._heard: float | None = None
        self._began: float | None = None
        self.problem = ""
        """Why there is no connection now; empty when there is one."""

    @property
    def silence(self) -> Seconds:
        """Seconds since a broker last answered, or since the start when none ever did; 0 before the start."""
        since = self._heard if self._heard is not None else self._began
        return Seconds(0.0 if since is None else asyncio.get_running_loop().time() - since)

    @property
    def waiting(self) -> int:
        """Messages given and not yet done."""
        return sum(progress.waiting for progress in self._progress.values())

    async def messages(self) -> AsyncIterator[Sequence[Received]]:
        """Give messages in the order of each partition, some at a time, until closed; waits out any outage."""
        self._began = asyncio.get_running_loop().time()
        try:
            while True:
                consumer = self._consumer = await self._sooner_or_later()
                try:
                    while True:
                        found = await consumer.getmany(timeout_ms=int(POLL * 1000), max_records=AT_ONCE)
                        await self._look_after(consumer, heard=bool(found))
                        received = [message for each in found.items() for message in self._taken(*each)]
                        if received:
                            yield received
                except (KafkaError, OSError) as error:
                    self._say(str(translated(error, where=self._access.where, what="reading")))
                await self._let_go()
                await asyncio.sleep(POLL)
        finally:
            await self.close()

    async def _sooner_or_later(self) -> Any:
        """Return a consumer that has joined the group, as soon as one can be had."""
        tries = 0
        while True:
            try:
                consumer = await self._connected()
            except AdapterError as error:
                self._say(str(error))
            else:
                self._heard = asyncio.get_running_loop().time()
                self._say("")
                return consumer
            await asyncio.sleep(BACKOFF[min(tries, len(BACKOFF) - 1)])
            tries += 1

    async def _connected(self) -> Any:
        consumer = AIOKafkaConsumer(
            **self._access.options(),
            group_id=self._topics.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(self._session * 1000),
            heartbeat_interval_ms=int(self._session * 1000 / 6),
            rebalance_timeout_ms=int(self._session * 1000),
        )
        calmed(consumer._client)  # noqa: SLF001  the consumer's client has no public name
        limit_logs()
        try:
            where = self._access.where
            await within(self._access.request_timeout, consumer.start(), where=where, what="connecting")
            await self._topic_exists(consumer)
            await self._membership.end_former(consumer)
            consumer.subscribe([self._topics.events], listener=_Rebalances(self, consumer))
        except BaseException:
            await stopped(consumer)
            raise
        return consumer

    async def _topic_exists(self, consumer: Any) -> None:
        """Wait for the topic: subscribing to one that does not exist blocks, and then fails."""
        while self._topics.events not in await within(
            DEADLINE, consumer.topics(), where=self._access.where, what="listing topics"
        ):
            self._heard = asyncio.get_running_loop().time()
            self._say(f"{self._access.where}: there is no topic '{self._topics.events}'; create it")
            await asyncio.sleep(POLL)

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            if problem:
                _log.warning("kafka_away", problem=problem)
            else:
                _log.info("kafka_connected", topic=self._topics.events, group=self._topics.group)

    def _taken(self, partition: TopicPartition, batch: Iterable[Any]) -> Iterable[Received]:
        progress = self._progress.get(partition)
        if progress is None:
            progress = self._progress[partition] = Progress()
        for record in batch:
            progress.deliver(record.offset)
            yield Received(
                body=record.value or b"",
                headers=tuple((name, value or b"") for name, value in record.headers),
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
            )

    async def _look_after(self, consumer: Any, *, heard: bool) -> None:
        """Commit what could not be committed before; in silence, ask the broker whether it is there."""
        loop = asyncio.get_running_loop()
        if heard:
            self._heard = loop.time()
            self._say("")
        elif self._heard is None or loop.time() - self._heard > PROBE:
            try:
                await asyncio.wait_for(consumer.topics(), PROBE)
            except (TimeoutError, KafkaError, OSError) as error:
                self._say(f"{self._access.where}: no answer: {error or 'none in time'}; check that the brokers are up")
            else:
                self._heard = loop.time()
                self._say("")
        await self._commit(list(self._progress))

    async def done(self, received: Sequence[Received]) -> None:
        """Let the offsets move past these. A commit that fails now is made up for later; nothing is raised."""
        touched: dict[TopicPartition, list[int]] = {}
        for message in received:
            touched.setdefault(TopicPartition(message.topic, message.partition), []).append(message.offset)
        for partition, offsets in touched.items():
            if (progress := self._progress.get(partition)) is not None:
                for offset in offsets:
                    progress.finish(offset)
        await self._commit(touched)

    async def _commit(self, partitions: Iterable[TopicPartition], deadline: Seconds = DEADLINE) -> None:
        """Commit how far these are done; one at a time, or a slow one would take back what a later one said."""
        async with self._committing:
            offsets = {
                partition: offset
                for partition in partitions
                if (progress := self._progress.get(partition)) is not None
                and (offset := progress.committable()) is not None
            }
            if not offsets or self._consumer is None:
                return
            try:
                await asyncio.wait_for(self._consumer.commit(offsets), deadline)
            except (CommitFailedError, IllegalStateError):
                _log.info("kafka_partitions_moved", partitions=len(offsets))  # their new owner gives them again
            except (TimeoutError, KafkaError, OSError) as error:
                _log.warning("kafka_commit_late", error=str(error) or type(error).__name__)
            else:
                self._heard = asyncio.get_running_loop().time()
                for partition, offset in offsets.items():
                    if partition in self._progress:
                        self._progress[partition].committed(offset)

    async def dead_letter(self, received: Received, reason: str) -> None:
        """Keep a message that cannot be understood, then let the offset move past it.

        Headers: reason, topic, partition, offset, then its own. Raises Unavailable or Refused; it is not
        done then.
        """
        headers = [
            ("reason", reason.encode()),
            ("topic", received.topic.encode()),
            ("partition", str(received.partition).encode()),
            ("offset", str(received.offset).encode()),
        ]
        ours = {name for name, _ in headers}
        headers += [(f"original-{name}" if name in ours else name, value) for name, value in received.headers]
        await within(DEADLINE, self._keep(received.body, headers), where=self._access.where, what="dead letter")
        await self.done([received])

    async def _keep(self, body: bytes, headers: list[tuple[str, bytes]]) -> None:
        producer = await self._writer()
        topic = self._topics.dead_letter
        try:
            await producer.send_and_wait(topic, body, headers=headers)
        except MessageSizeTooLargeError:
            cut = [*headers, ("cut-off-from", str(len(body)).encode())]
            await producer.send_and_wait(topic, body[:KEPT], headers=cut)

    async def _writer(self) -> Any:
        async with self._starting:
            if self._producer is None:
                self._producer = await writer(self._access, max_request_size=LARGEST)
            return self._producer

    async def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Commit what is done of partitions that go to another member; what is not done is theirs to give."""
        gone = list(partitions)
        await self._commit(gone)
        for partition in gone:
            self._progress.pop(partition, None)

    async def assigned(self, consumer: Any, partitions: Iterable[TopicPartition]) -> None:
        """We are a member of the group now, with these partitions."""
        _log.info("kafka_partitions", assigned=sorted(partition.partition for partition in partitions))
        await self._membership.keep(consumer)

    async def _let_go(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._progress.clear()
        if consumer is not None:
            await stopped(consumer)

    async def close(self) -> None:
        """Leave the group and disconnect; what was done is committed first."""
        await self._commit(list(self._progress), LEAVE)
        await self._let_go()
        producer, self._producer = self._producer, None
        if producer is not None:
            await stopped(producer)


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Tells the source which partitions it gets, and which it loses, before they go."""

    def __init__(self, source: KafkaSource, consumer: Any) -> None:
        self._source, self._consumer = source, consumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._source.revoked(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._source.assigned(self._consumer, assigned)
