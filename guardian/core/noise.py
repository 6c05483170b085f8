"""How much the pods, and the tracks as wholes, of each cell differ without any change: the state behind baseline.py.

Three things are watched: each pod against its own track (always), the whole stable track against its own past (in
history), and canary against stable around its own mean (during the rollout). The second alone cannot tell an incident
that hits both tracks from a track that wanders by itself; the third tells them apart.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.baseline import WINDOWS, noise_at, passing_noise, spread_fit, spread_posterior, sum_by, wander_chance
from analysis.lasting import Bounds, tilt
from analysis.sequential.base import Floats, Ints, Test
from guardian.core.columns import Columns
from guardian.core.model import TRACKS, Track
from guardian.core.windows import LENGTHS, take_tick, take_ticks, window_columns

WANDERS: Final = 0.7
"""Chance given in advance that noise common to all stable pods is that track's own."""
CONTRAST: Final = 1
"""Window (index into WINDOWS) at which canary against stable is watched."""


_YOUNG: Final = (Track.CANARY, Track.CONTROL)
"""Tracks of pods that began together."""


class Noise:
    """Noise of cells and pods, numbered as in the panel that owns it.

    fresh: canary pods are of another kind than stable's: only what they show themselves, and control pods of their
    age, says how much they differ.
    """

    def __init__(self, test: Test, *, fresh: bool = False) -> None:
        self._mixture, self._fresh = test.mixture, fresh
        directions, count = test.mixture.spreads.shape
        self._bounds = Bounds(test.mixture)
        self._shares = np.bincount(test.mixture.harm_direction, weights=test.mixture.harm_weights)
        windows = window_columns(directions)
        self.pods = Columns({**windows, "noise": (directions,), "track": ()})
        self.tracks = Columns(windows)
        self.contrasts = Columns({**windows, "pods": (directions,)})
        self.cells = Columns(
            {
                "curve": (directions, LENGTHS), "tracks": (directions, LENGTHS), "wander": (directions,),
                "posterior": (directions, count), "bound": (directions,), "part": (directions,), "risk": (), "pods": (),
                "merged": (),
            }
        )  # fmt: skip

    def add_cell(self, cell: int, risk: float) -> None:
        """Make room for a cell; numbers are the panel's. risk: chance of a false rollback that is accepted for it."""
        for columns in (self.cells, self.tracks, self.contrasts):
            columns.reach(cell)
        self.cells["posterior"][cell] = self._mixture.lone_prior
        self.cells["risk"][cell] = risk
        self._bind(np.array([cell]), np.zeros((1, *self._mixture.spreads.shape)), np.zeros(1))
        self.cells["wander"][cell] = WANDERS

    def drop_cell(self, cell: int) -> None:
        """Forget a cell; its number is used again."""
        for columns in (self.cells, self.tracks, self.contrasts):
            columns.clear(cell)

    def add_pod(self, pod: int, track: Track) -> None:
        """Make room for a pod; numbers are the panel's."""
        self.pods.reach(pod)
        self.pods["track"][pod] = track.code

    def take_pods(self, pods: Ints, terms: Floats, *, lone: npt.NDArray[np.bool_]) -> None:
        """Add one tick of pods (S,); terms (S, D, 3) drift, exposure, noise. Lone pods say nothing of spread."""
        take_tick(self.pods, pods, terms)
        self.pods["noise"][pods] += terms[..., 2] * ~lone[:, None]

    def take_tracks(self, cells: Ints, terms: Floats) -> None:
        """Add one tick of whole stable tracks against their own past."""
        take_tick(self.tracks, cells, terms)

    def take_past(self, pods: Ints, terms: Floats, cells: Ints, tracks: Floats, *, lone: npt.NDArray[np.bool_]) -> None:
        """Add ticks of history, in the order of time, as `take_pods` and `take_tracks` would one by one."""
        take_ticks(self.pods, pods, terms)
        np.add.at(self.pods["noise"], pods, terms[..., 2] * ~lone[:, None])
        take_ticks(self.tracks, cells, tracks)

    def contrast(self, cells: Ints, terms: Floats, pods: Floats) -> None:
        """Add one tick of canary against stable; pods: (C, D) sum of squared shares of pods in their tracks."""
        take_tick(self.contrasts, cells, terms)
        self.contrasts["pods"][cells] += pods

    def lasting(self, cells: Ints) -> Floats:
        """Variance (C, D) of lasting differences between pods, as expected now."""
        return np.asarray((self.cells["posterior"][cells] * self._mixture.spreads**2).sum(axis=-1))

    def tick_variance(self, cells: Ints, squared: Floats, lean: Floats, *, lasting: Floats) -> Floats:
        """Variance (C, D) of one tick's score beyond independent requests.

        squared: pods' squared lean, summed. lasting: as `lasting` gives it.
        """
        common = 2.0 * self.cells["wander"][cells] * self.cells["tracks"][cells][:, :, 0]
        return np.asarray(squared * (lasting + self.cells["curve"][cells][:, :, 0]) + lean**2 * common)

    def refresh(self, cells: Ints, pods: Ints, group: Ints, whole: Ints | None = None) -> None:
        """Fit cells (C,) anew; pods (S,) are all of theirs, sorted by group, the place of each one's cell.

        whole: (S,) which of them are one pod, None where each is one.
        """
        count, lines, cell, track = len(cells), self.pods["drift"][pods], group, self.pods["track"][pods]
        totals, noise, ticks = lines, self.pods["noise"][pods], self.pods["ticks"][pods]
        if whole is not None:  # what a pod differs by is common to its strata: they are one word about it
            _, first, of = np.unique(whole, return_index=True, return_inverse=True)
            totals = sum_by(totals * (noise > 0)[..., None], of, len(first))
            noise, longest = sum_by(noise, of, len(first)), np.zeros(len(first))
            np.maximum.at(longest, of, ticks)
            ticks = longest
            group, track = group[first], track[first]
        place = track.astype(np.int64) * count + group
        canary, several, control = np.bincount(
            place, weights=(noise[:, 0] > 0).astype(np.float64), minlength=len(TRACKS) * count
        ).reshape(len(TRACKS), count)
        beside = np.bincount(place, minlength=len(TRACKS) * count).reshape(len(TRACKS), count)[Track.CONTROL.code] > 0
        curve = passing_noise(self.pods["sums"][pods], self.pods["closed"][pods], lines, cell, count, alone=several < 2)
        passing = noise_at(curve[group], ticks[:, None])
        fit = np.zeros(self.cells["posterior"][cells].shape)
        for one in _YOUNG if self._fresh else Track:
            mine = noise * (track == one.code)[:, None]
            fit += spread_fit(totals, mine, passing, group, spreads=self._mixture.spreads, count=count)
        self.cells["curve"][cells] = curve
        compared = (fit != 0.0).any(axis=(1, 2))[:, None, None]
        merged = self.cells["merged"][cells][:, None, None] > 0
        mixture = self._mixture
        several_prior = mixture.lone_prior if self._fresh else mixture.prior
        prior = np.where(compared, several_prior, np.where(merged, mixture.merged_prior, mixture.lone_prior))
        fit *= mixture.freedom[:, None]
        self.cells["posterior"][cells] = spread_posterior(fit, prior)
        self._bind(cells, fit, tilt(np.maximum(canary, 1.0), np.maximum(np.where(beside, control, several), 1.0)))
        self.cells["pods"][cells] = several
        self._refresh_tracks(cells, curve)

    def _bind(self, cells: Ints, fit: Floats, tilted: Floats) -> None:
        """Work out which lasting differences of cells (C,) are beyond the part of the risk taken for them.

        tilted: (C,) as `analysis.lasting.tilt` gives it.
        """
        part = self._bounds.part(self.cells["posterior"][cells])
        self.cells["part"][cells] = part
        chance = part * self.cells["risk"][cells][:, None] * self._shares
        self.cells["bound"][cells] = self._bounds.bound(fit, chance, tilted)

    def _refresh_tracks(self, cells: Ints, curve: Floats) -> None:
        """What all stable pods share beyond their own noise, and whether that is the track's own."""
        several = np.maximum(self.cells["pods"][cells], 1.0)
        whole = passing_noise(
            self.tracks["sums"][cells], self.tracks["closed"][cells], self.tracks["drift"][cells],
            np.arange(len(cells)), len(cells), alone=np.ones(len(cells), dtype=np.bool_),
        )  # fmt: skip
        shared = np.maximum(whole - curve / several[:, None, None], 0.0) * (several > 1)[:, None, None]
        self.cells["tracks"][cells] = shared
        state = self.contrasts
        ticks = np.maximum(state["ticks"][cells], 1.0)
        self.cells["wander"][cells] = wander_chance(
            state["sums"][cells][:, :, CONTRAST], state["closed"][cells, CONTRAST], state["drift"][cells],
            pods=_around_mean(curve, ticks) * state["pods"][cells] / ticks[:, None],
            tracks=2.0 * _around_mean(shared, ticks), prior=WANDERS,
        )  # fmt: skip


def _around_mean(curve: Floats, ticks: Floats) -> Floats:
    """Variance (C, D) of contrast windows around the mean of all `ticks` (C,): slow noise hardly shows at first."""
    return np.asarray(np.maximum(curve[:, :, CONTRAST] - noise_at(curve, ticks[:, None]), 0.0))


__all__ = ["CONTRAST", "WANDERS", "WINDOWS", "Noise"]
