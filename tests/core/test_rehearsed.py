"""What `guardian plan` says of pods: who serves at each step, and what so many of them let be seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace

from guardian.cli.traffic import assumed_buckets
from guardian.core.evidence import Panel
from guardian.core.foresight import TAIL, Sight, Traffic, forecast, foresee
from guardian.core.model import Track, Weight
from guardian.core.policy import Adapter, Compare, Labels, Margin, Policy
from guardian.core.rehearsal import HEALTHY, Cast, Change, Stakes, rehearse
from guardian.core.rehearsed import Rehearsals, pods_at, scene_of
from guardian.core.scenes import Moment
from guardian.core.strategies import Canary
from tests.builders import ERRORS, LATENCY
from tests.core.test_foresight import BUCKETS, MEMORY, ORDERS, POLICY

RUNS = 20
ERRORS_ALONE = replace(POLICY, guardrails=(ERRORS,))
STEP = POLICY.strategy.steps()[0]


def traffic(**more: object) -> Traffic:
    """Ten pods that differ by 10 %, 2000 requests a second."""
    names = ("errors", "latency", "memory", "orders")
    plain = Traffic(
        requests=dict.fromkeys(("errors", "latency", "orders"), 2000.0), errors={"errors": 0.005},
        buckets={"latency": BUCKETS}, events={"orders": 0.1}, noise={"memory": 0.05}, pods=10,
        differ=dict.fromkeys(names, 0.1),
    )  # fmt: skip
    return replace(plain, **more)


def rehearsed(policy: Policy, **more: object) -> Sight:
    """What the only guardrail sees at the first step."""
    return Rehearsals(runs=RUNS)(policy, policy.participating[0], traffic(**more), STEP)


def with_replicas(**options: int) -> Policy:
    """A policy whose workload is told so many replicas, or none."""
    return replace(POLICY, workload=Adapter(kind="deployment", options=dict(options)))


@pytest.mark.parametrize(
    ("policy", "known", "weight", "pods"),
    [
        (POLICY, {"pods": 10}, 0.1, (1, 9)),
        (POLICY, {"pods": 10}, 0.5, (5, 5)),
        (POLICY, {"pods": 2}, 0.9, (1, 1)),
        (POLICY, {"pods": 10, "canary_pods": 3}, 0.1, (3, 7)),
        (POLICY, {"stable_pods": 9, "pods": 0}, 0.3, (3, 9)),
        (with_replicas(), {"pods": 10}, 0.1, (5, 5)),
        (with_replicas(), {"stable_pods": 4, "pods": 0}, 0.1, (4, 4)),
        (with_replicas(replicas=2), {"pods": 10}, 0.5, (2, 8)),
        (POLICY, {"pods": 0}, 0.1, (0, 0)),
    ],
)
def test_the_canarys_pods_are_told_or_follow_workload_and_weight(
    policy: Policy, known: dict[str, int], weight: float, pods: tuple[int, int]
) -> None:
    """What stable has now stays beside the canary's where only that is known."""
    assert pods_at(policy, traffic(**known), Weight(weight)) == pods


def test_more_pods_see_smaller_changes() -> None:
    """At the same traffic: one of ten, then five of ten."""
    one, five = rehearsed(ERRORS_ALONE), rehearsed(ERRORS_ALONE, canary_pods=5)
    assert one.smallest is not None
    assert five.smallest is not None
    assert 1.1 < five.smallest < one.smallest


def test_pods_that_differ_more_see_only_larger_changes() -> None:
    """Of pods 30 % apart one alone never shows x2; the formula for equal pods says a minute."""
    policy = replace(ERRORS_ALONE, risk=replace(POLICY.risk))
    apart = rehearsed(policy, differ={"errors": 0.3})
    formula = forecast(policy, ERRORS, traffic(), STEP)
    assert formula.worse[1] < 60.0
    assert apart.worse[1] == math.inf
    assert apart.smallest is not None
    assert apart.smallest > 2.0


def test_beside_a_control_track_only_control_is_compared_with() -> None:
    """A tenth against a tenth, and no more pods than the canary's: less is seen than against all of stable."""
    beside = replace(ERRORS_ALONE, labels=Labels(control="control"))
    evenly = replace(ERRORS_ALONE, strategy=Canary(plan=(replace(STEP, weight=Weight(0.5)),)))
    alone, formula = forecast(ERRORS_ALONE, ERRORS, traffic(), STEP), forecast(beside, ERRORS, traffic(), STEP)
    fifth = traffic(requests={"errors": 400.0})
    assert formula.worse == forecast(evenly, ERRORS, fifth, evenly.strategy.steps()[0]).worse
    assert formula.worse[0] > 1.5 * alone.worse[0]
    stable, control = (Rehearsals()(policy, ERRORS, traffic(canary_pods=3), STEP) for policy in (ERRORS_ALONE, beside))
    assert stable.smallest is not None
    assert control.smallest is not None
    assert 1.3 < stable.smallest < 1.55 < control.smallest < 1.9
    assert stable.promote < control.promote


def test_a_lone_canary_lies_as_far_up_as_a_lone_control_pod() -> None:
    """Old pods beside them, however many, make no lone pod of it: the bound of lasting differences is not moved."""
    found = scene_of(MEMORY, traffic(), every=10.0)
    assert found is not None
    test, scene = found
    panel = Panel(test, fresh=True)
    cell = np.array([panel.add_cell(0.01)])
    before = panel.noise.cells["bound"][cell].copy()
    old = np.array([panel.add_pod(int(cell[0]), track=Track.STABLE) for _ in range(6)])
    young = np.array([panel.add_pod(int(cell[0]), track=track) for track in (Track.CANARY, Track.CONTROL)])
    for number in range(-40, 40):
        pods = old if number < 0 else young
        end = 10.0 * (number + 1)
        moment = Moment(
            rollouts=np.zeros(1, dtype=np.int64), end=end, seconds=10.0, load=np.ones(8), factor=np.ones((1, 8)),
            tail=np.zeros((1, 8)), tail_times=np.ones((1, 1)), anew=number == 0,
        )  # fmt: skip
        rows = scene.rows(moment, np.random.default_rng(number + 40))[0, : len(pods)]
        panel.fold(pods, rows, cells=cell, elapsed=np.array([end]), seconds=np.array([10.0]))
    assert panel.noise.cells["pods"][cell].tolist() == [6.0]
    assert panel.noise.cells["bound"][cell].tolist() == before.tolist()


def test_a_fleet_of_thousands_has_its_plan() -> None:
    """So many pods of a track are rehearsed, and so many rollouts at once, as memory has room for."""
    many = rehearsed(ERRORS_ALONE, pods=100_000)
    some = rehearsed(ERRORS_ALONE, pods=400)
    assert many.smallest is not None
    assert some.smallest is not None
    assert many.smallest == some.smallest < 1.5


def test_a_rehearsal_leaves_its_scene_as_it_was() -> None:
    """Levels remember what a pod read before; another rehearsal has other pods."""
    found = scene_of(MEMORY, traffic(), every=10.0)
    assert found is not None
    cast = Cast(canary=2, stable=2, differ=0.1, rate=1.0, weight=0.5)
    stakes = Stakes(false_rollback=0.01, false_promotion=0.05, tick=10.0, history=3600.0, length=600.0)
    times = [
        rehearse(*found, cast, (HEALTHY, Change(times=1.3)), stakes, runs=RUNS, random=np.random.default_rng(1))
        for _ in range(2)
    ]
    assert times[0].tolist() == times[1].tolist()


def test_gauges_are_seen_with_pods_and_not_without() -> None:
    """x2, and a leak; what is too little for a level shows in its slope."""
    policy = replace(POLICY, guardrails=(MEMORY,))
    found = rehearsed(policy, canary_pods=5)
    assert found.worse[1] < 120.0
    assert found.growing[1] < found.growing[0] < math.inf
    below = replace(policy, guardrails=(replace(MEMORY, sli=replace(MEMORY.sli, worse="below")),))
    assert rehearsed(below, canary_pods=5).worse[1] < math.inf
    assert math.isnan(rehearsed(policy, pods=0).worse[1])


def test_events_are_seen_on_both_sides() -> None:
    """Too many and too few, with the smallest change of each."""
    found = rehearsed(replace(POLICY, guardrails=(ORDERS,)), canary_pods=5, differ={"orders": 0.03})
    assert max(found.worse[1], found.fewer[1]) < 300.0
    assert found.fewest is not None
    assert found.smallest is not None
    assert found.fewest < 1.0 < found.smallest


def test_what_is_not_known_stays_with_the_formula() -> None:
    """Without a spread, pods or traffic nothing is rehearsed."""
    plain = forecast(ERRORS_ALONE, ERRORS, traffic(), STEP)
    assert rehearsed(ERRORS_ALONE, differ={}) == plain
    assert rehearsed(ERRORS_ALONE, pods=0) == plain
    assert rehearsed(ERRORS_ALONE, requests={}).worse == (math.inf, math.inf)


def test_equal_pods_need_about_what_the_formula_says() -> None:
    """Errors, events on both sides and a tail: 80 % of rehearsed rollouts within a factor of 2 of the formula."""
    calm = {"differ": dict.fromkeys(("errors", "latency", "orders"), 0.0), "canary_pods": 5}
    slow = dict.fromkeys(("errors", "latency", "orders"), 200.0)
    for guardrail, kinds in ((ERRORS, ("worse",)), (ORDERS, ("worse", "fewer"))):
        policy = replace(POLICY, guardrails=(guardrail,))
        seen = rehearsed(policy, requests=slow, events={"orders": 0.01}, **calm)
        formula = forecast(policy, guardrail, traffic(requests=slow, events={"orders": 0.01}), STEP)
        for kind in kinds:
            for mine, told in zip(getattr(seen, kind), getattr(formula, kind), strict=True):
                assert told / 2.0 <= mine <= told * 2.0
    policy = replace(POLICY, guardrails=(replace(LATENCY, warm_up=None),))
    fine = {"buckets": {"latency": assumed_buckets(0.4)}}
    seen, formula = rehearsed(policy, **fine, **calm), forecast(policy, LATENCY, traffic(**fine), STEP)
    assert seen.tail is not None
    assert formula.tail is not None
    assert formula.tail / 2.0 <= seen.tail <= formula.tail * 2.0
    assert TAIL == (0.005, 6.0)


def test_a_plan_of_pods_is_the_same_every_time() -> None:
    """One seed: nothing changes between two calls."""
    assert foresee(ERRORS_ALONE, traffic(), Rehearsals(runs=RUNS)) == foresee(
        ERRORS_ALONE, traffic(), Rehearsals(runs=RUNS)
    )


def test_too_few_events_grow_against_the_lower_margin() -> None:
    """Half of the events are seen, what the margin allows never is."""
    policy = replace(POLICY, guardrails=(ORDERS,))
    wide = Compare(rollback=Margin(relative=2.5), promote=Margin(relative=3.0))
    lenient = forecast(policy, replace(ORDERS, compare=wide), traffic(), STEP)
    assert lenient.fewer == (math.inf, math.inf)
    assert forecast(policy, ORDERS, traffic(), STEP).fewer[1] < math.inf
