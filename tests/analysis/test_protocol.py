"""What every sequential test keeps, whatever it compares: one suite over the table of kinds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from analysis.sequential import TESTS
from analysis.sequential.base import Floats, logsumexp
from guardian.core.contest import Contest
from guardian.core.model import Track
from tests.analysis.kinds import BELOW, BOUNDS, KINDS, Kind, best, learnt, read

EVERY = pytest.mark.parametrize("name", list(KINDS))
SIZE = 40_000
"""Ticks drawn where an expectation is simulated."""
SURE = 4.0
"""Standard errors by which a simulated mean may exceed 1: chance 3 in 100,000 for each."""


def _track(canary: object) -> Track:
    return Track.CANARY if canary else Track.STABLE


def test_every_kind_is_tested() -> None:
    """A new line in TESTS needs a line in KINDS, or this suite says nothing of it."""
    assert {name: type(kind.test) for name, kind in KINDS.items()} == TESTS


@EVERY
def test_weights_are_fixed_and_sum_to_one(name: str) -> None:
    """Mixtures are e-processes only then; every direction has a prior over spreads that begin at 0."""
    test = KINDS[name].test
    directions, spreads = test.mixture.spreads.shape
    assert test.mixture.harm_weights.sum() == pytest.approx(1.0)
    assert test.mixture.partner.shape == test.mixture.harm_direction.shape == test.mixture.harm_weights.shape
    for direction in np.unique(test.mixture.safe_direction):
        assert test.mixture.safe_weights[test.mixture.safe_direction == direction].sum() == pytest.approx(1.0)
    for prior in (test.mixture.prior, test.mixture.lone_prior, test.mixture.merged_prior):
        assert prior.shape == (directions, spreads)
        assert prior.sum(axis=1) == pytest.approx(np.ones(directions))
    assert np.all(test.mixture.spreads[:, 0] == 0.0)
    assert np.all(np.diff(test.mixture.spreads, axis=1) > 0.0)


def at_null(kind: Kind, seed: int, worse: float) -> tuple[Floats, Floats, Floats]:
    """Canary and stable totals (SIZE, F) of ticks at a margin, and the memory before them."""
    random = np.random.default_rng(seed)
    memory = learnt(kind, cells=SIZE)
    stable = sum(kind.draw(random, SIZE, 1.0) for _ in range(3))
    if hasattr(kind.test, "densities"):  # the margin of latencies is a shape, not a multiple
        known, tilt = kind.test.densities(memory[:1])
        shape = 0 if worse == kind.margin else 1 + len(kind.test.mixture.partner) + 6
        tilted = known[0] * tilt[0, shape]
        canary = random.multinomial(400, tilted / tilted.sum(), SIZE).astype(np.float64)
        stable = random.multinomial(1200, known[0], SIZE).astype(np.float64)
        return canary, stable, memory
    return kind.draw(random, SIZE, worse), np.asarray(stable), memory


@EVERY
def test_alternatives_stand_direction_by_direction(name: str) -> None:
    """Evidence takes the largest gain of every direction in one pass: those of one direction must be neighbours."""
    test = KINDS[name].test
    assert (np.diff(test.mixture.harm_direction) >= 0).all()
    assert (np.diff(test.mixture.safe_direction) >= 0).all()


@EVERY
def test_no_alternative_is_expected_to_gain_at_the_rollback_margin(name: str) -> None:
    """E-process property, tick by tick: given what earlier ticks left, the mean of exp(gain) is at most 1."""
    kind = KINDS[name]
    canary, stable, memory = at_null(kind, 5, kind.margin)
    values = np.exp(read(kind, canary, stable, memory).harm)
    error = values.std(axis=0) / np.sqrt(SIZE)
    assert np.all(values.mean(axis=0) <= 1.0 + SURE * error)


@pytest.mark.parametrize("name", ["ratio", "gauge", "count"])
def test_no_promotion_is_expected_at_the_promote_margin(name: str) -> None:
    """The mirrored claim: a canary at the promote margin gains nothing towards promotion, on average."""
    kind = KINDS[name]
    canary, stable, memory = at_null(kind, 6, kind.promote)
    values = np.exp(read(kind, canary, stable, memory).safe)
    upper = values[:, kind.test.mixture.safe_direction == 0]
    error = upper.std(axis=0) / np.sqrt(SIZE)
    assert np.all(upper.mean(axis=0) <= 1.0 + SURE * error)


@EVERY
def test_a_worse_canary_gains_more(name: str) -> None:
    """Monotone in the effect: rows as expected, from the margin to four times as bad."""
    kind = KINDS[name]
    effects = np.linspace(max(kind.margin, 1.02), 2.0, 8)
    memory = learnt(kind, cells=len(effects))
    canary = np.stack([kind.expected(float(effect)) for effect in effects])
    stable = np.repeat(4.0 * kind.expected(1.0)[None], len(effects), axis=0)
    gained = best(kind, read(kind, canary, stable, memory).harm)
    assert np.all(np.diff(gained) >= 0.0)
    assert gained[-1] > gained[0] + 0.1


@EVERY
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), parts=st.integers(2, 5), worse=st.floats(1.0, 2.0))
def test_a_tick_cut_into_equal_parts_gains_the_same(name: str, seed: int, parts: int, worse: float) -> None:
    """How often a source is asked is no evidence."""
    kind, random = KINDS[name], np.random.default_rng(seed)
    memory = learnt(kind)
    canary, stable = (kind.draw(random, pods, effect).sum(axis=0)[None] for pods, effect in ((2, worse), (6, 1.0)))
    whole = read(kind, canary * parts, stable * parts, memory)
    part = read(kind, canary, stable, memory)
    assert parts * part.harm == pytest.approx(whole.harm, rel=1e-6, abs=1e-6)
    assert parts * part.harm_information == pytest.approx(whole.harm_information, rel=1e-6, abs=1e-6)


def rollout(kind: Kind, order: list[int], *, seed: int, live: int = 30, worse: float = 1.6) -> Floats:
    """Evidence (2,) of harm and safety after a rollout whose pods are numbered and handed over in this order."""
    contest = Contest(kind.test)
    cell = contest.add_cell(risk=0.01)
    contest.begin(cell, 0.0)
    members = {pod: contest.add_member(cell, track=_track(pod < 2)) for pod in order}
    random = np.random.default_rng(seed)
    for tick in range(-60, live):
        rows = np.concatenate((kind.draw(random, 2, worse), kind.draw(random, 4, 1.0)))
        here = [pod for pod in order if pod >= 2 or tick >= 0]
        contest.rows(
            np.array([members[pod] for pod in here]), end=np.full(len(here), 10.0 * (tick + 1)),
            seconds=np.full(len(here), 10.0), counts=rows[here],
        )  # fmt: skip
        contest.settle()
    found = contest.evidence(np.array([cell]))
    return np.array([found.harm[0], found.safe[0]])


@EVERY
@settings(max_examples=4, deadline=None)
@given(order=st.permutations(range(6)), seed=st.integers(0, 1000))
def test_names_and_order_of_pods_say_nothing(name: str, order: list[int], seed: int) -> None:
    """Pods are exchangeable within their track."""
    kind = KINDS[name]
    usual = rollout(kind, list(range(6)), seed=seed, live=10)
    assert rollout(kind, order, seed=seed, live=10) == pytest.approx(usual, rel=1e-6, abs=1e-6)


@EVERY
def test_a_restored_memory_goes_on_bit_for_bit(name: str) -> None:
    """Memory is numbers only: written out and read back it gives the same bits for ever."""
    kind = KINDS[name]
    memory = learnt(kind, cells=3)
    again = np.frombuffer(memory.tobytes()).reshape(memory.shape).copy()
    random = np.random.default_rng(8)
    for _ in range(20):
        rows = kind.draw(random, 3, 1.2)
        for each in (memory, again):
            kind.test.remember(each, rows, seconds=np.full(3, 10.0), history=False)
        canary = kind.draw(random, 3, 1.5)
        first, second = (read(kind, canary, rows, each) for each in (memory, again))
        assert first.harm.tobytes() == second.harm.tobytes()
        assert memory.tobytes() == again.tobytes()


NONE_OF_IT = (np.nan, np.inf, -np.inf)


@EVERY
@pytest.mark.parametrize("broken", NONE_OF_IT)
@pytest.mark.parametrize("side", [0, 1])
def test_a_value_that_is_no_number_gains_nothing(name: str, broken: float, side: int) -> None:
    """Neither for nor against, in any column, on either track; the other cells of the call go on."""
    kind = KINDS[name]
    width = kind.test.columns
    rows = [
        np.repeat(kind.expected(1.5)[None], width + 1, axis=0),
        np.repeat(kind.expected(1.0)[None], width + 1, axis=0),
    ]
    rows[side][np.arange(width), np.arange(width)] = broken
    reading = read(kind, rows[0], rows[1], learnt(kind, cells=width + 1))
    for part in (reading.harm, reading.safe, reading.score, reading.harm_information, reading.safe_information):
        assert not part[:width].any()
        assert np.isfinite(part).all()
    assert reading.harm[width].any()


@pytest.mark.parametrize("name", ["ratio", "histogram", "count"])
def test_a_negative_count_gains_nothing(name: str) -> None:
    """Counts cannot fall below 0; gauges can."""
    kind = KINDS[name]
    canary = kind.expected(1.5)[None].copy()
    canary[0, -1] = -1.0
    assert not read(kind, canary, kind.expected(1.0)[None], learnt(kind)).harm.any()


@EVERY
def test_what_cannot_be_used_is_not_remembered(name: str) -> None:
    """One broken row must not spoil what is known of stable."""
    kind = KINDS[name]
    memory = learnt(kind, cells=2)
    rows = np.full((2, kind.test.columns), np.nan)
    kind.test.remember(memory, rows, seconds=np.zeros(2), history=True)
    assert memory.tobytes() == learnt(kind, cells=2).tobytes()


@EVERY
def test_nothing_is_concluded_from_nothing(name: str) -> None:
    """No rows of one track, of both, or no memory: no gain, and no information that could temper one."""
    kind = KINDS[name]
    row, nothing = kind.expected(2.0)[None], np.zeros((1, kind.test.columns))
    for canary, stable in ((row, nothing), (nothing, row), (nothing, nothing)):
        reading = read(kind, canary, stable, learnt(kind))
        assert not reading.harm.any()
        assert not reading.safe.any()
        assert not reading.harm_information.any()


@EVERY
def test_an_hour_of_zeros_is_no_evidence(name: str) -> None:
    """A service without traffic: rows come, and all of them are 0, on both tracks."""
    kind = KINDS[name]
    contest = Contest(kind.test)
    cell = contest.add_cell(risk=0.01)
    contest.begin(cell, 0.0)
    members = np.array([contest.add_member(cell, track=_track(pod < 1)) for pod in range(3)])
    for tick in range(-30, 360):
        here = members if tick >= 0 else members[1:]
        contest.rows(
            here, end=np.full(len(here), 10.0 * (tick + 1)), seconds=np.full(len(here), 10.0),
            counts=np.zeros((len(here), kind.test.columns)),
        )  # fmt: skip
        contest.settle()
    found = contest.evidence(np.array([cell]))
    assert found.harm[0] == pytest.approx(0.0, abs=1e-9)
    assert found.safe[0] == pytest.approx(0.0, abs=1e-9)


@EVERY
@pytest.mark.parametrize("pods", [(1, 1), (1, 0), (0, 1), (0, 0)])
def test_few_pods_or_none_are_no_exception(name: str, pods: tuple[int, int]) -> None:
    """One pod a track is compared; a track that is not there is not, and neither is a verdict."""
    kind = KINDS[name]
    contest = Contest(kind.test)
    cell = contest.add_cell(risk=0.01)
    contest.begin(cell, 0.0)
    canary = [True] * pods[0] + [False] * pods[1]
    members = [contest.add_member(cell, track=_track(each)) for each in canary]
    random = np.random.default_rng(4)
    for tick in range(-20, 20):
        here = [number for number, each in enumerate(canary) if tick >= 0 or not each]
        rows = kind.draw(random, len(here), 1.0)
        contest.rows(
            np.array([members[number] for number in here], dtype=np.int64), end=np.full(len(here), 10.0 * (tick + 1)),
            seconds=np.full(len(here), 10.0), counts=rows,
        )  # fmt: skip
        contest.settle()
    found = contest.evidence(np.array([cell]))
    assert np.isfinite(found.harm[0])
    assert found.harm[0] < np.log(100.0)
    if 0 in pods:
        assert found.harm[0] == pytest.approx(0.0, abs=1e-9)
        assert found.safe[0] == pytest.approx(0.0, abs=1e-9)


@EVERY
def test_a_million_million_per_tick_stays_finite(name: str) -> None:
    """10^12 of everything: numbers lose digits, not their meaning."""
    kind = KINDS[name]
    canary, stable = (1e12 / kind.expected(1.0).max() * kind.expected(worse)[None] for worse in (1.8, 1.0))
    memory = learnt(kind)
    kind.test.remember(memory, stable, seconds=np.full(1, 10.0), history=True)
    reading = read(kind, canary, stable, memory)
    for part in (reading.harm, reading.safe, reading.score, reading.harm_information, reading.lean):
        assert np.isfinite(part).all()


@EVERY
def test_evidence_finds_what_is_twice_as_bad(name: str) -> None:
    """The suite must not pass because nothing is ever found."""
    assert rollout(KINDS[name], list(range(6)), seed=3, live=90, worse=3.0)[0] > np.log(100.0)


def test_a_gauge_that_hurts_below_is_the_mirror_of_one_that_hurts_above() -> None:
    """Free memory: the same rows, the other way round."""
    kind = KINDS["gauge"]
    memory = learnt(kind)
    low, high = kind.expected(0.5)[None], kind.expected(2.0)[None]
    stable = kind.expected(1.0)[None]
    time = np.full(1, 60.0)
    assert BELOW.read(low, stable, memory, elapsed=time).harm[0, :6].max() > 0.3
    assert BELOW.read(high, stable, memory, elapsed=time).harm[0, :6].max() < 0.0
    assert kind.test.read(low, stable, memory, elapsed=time).harm[0, :6].max() < 0.0


def test_too_few_events_are_a_finding_as_well_as_too_many() -> None:
    """A canary that serves everything and sells nothing is broken."""
    kind = KINDS["count"]
    stable = np.array([[3000.0, 600.0]] * 3)
    canary = np.array([[300.0, 0.0], [300.0, 60.0], [300.0, 180.0]])
    found = logsumexp(
        read(kind, canary, stable, learnt(kind, cells=3)).harm + np.log(kind.test.mixture.harm_weights), axis=1
    )
    assert found[0] > 10.0
    assert found[1] < 0.0
    assert found[2] > 10.0


@pytest.mark.parametrize(("edge", "side"), [(1.1, 0), (1.0 / 1.1, 1)])
def test_each_half_of_a_count_is_fair_at_its_own_margin(edge: float, side: int) -> None:
    """Given 12 events the canary's are binomial: the expectation of exp(gain) is exactly 1, and less in between."""
    test, events = KINDS["count"].test, np.arange(13.0)
    canary = np.stack((np.full(13, 100.0), events), axis=1)
    stable = np.stack((np.full(13, 300.0), 12.0 - events), axis=1)
    gain = test.read(canary, stable, np.zeros((13, 2)), elapsed=np.zeros(13)).harm[
        :, test.mixture.harm_direction == side
    ]
    share, middle = (theta * 100.0 / (theta * 100.0 + 300.0) for theta in (edge, 1.0))
    assert binom.pmf(events, 12, share) @ np.exp(gain) == pytest.approx(np.ones(gain.shape[1]), abs=1e-12)
    assert np.all(binom.pmf(events, 12, middle) @ np.exp(gain) < 1.0)


def test_the_bounds_of_the_table_end_in_infinity() -> None:
    """A histogram without +Inf loses its slowest requests."""
    assert np.isinf(BOUNDS[-1])
