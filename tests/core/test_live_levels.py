"""Gauges and counts in running rollouts: as in files of samples, bit for bit after a restart, nothing from nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, groupby, pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardian.core.fleet import Fleet
from guardian.core.history import take_history
from guardian.core.looks import Look
from guardian.core.model import Instant, Seconds, Verdict, Weight
from guardian.core.offline import Offline, OfflineVerdict
from guardian.core.policy import Guardrail, Level, Policy, Slo
from tests.builders import ERRORS
from tests.core.levels import (
    MEMORY,
    METRICS,
    ORDERS,
    ZERO,
    R,
    Sample,
    Story,
    by,
    events,
    level,
    look,
    observe,
    opened,
    told,
)
from tests.core.test_history import numbers

STORIES = {
    "healthy": Story(),
    "more memory": Story(memory=level(1.5)),
    "a leak": Story(memory=level(1.0, leak=2.0)),
    "half the orders": Story(orders=events(0.5)),
    "twice the orders": Story(orders=events(2.0)),
    "half the orders, of other pods": Story(orders=events(0.5), named=False),
}


def offline(story: Story, rules: Policy) -> OfflineVerdict:
    """What the judge of samples says."""
    batch, pods = story.batch()
    court = Offline(rules, rollouts=["r"], metrics=METRICS, pods=pods)
    court.take(batch)
    return court.finish()[0]


def live(samples: Iterable[Sample], rules: Policy) -> tuple[Verdict, float, float]:
    """The first verdict of a fleet that looks after every scrape: what, when and on which evidence."""
    fleet, risk = opened(rules), rules.risk
    found, at = look(fleet), ZERO
    for at, scrape in groupby(samples, key=lambda sample: sample[1]):
        observe(fleet, scrape)
        found = look(fleet, at)
        if found.log_harm >= -math.log(risk.false_rollback):
            return Verdict.ROLLBACK, at - ZERO, math.exp(found.log_harm)
        late = found.began is not None and found.at - found.began >= risk.earliest_promotion
        if late and found.log_safe >= -math.log(risk.false_promotion) and not found.rising:
            return Verdict.PROMOTE, at - ZERO, math.exp(found.log_safe)
    return Verdict.HOLD, at - ZERO, math.exp(found.log_harm)


@pytest.mark.parametrize("guardrails", [(ERRORS, MEMORY, ORDERS), (MEMORY, ORDERS, ERRORS)])
@pytest.mark.parametrize("name", STORIES)
def test_a_running_rollout_and_a_file_of_the_same_samples_give_the_same_verdict(
    name: str, guardrails: tuple[Guardrail, ...]
) -> None:
    """What, when and on which evidence; whichever guardrail comes first in the policy."""
    rules = by(*guardrails)
    expected = offline(STORIES[name], rules)
    verdict, at, evidence = live(STORIES[name].samples(), rules)
    assert (verdict, at) == (expected.verdict, expected.decided_at)
    assert evidence == pytest.approx(expected.evidence, rel=1e-6)


SHORT = Story(memory=level(1.3), orders=events(0.7), history=24, lasts=16)
RULES = by(ERRORS, MEMORY, ORDERS)


def numbers_of(found: Look) -> list[float]:
    """Evidence and totals of every guardrail."""
    return [
        value
        for at in found.guardrails
        for value in (at.log_harm, at.log_safe, at.canary.requests, at.stable.requests, at.canary.level or 0.0)
    ]


@settings(max_examples=15, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 41), max_size=6), overlap=st.integers(0, 5), shuffled=st.integers(0, 9),
    named=st.booleans(),
)  # fmt: skip
def test_any_cut_and_overlap_of_scrapes_gives_the_same_evidence(
    cuts: list[int], overlap: int, shuffled: int, *, named: bool
) -> None:
    """A look over all of it, or one for each scrape, in any order within a delivery: nothing depends on it."""
    scrapes = [list(each) for _, each in groupby(replace(SHORT, named=named).samples(), key=lambda sample: sample[1])]
    whole = told(RULES, chain.from_iterable(scrapes))
    fleet = opened(RULES)
    for begin, end in pairwise(sorted({0, *cuts, len(scrapes)})):
        piece = list(chain.from_iterable(scrapes[max(begin - overlap, 0) : end]))
        order = np.random.default_rng(shuffled).permutation(len(piece))
        observe(fleet, [piece[place] for place in order])
        look(fleet)
    assert numbers_of(look(fleet)) == pytest.approx(numbers_of(whole), rel=1e-9, abs=1e-9, nan_ok=True)
    assert whole.of("memory").canary.requests == 2 * SHORT.lasts


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 24 * 4 * 4), max_size=6), overlap=st.integers(0, 60))
def test_any_cut_within_a_scrape_loses_no_reading_and_no_event(cuts: list[int], overlap: int) -> None:
    """Scrapes may come in pieces: then rows may be told a tick later, but all that was there is counted, once."""
    samples = SHORT.samples()
    whole, fleet = told(RULES, samples), opened(RULES)
    for begin, end in pairwise(sorted({0, *cuts, len(samples)})):
        observe(fleet, samples[max(begin - overlap, 0) : end])
        look(fleet)
    found = look(fleet)
    for name in ("memory", "orders"):
        for side in ("canary", "stable"):
            got, wanted = getattr(found.of(name), side), getattr(whole.of(name), side)
            assert (got.requests, got.level) == (wanted.requests, pytest.approx(wanted.level))


def test_a_checkpoint_restores_bit_for_bit_and_goes_on_alike() -> None:
    """Also where a scrape waits for its rest, and where events wait for a request."""
    samples = [*SHORT.samples(), *second_series(SHORT)]
    samples.sort(key=lambda sample: sample[1])
    now = ZERO + 80.0
    first = [each for each in samples if each[1] < now or (each[1] == now and each[0].labels == "")]
    fleet, again = opened(RULES), Fleet()
    observe(fleet, first)
    look(fleet)
    blob = fleet.checkpoint(R)
    again.restore(R, RULES, blob)
    assert again.checkpoint(R) == blob
    for each in (fleet, again):
        observe(each, [sample for sample in samples if sample[1] >= now - 20.0])
    assert look(again) == look(fleet)
    assert again.checkpoint(R) == fleet.checkpoint(R)


def test_a_checkpoint_from_before_there_were_levels_is_read() -> None:
    """Whoever updates a daemon must not lose the evidence of what runs."""
    rules = by(ERRORS)
    fleet, again = opened(rules), Fleet()
    fleet.expect(R, weight=Weight(0.1), now=Instant(ZERO))
    observe(fleet, [sample for sample in SHORT.samples() if sample[0].guardrail == "errors"])
    wanted = look(fleet)
    content = msgspec.msgpack.decode(fleet.checkpoint(R))
    for name in ("weight", "blind"):
        del content["rollout"][name]
    for sheet in content["sheets"]:
        del sheet["row"]["asked"]
        for pod in sheet["pods"]:
            del pod["row"]["asked"]
    again.restore(R, rules, msgspec.msgpack.encode(content))
    assert look(again) == wanted
    assert again.checkpoint(R) == fleet.checkpoint(R)


@pytest.mark.parametrize("named", [True, False])
def test_a_closed_rollout_leaves_nothing_behind_for_the_next(*, named: bool) -> None:
    """Rows are used again: pasts of gauges and pods that served belong to nobody."""
    fleet, fresh = opened(RULES), opened(RULES)
    observe(fleet, Story(memory=level(2.0), orders=events(3.0), history=24, lasts=16, seed=9).samples())
    look(fleet)
    fleet.close(R)
    fleet.open(R, RULES)
    for each in (fleet, fresh):
        observe(each, replace(SHORT, named=named).samples())
    assert numbers_of(look(fleet)) == pytest.approx(numbers_of(look(fresh)), rel=1e-9, nan_ok=True)


def second_series(story: Story) -> list[Sample]:
    """The same readings once more under another label: of another queue, or container, of the same pods."""
    return [
        (msgspec.structs.replace(key, labels="other"), at, value)
        for key, at, value in story.samples()
        if key.part.level
    ]


@pytest.mark.parametrize("named", [True, False])
def test_history_in_one_go_leaves_what_it_leaves_tick_by_tick(monkeypatch: pytest.MonkeyPatch, *, named: bool) -> None:
    """Readings, exposures, noise and objectives alike: the start of a rollout must not cost a second."""
    memory = msgspec.structs.replace(MEMORY, objective=HIGH)
    rules, samples = by(ERRORS, memory, ORDERS), replace(SHORT, named=named).samples()
    taken: list[bool] = []

    def watched(*arguments: Any) -> bool:
        taken.append(take_history(*arguments))
        return taken[-1]

    def blob() -> bytes:
        fleet = opened(rules)
        observe(fleet, samples)
        look(fleet)
        return fleet.checkpoint(R)

    monkeypatch.setattr("guardian.core.feeding.take_history", watched)
    at_once = numbers(blob())
    assert taken[0]
    monkeypatch.setattr("guardian.core.feeding.take_history", lambda *_: False)
    assert at_once == pytest.approx(numbers(blob()), rel=1e-9, abs=1e-9, nan_ok=True)


HIGH = Slo(target=1e9, breached="above", critical=Level(bound=1.2e9, lasts=Seconds(60.0)))


def test_series_of_one_pod_are_added_up() -> None:
    """A pod's level is that of all its queues, containers or heaps."""
    found = told(RULES, sorted([*SHORT.samples(), *second_series(SHORT)], key=lambda sample: sample[1]))
    alone = told(RULES, SHORT.samples())
    assert found.of("memory").canary.requests == alone.of("memory").canary.requests
    assert found.of("memory").stable.level == pytest.approx(2.0 * (alone.of("memory").stable.level or 0.0))
    assert found.of("memory").log_harm == pytest.approx(alone.of("memory").log_harm, rel=1e-9)


def test_a_scrape_that_lacks_a_series_is_no_level() -> None:
    """Half of a pod's memory was never its memory; told as an anomaly. When it stays away, the rest is the level."""
    whole = sorted([*SHORT.samples(), *second_series(SHORT)], key=lambda sample: sample[1])
    gaps = [sample for sample in whole if not (sample[0].labels and sample[1] == ZERO + 50.0)]
    found, untouched = told(RULES, gaps).of("memory"), told(RULES, whole).of("memory")
    assert found.anomalies == {"incomplete": 6}
    assert found.canary.requests == untouched.canary.requests - 2
    ended = [sample for sample in whole if not (sample[0].labels and sample[1] >= ZERO + 50.0)]
    found = told(RULES, ended).of("memory")
    assert found.anomalies == {"incomplete": 6}
    assert found.canary.requests == untouched.canary.requests - 2
