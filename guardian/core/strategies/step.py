"""One stage of a strategy's plan. Not a tick, not a look."""

from __future__ import annotations

import msgspec

from guardian.core.model import Seconds, Weight


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A person must agree before the step passes; without an answer the rollout is aborted."""

    expires: Seconds = Seconds(86400.0)
    role: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A weight, how long it is watched at least, and how long it may take at most.

    The default limit is 6 x bake, and ten minutes where there is no bake.
    """

    weight: Weight
    bake: Seconds
    limit: Seconds | None = None
    approval: Approval | None = None

    @property
    def time_limit(self) -> Seconds:
        """How long the step may go undecided before a person is paged."""
        if self.limit is not None:
            return self.limit
        return Seconds(6.0 * self.bake if self.bake > 0 else 600.0)
