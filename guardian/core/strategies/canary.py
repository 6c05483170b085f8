"""Canary: traffic moves to the new revision by rising weights, each watched for its bake time."""

from __future__ import annotations

import msgspec

from guardian.core.strategies.step import Step


class Canary(msgspec.Struct, frozen=True, kw_only=True, tag="canary", tag_field="kind"):
    """Rising weights; the last one is 1 (all traffic)."""

    plan: tuple[Step, ...]

    @property
    def splits(self) -> bool:
        """Whether canary and stable have users at the same time, so that they can be compared."""
        return True

    def steps(self) -> tuple[Step, ...]:
        """Return the steps in order."""
        return self.plan

    def unattended(self) -> Canary:
        """Return the same without approvals: where nobody would answer."""
        return Canary(plan=tuple(msgspec.structs.replace(step, approval=None) for step in self.plan))
