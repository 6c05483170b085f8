"""A track whose metrics come by a longer way is waited for; one that is silent is not."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guardian.core.abreast import LONGEST, Abreast
from guardian.core.fleet import Fleet
from guardian.core.looks import GuardrailLook, Look, Part
from guardian.core.model import RolloutId, Track
from tests.builders import ERRORS
from tests.core import levels
from tests.core.pods import BEGAN, POLICY, STEP, R, Sample, key, look, observe, opened, scrapes
from tests.core.test_deliveries import restarted

ROLLBACK = math.log(100.0)
Lag = Callable[[Sample], float]


def told(samples: list[Sample], lag: Lag, *, restarts: bool = False) -> Look:
    """Deliver samples `lag` seconds after their time, with a look every ten seconds; then what is still under way."""
    fleet = opened()
    when = np.array([sample[1] + lag(sample) for sample in samples])
    for edge in np.arange(BEGAN - 60.0, samples[-1][1] + 130.0, STEP):
        observe(fleet, [samples[place] for place in np.flatnonzero((when > edge - STEP) & (when <= edge))])
        if edge == BEGAN - 60.0:
            observe(fleet, [samples[place] for place in np.flatnonzero(when <= edge - STEP)])
        look(fleet)
        if restarts and edge in {BEGAN + 200.0, BEGAN + 370.0}:
            fleet = restarted(fleet)
    return look(fleet)


def of(track: Track, seconds: float) -> Lag:
    """Samples of one track come so late once the canary is there."""
    return lambda sample: seconds if sample[0].track is track and sample[1] >= BEGAN else 0.0


@pytest.mark.parametrize(
    ("track", "seconds", "restarts"),
    [
        (Track.CANARY, 25.0, False),
        (Track.CANARY, 100.0, True),
        (Track.STABLE, 25.0, True),
        (Track.STABLE, 100.0, False),
    ],
)
def test_a_track_that_is_always_late_loses_nothing(track: Track, seconds: float, *, restarts: bool) -> None:
    """Same counts as without any delay but for what stable brought before the canary was seen, and the same verdict."""
    samples = scrapes(lasts=400.0, rate=60.0, worse=3.0)
    late, prompt = told(samples, of(track, seconds), restarts=restarts), told(samples, of(track, 0.0))
    for mine, whole in zip(late.guardrails, prompt.guardrails, strict=True):
        assert (mine.canary.requests, mine.canary.bad) == (whole.canary.requests, whole.canary.bad)
        before = seconds + STEP if track is Track.CANARY else 0.0
        assert whole.stable.requests - mine.stable.requests <= before * 4 * 60.0 / STEP * 1.2
    assert late.log_harm >= ROLLBACK
    assert prompt.log_harm >= ROLLBACK


def test_nobody_waits_for_a_track_that_is_silent() -> None:
    """Stable's samples go on counting at once when the canary's end."""
    samples = [
        sample for sample in scrapes(lasts=300.0) if sample[0].track is Track.STABLE or sample[1] < BEGAN + 100.0
    ]
    fleet = opened()
    for end in (BEGAN + 90.0, BEGAN + 120.0, BEGAN + 150.0):
        observe(fleet, [sample for sample in samples if sample[1] <= end])
        last = look(fleet).of("errors").stable.last
        assert last == end


def test_a_track_beyond_the_longest_delay_is_not_waited_for() -> None:
    """Two minutes are the longest, as for a track that is silent."""
    abreast = Abreast()
    abreast.open(0, tick=STEP)
    for pod, track in ((0, Track.STABLE), (1, Track.CANARY)):
        abreast.add_pod(pod, group=0, track=track.code)
    step = np.full(2, STEP)
    for lag, waits in ((5.0, False), (10.9, False), (11.1, True), (LONGEST, True), (LONGEST + 1.0, False)):
        at = BEGAN + 1000.0 * lag
        ahead = abreast.ahead(np.array([0, 1]), np.array([at, at - lag]), step)
        assert ahead.tolist() == [waits, False]


def known_before(every: float) -> list[Sample]:
    """Three times the errors; scrapes `every` so many seconds, of an idle canary too, long before its first traffic."""
    told = scrapes(canary=1, stable=2, lasts=200.0, history=400.0, rate=60.0, worse=4.0)
    idle = [(key(Track.CANARY, 0, part), float(at), 0.0) for at in np.arange(BEGAN - 150.0, BEGAN, STEP)
            for part in (Part.TOTAL, Part.BAD)]  # fmt: skip
    errors = [one for one in [*idle, *told] if one[0].guardrail == "errors" and one[1] % every == 0.0]
    return sorted(errors, key=lambda one: one[1])


def delivered(samples: list[Sample], lag: Lag, *, looks: float, restarts: bool) -> Look:
    """Tell them with a look every so many seconds until all came, with a restart after each where that is wanted."""
    fleet, start = opened(), BEGAN - 200.0
    when = np.array([sample[1] + lag(sample) for sample in samples])
    edges = [-math.inf, *np.arange(start, samples[-1][1] + 100.0, looks).tolist()]
    for begin, end in pairwise(edges):
        observe(fleet, [samples[place] for place in np.flatnonzero((when > begin) & (when <= end))])
        look(fleet)
        fleet = restarted(fleet) if restarts else fleet
    return look(fleet)


@functools.cache
def prompt_at(every: float) -> GuardrailLook:
    """How the errors stand when nothing is late."""
    return delivered(known_before(every), lambda _: 0.0, looks=STEP, restarts=False).of("errors")


@settings(max_examples=10, deadline=None)
@given(
    seconds=st.floats(0.0, 45.0), every=st.sampled_from((10.0, 20.0, 30.0)), looks=st.sampled_from((5.0, 10.0, 15.0)),
    restarts=st.booleans(),
)  # fmt: skip
@example(seconds=45.0, every=30.0, looks=10.0, restarts=False)
@example(seconds=33.0, every=30.0, looks=10.0, restarts=True)
def test_stable_late_all_along_changes_neither_counts_nor_evidence(
    seconds: float, every: float, looks: float, *, restarts: bool
) -> None:
    """Whether scrapes are as rare as looks or rarer, with restarts; evidence but for the first rows of the canary."""
    samples = known_before(every)

    def lag(sample: Sample) -> float:
        return seconds * (sample[0].track is Track.STABLE)

    late, prompt = delivered(samples, lag, looks=looks, restarts=restarts).of("errors"), prompt_at(every)
    assert (late.canary.requests, late.canary.bad) == (prompt.canary.requests, prompt.canary.bad)
    assert (late.stable.requests, late.stable.bad) == (prompt.stable.requests, prompt.stable.bad)
    assert late.log_harm == pytest.approx(prompt.log_harm, rel=1e-9)
    assert late.log_safe == pytest.approx(prompt.log_safe, rel=1e-9)


@settings(max_examples=6, deadline=None)
@given(delays=st.lists(st.floats(0.0, 45.0), min_size=36, max_size=36), looks=st.sampled_from((5.0, 10.0, 15.0)))
def test_a_canary_late_by_another_time_each_scrape_loses_nothing(delays: list[float], looks: float) -> None:
    """Its samples come in order; a single late one is like silence, and evidence may be of fewer, longer ticks."""
    samples = known_before(STEP)
    came, last = dict[float, float](), 0.0
    for number, at in enumerate(sorted({time for one, time, _ in samples if one.track is Track.CANARY})):
        came[at] = last = max(last, at + delays[number])

    def lag(sample: Sample) -> float:
        return came[sample[1]] - sample[1] if sample[0].track is Track.CANARY else 0.0

    late, prompt = delivered(samples, lag, looks=looks, restarts=False).of("errors"), prompt_at(STEP)
    assert (late.canary.requests, late.canary.bad) == (prompt.canary.requests, prompt.canary.bad)


def test_a_gap_in_all_scrapes_does_not_make_them_seem_rarer() -> None:
    """A Prometheus that was away for two minutes: afterwards a late canary is waited for as before."""
    samples = [one for one in scrapes(lasts=400.0, rate=60.0, worse=3.0) if not 100.0 < one[1] - BEGAN < 230.0]
    late, prompt = (told(samples, of(Track.CANARY, seconds)) for seconds in (25.0, 0.0))
    before = told([one for one in samples if one[1] <= BEGAN + 100.0], of(Track.CANARY, 25.0))
    assert prompt.log_harm >= ROLLBACK
    assert late.log_harm >= ROLLBACK
    assert before.log_harm < ROLLBACK


@pytest.mark.parametrize("track", [Track.CANARY, Track.STABLE])
def test_levels_wait_for_a_late_track_as_counts_do(track: Track) -> None:
    """Memory a third higher is found all the same."""
    rules = levels.by(ERRORS, levels.MEMORY)
    story = [one for one in levels.Story(memory=levels.level(1.3), lasts=60).samples() if one[0].guardrail != "orders"]
    harm = []
    for seconds in (0.0, 45.0):
        when = np.array([one[1] + seconds * (one[0].track is track and one[1] >= levels.ZERO) for one in story])
        fleet, edges = levels.opened(rules), np.arange(levels.ZERO - 60.0, levels.ZERO + 700.0, STEP)
        for begin, end in zip([-math.inf, *edges], edges, strict=False):
            levels.observe(fleet, [story[place] for place in np.flatnonzero((when > begin) & (when <= end))])
            levels.look(fleet)
        harm.append(levels.look(fleet).of("memory").log_harm)
    assert harm[1] == pytest.approx(harm[0], rel=0.05)
    assert harm[0] >= ROLLBACK


def test_a_checkpoint_holds_who_is_waited_for() -> None:
    """Also one of a rollout whose numbers are others in the fleet that takes it, beside another that goes on."""
    fleet = opened()
    for end in np.arange(0.0, 100.0, STEP):
        stable = [(key(Track.STABLE, 0, Part.TOTAL), float(end), 10.0 * float(end))]
        observe(fleet, [*stable, (key(Track.CANARY, 0, Part.TOTAL), float(end) - 40.0, float(end))])
        look(fleet)
    again = Fleet()
    again.open(RolloutId("other"), POLICY)
    again.restore(R, POLICY, fleet.checkpoint(R))
    assert again.checkpoint(R) == fleet.checkpoint(R)
    for one in (fleet, again):
        observe(one, [(key(Track.STABLE, 0, Part.TOTAL), 100.0, 1000.0)])
        assert look(one).of("errors").stable.last == 50.0
