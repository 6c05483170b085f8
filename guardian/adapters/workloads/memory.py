"""A workload in memory: what was ordered runs at once. For runs without a platform, and to try policies."""

from __future__ import annotations

from guardian.core.model import Place, Revision
from guardian.ports import Target


class MemoryWorkload:
    """Workload and Inspection that keep which revision each track runs."""

    def __init__(self, stable: dict[Place, Revision] | None = None) -> None:
        self.stable: dict[Place, Revision] = dict(stable or {})
        self.canary: dict[Place, Revision] = {}

    async def start_canary(self, target: Target, revision: Revision) -> None:
        """Have the canary run this revision."""
        self.canary[target.place] = revision

    async def make_stable(self, target: Target, revision: Revision) -> None:
        """Have stable run this revision."""
        self.stable[target.place] = revision

    async def stop_canary(self, target: Target) -> None:
        """Have the canary run nothing."""
        self.canary.pop(target.place, None)

    async def stable_revision(self, target: Target) -> Revision | None:
        """Return what stable runs."""
        return self.stable.get(target.place)

    async def check(self, target: Target, revision: Revision) -> None:
        """Find nothing wrong: memory runs any revision."""
