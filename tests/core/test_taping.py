"""What is on the tape of one service while others roll out beside it: all that decided, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from benchmarks.overlapping import Overlap, World, policy
from guardian.core.alerts import key_of
from guardian.core.differences import compare
from guardian.core.facts import DeployRequested
from guardian.core.fleet import Fleet
from guardian.core.looks import Observed
from guardian.core.model import EventRef, Instant, Phase, Place, Revision, RolloutId, Seconds
from guardian.core.playback import Playback, Played
from guardian.core.policies import Policies
from guardian.core.tape import Given, Named, Part, Ruled, Settled
from guardian.core.taping import TapedEngine, Taping
from tests.builders import T0, alert

SUFFERS = World()
"""Payment's canary fails ten times as often, and checkout's with it while payment's has users."""


@dataclass(slots=True)
class Taped(Overlap):
    """Overlapping rollouts whose engine records. every: seconds of a part."""

    wanted: Sequence[str] = ("checkout", "payment", "search")
    every: float = 200.0
    parts: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with nothing deployed."""
        Overlap.__post_init__(self)
        taping = Taping(keep=self.parts.append, wanted=lambda name: name in self.wanted, every=Seconds(self.every))
        self.engine = TapedEngine(policies=Policies(self.policies), fleet=Fleet(), taping=taping)

    def tape(self, service: str) -> list[Part]:
        """End the recording, and return one service's tape."""
        assert isinstance(self.engine, TapedEngine)
        self.engine.stop(self.now)
        return [part for part in self.parts if part.header.service == service]


def replayed(parts: Sequence[Part], service: str) -> Played:
    """Return what a tape comes to."""
    playback = Playback(service, "production")
    for part in parts:
        playback.take(part)
    return playback.finish()


def same(parts: Sequence[Part], service: str) -> bool:
    """Whether a tape leads to the decisions that are on it, and there are some."""
    found = compare(replayed(parts, service))
    return bool(found) and not any(one.differences for one in found)


@pytest.mark.parametrize("wanted", [("checkout",), ("checkout", "payment", "search")])
@pytest.mark.parametrize("first", ["checkout", "payment"])
def test_a_dependency_is_on_the_tape_of_who_depends_on_it(first: str, wanted: Sequence[str]) -> None:
    """Checkout waits for payment, which is suspect: its own samples alone would have rolled it back."""
    overlap = Taped(SUFFERS, 3, wanted=wanted)
    overlap.deploy(first)
    overlap.until(100.0)
    overlap.deploy({"checkout": "payment", "payment": "checkout"}[first])
    overlap.until(900.0)
    assert overlap.phase("payment") is Phase.ROLLED_BACK
    parts = overlap.tape("checkout")
    assert len(parts) > 2
    assert {part.header.cast for part in parts} == {("checkout", "payment")}
    assert same(parts, "checkout")


def test_services_beside_each_other_are_on_tapes_of_their_own() -> None:
    """Neither has the other's samples, and both are replayed alone to what they came to together."""
    overlap = Taped(SUFFERS, 5, policies=(policy("payment"), policy("search")))
    overlap.deploy("payment")
    overlap.until(35.0)
    overlap.deploy("search")
    overlap.until(700.0)
    for service in ("payment", "search"):
        parts = overlap.tape(service)
        rollout = overlap.rollout(service)
        assert rollout is not None
        entries = [entry for part in parts for entry in part.entries]
        assert {entry.key.rollout for entry in entries if isinstance(entry, Named)} == {rollout.id}
        assert any(isinstance(entry, Given) and isinstance(entry.fact, Observed) for entry in entries)
        assert same(parts, service)


def test_evidence_that_another_look_brought_about_is_written_down() -> None:
    """Samples become evidence at any service's look, or when there are many: when, is part of what decided."""
    overlap = Taped(SUFFERS, 5, policies=(policy("payment"), replace(policy("search"), interval=Seconds(30.0))))
    overlap.deploy("payment")
    overlap.deploy("search")
    overlap.engine.settle()
    overlap.until(300.0)
    parts = overlap.tape("search")
    assert any(isinstance(entry, Settled) for part in parts for entry in part.entries)
    assert same(parts, "search")


def test_policies_that_were_changed_meanwhile_are_on_the_tape() -> None:
    """The second release is judged by what was in force then."""
    overlap = Taped(World(times=1.0), 1, policies=(policy("payment"),))
    overlap.deploy("payment")
    overlap.until(60.0)
    slower = replace(policy("payment"), interval=Seconds(20.0))
    overlap.engine.policies = Policies([slower])
    _deploy(overlap, "payment", "2.2.0")
    overlap.until(300.0)
    parts = overlap.tape("payment")
    ruled = [entry.policies for part in parts for entry in part.entries if isinstance(entry, Ruled)]
    assert ruled == [(slower,)]
    assert same(parts, "payment")
    assert replayed(parts, "payment").rollouts[_newest(overlap)].policy == slower


def test_a_policy_of_another_name_is_on_the_tape_with_the_event_that_names_it() -> None:
    """It is not the service's own, and would be missed."""
    shared = replace(policy("everybody"), name="shared")
    overlap = Taped(World(times=1.0), 1, policies=(policy("payment"), shared))
    _deploy(overlap, "payment", "2.2.0", policy="shared")
    overlap.until(60.0)
    parts = overlap.tape("payment")
    assert replayed(parts, "payment").rollouts[_newest(overlap)].policy == shared
    assert same(parts, "payment")


def test_how_far_a_clock_was_ahead_is_on_the_tape() -> None:
    """It says which of two events is older."""
    overlap = Taped(World(times=1.0), 1, policies=(policy("payment"),))
    overlap.deploy("payment")
    overlap.engine.ahead = Seconds(3600.0)
    overlap.until(60.0)
    _deploy(overlap, "payment", "2.0.9", time=Instant(overlap.now - 3600.0))
    overlap.until(120.0)
    parts = overlap.tape("payment")
    assert {entry.ahead for part in parts for entry in part.entries if isinstance(entry, Given)} == {0.0, 3600.0}
    assert same(parts, "payment")


def test_an_alert_from_before_the_rollout_holds_it_in_the_replay_too() -> None:
    """It stood when the tape began; one of another service is not on it."""
    overlap = Taped(World(times=1.0), 1, policies=(policy("payment"), policy("search")))
    names = ("payment", T0), ("search", Instant(T0 - 60.0))
    mine, other = (alert(service=name, severity="critical", starts_at=at) for name, at in names)
    overlap._tell(mine)
    overlap._tell(other)
    overlap.deploy("payment")
    overlap.until(60.0)
    parts = overlap.tape("payment")
    assert list(parts[0].header.start.alerts) == [key_of(mine)]
    assert same(parts, "payment")


def test_events_that_nobody_has_a_policy_for_leave_no_tape() -> None:
    """A flood of them must not become a flood of files."""
    overlap = Taped(World(), 1, wanted=("other",))
    _deploy(overlap, "other", "1.0.0")
    overlap.until(30.0)
    assert overlap.tape("other") == []
    assert overlap.records


def _deploy(overlap: Overlap, service: str, revision: str, **changes: Any) -> None:
    request = DeployRequested(
        event=EventRef(source="test", id=revision), time=overlap.now,
        place=Place(service=service, environment="production"), revision=Revision(revision),
        previous=Revision("2.0.3"),
    )  # fmt: skip
    overlap._tell(replace(request, **changes))


def _newest(overlap: Overlap) -> RolloutId:
    found = overlap.rollout("payment")
    assert found is not None
    return found.id
