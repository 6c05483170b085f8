"""History read back at once: it must leave what the same ticks leave when they come one look at a time."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from guardian.core.columns import Columns
from guardian.core.feeding import LEAD
from guardian.core.fleet import Fleet
from guardian.core.history import take_history
from guardian.core.looks import Observed, Part, SeriesKey
from guardian.core.model import Instant, Ratio, RolloutId, Seconds, Track
from guardian.core.policy import Level, Slo, WarmUp
from guardian.core.windows import take_tick, take_ticks, window_columns
from tests.builders import ERRORS, LATENCY, OBJECTIVE, policy

R = RolloutId("r")
BOUNDS = (0.1, 0.5, 1.0, math.inf)
SLOW = Slo(
    target=0.3, breached="above", quantile=Ratio(0.95), warning=Level(bound=0.5, lasts=Seconds(120.0)),
    critical=Level(bound=1.0, lasts=Seconds(60.0)),
)  # fmt: skip
WARM = WarmUp(lasts=Seconds(120.0), factor=2.0)
POLICY = replace(
    policy(),
    guardrails=(replace(ERRORS, objective=OBJECTIVE, warm_up=WARM), replace(LATENCY, objective=SLOW)),
)
HISTORY, LIVE = 60, 12
Sample = tuple[SeriesKey, float, float]


def story(*, missed: float, broken: float) -> list[Sample]:
    """Scrapes of four stable pods, and of two canary pods from tick HISTORY on, in the order of time.

    missed: share of scrapes that are not there. broken: share of scrapes with more bad than requests.
    """
    random = np.random.default_rng(5)
    out = []
    for track, pods in ((Track.STABLE, 4), (Track.CANARY, 2)):
        for pod in range(pods):
            counts = np.cumsum(random.multinomial(300, [0.6, 0.3, 0.07, 0.03], HISTORY + LIVE), axis=0)
            bad = np.cumsum(random.poisson(2.0, HISTORY + LIVE))
            for i in range(HISTORY if track is Track.CANARY else 0, HISTORY + LIVE):
                time = 10.0 * i + pod + 1.0
                shown = bad[i] + 1e6 * (random.random() < broken)
                scrape = [("errors", Part.TOTAL, math.nan, counts[i].sum()), ("errors", Part.BAD, math.nan, shown)]
                reach = zip(BOUNDS, np.cumsum(counts[i]), strict=True)
                scrape += [("latency", Part.BUCKET, le, value) for le, value in reach]
                if random.random() >= missed:
                    out += [
                        (SeriesKey(rollout=R, guardrail=g, track=track, pod=f"p{pod}", part=part, le=le), time, value)
                        for g, part, le, value in scrape
                    ]
    return sorted(out, key=lambda sample: sample[1])


def told(samples: list[Sample]) -> bytes:
    """Checkpoint of a fleet that took these samples in one look."""
    fleet = Fleet()
    fleet.open(R, POLICY)
    series = np.array([fleet.series(key) for key, _, _ in samples])
    time, value = (np.array([sample[i] for sample in samples], dtype=np.float64) for i in (1, 2))
    fleet.observe(Observed(series=series, time=time, value=value))
    fleet.look([R], now=Instant(1e4))
    return fleet.checkpoint(R)


def numbers(blob: bytes) -> list[float]:
    """All numbers of a checkpoint, in its order."""
    found: list[float] = []

    def gather(part: object) -> None:
        if isinstance(part, bytes):
            found.extend(np.frombuffer(part) if len(part) % 8 == 0 else ())
        elif isinstance(part, dict | list):
            for each in part.values() if isinstance(part, dict) else part:
                gather(each)

    gather({name: value for name, value in msgspec.msgpack.decode(blob).items() if name != "sheets"})
    for sheet in msgspec.msgpack.decode(blob)["sheets"]:
        gather({name: value for name, value in sheet.items() if name not in {"rule", "objective"}})
    return found


@pytest.mark.parametrize(("missed", "broken"), [(0.0, 0.0), (0.02, 0.0), (0.0, 0.01), (0.15, 0.01)])
def test_history_in_one_go_leaves_what_it_leaves_tick_by_tick(
    missed: float, broken: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gaps and impossible counts included: memory, noise, objectives, watermarks and evidence are the same."""
    samples = story(missed=missed, broken=broken)
    at_once = numbers(told(samples))
    monkeypatch.setattr("guardian.core.feeding.take_history", lambda *_: False)
    assert at_once == pytest.approx(numbers(told(samples)), rel=1e-9, abs=1e-9, nan_ok=True)


def test_plain_history_is_taken_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the first two ticks, up to the canary's first row: else the start of a rollout costs a second."""
    taken = []

    def watched(*arguments: object) -> bool:
        done = take_history(*arguments)  # type: ignore[arg-type]
        taken.append((arguments[2:], done))
        return done

    monkeypatch.setattr("guardian.core.feeding.take_history", watched)
    told(story(missed=0.0, broken=0.0))
    assert taken[0] == ((LEAD, HISTORY), True)
    assert not any(done for _, done in taken[1:])


@pytest.mark.parametrize("directions", [1, 3])
def test_windows_of_many_ticks_are_those_of_each_tick(directions: int) -> None:
    """In pieces of any length, rows that miss ticks included."""
    random = np.random.default_rng(1)
    one_by_one, at_once = (Columns(window_columns(directions)) for _ in range(2))
    for columns in (one_by_one, at_once):
        columns.reach(6)
    for length in (1, 3, 90, 17, 64):
        rows = [np.flatnonzero(random.random(7) < 0.8) for _ in range(length)]
        terms = [random.normal(size=(len(each), directions, 3)) for each in rows]
        for mine, values in zip(rows, terms, strict=True):
            take_tick(one_by_one, mine, values)
        take_ticks(at_once, np.concatenate(rows), np.concatenate(terms))
    for name in window_columns(directions):
        np.testing.assert_allclose(at_once[name], one_by_one[name], atol=1e-9)
