"""What one notifier was told lately, what was withheld from it, and which incidents it holds open. Kept in the journal.

Pure: the time is an argument, and nothing is sent.
"""

from __future__ import annotations

import msgspec

from guardian.config.notify import AtMost


class Tally(msgspec.Struct):
    """told: times (unix seconds) of notices that count. withheld: how many were not told since `since`.

    open: keys of incidents by rollout.
    """

    told: list[float] = []
    withheld: int = 0
    since: float = 0.0
    open: dict[str, list[str]] = {}

    def take(self, limit: AtMost | None, now: float) -> bool:
        """Whether one more may be told now; it is counted as told, or as withheld.

        While any are withheld, all are, until somebody has been told how many: the order of notices stays.
        """
        if limit is None:
            return True
        self.told = [at for at in self.told if at > now - limit.span]
        if self.withheld == 0 and len(self.told) < limit.most:
            self.told.append(now)
            return True
        self.since = self.since if self.withheld else now
        self.withheld += 1
        return False

    def free_at(self, limit: AtMost | None, now: float) -> float:
        """Return when there is room to tell how many were withheld."""
        if limit is None or len(self.told) < limit.most:
            return now
        return sorted(self.told)[-limit.most] + limit.span

    def owned_up(self, withheld: int, now: float) -> None:
        """Note that somebody has been told of that many that were withheld, which is a notice, too."""
        self.told.append(now)
        self.withheld -= withheld
        self.since = now

    def opened(self, rollout: str, key: str) -> None:
        """Note an incident that will be over one day."""
        keys = self.open.setdefault(rollout, [])
        if key not in keys:
            keys.append(key)

    def over(self, rollout: str, key: str) -> None:
        """Note that an incident is over."""
        keys = self.open.get(rollout, [])
        if key in keys:
            keys.remove(key)
        if not keys:
            self.open.pop(rollout, None)
