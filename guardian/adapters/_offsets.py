"""Which offset of a partition may be committed: the end of the unbroken run of messages that are done."""

from __future__ import annotations

from collections import OrderedDict


class Progress:
    """Messages of one partition from delivery to commit, in order of offset; gaps in offsets are normal.

    Law: an offset is given out for commit only when every delivered message before it is done.
    """

    def __init__(self) -> None:
        self._done: OrderedDict[int, bool] = OrderedDict()
        self._next: int | None = None

    def deliver(self, offset: int) -> None:
        """A message was handed out; one that was handed out before stays as it is."""
        self._done.setdefault(offset, False)

    def finish(self, offset: int) -> None:
        """A message is done; one that is not known here (of a former assignment) changes nothing."""
        if offset in self._done:
            self._done[offset] = True

    def committable(self) -> int | None:
        """Return the offset to commit, which is that of the next message wanted; None when nothing is new."""
        while self._done:
            offset, done = next(iter(self._done.items()))
            if not done:
                break
            del self._done[offset]
            self._next = offset + 1
        return self._next

    def committed(self, offset: int) -> None:
        """The broker holds this offset."""
        if self._next == offset:
            self._next = None

    @property
    def waiting(self) -> int:
        """Messages handed out and not done."""
        return sum(not done for done in self._done.values())
