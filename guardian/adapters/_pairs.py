"""Which replica of a deduplicating pair counts: one per cluster, another one after 30 s of its silence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from guardian.adapters._series import FAIL_OVER
from guardian.core.looks import Ints


class Pairs:
    """The elections. Replica 0 stands for series of no pair and always counts."""

    def __init__(self) -> None:
        self._elected: dict[str, tuple[int, float]] = {}

    def counts(self, replica: Ints, replicas: Sequence[tuple[str, str]], now: float) -> npt.NDArray[np.bool_]:
        """Say of each sample whether its replica counts; shape (n,).

        replica: numbers into `replicas`, whose entries are (cluster, name). now: time of arrival, unix
        seconds.
        """
        taken = np.zeros(replica.shape, np.bool_)
        for number in np.unique(replica).tolist():
            if number == 0 or self._is_elected(replicas[number][0], number, now):
                taken |= replica == number
        return taken

    def _is_elected(self, cluster: str, number: int, now: float) -> bool:
        elected, heard = self._elected.get(cluster, (number, now))
        if elected != number and now - heard <= FAIL_OVER:
            return False
        self._elected[cluster] = (number, now)
        return True
