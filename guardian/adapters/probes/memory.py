"""A probe in memory: every revision answers, but for those it was told about. For runs without a platform."""

from __future__ import annotations

from guardian.core.model import Revision
from guardian.errors import Refused
from guardian.ports import Target


class MemoryProbe:
    """Probe that keeps which revisions fail, with the reason."""

    def __init__(self, failing: dict[Revision, str] | None = None) -> None:
        self.failing: dict[Revision, str] = dict(failing or {})

    async def probe(self, target: Target, revision: Revision) -> None:
        """Raise Refused for a revision that fails. See Probe."""
        if revision in self.failing:
            raise Refused(self.failing[revision], where=str(target.place), remedy="deploy another revision")
