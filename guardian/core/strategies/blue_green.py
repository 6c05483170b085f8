"""Blue-green: the new revision runs beside the old one without users, then gets all of them at once.

Green is the canary, blue is stable. No step has users on both, so nothing is compared between them: the preview asks
for probes, for objectives where green is called, and for its gates; after the switch the change is held against the
service's own past, and blue stays as long as the last step bakes.
"""

from __future__ import annotations

import msgspec

from guardian.core.model import Seconds, Weight
from guardian.core.strategies.step import Approval, Step


class BlueGreen(msgspec.Struct, frozen=True, kw_only=True, tag="blue-green", tag_field="kind"):
    """A preview without users, and the switch. keep: how long blue stays, ready to take all users back."""

    preview: Seconds
    keep: Seconds
    limit: Seconds | None = None
    approval: Approval | None = None

    @property
    def splits(self) -> bool:
        """Whether canary and stable have users at the same time, so that they can be compared."""
        return False

    def steps(self) -> tuple[Step, ...]:
        """Return the steps in order."""
        preview = Step(weight=Weight(0.0), bake=self.preview, limit=self.limit, approval=self.approval)
        return preview, Step(weight=Weight(1.0), bake=self.keep)

    def unattended(self) -> BlueGreen:
        """Return the same without approvals: where nobody would answer."""
        return msgspec.structs.replace(self, approval=None)
