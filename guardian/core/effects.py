"""What shall be done outside: absolute, at least once, looked up before it is repeated.

An effect is ordered by the record that contains it and ended by the fact `EffectDone`. Events out and notifications
are no effects: they are read off the journal (guardian.core.events), so they can never hold a rollback up.
"""

from __future__ import annotations

from typing import Final

import msgspec

from guardian.core.model import EffectId, Place, Revision, Seconds, Weight


class _Effect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Something to be done outside; `id` is the same after a restart."""

    id: EffectId
    place: Place


class Preflight(_Effect, frozen=True, kw_only=True):
    """Check that place, workload, image, probes and metrics are there, and read what runs now. Changes nothing."""

    revision: Revision


class StartCanary(_Effect, frozen=True, kw_only=True):
    """Bring up the canary with this revision beside stable, ready to serve, at weight 0."""

    revision: Revision


class SetWeight(_Effect, frozen=True, kw_only=True):
    """Have the router send this share to the canary."""

    weight: Weight


class MakeStable(_Effect, frozen=True, kw_only=True):
    """Have stable run this revision, ready to serve: the hand-over after a verified rollout."""

    revision: Revision


class StopCanary(_Effect, frozen=True, kw_only=True):
    """Scale the canary down; it has no traffic any more."""


Effect = Preflight | StartCanary | SetWeight | MakeStable | StopCanary


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """Query: samples of every guardrail of these rollouts, since the last ones had."""

    rollouts: tuple[str, ...]


class ReadWeight(msgspec.Struct, frozen=True, kw_only=True):
    """Query: the accepted and observed weight of each of these rollouts."""

    rollouts: tuple[str, ...]


Query = Measure | ReadWeight

DEADLINES: Final[dict[type[Effect], Seconds]] = {
    Preflight: Seconds(30.0),
    StartCanary: Seconds(600.0),
    SetWeight: Seconds(10.0),
    MakeStable: Seconds(900.0),
    StopCanary: Seconds(120.0),
}
"""Longest time of one attempt, in every driver. The core's own deadlines say when a person is called."""
READING: Final = Seconds(5.0)
"""Longest time in which a router may answer a query."""
PATIENCE: Final = Seconds(1.0)
"""Longest that a look waits for answers; later ones count at the next."""
