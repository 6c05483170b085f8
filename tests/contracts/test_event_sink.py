"""Every event sink keeps what it took, in order per key, and says when it could not.

Kafka is a real broker: shared where nothing is broken, a test's own where it is frozen or stopped.
"""

from __future__ import annotations

import asyncio
import logging

import pytest

from guardian.adapters.events.kafka_sink import KafkaSink
from guardian.adapters.events.memory import MemorySink
from guardian.core.model import Seconds
from guardian.errors import Unavailable
from simulator.testing.kafka.broker import Kafka
from simulator.testing.plugin import MakeBroker
from tests.contracts.brokers import access, kept, numbers


async def test_memory_sink_keeps_events_in_order() -> None:
    """As the topic would."""
    sink = MemorySink()
    await sink.publish([("a", b"1"), ("b", b"2")])
    await sink.publish([("a", b"3")])
    assert sink.events == [("a", b"1"), ("b", b"2"), ("a", b"3")]


@pytest.mark.service
async def test_the_sink_keeps_order_and_key_and_returns_when_it_is_durable(kafka: Kafka) -> None:
    """Decision events of one service are read in the order they were decided."""
    topic = await asyncio.to_thread(kafka.topic, "decisions")
    sink = KafkaSink(access(kafka.bootstrap), topic=topic)
    await sink.publish([("checkout", value) for value in numbers(100)])
    await sink.publish([("payment", b"p"), ("checkout", b"last")])
    records = await kept(kafka.bootstrap, topic, 102)
    await sink.close()
    assert [record.value for record in records if record.key == b"checkout"] == [*numbers(100), b"last"]  # type: ignore[attr-defined]
    assert dict(records[0].headers)["content-type"].startswith(b"application/cloudevents+json")  # type: ignore[attr-defined]


@pytest.mark.service
async def test_a_publish_that_was_too_slow_is_not_sent_twice(
    kafka_own: MakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker hangs past the deadline; the outbox publishes again, and the topic has each event once."""
    broker = await asyncio.to_thread(kafka_own)
    topic = await asyncio.to_thread(broker.topic)
    sink = KafkaSink(access(broker.bootstrap), topic=topic, deadline=Seconds(1.0))
    await sink.publish([("checkout", b"0")])
    broker.pause()
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"no answer within 1 s; check that the brokers are up"):
            await sink.publish([("checkout", b"1"), ("checkout", b"2")])
    broker.resume()
    async with asyncio.timeout(20):
        while True:
            try:
                await sink.publish([("checkout", b"1"), ("checkout", b"2")])
                break
            except Unavailable:
                continue
    await sink.publish([("checkout", b"3")])
    await sink.close()
    assert [record.value for record in await kept(broker.bootstrap, topic, 4)] == numbers(4)  # type: ignore[attr-defined]


@pytest.mark.service
async def test_a_graceful_broker_stop_neither_floods_the_log_nor_burns_a_core(
    kafka_own: MakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """Aiokafka 0.14 asks for metadata without a pause then: 18,000 lines and more in 4 s, unless calmed."""
    broker = await asyncio.to_thread(kafka_own)
    topic = await asyncio.to_thread(broker.topic)
    sink = KafkaSink(access(broker.bootstrap), topic=topic, deadline=Seconds(2.0))
    await sink.publish([("checkout", b"0")])
    caplog.set_level(logging.INFO, "aiokafka")
    caplog.clear()
    stopping = asyncio.create_task(asyncio.to_thread(broker.stop))
    failures = 0
    while failures < 3:
        try:
            await sink.publish([("checkout", b"1")])
        except Unavailable:
            failures += 1
    await stopping
    await sink.close()
    assert len([record for record in caplog.records if record.name.startswith("aiokafka")]) < 200
