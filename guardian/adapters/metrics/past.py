"""What stable did in the past, asked of Prometheus window by window, for the monitor of a running daemon.

It asks one query after the other and works outside the event loop; it does not retry or judge.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Mapping
from typing import Final

from guardian.adapters._http import HttpClient, refusal
from guardian.adapters._past import POINTS, Line, stretch
from guardian.adapters._prometheus import error_of, read_matrix
from guardian.adapters._series import wanted_of
from guardian.core.model import Instant, Place, RolloutId, Seconds
from guardian.core.policy import Policy
from guardian.core.pretend import Shape, Window
from guardian.errors import Unavailable

_NAME: Final = RolloutId("monitor")
MOST: Final = 32 * 1024 * 1024
"""Bytes of the largest answer that is taken: some 5,000 series of a window of 280 points."""


class PrometheusPast:
    """PastSource over the HTTP API. everywhere: labels added to every selector. dropped: those of a pair."""

    def __init__(
        self, *, url: str, client: HttpClient, everywhere: Mapping[str, str], dropped: Collection[str], step: Seconds
    ) -> None:
        self._url, self._client = url.rstrip("/"), client
        self._everywhere, self._dropped, self._step = dict(everywhere), frozenset(dropped), step

    async def window(
        self, place: Place, policy: Policy, *, start: Instant, shape: Shape, pods: dict[str, int]
    ) -> Window:
        """Keep the promise of ports.PastSource. A step of more than the scrape interval keeps an answer in bounds."""
        wanted = [
            wanted_of(
                rollout=_NAME, service=place.service, guardrail=guardrail, labels=policy.labels,
                everywhere=self._everywhere,
            )
            for guardrail in policy.participating
        ]  # fmt: skip
        longest = shape.history + shape.length
        step = Seconds(max(self._step, math.ceil(longest / (POINTS - 1))))
        found = await stretch(
            self, wanted, self._dropped, start=start, before=shape.history, after=shape.length, step=step
        )
        return await asyncio.to_thread(found.window, pods)

    async def query_range(self, expression: str, *, start: Instant, end: Instant, step: Seconds) -> tuple[Line, ...]:
        """Return the value of each series at every `step`. Raises Unavailable and Refused, also for half an answer."""
        form = {"query": expression, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        answer = await self._client.ask("POST", f"{self._url}/api/v1/query_range", form=form, limit=MOST)
        if not 200 <= answer.status < 300:
            raise error_of(answer.body, self._url) or refusal(answer, self._url)
        return await asyncio.to_thread(_lines, answer.body, self._url)


def _lines(body: bytes, where: str) -> tuple[Line, ...]:
    matrix = read_matrix(body, where)
    if matrix.warnings:
        remedy = "see its log; it will be asked again"
        raise Unavailable(f"incomplete answer: {matrix.warnings[0]}", where=where, remedy=remedy)
    return tuple(Line(labels=one.labels(), time=one.time, value=one.value) for one in matrix.series)
