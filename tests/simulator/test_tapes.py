"""A tape under the same policy leads to the same decisions; under another one to differences that are told."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TypeGuard

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guardian.config.policy import parse_policy
from guardian.core import records as r
from guardian.core.differences import compare
from guardian.core.facts import Order
from guardian.core.model import Instant, Mode, RolloutId, Seconds, Verdict
from guardian.core.policy import Policy
from guardian.errors import TapeError
from guardian.wire.tape import encode_entry
from simulator.run import run
from tests.builders import alert, ordered, requested
from tests.simulator.tapes import FAILS, Recorded, compared, healthy, loaded, played, stored
from tests.simulator.worlds import POLICY, policy, scenario, shipped

FAULTS: list[dict[str, Any]] = [
    {"kind": "error_step", "share": "3%", "at": "2m"},
    {"kind": "latency_shift", "factor": 1.5, "at": "1m"},
    {"kind": "metrics_gap", "at": "2m", "lasts": "1m"},
    {"kind": "counter_reset", "at": "3m"},
    {"kind": "shared_incident", "share": "10%", "at": "4m", "lasts": "2m"},
]
HAPPENING = st.tuples(
    st.sampled_from(["alert", "resolve", "deploy", "pause", "resume", "promote", "abort", "stop"]),
    st.floats(5.0, 700.0),
)


def rollout_of(recorded: Recorded) -> RolloutId:
    """Return the id its first rollout will have."""
    first = Recorded(healthy(lasts="10s"), recorded.seed)
    first.play()
    return next(iter(first.engine.world.rollouts))


def let_happen(recorded: Recorded, name: str, after: float) -> None:
    """Have something come from outside, or the guardian stopped and started."""
    at = Instant(recorded.world.opening + after)
    if name == "stop":
        recorded.stop(after)
    elif name in ("alert", "resolve"):
        recorded.tell(after, alert(firing=name == "alert", starts_at=at, severity="warning", track="canary"))
    elif name == "deploy":
        recorded.tell(after, requested("1.1.0", at=at, identity=f"{after}", retry=True))
    else:
        recorded.tell(after, ordered(rollout_of(recorded), Order(name), reason=f"at {after}"))


@settings(max_examples=12, deadline=None, phases=[Phase.generate])
@given(
    faults=st.lists(st.sampled_from(FAULTS), max_size=2, unique_by=lambda one: one["kind"]),
    happenings=st.lists(HAPPENING, max_size=4),
    seed=st.integers(1, 5),
)
def test_the_same_policy_decides_the_same_at_the_same_times(
    faults: list[dict[str, Any]], happenings: list[tuple[str, float]], seed: int
) -> None:
    """Whatever came in, in however many parts, and however often the guardian was stopped and started in between."""
    recorded = Recorded(healthy(faults=faults), seed)
    for name, after in happenings:
        let_happen(recorded, name, after)
    found = played(recorded.parts_played())
    own = [one for one in recorded.driver.journal if isinstance(one, r.OfRollout)]
    names = dict.fromkeys(one.rollout for one in own)
    assert found.recorded == {name: [one for one in own if one.rollout == name] for name in names}
    assert found.replayed == found.recorded  # digests of the evidence included
    assert (found.diverged, found.faults, found.notes) == ({}, [], [])


PLANS = ["{weight: 20%, bake: 1m}, {weight: 100%, bake: 2m}", "{weight: 1%, bake: 10m}, {weight: 100%, bake: 10m}"]
OTHERS = st.builds(
    lambda plan, risk, mode, interval: replace(
        _policy("{weight: 10%, bake: 5m}, {weight: 50%, bake: 5m}, {weight: 100%, bake: 10m}", plan), mode=mode,
        risk=replace(policy().risk, false_rollback=risk, earliest_promotion=Seconds(60.0)), interval=Seconds(interval),
    ),
    st.sampled_from(PLANS), st.sampled_from([1e-9, 0.01, 0.5]), st.sampled_from(Mode),
    st.sampled_from([5.0, 10.0, 60.0]),
)  # fmt: skip


@settings(max_examples=8, deadline=None, phases=[Phase.generate])
@given(
    faults=st.lists(st.sampled_from(FAULTS), max_size=2, unique_by=lambda one: one["kind"]),
    happenings=st.lists(HAPPENING, max_size=3),
    other=OTHERS,
)
def test_any_policy_can_be_tried_and_none_changes_what_was_recorded(
    faults: list[dict[str, Any]], happenings: list[tuple[str, float]], other: Policy
) -> None:
    """Nothing in it is illegal, whatever was ordered and was not; before the two part, weights are those recorded."""
    recorded = Recorded(healthy(faults=faults), 2)
    for name, after in happenings:
        let_happen(recorded, name, after)
    parts = recorded.parts_played()
    found = played(parts, other)
    assert found.faults == []
    assert found.recorded == played(parts).recorded
    for comparison in compare(found):
        assert all(one.text for one in comparison.differences)
        parted = found.diverged.get(comparison.rollout, math.inf)
        sides = (found.recorded.get(comparison.rollout, []), found.replayed.get(comparison.rollout, []))
        mine, ours = ([one.effect for one in side if _orders(one) and one.at < parted] for side in sides)
        assert mine == ours


def _orders(record: r.OfRollout) -> TypeGuard[r.EffectOrdered]:
    return isinstance(record, r.EffectOrdered)


def test_recording_changes_nothing() -> None:
    """A run that is recorded is the run that is not."""
    script = scenario(faults=FAILS, truth={"verdict": "rollback", "within": "5m"})
    parts: list[object] = []
    assert run(script, 3, keep=parts.append) == run(script, 3)
    assert len(parts) == 1


def test_a_tape_in_files_is_the_tape(tmp_path: Path) -> None:
    """Every number and every fact survives, and parts are found in their order."""
    parts = Recorded(healthy(faults=[*FAULTS[2:4]])).parts_played()
    files = stored(parts, tmp_path)
    read = loaded(files)
    assert len(read) == len(parts) > 3
    assert [one.header for one in read] == [one.header for one in parts]
    for one, other in zip(read, parts, strict=True):
        assert list(map(encode_entry, one.entries)) == list(map(encode_entry, other.entries))


def test_a_stricter_policy_is_told_with_what_it_asks_for() -> None:
    """Under a hundredth of the risk the evidence that rolled back is not enough, and the text says so."""
    parts = Recorded(healthy(faults=[{"kind": "error_step", "share": "1.5%"}])).parts_played()
    stricter = replace(policy(), risk=replace(policy().risk, false_rollback=1e-9))
    (one,) = compared(parts, stricter)
    assert (one.recorded.verdict, one.replayed.verdict) == (Verdict.ROLLBACK, Verdict.HOLD)
    (told,) = [each for each in one.differences if each.what == "rollback by guardrail"]
    assert told.replayed is None
    assert "only in the recording: checkout 1.1.0 fails more than the margin" in told.text
    assert told.text.endswith("its policy asks for 1,000,000,000")
    assert one.diverged == told.recorded  # from the recorded rollback on, no user was sent to the canary


def test_an_earlier_promotion_parts_from_what_was_served() -> None:
    """The replay orders a weight nobody set: it is said since when, and evidence stays that of the traffic."""
    script = shipped("S17")
    parts = Recorded(script).parts_played()
    sooner = replace(script.policy, risk=replace(script.policy.risk, earliest_promotion=Seconds(300.0)))
    (one,) = compared(parts, sooner)
    promoted = {one.recorded.verdict, one.replayed.verdict}
    assert promoted == {Verdict.PROMOTE}
    assert one.recorded.at is not None
    assert one.replayed.at is not None
    assert one.replayed.at < one.recorded.at
    assert all("share" not in each.text for each in one.differences)  # no weight is missed that never was


def test_steps_that_were_not_recorded_are_taken_to_be_done() -> None:
    """Another plan sets other weights; the rollout goes on, and has parted at the first of them."""
    parts = Recorded(healthy()).parts_played()
    other = _policy(
        "{weight: 10%, bake: 5m}, {weight: 50%, bake: 5m}", "{weight: 20%, bake: 2m}, {weight: 40%, bake: 2m}"
    )
    found = played(parts, other)
    (name,) = found.replayed
    steps = [one for one in found.replayed[name] if isinstance(one, r.StepBegan)]
    assert [one.accepted for one in steps][:2] == [0.2, 0.4]
    (parted,) = found.diverged.values()
    assert parted == next(one.at for one in found.replayed[name] if isinstance(one, r.Advanced))


def test_guardrails_are_known_by_what_they_measure() -> None:
    """Another name is the same data; what was never measured is said to be missing, and holds."""
    parts = Recorded(healthy(faults=FAILS)).parts_played()
    other = _policy("name: errors", "name: failures", "name: latency", "name: slow", "duration_seconds", "wait_seconds")
    found = played(parts, other)
    assert found.unmeasured == ("slow",)
    (name,) = found.replayed
    back = next(one for one in found.replayed[name] if isinstance(one, r.RollbackOrdered))
    assert back.guardrail == "failures"


def _policy(*changes: str) -> Policy:
    text = POLICY
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    return parse_policy(text, file="other.yaml")


def test_a_policy_of_another_service_is_refused() -> None:
    """It would judge nothing, and nothing would differ."""
    with pytest.raises(TapeError, match="policy 'checkout' is for service 'payment'"):
        played([], replace(policy(), match=replace(policy().match, service="payment")))


def test_a_crash_loses_the_unfinished_part_and_says_so() -> None:
    """What follows it begins with the evidence the new process found; nothing else differs."""
    recorded = Recorded(healthy(), every=100.0)
    recorded.crash(350.0)
    parts = recorded.parts_played()
    runs = list(dict.fromkeys(part.header.run for part in parts))
    assert len(runs) == 2
    found = played(parts)
    (note,) = found.notes
    assert "are missing after part" in note
    assert all(not one.differences for one in compared(parts))


def test_the_rest_of_a_tape_goes_on_from_its_checkpoint() -> None:
    """Its beginning was dropped: later decisions come as recorded, and it is told what began before."""
    parts = Recorded(healthy(faults=[{"kind": "error_step", "share": "3%", "at": "6m"}])).parts_played()
    found = played(parts[2:])
    assert found.notes[0].endswith("is gone: 2 parts were dropped or lost")
    assert found.before == set(found.recorded)
    (one,) = compared(parts[2:])
    assert one.replayed.verdict is one.recorded.verdict is Verdict.ROLLBACK
    assert one.replayed.at == one.recorded.at


def test_a_tape_that_is_still_being_recorded_says_so() -> None:
    """So does one whose newest part was lost."""
    parts = Recorded(healthy()).parts_played()
    assert played(parts[:-1]).notes == ["the tape ends without an end: it is still being recorded, or was cut off"]


def test_parts_of_two_recordings_are_not_mixed() -> None:
    """Two runs tell of the same time; one would be taken for the other's traffic."""
    first, second = (Recorded(healthy(lasts="2m"), seed).parts_played() for seed in (1, 2))
    with pytest.raises(TapeError, match="begins before the part before it ends"):
        played([*first, *second])


def test_another_decision_of_the_same_policy_is_a_difference() -> None:
    """What --strict is for: a version that judges otherwise."""
    parts = list(Recorded(healthy(faults=FAILS)).parts_played())
    judged = next(
        (number, at)
        for number, part in enumerate(parts)
        for at, entry in enumerate(part.entries)
        if isinstance(getattr(entry, "record", None), r.RollbackOrdered)
    )
    number, at = judged
    entries = list(parts[number].entries)
    entry = entries[at]
    later = replace(entry.record, at=Instant(entry.record.at + 10.0))  # type: ignore[union-attr]
    entries[at] = type(entry)(at=entry.at, record=later)  # type: ignore[call-arg]
    parts[number] = type(parts[number])(header=parts[number].header, entries=tuple(entries))
    (one,) = compared(parts)
    assert [(each.what, each.text) for each in one.differences] == [
        ("rollback by guardrail", "10s earlier in the replay")
    ]
