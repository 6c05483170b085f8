"""Deploy events per second from a real broker through the event source, offsets committed batch by batch.

Neither decoded nor journaled. The reference is a bare aiokafka consumer that commits as often.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.rounds import Bench, Better, Measures
from guardian.adapters._kafka import KafkaAccess
from guardian.adapters.events.kafka import AT_ONCE, KafkaSource, KafkaTopics
from simulator.testing.kafka.broker import KafkaBroker, running_broker
from simulator.testing.run import current_run

EVENTS: Final = 100_000
EVENT: Final = (
    b'{"specversion": "1.0", "id": "%08d", "source": "ci/shop", "type": "slo-guardian.deploy.requested.v1", '
    b'"data": {"service": "checkout", "environment": "production", "revision": "2.1.0", "url": "%s"}}'
)


async def produce(broker: KafkaBroker, topic: str) -> None:
    """Fill the topic with events of about 300 bytes."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=5, max_batch_size=65_536)
    await producer.start()
    try:
        for number in range(EVENTS):
            await producer.send(topic, EVENT % (number, b"x" * 100))
        await producer.flush()
    finally:
        await producer.stop()


async def through_the_source(broker: KafkaBroker, topic: str) -> float:
    """Events per second, each batch done before the next is asked for."""
    topics = KafkaTopics(events=topic, dead_letter="none", group=broker.group())
    source = KafkaSource(KafkaAccess(bootstrap=(broker.bootstrap,)), topics=topics)
    taken, began = 0, 0.0
    async with aclosing(source.messages()) as messages:  # type: ignore[type-var]
        async for received in messages:
            began = began or time.perf_counter()
            taken += len(received)
            await source.done(received)
            if taken == EVENTS:
                break
    return EVENTS / (time.perf_counter() - began)


async def bare(broker: KafkaBroker, topic: str) -> float:
    """Events per second of the client alone."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap,
        group_id=broker.group(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    taken, began = 0, 0.0
    try:
        while taken < EVENTS:
            found = await consumer.getmany(timeout_ms=1000, max_records=AT_ONCE)
            if found:
                began = began or time.perf_counter()
                taken += sum(map(len, found.values()))
                await consumer.commit()
    finally:
        await consumer.stop()
    return EVENTS / (time.perf_counter() - began)


@contextmanager
def backlog() -> Iterator[Measures]:
    """Start a broker and fill a topic; every measure reads it from its beginning, in a group of its own."""
    with current_run() as run, running_broker(run) as broker:
        topic = broker.topic("deploy-events")
        asyncio.run(produce(broker, topic))
        yield Measures(
            ours=lambda: asyncio.run(through_the_source(broker, topic)),
            reference=lambda: asyncio.run(bare(broker, topic)),
        )


BENCH: Final = Bench(
    name="kafka-intake",
    unit="events/s",
    better=Better.HIGHER,
    reference="bare aiokafka consumer with as many commits",
    prepare=backlog,
    rounds=5,
)
