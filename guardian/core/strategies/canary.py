"""Canary: traffic moves to the new revision by rising weights, each watched for its bake time."""

from __future__ import annotations

import msgspec

from guardian.core.strategies.step import Step


class Canary(msgspec.Struct, frozen=True, kw_only=True, tag="canary", tag_field="kind"):
    """Rising weights; the last one is 1 (all traffic)."""

    plan: tuple[Step, ...]

    def steps(self) -> tuple[Step, ...]:
        """Return the steps in order."""
        return self.plan
