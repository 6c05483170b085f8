"""Streamed metrics: what is kept of what comes, and what is measured of what is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cramjam
import pytest

from guardian.adapters import _samples
from guardian.adapters._remote_write_pb2 import Label, WriteRequest
from guardian.adapters._samples import ROWS
from guardian.adapters._series import joined
from guardian.adapters.metrics.memory import MemorySource
from guardian.adapters.metrics.streamed import Room, StreamedSource
from guardian.core.measures import MeasureRequest
from guardian.core.model import Instant, Place, RolloutId, Seconds
from guardian.core.policy import CountSli, Guardrail, Labels
from guardian.errors import EventError, EventTooLarge, Unavailable
from guardian.ports import Samples
from tests.adapters.clock import SetClock
from tests.builders import ERRORS, T0

LOGINS = Guardrail(name="logins", sli=CountSli(events="logins_total"))
CHECKOUT = Place(service="checkout", environment="production")


def labels(pod: str = "c1", *, name: str = "logins_total", **more: str) -> dict[str, str]:
    """Labels of a pod's counter."""
    return {"__name__": name, "service": "checkout", "track": "canary", "pod": pod} | more


def written(*samples: tuple[dict[str, str], float, float]) -> bytes:
    """One remote-write request: (labels, time, value) each."""
    request = WriteRequest()
    for told, at, value in samples:
        series = request.timeseries.add()
        series.labels.extend(Label(name=k, value=v).SerializeToString() for k, v in sorted(told.items()))
        series.samples.add(timestamp=round(at * 1000), value=value)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def request(since: float = T0 - 1.0, *, rollout: str = "checkout-1", guardrail: Guardrail = LOGINS) -> MeasureRequest:
    """What the core asks."""
    return MeasureRequest(
        rollout=RolloutId(rollout),
        place=CHECKOUT,
        guardrail=guardrail,
        labels=Labels(),
        since=Instant(since),
        until=Instant(T0 + 1e6),
    )


def rows(samples: Samples) -> list[tuple[str, float, float]]:
    """Pod, seconds since T0 and value of each sample, in order."""
    keys = [samples.keys[index].pod for index in samples.key.tolist()]
    return sorted(zip(keys, (samples.time - T0).round(3).tolist(), samples.value.tolist(), strict=True))


def source(**options: object) -> tuple[StreamedSource, SetClock]:
    """A source that watches the logins of `checkout`."""
    clock = SetClock()
    streamed = StreamedSource(clock=clock, **options)  # type: ignore[arg-type]
    streamed.watch(CHECKOUT, (LOGINS,), Labels())
    return streamed, clock


async def test_what_is_watched_is_kept_and_measured_after_since() -> None:
    """With the samples' own times; what nobody watches leaves nothing behind."""
    streamed, _ = source()
    other = labels(name="other_total")
    await streamed.receive(written((labels(), T0, 1.0), (other, T0, 9.0), (labels("c2"), T0 + 0.5, 4.0)))
    await streamed.receive(written((labels(), T0 + 1, 2.0), (other, T0 + 1, 9.0)))
    assert rows(await streamed.measure([request(T0)])) == [("c1", 1.0, 2.0), ("c2", 0.5, 4.0)]
    assert streamed.received().series == 2
    assert streamed.received().samples == 3


async def test_late_double_and_disordered_samples_are_all_given() -> None:
    """The core decides by sample time; a backlog after an outage comes minutes late and in any order."""
    streamed, clock = source()
    clock.at = Instant(T0 + 600)
    for at in (5.0, 3.0, 4.0, 5.0):
        await streamed.receive(written((labels(), T0 + at, at)))
    assert rows(await streamed.measure([request()])) == [
        ("c1", 3.0, 3.0),
        ("c1", 4.0, 4.0),
        ("c1", 5.0, 5.0),
        ("c1", 5.0, 5.0),
    ]


async def test_a_rollout_that_comes_later_finds_what_was_watched_before() -> None:
    """Policies are watched from the start, so that stable's history is there when a rollout begins."""
    streamed, _ = source()
    await streamed.receive(written((labels(), T0, 1.0)))
    assert rows(await streamed.measure([request(rollout="checkout-7")])) == [("c1", 0.0, 1.0)]


async def test_an_unwatched_series_is_kept_from_the_moment_somebody_asks() -> None:
    """Its labels were seen and dismissed; the new interest must make them count again."""
    streamed, _ = source()
    bad = labels(name="http_requests_total", status="500")
    await streamed.receive(written((bad, T0, 1.0)))
    assert rows(await streamed.measure([request(guardrail=ERRORS)])) == []
    await streamed.receive(written((bad, T0 + 1, 2.0)))
    samples = await streamed.measure([request(guardrail=ERRORS)])
    assert sorted((samples.keys[i].part.value, v) for i, v in zip(samples.key, samples.value, strict=True)) == [
        ("bad", 2.0),
        ("total", 2.0),
    ]


async def test_two_rollouts_may_want_one_series_from_different_times() -> None:
    """Each gets what it asked for, under its own key."""
    streamed, _ = source()
    for at in range(3):
        await streamed.receive(written((labels(), T0 + at, float(at))))
    samples = await streamed.measure([request(T0 + 1, rollout="a"), request(T0 - 1, rollout="b")])
    given = sorted((samples.keys[i].rollout, v) for i, v in zip(samples.key, samples.value, strict=True))
    assert given == [("a", 2.0), ("b", 0.0), ("b", 1.0), ("b", 2.0)]


async def test_of_a_pair_one_replica_counts_and_the_other_after_30_s_of_silence() -> None:
    """Everything comes twice; taken together the counter would step back and forth."""
    streamed, clock = source(dropped=("replica",))
    a, b = labels(replica="a", cluster="eu"), labels(replica="b", cluster="eu")
    await streamed.receive(written((a, T0, 10.0)))
    await streamed.receive(written((b, T0 + 0.3, 11.0)))
    clock.at = Instant(T0 + 30.0)
    await streamed.receive(written((b, T0 + 30.3, 12.0)))
    clock.at = Instant(T0 + 31.0)
    await streamed.receive(written((b, T0 + 31.3, 13.0)))
    await streamed.receive(written((a, T0 + 31.4, 14.0)))
    assert rows(await streamed.measure([request()])) == [("c1", 0.0, 10.0), ("c1", 31.3, 13.0)]
    assert streamed.received().doubles == 3


async def test_what_came_before_the_memory_began_is_asked_of_the_past_once() -> None:
    """A restart or a new policy: history is polled, then the stream goes on by itself."""
    past = MemorySource()
    past.add(labels(), Instant(T0 - 100), 5.0)
    streamed, _ = source(past=past)
    await streamed.receive(written((labels(), T0 + 1, 7.0)))
    assert rows(await streamed.measure([request(T0 - 2400)])) == [("c1", -100.0, 5.0), ("c1", 1.0, 7.0)]
    assert rows(await streamed.measure([request(T0 - 2400)])) == [("c1", 1.0, 7.0)]


class _Away:
    """A past that cannot be had."""

    async def measure(self, requests: object) -> Samples:
        raise Unavailable("no answer", where="http://prometheus", remedy="start it")


async def test_a_past_that_cannot_be_had_holds_the_present_back_for_a_minute() -> None:
    """Newer samples would make the core forget that it wanted older ones; but not for ever."""
    streamed, clock = source(past=_Away())
    await streamed.receive(written((labels(), T0 + 1, 7.0)))
    samples = await streamed.measure([request(T0 - 2400)])
    assert rows(samples) == []
    assert samples.problems == (
        "the time before the stream began cannot be read: http://prometheus: no answer; start it",
    )
    clock.at = Instant(T0 + 61)
    assert rows(await streamed.measure([request(T0 - 2400)])) == [("c1", 1.0, 7.0)]


class _Half:
    """A past of which a guardrail cannot be had at first."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def measure(self, requests: Sequence[MeasureRequest]) -> Samples:
        self.asked.append([one.guardrail.name for one in requests])
        lost = frozenset(one.of for one in requests if one.guardrail.name == "visits" and len(self.asked) == 1)
        return replace(joined([]), unanswered=lost, problems=("half",) if lost else ())


async def test_a_past_that_can_be_had_in_part_is_asked_for_the_rest() -> None:
    """One guardrail goes on; the other one waits for its past."""
    half = _Half()
    streamed, _ = source(past=half)
    visits = Guardrail(name="visits", sli=CountSli(events="visits_total"))
    both = [request(T0 - 2400), request(T0 - 2400, guardrail=visits)]
    await streamed.measure(both)
    await streamed.receive(written((labels(), T0 + 1, 7.0), (labels(name="visits_total"), T0 + 1, 9.0)))
    half.asked.clear()
    samples = await streamed.measure(both)
    assert rows(samples) == [("c1", 1.0, 7.0)]
    assert samples.unanswered == {(RolloutId("checkout-1"), "visits")}
    assert rows(await streamed.measure(both)) == [("c1", 1.0, 7.0), ("c1", 1.0, 9.0)]
    assert half.asked == [["visits"], ["visits"]]


async def test_silence_is_said() -> None:
    """No request for a minute: the sender is down, or writes elsewhere."""
    streamed, clock = source()
    assert (await streamed.measure([request()])).problems == ()
    clock.at = Instant(T0 + 61)
    assert (await streamed.measure([request()])).problems == (
        "remote write: nothing came for 61 s; check remote_write of Prometheus and its log",
    )
    await streamed.receive(written((labels(), T0 + 61, 1.0)))
    assert (await streamed.measure([request()])).problems == ()


async def test_samples_far_in_the_future_are_refused_and_counted() -> None:
    """A sender whose clock is a day ahead would otherwise end every comparison."""
    streamed, _ = source()
    await streamed.receive(written((labels(), T0 + 299, 1.0), (labels("c2"), T0 + 301, 1.0)))
    assert [row[0] for row in rows(await streamed.measure([request()]))] == ["c1"]
    assert streamed.received().future == 1
    assert (await streamed.measure([request()])).problems == (
        "remote write: samples more than 5 min ahead were refused; check the senders' clocks",
    )


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
async def test_after_the_wall_clock_was_set_senders_are_measured_by_our_time(ahead: float) -> None:
    """Ours goes on: a sender that follows the wall clock is neither silent for an hour nor from the future."""
    stream, clock = source(ahead=lambda: ahead)
    await stream.receive(written((labels(), T0 + 5.0 - ahead, 1.0)))
    clock.at = Instant(T0 + 10.0)
    await stream.receive(written((labels(), T0 + 10.0, 2.0)))
    samples = await stream.measure([request()])
    assert rows(samples) == [("c1", 5.0, 1.0), ("c1", 10.0, 2.0)], "the second sender's clock was not set"
    assert stream.received().future == 0


async def test_memory_is_bounded_in_series() -> None:
    """Beyond the limit series are refused and counted; those that are kept stay exact."""
    streamed, _ = source(room=Room(series=1))
    for at in range(2):
        await streamed.receive(written((labels("c1"), T0 + at, 1.0), (labels("c2"), T0 + at, 1.0)))
    assert rows(await streamed.measure([request()])) == [("c1", 0.0, 1.0), ("c1", 1.0, 1.0)]
    assert streamed.received().refused_series == 1
    assert (await streamed.measure([request()])).problems == (
        "remote write: more than 1 series are wanted; raise limits.series",
    )


async def test_memory_is_bounded_in_samples_and_the_loss_is_asked_of_the_past() -> None:
    """What the log had no room for is not simply missing: it counts as before the memory began."""
    past = MemorySource()
    past.add(labels(), Instant(T0 + 0.5), 0.5)
    streamed, clock = source(past=past, room=Room(samples=2 * ROWS))
    clock.at = Instant(T0 + 2000)
    for start in range(0, 3 * ROWS, 10_000):
        await streamed.receive(
            written(*((labels(), T0 + at / 100, 1.0) for at in range(start, min(start + 10_000, 3 * ROWS))))
        )
    assert streamed.received().rows == 2 * ROWS
    samples = await streamed.measure([request(T0 + 0.4)])
    assert rows(samples)[0] == ("c1", 0.5, 0.5)
    assert samples.key.size == 2 * ROWS + 1


async def test_a_full_memory_without_a_past_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is dropped silently."""
    monkeypatch.setattr(_samples, "ROWS", 8)
    streamed, _ = source(room=Room(samples=8))
    for at in range(9):
        await streamed.receive(written((labels(), T0 + at, 1.0)))
    assert (await streamed.measure([request(T0 + 7)])).problems == ()
    assert (await streamed.measure([request(T0)])).problems == (
        "remote write: there was no room for older samples; set metrics.url to read them there",
    )


async def test_what_is_older_than_the_history_goes_and_names_go_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods come and go for months: neither samples nor series pile up, and their numbers are used again."""
    monkeypatch.setattr(_samples, "ROWS", 128)
    streamed, clock = source(history=Seconds(600.0))
    for hour in range(30):
        clock.at = Instant(T0 + 3600.0 * hour)
        pods = (labels(f"{hour}-{pod}") for pod in range(100))
        await streamed.receive(written(*((pod, clock.at, 1.0) for pod in pods)))
    received = streamed.received()
    assert received.series <= 200
    assert len(rows(await streamed.measure([request(clock.at - 1)]))) == 100
    assert streamed._watched.size <= 600


async def test_an_interest_that_nobody_has_any_more_ends() -> None:
    """A rollout that is over must not be kept for ever."""
    streamed, clock = source(history=Seconds(600.0))
    bad = labels(name="http_requests_total", status="500")
    await streamed.measure([request(guardrail=ERRORS)])
    await streamed.receive(written((bad, T0, 1.0)))
    assert streamed.received().series == 1
    clock.at = Instant(T0 + 700)
    await streamed.receive(written((bad, T0 + 700, 1.0)))
    clock.at = Instant(T0 + 800)
    await streamed.receive(written((bad, T0 + 800, 1.0)))
    assert streamed.received().series == 0


async def test_not_a_number_is_passed_on() -> None:
    """The staleness marker ends a series; the core knows it, so it must get it."""
    streamed, _ = source()
    await streamed.receive(written((labels(), T0, math.nan)))
    assert math.isnan(rows(await streamed.measure([request()]))[0][2])


@pytest.mark.parametrize(
    ("body", "options", "reason"),
    [
        (b"nonsense", {}, "unreadable"),
        (bytes(cramjam.snappy.compress_raw(b"\xff\xff\xff")), {}, "unreadable"),
        (written(), {"content_encoding": "gzip"}, "unsupported"),
        (written(), {"content_type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}, "unsupported"),
    ],
)
async def test_what_cannot_be_read_is_refused_with_a_reason(body: bytes, options: dict[str, str], reason: str) -> None:
    """Sent again it would be no better; the reason is for counter and answer."""
    streamed, _ = source()
    with pytest.raises(EventError) as refused:
        await streamed.receive(body, **options)
    assert refused.value.reason == reason
    assert refused.value.remedy


async def test_a_request_that_is_too_large_is_refused() -> None:
    """Before it is unpacked."""
    streamed, _ = source(room=Room(body=10))
    with pytest.raises(EventTooLarge, match="at most 10 are taken"):
        await streamed.receive(written((labels(), T0, 1.0)))
