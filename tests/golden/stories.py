"""The stories whose journals are kept as golden files: every kind of record that a version can write is in one of them.

`python -m tests.golden.stories VERSION` writes the journal and the events of a new version; older files never change.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import msgspec
from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.effects import SetWeight
from guardian.core.events import decision_event
from guardian.core.facts import Order
from guardian.core.model import Mode, Seconds, Weight
from guardian.core.policy import Adapter
from guardian.core.strategies import Approval, Canary
from guardian.core.world import World
from tests.builders import alert, ordered, policy, requested, seen
from tests.core.play import Play

HERE = Path(__file__).parent


def stories() -> list[Play]:
    """Tell them: promoted, rolled back, gated and amended, advised, alerted, superseded and rejected."""
    return [_promoted(), _rolled_back(), _gated(), _advised(), _alerted(), _superseded()]


def _promoted() -> Play:
    play = Play(policies=(policy(workload=Adapter(kind="memory")),))
    play.tell(requested())
    play.until(20)
    play.router = 0.0  # type: ignore[assignment]  # a reload
    return play.until(4000)


def _rolled_back() -> Play:
    play = Play(show=lambda rollout, now: seen(rollout, at=now, harm=226.0))
    play.breaks = {SetWeight: "503"}
    play.tell(requested("2.2.0"))
    play.until(5)
    play.breaks = {}
    play.until(300)
    play.tell(requested("2.2.0", identity="again"))
    return play


def _gated() -> Play:
    base = policy()
    first = replace(base.strategy.steps()[0], approval=Approval())
    gated = replace(base, strategy=Canary(plan=(first, *base.strategy.steps()[1:])))
    play = Play(policies=(gated,))
    play.tell(requested("2.3.0"))
    play.until(20)
    longer = tuple(replace(step, bake=Seconds(400.0)) if step.weight < 1 else step for step in gated.strategy.steps())
    play.tell(ordered(play.rollout.id, Order.AMEND, policy=replace(gated, strategy=Canary(plan=longer))))
    play.tell(ordered(play.rollout.id, Order.PAUSE))
    play.until(40)
    play.tell(ordered(play.rollout.id, Order.RESUME))
    play.until(600)
    play.tell(ordered(play.rollout.id, Order.APPROVE))
    play.tell(ordered(play.rollout.id, Order.PROMOTE, reason="hotfix"))
    return play.until(3000)


def _advised() -> Play:
    play = Play(policies=(policy(mode=Mode.ADVISE),), show=lambda rollout, now: seen(rollout, at=now, harm=1e4))
    play.tell(requested("2.4.0"))
    play.tell(ordered(play.rollout.id, Order.APPROVE))
    play.until(20)
    play.tell(ordered(play.rollout.id, Order.REJECT))
    kept, play.router = play.router, Weight(0.7)  # somebody changes it, and back
    play.until(40)
    play.router = kept
    play.until(60)
    play.tell(ordered(play.rollout.id, Order.ABORT))
    return play


def _alerted() -> Play:
    play = Play()
    play.tell(requested("2.5.0"))
    play.until(60)
    fired = play.now
    play.tell(alert(starts_at=fired, severity="warning"))
    play.until(120)
    play.tell(alert(firing=False, starts_at=fired, severity="warning"))
    play.until(140)
    play.tell(alert(starts_at=play.now, severity="critical", track="canary"))
    play.tell(alert(starts_at=play.now, severity="critical", track="canary", service="payment"))
    return play


def _superseded() -> Play:
    play = Play()
    play.tell(requested("2.6.0"))
    play.until(400)
    play.tell(requested("2.7.0", at=play.now))
    return play.until(500)


def journal() -> list[r.Record]:
    """All records of all stories; rollout ids differ from story to story."""
    return [record for play in stories() for record in play.records]


def events(records: list[r.Record]) -> list[bytes]:
    """The data of every decision event that these records lead to."""
    found: list[bytes] = []
    world = World()
    for record in records:
        after = world.apply(record)
        event = decision_event(cast(r.OfRollout, record), after) if after is not None else None
        if event is not None:
            found.append(msgspec.json.encode(event))
    return found


def write(version: str) -> None:
    """Write the golden files of a version."""
    records = journal()
    lines = [msgspec.json.encode(record) for record in records]
    (HERE / f"{version}.journal.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (HERE / f"{version}.events.jsonl").write_bytes(b"\n".join(events(records)) + b"\n")


if __name__ == "__main__":
    write(sys.argv[1])
