"""One rollout of recorded samples judged tick by tick: its verdict, and its evidence at every tick on the way.

The judge is offline.py's, not another one; here it is only watched. The rows of that rollout are held in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from analysis.sequential.base import Ints
from guardian.core.course import TOGETHER, Against, Course, Mark, Readings, thresholds
from guardian.core.looks import evidence
from guardian.core.model import Seconds
from guardian.core.offline import Offline, OfflineVerdict
from guardian.core.policy import Policy
from guardian.core.roster import combine
from guardian.core.rulings import Ruling
from guardian.core.samples import Batch
from guardian.errors import SamplesError


class Recording:
    """The rows of one rollout of a file, with the reader's names; `rows.rollout` is 0 throughout."""

    def __init__(
        self, batches: Iterable[Batch], *, rollout: str, rollouts: Sequence[str], metrics: Sequence[str],
        pods: Sequence[str],
    ) -> None:  # fmt: skip
        """Raise SamplesError when no row is of that rollout. rollouts, metrics, pods: the reader's growing lists."""
        found: list[Batch] = []
        for batch in batches:
            if rollout not in rollouts:
                continue
            found.append(batch.rows(np.flatnonzero(batch.rollout == rollouts.index(rollout))))
        if not sum(map(len, found)):
            known = ", ".join(rollouts[:5]) + (f" and {len(rollouts) - 5} more" if len(rollouts) > 5 else "")
            raise SamplesError(
                f"no row has rollout_id '{rollout}'", where="the samples", remedy=f"they hold {known or 'no rollout'}"
            )
        self.name, self.metrics, self.pods = rollout, metrics, pods
        rows = Batch.joined(found)
        self.rows = replace(rows, rollout=np.zeros(len(rows), dtype=np.int64))


def judged(recording: Recording, policy: Policy, rows: Batch, *, copies: int = 1) -> list[OfflineVerdict]:
    """Return the verdicts on `rows`, which hold that many variants of a recording as rollouts 0..copies-1."""
    court = Offline(
        policy, rollouts=[str(copy) for copy in range(copies)], metrics=recording.metrics, pods=recording.pods
    )
    court.take(rows)
    return court.finish()


def replay(recording: Recording, policy: Policy) -> tuple[OfflineVerdict, Course]:
    """Return the verdict on a recording, and its evidence at every tick up to it."""
    court = _Watched(policy, rollouts=[recording.name], metrics=recording.metrics, pods=recording.pods)
    court.take(recording.rows)
    (verdict,) = court.finish()
    rollback, promotion = thresholds(policy)
    course = Course(
        rollout=recording.name,
        zero="the canary's first traffic",
        resolution="every tick of the samples",
        rollback=rollback,
        promotion=promotion,
        series=court.readings.series(),
        marks=(Mark(at=Seconds(verdict.decided_at), text=f"verdict {verdict.verdict}"),),
    )
    return verdict, course


class _Watched(Offline):
    """The judge of samples, with its evidence written down after every tick."""

    def __init__(self, policy: Policy, *, rollouts: Sequence[str], metrics: Sequence[str], pods: Sequence[str]) -> None:
        super().__init__(policy, rollouts=rollouts, metrics=metrics, pods=pods)
        self.readings = Readings()

    def _one_tick(self, rows: Batch, numbers: Ints) -> None:
        super()._one_tick(rows, numbers)
        if self._rulings.open[0]:
            self._note(float(self._rulings.tick[0]))

    def _record(self, ruling: Ruling) -> None:
        self._note(ruling.at)
        super()._record(ruling)

    def _note(self, at: float) -> None:
        arms, _ = self._roster.arms_of(np.zeros(1, dtype=np.int64))
        if at <= 0 or not len(arms):
            return
        harm, safe = (self._roster.arms[name][arms] for name in ("harm", "safe"))
        log_harm, _ = combine(harm[None], safe[None], np.ones((1, len(arms))))
        self.readings.note(at, TOGETHER, Against.CANARY, evidence(float(log_harm[0])))
        for arm, against, favour in zip(arms, harm, safe, strict=True):
            name = self._rows.guardrail_of(int(arm))
            self.readings.note(at, name, Against.CANARY, evidence(float(against)))
            self.readings.note(at, name, Against.HARM, evidence(float(favour)))
