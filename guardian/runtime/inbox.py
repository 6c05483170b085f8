"""Where facts wait for the engine: bounded for those from outside, who are told when it is full; never for our own."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from guardian.core.facts import Fact
from guardian.errors import JournalError, Unavailable
from guardian.ports import Receipt

_OWN_SHARE: Final = 4
_PATIENCE: Final = 5.0  # seconds; Alertmanager gives up after 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """Facts that came together, who waits for their receipts, and since when (seconds of `perf_counter`)."""

    facts: tuple[Fact, ...]
    receipts: Future[tuple[Receipt, ...]]
    arrived: float


class BoundedInbox:
    """Keeps the promise of guardian.ports.Inbox. `room`: facts from outside that may wait at a time."""

    def __init__(self, *, room: int, trouble: Callable[[], JournalError | None]) -> None:
        self.waiting = 0
        self._room, self._trouble = room, trouble
        self._letters: deque[Letter] = deque()
        self._own: deque[Fact] = deque()
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._turn = asyncio.Lock()
        self._refusal: Unavailable | None = None

    async def put(self, facts: Sequence[Fact], *, wait: bool = False) -> tuple[Receipt, ...]:
        if wait:
            async with self._turn:  # who waits is admitted in order: a small batch must not overtake a large one
                await self._admit(len(facts), wait=True)
        else:
            await self._admit(len(facts), wait=False)
        receipts = asyncio.get_running_loop().create_future()
        letter = Letter(facts=tuple(facts), receipts=receipts, arrived=perf_counter())
        self._letters.append(letter)
        self.waiting += len(facts)
        self._arrived.set()
        if wait:
            return await letter.receipts
        try:
            async with asyncio.timeout(_PATIENCE):
                return await letter.receipts
        except TimeoutError:
            raise Unavailable(
                f"the journal has not stored it within {_PATIENCE:g}s",
                remedy="send it again; if it was stored meanwhile, the repeat has no effect",
            ) from None

    async def _admit(self, count: int, *, wait: bool) -> None:
        while self._refusal is None and self._is_full(count):
            if not wait:
                raise Unavailable(
                    f"{self.waiting} facts wait for the engine already",
                    remedy="send it again in a moment; limits.waiting in guardian.yaml says how many may wait",
                )
            self._taken.clear()
            await self._taken.wait()
        if self._refusal is not None:
            raise self._refusal
        trouble = self._trouble()
        if trouble is not None and not wait:
            raise Unavailable(f"the journal {trouble.what}", remedy=trouble.remedy)

    def _is_full(self, count: int) -> bool:
        return self.waiting > 0 and self.waiting + count > self._room

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._own and not self._letters

    @property
    def has_own(self) -> bool:
        """Whether a fact of our own waits."""
        return bool(self._own)

    def post(self, fact: Fact) -> None:
        """Take a fact of our own: an effect that ended."""
        self._own.append(fact)
        self._arrived.set()

    async def take(self, most: int) -> tuple[list[Fact], list[Letter]]:
        """Wait for something; return letters of about `most` facts, and fewer of our own.

        Ends of effects are taken more slowly than what comes in: under a flood of events, rollouts that are about
        to be superseded are then superseded instead of being started.
        """
        while not self._own and not self._letters:
            self._arrived.clear()
            await self._arrived.wait()
        share = most if not self._letters else most // _OWN_SHARE
        own = [self._own.popleft() for _ in range(min(share, len(self._own)))]
        letters: list[Letter] = []
        count = 0
        while self._letters and count < most:
            letters.append(self._letters.popleft())
            count += len(letters[-1].facts)
        if count:
            self.waiting -= count
            self._taken.set()
        return own, letters

    def close(self, refusal: Unavailable) -> None:
        """Take nothing more from outside; who waits for a place is told, who has one is still served."""
        self._refusal = refusal
        self._taken.set()
