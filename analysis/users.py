"""How many requests count as one, where users stick to a track: clusters and design effects. Knows no track, no time.

A user's requests are not drawn one by one: all go to one track, and if one fails, the others are likelier to fail.
What that costs is said by two numbers of the requests that one user makes within some time: how many there are, as a
request sees it (users who make many count more), and by which factor the variance of a count of bad ones grows.

Source: Kish 1965, "Survey Sampling" (design effect, effective sample size, unequal clusters).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.slo import LEAST_BAD

Floats = npt.NDArray[np.float64]

SKEWNESS: Final = 1.5
"""What is added to an extra variance of evidence, as a factor: few users make many of the failures. Chosen on streams
of other seeds than those of the campaign `affinity`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """What is assumed of users.

    requests: mean number that a user makes while it sticks to its track. visit: seconds over which these lie, evenly.
    variation: sd of that number between users, over its mean. correlation: intraclass correlation of failure, 0..1:
    of the other requests of a user who had a failure, the share that fails beyond what is usual.
    """

    requests: float
    visit: float
    variation: float
    correlation: float

    @property
    def largest(self) -> float:
        """E[n^2]/E[n]: requests of the user whom a request belongs to, over all of its visit.

        >>> Users(requests=30.0, visit=600.0, variation=2.0, correlation=0.1).largest
        150.0
        """
        return self.requests * (1.0 + self.variation**2)

    def cluster(self, seconds: Floats) -> Floats:
        """Requests that the user whom a request belongs to makes within windows of `seconds` (any shape); 1 or more.

        Linear up to `visit`: never less than what requests that lie evenly give.
        """
        return 1.0 + (self.largest - 1.0) * np.minimum(np.maximum(seconds, 0.0) / self.visit, 1.0)

    def single(self, seconds: Floats) -> Floats:
        """Requests that one user alone may well make within windows of `seconds` (any shape); `cluster` or more.

        E[n^3]/E[n^2] of log-normal users: of the one whom two failures belong to, as `cluster` is of one.
        """
        most = self.requests * (1.0 + self.variation**2) ** 2
        return 1.0 + (most - 1.0) * np.minimum(np.maximum(seconds, 0.0) / self.visit, 1.0)

    def design(self, seconds: Floats) -> Floats:
        """By which factor the variance of a count of failures within `seconds` is that of independent requests; >= 1.

        >>> Users(requests=30.0, visit=600.0, variation=2.0, correlation=0.1).design(np.array([0.0, 600.0])).tolist()
        [1.0, 15.9]
        """
        return 1.0 + self.correlation * (self.cluster(seconds) - 1.0)

    def dispersion(self, seconds: Floats) -> Floats:
        """The design effect that evidence is corrected by, >= 1: it is Gaussian, and sums of users are skewed."""
        return 1.0 + SKEWNESS * (self.design(seconds) - 1.0)

    def wait(self, seconds: Floats) -> Floats:
        """How long (any shape) it takes until evidence is that of independent requests in `seconds`; inf stays inf.

        >>> Users(requests=30.0, visit=600.0, variation=2.0, correlation=0.1).wait(np.array([20.0, 100.0])).round()
        array([  78., 2335.])
        """
        most = self.dispersion(np.array(np.inf))
        slope = (most - 1.0) / self.visit
        left = np.maximum(1.0 - seconds * slope, 0.0) if slope > 0 else np.ones_like(seconds)
        within = np.divide(seconds, left, out=np.full(np.shape(seconds), np.inf), where=left > 0)
        return np.where(within <= self.visit, within, seconds * most)


def crowding(users: Users | None, windows: Floats) -> tuple[Floats, Floats]:
    """Design effect of windows in seconds (any shape), and bad events they need at least: more than `single`.

    Without users: 1, and two.
    """
    if users is None:
        return np.ones_like(windows), np.full_like(windows, LEAST_BAD)
    return users.design(windows), users.single(windows) + (LEAST_BAD - 1.0)
