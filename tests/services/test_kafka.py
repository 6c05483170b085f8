"""The broker of the tests: a real one, shared by all, or a test's own to be killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from simulator.testing.errors import ServiceError
from simulator.testing.kafka.broker import ADDRESS_VARIABLE, Kafka, shared_kafka
from simulator.testing.plugin import MakeBroker
from simulator.testing.run import ServiceRun


@asynccontextmanager
async def producing(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    """A plain producer that waits for the broker's word."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def send_all(bootstrap: str, topic: str, values: Iterable[bytes]) -> None:
    """Produce and wait for every acknowledgement."""
    async with producing(bootstrap) as producer:
        sent = [await producer.send(topic, value) for value in values]
        await asyncio.gather(*sent)


async def read(bootstrap: str, topic: str, group: str, count: int) -> list[bytes]:
    """The first `count` values that the group gets, committed."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        async with asyncio.timeout(20):
            values = [(await consumer.getone()).value for _ in range(count)]
        await consumer.commit()
    finally:
        await consumer.stop()
    return values


async def test_what_was_produced_is_consumed_and_the_offset_is_kept(kafka: Kafka) -> None:
    """A round trip through the group protocol, as the daemon will do it."""
    topic, group = kafka.topic("events"), kafka.group()
    await send_all(kafka.bootstrap, topic, [b"1", b"2", b"3"])
    assert await read(kafka.bootstrap, topic, group, 2) == [b"1", b"2"]
    assert await read(kafka.bootstrap, topic, group, 1) == [b"3"]


def test_two_topics_of_one_name_are_two_topics(kafka: Kafka) -> None:
    """Tests share the broker and nothing else."""
    assert kafka.topic("events") != kafka.topic("events")
    assert kafka.group() != kafka.group()


def test_a_topic_with_settings_that_make_no_sense_is_refused(kafka: Kafka) -> None:
    """A setting that was ignored would make another test than was written."""
    with pytest.raises(ServiceError, match=r"was refused: .*retention\.ms"):
        kafka.topic(config={"retention.ms": "soon"})


async def test_acknowledged_records_survive_a_kill(kafka_own: MakeBroker) -> None:
    """SIGKILL, start on the same data: nothing that was acknowledged is gone."""
    broker = await asyncio.to_thread(kafka_own)
    topic = broker.topic()
    values = [str(number).encode() for number in range(500)]
    await send_all(broker.bootstrap, topic, values)
    broker.kill()
    await asyncio.to_thread(broker.start)
    assert await read(broker.bootstrap, topic, broker.group(), 500) == values


async def test_a_frozen_broker_answers_after_it_goes_on(kafka_own: MakeBroker) -> None:
    """SIGSTOP: the send neither fails nor ends until SIGCONT."""
    broker = await asyncio.to_thread(kafka_own)
    topic = broker.topic()
    async with producing(broker.bootstrap) as producer:
        await producer.send_and_wait(topic, b"before")
        broker.pause()
        sent = asyncio.ensure_future(producer.send_and_wait(topic, b"after"))
        done, _ = await asyncio.wait([sent], timeout=0.5)
        assert done == set()
        broker.resume()
        assert (await asyncio.wait_for(sent, 20)).offset == 1


def test_a_broker_named_by_the_environment_that_does_not_answer_is_a_clear_error(
    service_run: ServiceRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a skip: the text says which variable to mend."""
    monkeypatch.setenv(ADDRESS_VARIABLE, f"127.0.0.1:{service_run.port()}")
    with pytest.raises(ServiceError, match=rf"{ADDRESS_VARIABLE}: no broker answers .*start it, or unset it"):
        shared_kafka(service_run)


def test_the_named_broker_is_used(kafka: Kafka, service_run: ServiceRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has a broker, as CI services do, need not start another."""
    monkeypatch.setenv(ADDRESS_VARIABLE, kafka.bootstrap)
    assert shared_kafka(service_run) == Kafka(bootstrap=kafka.bootstrap)
