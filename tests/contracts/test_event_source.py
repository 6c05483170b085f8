"""Every event source gives what came, in order, and again until it is done.

Kafka is a real broker: shared where nothing is broken, a test's own where it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from contextlib import aclosing
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from guardian.adapters.events.kafka import KafkaSource, KafkaTopics
from guardian.adapters.events.memory import MemorySource
from guardian.core.model import Seconds
from guardian.errors import Unavailable
from guardian.ports import EventSource, Received
from simulator.testing.kafka.broker import Kafka
from simulator.testing.plugin import MakeBroker
from simulator.testing.run import ServiceRun
from tests.contracts.brokers import access, kept, numbers, producing, send, until

DEAD_LETTER = "dead-letter"


def source_of(bootstrap: str, topics: KafkaTopics) -> KafkaSource:
    """A source whose group notices a lost member after 3 s."""
    return KafkaSource(access(bootstrap), topics=topics, session=Seconds(3.0))


def topics_of(kafka: Kafka, *, partitions: int = 1) -> KafkaTopics:
    """Topics and a group of the test's own."""
    return KafkaTopics(
        events=kafka.topic("events", partitions=partitions), dead_letter=kafka.topic("dead"), group=kafka.group()
    )


async def take(source: EventSource, count: int, *, deadline: float = 30.0, done: bool = True) -> list[Received]:
    """The next `count` messages, each done when it was taken."""
    taken: list[Received] = []
    async with asyncio.timeout(deadline), aclosing(source.messages()) as messages:  # type: ignore[type-var]
        async for received in messages:
            taken += received
            if done:
                await source.done(received)
            if len(taken) >= count:
                break
    return taken


async def committed(bootstrap: str, topics: KafkaTopics, *, partition: int = 0) -> int | None:
    """The group's offset of a partition, as the broker has it."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=topics.group, enable_auto_commit=False)
    await consumer.start()
    try:
        offset: int | None = await consumer.committed(TopicPartition(topics.events, partition))
        return offset
    finally:
        await consumer.stop()


async def test_memory_gives_what_was_put_and_again_what_is_not_done() -> None:
    """As a broker does, for runs without one."""
    source = MemorySource()
    sent = [source.put(value) for value in numbers(5)]
    assert await take(source, 5, done=False) == sent
    await source.done(sent[:2])
    await source.done([sent[3]])
    assert await take(source, 3) == sent[2:]
    assert source.committed == 5


async def test_memory_keeps_dead_letters() -> None:
    """With the reason; the offset moves past them."""
    source = MemorySource()
    bad = source.put(b"{")
    await source.dead_letter(bad, "bad-json")
    assert source.dead_letters == [(bad, "bad-json")]


@pytest.mark.service
async def test_messages_come_in_the_order_of_their_partition_with_headers(kafka: Kafka) -> None:
    """Bytes as they were sent: nothing is decoded here. A tombstone is empty bytes."""
    topics = await asyncio.to_thread(topics_of, kafka)
    async with producing(kafka.bootstrap) as producer:
        for value in numbers(50):
            await producer.send_and_wait(topics.events, value, headers=[("ce_id", value)])
        await producer.send_and_wait(topics.events, None, key=b"gone")
    taken = await take(source_of(kafka.bootstrap, topics), 51)
    assert [one.body for one in taken] == [*numbers(50), b""]
    assert [one.headers for one in taken[:2]] == [(("ce_id", b"0"),), (("ce_id", b"1"),)]
    assert [(one.topic, one.partition, one.offset) for one in taken] == [(topics.events, 0, n) for n in range(51)]
    assert await committed(kafka.bootstrap, topics) == 51


@pytest.mark.service
async def test_what_is_not_done_comes_again_after_a_crash(kafka: Kafka) -> None:
    """The offset moves past an unbroken run of done messages only: 3 is done, 2 is not, so 2 and 3 come again."""
    topics = await asyncio.to_thread(topics_of, kafka)
    await send(kafka.bootstrap, topics.events, numbers(5))
    first = source_of(kafka.bootstrap, topics)
    async with asyncio.timeout(30), aclosing(first.messages()) as messages:  # type: ignore[type-var]
        taken: list[Received] = []
        async for received in messages:
            taken += received
            if len(taken) == 5:
                break
        await first.done(taken[:2])
        await first.done([taken[3]])
        assert first.waiting == 2
    assert await committed(kafka.bootstrap, topics) == 2
    assert [one.body for one in await take(source_of(kafka.bootstrap, topics), 3)] == [b"2", b"3", b"4"]


@pytest.mark.service
async def test_a_dead_letter_keeps_the_original_before_the_offset_moves(kafka: Kafka) -> None:
    """Reason, place and original headers with it; the message does not come again, and blocks nobody."""
    topics = await asyncio.to_thread(topics_of, kafka)
    async with producing(kafka.bootstrap) as producer:
        await producer.send_and_wait(
            topics.events, b"\xff{", headers=[("content-type", b"json"), ("reason", b"theirs")]
        )
        await producer.send_and_wait(topics.events, b"good")
    source = source_of(kafka.bootstrap, topics)
    async with asyncio.timeout(30), aclosing(source.messages()) as messages:  # type: ignore[type-var]
        async for received in messages:
            for one in received:
                if one.body == b"good":
                    await source.done([one])
                else:
                    await source.dead_letter(one, "bad-json")
            if received[-1].body == b"good":
                break
    [record] = await kept(kafka.bootstrap, topics.dead_letter, 1)
    assert record.value == b"\xff{"  # type: ignore[attr-defined]
    assert dict(record.headers) == {  # type: ignore[attr-defined]
        "reason": b"bad-json",
        "topic": topics.events.encode(),
        "partition": b"0",
        "offset": b"0",
        "content-type": b"json",
        "original-reason": b"theirs",
    }
    assert await committed(kafka.bootstrap, topics) == 2


@pytest.mark.service
async def test_an_oversized_message_goes_to_the_dead_letters_cut_off_when_they_take_no_more(kafka: Kafka) -> None:
    """A topic that takes 3 MiB before one that takes 1 MiB: it must neither block nor vanish."""
    large = await asyncio.to_thread(lambda: kafka.topic("events", config={"max.message.bytes": str(3 * 2**20)}))
    dead = await asyncio.to_thread(kafka.topic, "dead")
    topics = KafkaTopics(events=large, dead_letter=dead, group=kafka.group())
    body = b"x" * (2 * 2**20)
    await send(kafka.bootstrap, large, [body])
    source = source_of(kafka.bootstrap, topics)
    [message] = await take(source, 1, done=False)
    assert message.body == body
    await source.dead_letter(message, "too-large")
    await source.close()
    [record] = await kept(kafka.bootstrap, dead, 1)
    assert record.value == body[: 256 * 1024]  # type: ignore[attr-defined]
    assert dict(record.headers)["cut-off-from"] == str(len(body)).encode()  # type: ignore[attr-defined]


@pytest.mark.service
async def test_a_dead_letter_that_cannot_be_kept_is_an_error_and_not_done(kafka: Kafka) -> None:
    """Without the topic the message must not be lost: it waits, and somebody hears why."""
    events = await asyncio.to_thread(kafka.topic, "events")
    topics = KafkaTopics(events=events, dead_letter="there-is-no-such-topic", group=kafka.group())
    await send(kafka.bootstrap, events, [b"{"])
    source = source_of(kafka.bootstrap, topics)
    async with asyncio.timeout(40), aclosing(source.messages()) as messages:  # type: ignore[type-var]
        async for received in messages:
            with pytest.raises(Unavailable, match="dead letter: "):
                await source.dead_letter(received[0], "bad-json")
            break
    assert await committed(kafka.bootstrap, topics) is None


@pytest.mark.service
async def test_it_waits_for_a_topic_that_is_not_there_yet(kafka: Kafka) -> None:
    """Started before the topic was made: it says so, and goes on as soon as it is there."""
    name = kafka.group("late")
    topics = KafkaTopics(events=name, dead_letter=DEAD_LETTER, group=kafka.group())
    source = source_of(kafka.bootstrap, topics)
    taking = asyncio.create_task(take(source, 1))
    async with asyncio.timeout(20):
        await until(lambda: f"there is no topic '{name}'; create it" in source.problem)
    await asyncio.to_thread(kafka.make_topic, name)
    await send(kafka.bootstrap, name, [b"at last"])
    assert [one.body for one in await taking] == [b"at last"]
    assert source.problem == ""


@pytest.mark.service
async def test_a_second_member_takes_over_half_and_nothing_is_lost(kafka: Kafka) -> None:
    """Rebalance in the middle: each message is given at least once, and offsets never move past what is not done."""
    topics = await asyncio.to_thread(lambda: topics_of(kafka, partitions=2))
    seen: dict[str, set[bytes]] = {"first": set(), "second": set()}

    async def consume(name: str) -> None:
        source = source_of(kafka.bootstrap, topics)
        async with aclosing(source.messages()) as messages:  # type: ignore[type-var]
            async for received in messages:
                seen[name] |= {one.body for one in received}
                await source.done(received)

    expected = set(numbers(400))
    async with asyncio.timeout(60):
        first = asyncio.create_task(consume("first"))
        for partition in (0, 1):
            await send(kafka.bootstrap, topics.events, numbers(100, start=100 * partition), partition=partition)
        await until(lambda: len(seen["first"]) == 200)
        second = asyncio.create_task(consume("second"))
        while not seen["second"] or seen["first"] | seen["second"] < expected:
            for partition in (0, 1):
                await send(
                    kafka.bootstrap, topics.events, numbers(100, start=200 + 100 * partition), partition=partition
                )
            await asyncio.sleep(0.2)
    for task in (first, second):
        task.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert seen["first"] | seen["second"] == expected
    assert seen["second"] <= expected


@pytest.mark.service
async def test_after_a_kill_the_group_does_not_wait_for_the_dead(kafka: Kafka, tmp_path: Path) -> None:
    """A session of 10 minutes: the next process with the same folder ends it, and takes what comes at once."""
    topics = await asyncio.to_thread(topics_of, kafka)
    file = tmp_path / "member.json"
    await send(kafka.bootstrap, topics.events, [b"first"])
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TAKES_ONE, kafka.bootstrap, topics.events, topics.group, str(file), stdout=PIPE
    )
    assert killed.stdout is not None
    assert await asyncio.wait_for(killed.stdout.readline(), 60.0) == b"first\n"
    killed.kill()
    await killed.wait()
    await send(kafka.bootstrap, topics.events, [b"second"])
    next_one = KafkaSource(access(kafka.bootstrap), topics=topics, session=Seconds(600.0), member=file)
    assert [one.body for one in await take(next_one, 1, deadline=60.0)] == [b"second"]
    after_a_clean_end = KafkaSource(access(kafka.bootstrap), topics=topics, session=Seconds(600.0), member=file)
    await send(kafka.bootstrap, topics.events, [b"third"])
    assert [one.body for one in await take(after_a_clean_end, 1, deadline=60.0)] == [b"third"]


TAKES_ONE = """
import asyncio, pathlib, sys
import structlog
from guardian.adapters._kafka import KafkaAccess
from guardian.adapters.events.kafka import KafkaSource, KafkaTopics
from guardian.core.model import Seconds

async def main(bootstrap, events, group, file):
    topics = KafkaTopics(events=events, dead_letter="none", group=group)
    member = pathlib.Path(file)
    source = KafkaSource(KafkaAccess(bootstrap=(bootstrap,)), topics=topics, session=Seconds(600.0), member=member)
    async for received in source.messages():
        await source.done(received)
        print(received[0].body.decode(), flush=True)

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
asyncio.run(main(*sys.argv[1:]))
"""
"""A process that takes what comes, says so, and never ends by itself."""


async def collect(source: KafkaSource, into: list[Received]) -> None:
    """Take messages until cancelled, none of them done."""
    async with aclosing(source.messages()) as messages:  # type: ignore[type-var]
        async for received in messages:
            into.extend(received)


@pytest.mark.service
async def test_offsets_of_a_partition_that_went_to_another_member_are_not_committed(kafka: Kafka) -> None:
    """The journal took long; meanwhile a second member got half. Only its own word moves its half."""
    topics = await asyncio.to_thread(lambda: topics_of(kafka, partitions=2))
    for partition in (0, 1):
        await send(kafka.bootstrap, topics.events, numbers(50), partition=partition)
    first, second = source_of(kafka.bootstrap, topics), source_of(kafka.bootstrap, topics)
    before: list[Received] = []
    after: list[Received] = []
    async with asyncio.timeout(40):
        tasks = [asyncio.create_task(collect(first, before))]
        await until(lambda: len(before) == 100)
        tasks.append(asyncio.create_task(collect(second, after)))
        await until(lambda: len(after) == 50 and len(before) == 150)
        await first.done(before)
        theirs = after[0].partition
        assert await committed(kafka.bootstrap, topics, partition=theirs) is None
        assert await committed(kafka.bootstrap, topics, partition=1 - theirs) == 50
        await second.done(after)
        assert await committed(kafka.bootstrap, topics, partition=theirs) == 50
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.service
async def test_a_broker_that_is_killed_and_comes_back_loses_nothing(kafka_own: MakeBroker) -> None:
    """An outage is invisible to aiokafka: the source says so by its own clock, and goes on by itself."""
    broker = await asyncio.to_thread(kafka_own)
    topics = await asyncio.to_thread(topics_of, broker.endpoint)
    await send(broker.bootstrap, topics.events, numbers(100))
    source = source_of(broker.bootstrap, topics)
    seen: list[bytes] = []

    async def consume() -> None:
        async with aclosing(source.messages()) as messages:  # type: ignore[type-var]
            async for received in messages:
                seen.extend(one.body for one in received)
                await source.done(received)

    async with asyncio.timeout(80):
        consuming = asyncio.create_task(consume())
        await until(lambda: len(seen) == 100)
        broker.kill()
        await until(lambda: "no answer" in source.problem)
        assert source.silence > 5.0
        await asyncio.to_thread(broker.start)
        await send(broker.bootstrap, topics.events, numbers(100, start=100))
        await until(lambda: set(seen) == set(numbers(200)) and source.waiting == 0)
        assert source.problem == ""
    consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)
    assert await committed(broker.bootstrap, topics) == 200
    assert list(dict.fromkeys(seen)) == numbers(200)


@pytest.mark.service
async def test_without_a_broker_it_keeps_trying_and_says_why(service_run: ServiceRun) -> None:
    """The daemon starts without Kafka, and finds it when it comes."""
    source = source_of(f"127.0.0.1:{service_run.port()}", KafkaTopics())
    taking = asyncio.create_task(take(source, 1))
    async with asyncio.timeout(10):
        await until(lambda: "check that the brokers are up" in source.problem)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
