"""Following a rollout until it has an answer: a connection that is lost is looked for again until the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from guardian.cli.client import Client
from guardian.cli.exits import ExitCode, Goal, of_phase
from guardian.core.model import Phase
from guardian.errors import Unavailable

Json = dict[str, Any]
EVERY: Final = 1.0
"""Seconds between two looks; a rollout's own interval is longer."""
PATIENCE: Final = 300.0
"""Seconds without connection after which a command without --timeout gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How time passes, and when it is up; seconds. Tests hand in their own clock."""

    timeout: float | None = None
    every: float = EVERY
    patience: float = PATIENCE
    now: Callable[[], float] = field(default=time.monotonic)
    sleep: Callable[[float], None] = field(default=time.sleep)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Where following ended: the last view (None: never seen) and the answer. lost: the connection's error."""

    code: ExitCode
    view: Json | None
    lost: Unavailable | None = None


def follow(client: Client, rollout: str, *, goal: Goal, watch: Watch, seen: Callable[[Json], None]) -> Outcome:
    """Look until the rollout reaches its goal or its end, or the time is up; `seen` gets every change.

    Out of time is TIMEOUT while the daemon answers, UNKNOWN while it does not.
    """
    began = heard = watch.now()
    view: Json | None = None
    lost: Unavailable | None = None
    while True:
        try:
            fresh = client.once(rollout)
        except Unavailable as error:
            lost = error
        else:
            heard, lost = watch.now(), None
            if changed(view, fresh):
                seen(fresh)
            view = fresh
            code = of_phase(Phase(fresh["phase"]), goal)
            if code is not None:
                return Outcome(code=code, view=view)
        code = _out_of_time(watch, began=began, heard=heard, connected=lost is None)
        if code is not None:
            return Outcome(code=code, view=view, lost=lost)
        left = watch.every if watch.timeout is None else min(watch.every, began + watch.timeout - watch.now())
        watch.sleep(max(left, 0.0))


def _out_of_time(watch: Watch, *, began: float, heard: float, connected: bool) -> ExitCode | None:
    now = watch.now()
    if watch.timeout is not None:
        if now - began < watch.timeout:
            return None
        return ExitCode.TIMEOUT if connected else ExitCode.UNKNOWN
    return ExitCode.UNKNOWN if now - heard >= watch.patience else None


_MATTERS: Final = ("phase", "step", "verdict", "waits", "held", "awaiting", "cause", "sequence")


def changed(before: Json | None, after: Json) -> bool:
    """Say whether something changed that a person waits for; sample counts within `waits` do not count.

    >>> changed(None, {"phase": "baking"}), changed({"phase": "baking"}, {"phase": "baking", "requests": 3})
    (True, False)
    """
    if before is None:
        return True
    return any(_kinds(before.get(name)) != _kinds(after.get(name)) for name in _MATTERS) or _weights(
        before
    ) != _weights(after)


def _kinds(value: Any) -> Any:
    """Return the value without what changes at every look: digits in sentences."""
    if isinstance(value, list):
        return ["".join(letter for letter in str(one) if not letter.isdigit()) for one in value]
    return value


def _weights(view: Json) -> tuple[Any, Any]:
    weight = view.get("weight") or {}
    return weight.get("desired"), weight.get("accepted")
