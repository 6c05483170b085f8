"""The evidence of many guardrails under one test, as arrays: takes ticks of counts in, gives log evidence out.

A cell is one guardrail of one rollout, a pod one series of a track of a cell. All rows of a tick that belong together
must arrive in ONE call of `fold`: aligning them is intake.py's part. It reads no clock and decides nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.baseline import noise_at, sum_by
from analysis.capping import largest_gains
from analysis.sequential.base import Floats, Ints, Reading, Test, start_times, start_weights
from analysis.sequential.mixture import Lasting, Sums, harm_evidence, plain, safe_evidence, unrest
from analysis.users import Users
from guardian.core.columns import Columns
from guardian.core.model import Track
from guardian.core.noise import Noise
from guardian.core.strata import Groups, Strata, summed_by

UNCALIBRATED: Final = 0.5
"""Extra dispersion assumed where too little history of stable was seen."""
ENOUGH_HISTORY: Final = 1740.0
"""Seconds of stable history that calibrate (30 minutes, less one long tick)."""
REFRESH: Final = 4
"""Ticks between two fits of the noise between pods."""
FITTED: Final = 1_000
"""Cells fitted at once, at most: what is worked out of their pods then stays in the processor's cache."""
STARTS: Final = start_times()
START_WEIGHTS: Final = start_weights()
SINCE: Final = ("gain", "information", "lean", "square")
"""Sums of a cell that are remembered anew, as `<name>0`, at each start of the mixture."""


class Panel:
    """Evidence of all cells of one test. Cells and pods are added, never moved; columns hold their state."""

    def __init__(self, test: Test, *, fresh: bool = False, users: Users | None = None) -> None:
        self.test, self.users = test, users
        mixture = test.mixture
        alternatives, safe = int(mixture.partner.max()) + 1, len(mixture.safe_weights)
        directions, parts = len(mixture.spreads), len(STARTS)
        self.cells = Columns(
            {
                "safe_gain": (safe,), "safe_information": (directions,),
                "gain": (alternatives,), "information": (directions,), "lean": (directions,),
                "square": (directions,), "gain0": (parts, alternatives), "information0": (parts, directions),
                "lean0": (parts, directions), "square0": (parts, directions), "started": (), "ticks": (),
                "history": (), "totals": (2, test.columns), "lasted": (),
            }
        )  # fmt: skip
        self.pods = Columns(
            {
                "cell": (), "canary": (), "stratum": (), "whole": (), "lean": (directions,), "square": (directions,),
                "lean0": (parts, directions), "square0": (parts, directions),
            }
        )  # fmt: skip
        self.strata = Strata(test.remembered)
        self.noise = Noise(test, fresh=fresh)
        self._asked: tuple[Ints, Ints, Ints] | None = None
        self._mine: dict[int, list[int]] = {}
        self._directions = np.zeros(alternatives, dtype=np.int64)
        self._directions[: len(mixture.partner)] = mixture.harm_direction
        self._directions[mixture.partner] = mixture.harm_direction
        self.add_cell(1.0)  # row 0 is nobody's: pods of closed rollouts point there

    def add_cell(self, risk: float) -> int:
        """Make room for one guardrail of one rollout and return its number; risk: chance of a false rollback by it."""
        cell = self.cells.add()
        self.strata.add_cell(cell)
        self.noise.add_cell(cell, risk)
        return cell

    def add_pod(self, cell: int, *, track: Track, stratum: int | None = None, whole: int | None = None) -> int:
        """Make room for one pod of a cell and return its number.

        stratum: where it serves; the cell's first one unless told. A pod that serves in several has a number in each;
        whole: its first one.
        """
        pod = self.pods.add()
        self._asked = None
        self.noise.add_pod(pod, track)
        self.pods["cell"][pod], self.pods["canary"][pod] = cell, float(track is Track.CANARY)
        self.pods["stratum"][pod] = self.strata.first(cell) if stratum is None else stratum
        self.pods["whole"][pod] = pod if whole is None else whole
        self._mine.setdefault(cell, []).append(pod)
        return pod

    def drop(self, cell: int) -> None:
        """Forget a cell with its pods; their numbers are used again."""
        self._asked = None
        for pod in self._mine.pop(cell, ()):
            self.pods.give_back(pod)
            self.noise.pods.clear(pod)
        self.cells.give_back(cell)
        self.strata.drop(cell)
        self.noise.drop_cell(cell)

    def fold(self, pods: Ints, counts: Floats, *, elapsed: Floats, seconds: Floats, cells: Ints) -> None:
        """Take one tick of some cells: counts (S, F) of `pods`, which belong to `cells` (C,), each once.

        elapsed: (C,) seconds from the canary's first traffic to the tick's end, <= 0 in history. seconds: (C,) its
        length. Gains of this tick use only what earlier ticks left in memory, noise curve and posterior.
        """
        groups = self.strata.of(cells)
        local = self.strata.places(groups)[self.pods["stratum"][pods].astype(np.int64)]
        if np.any(local[1:] < local[:-1]):
            order = np.argsort(local, kind="stable")
            pods, counts, local = pods[order], counts[order], local[order]
        canary = self.pods["canary"][pods] > 0
        sides = tuple(sum_by(counts * side[:, None], local, len(groups.strata)) for side in (canary, ~canary))
        live = elapsed > 0
        track = np.where(canary[:, None], sides[0][local], sides[1][local])
        if live.any():
            self._compare(pods, counts, local, track, sides, groups=groups, elapsed=elapsed, begin=elapsed - seconds)
        self._watch_pods(pods, counts, local, track, sides[1], groups=groups, live=live)
        self._finish(groups, sides, elapsed=elapsed, seconds=seconds)

    def fold_past(self, pods: Ints, counts: Floats, *, seconds: Floats, cells: Ints) -> None:
        """Take ticks of history as `fold` would one by one: counts (T, S, F) of stable `pods`, sorted by cell.

        seconds: (T, C). The noise is fitted where it last is due: nothing reads an earlier fit of history.
        """
        ticks = len(counts)
        due = ticks - (self.cells["ticks"][cells].astype(np.int64) + ticks) % REFRESH
        begin = 0
        for end in sorted({*due[due > 0].tolist(), ticks}):
            self._take_past(pods, counts[begin:end], seconds[begin:end], cells)
            self._fit_noise(cells[due == end])
            begin = end

    def _take_past(self, pods: Ints, counts: Floats, seconds: Floats, cells: Ints) -> None:
        ticks, groups = len(counts), self.strata.of(cells)
        count = len(groups.strata)
        local = self.strata.places(groups)[self.pods["stratum"][pods].astype(np.int64)]
        if np.any(local[1:] < local[:-1]):
            order = np.argsort(local, kind="stable")
            pods, counts, local = pods[order], counts[:, order], local[order]
        # every (tick, stratum) is a stratum of its own here
        place = (np.arange(ticks)[:, None] * count + local).ravel()
        rows = counts.reshape(-1, counts.shape[2])
        tracks = sum_by(rows, place, ticks * count)
        stable, lasted = tracks.reshape(ticks, count, -1), seconds[:, groups.cell]
        memory, before = self.strata.rows["memory"][groups.strata], np.empty((ticks, count, self.test.remembered))
        for tick in range(ticks):
            before[tick] = memory
            self.test.remember(memory, stable[tick], seconds=lasted[tick], history=True)
        self.strata.rows["memory"][groups.strata] = memory
        self.cells["ticks"][cells] += ticks
        self.cells["history"][cells] += seconds.sum(axis=0)
        kept, past = (np.flatnonzero(self.test.requests(each) > 0) for each in (rows, tracks))
        own = tracks[place[kept]]
        seen = self._against_past(rows[kept], own, place[kept], tracks[past], past, before.reshape(-1, before.shape[2]))
        lone = self.test.requests(rows[kept]) >= self.test.requests(own)
        at = past // count * len(cells) + groups.cell[past % count]
        owners, whole = summed_by(at, seen[len(kept) :], plain=groups.plain)
        self.noise.take_past(
            np.tile(pods, ticks)[kept], seen[: len(kept)], cells[owners % len(cells)], whole, lone=lone
        )

    def _places(self, cells: Ints) -> Ints:
        places = np.full(self.cells.size, -1)
        places[cells] = np.arange(len(cells))
        return places

    def members(self, cells: Ints) -> tuple[Ints, Ints]:
        """Pods of cells, sorted by cell, and the place of each one's cell; asked again for the same, it remembers."""
        if not len(cells):
            return cells, cells
        if len(cells) == 1:  # as one rollout's look asks: not to be looked for among the pods of all
            alone = np.array(sorted(self._mine.get(int(cells[0]), ())), dtype=np.int64)
            return alone, np.zeros_like(alone)
        if self._asked is None or not np.array_equal(cells, self._asked[0]):
            owner = self._places(cells)[self.pods["cell"][: self.pods.size].astype(np.int64)]
            mine = np.flatnonzero(owner >= 0)
            mine = mine[np.argsort(owner[mine], kind="stable")]
            self._asked = (cells, mine, owner[mine])
        return self._asked[1:]

    def _compare(
        self, pods: Ints, counts: Floats, local: Ints, track: Floats, sides: tuple[Floats, ...], *,
        groups: Groups, elapsed: Floats, begin: Floats,
    ) -> None:  # fmt: skip
        live = elapsed > 0
        mine, places = groups.chosen(live)
        pick = np.full(len(groups.strata), -1)
        pick[places] = np.arange(len(places))
        kept = np.flatnonzero(pick[local] >= 0)
        rows, group = pods[kept], pick[local[kept]]
        self._begin_parts(mine.cells, begin[live])
        memory = self.strata.rows["memory"][mine.strata]
        reading = self.test.read(sides[0][places], sides[1][places], memory, elapsed=elapsed[live][mine.cell])
        requests, total = self.test.requests(counts[kept]), self.test.requests(track[kept])
        share = np.divide(requests, total, out=np.zeros_like(total), where=total > 0)
        lean = reading.lean[group] * share[:, None]
        self._add_gains(
            mine.cells, mine.together(reading), self._squared(rows, lean, mine.cell[group], len(mine.cells))
        )
        self.pods["lean"][rows] += lean
        self.pods["square"][rows] += lean**2

    def _squared(self, pods: Ints, lean: Floats, group: Ints, count: int) -> Floats:
        """Sum over pods of their squared lean (S, ...) by group; what one pod leans in several strata is one lean."""
        if not self.strata.plain:
            _, first, whole = np.unique(self.pods["whole"][pods], return_index=True, return_inverse=True)
            lean, group = sum_by(lean, whole, len(first)), group[first]
        return sum_by(lean**2, group, count)

    def _begin_parts(self, cells: Ints, begin: Floats) -> None:
        """Remember the sums of cells at the start of each part of the mixture that begins with this tick."""
        started = self.cells["started"][cells]
        due = np.maximum(np.searchsorted(STARTS, begin, side="right"), 1)
        for part in range(int(started.min()), int(due.max())):
            fresh = cells[(started <= part) & (part < due)]
            if not len(fresh):
                continue
            for name in SINCE:
                self.cells[f"{name}0"][fresh, part] = self.cells[name][fresh]
            mine, _ = self.members(fresh)
            for name in ("lean", "square"):
                self.pods[f"{name}0"][mine, part] = self.pods[name][mine]
        self.cells["started"][cells] = np.maximum(started, due)

    def _add_gains(self, cells: Ints, reading: Reading, squared: Floats) -> None:
        """Add one tick's gains, none larger than the cap: one burst may not decide."""
        known, noise = reading.harm_information > 0, self.noise
        pods = np.divide(squared, reading.lean**2, out=np.zeros_like(squared), where=reading.lean > 0)
        lasting = noise.lasting(cells)
        newest = self.cells["started"][cells].astype(np.int64) - 1
        harm, safe = largest_gains(
            reading.lean, reading.harm_information, pods, lasting=lasting,
            extra=noise.tick_variance(cells, squared, reading.lean, lasting=lasting),
            since=[self._until(cells, part) for part in (newest, np.zeros_like(newest))],
        )  # fmt: skip
        self.cells["gain"][cells] += np.minimum(reading.harm, harm[:, self._directions])
        self.cells["information"][cells] += reading.harm_information
        self.cells["lean"][cells] += reading.lean
        self.cells["square"][cells] += reading.lean**2
        self.cells["safe_gain"][cells] += np.minimum(reading.safe, safe[:, self.test.mixture.safe_direction])
        self.cells["safe_information"][cells] += reading.safe_information
        seen = known.any(axis=1)
        terms = np.stack((reading.score, reading.lean, reading.harm_information), axis=-1)
        self.noise.contrast(cells[seen], terms[seen], pods[seen])

    def _until(self, cells: Ints, part: Ints) -> tuple[Floats, Floats]:
        """Lean and information (C, D) of each cell since the start of one part of its mixture."""
        lean, information = (
            self.cells[name][cells] - self.cells[f"{name}0"][cells, part] for name in ("lean", "information")
        )
        return lean, information

    def _watch_pods(
        self, pods: Ints, counts: Floats, local: Ints, track: Floats, stable: Floats, *,
        groups: Groups, live: npt.NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Take each pod's drift from its own track; a lone canary says nothing, a lone stable pod only in history."""
        canary = self.pods["canary"][pods] > 0
        requests, live = self.test.requests(counts), live[groups.cell]
        alone = requests >= self.test.requests(track)
        kept = np.flatnonzero((requests > 0) & ~(alone & (canary | live[local])))
        past = np.flatnonzero(~live & (self.test.requests(stable) > 0))
        memory = self.strata.rows["memory"][groups.strata]
        terms = self._against_past(counts[kept], track[kept], local[kept], stable[past], past, memory)
        self.noise.take_pods(pods[kept], terms[: len(kept)], lone=alone[kept])
        if len(past):
            owners, whole = summed_by(groups.cell[past], terms[len(kept) :], plain=groups.plain)
            self.noise.take_tracks(groups.cells[owners], whole)

    def _against_past(
        self, counts: Floats, track: Floats, local: Ints, stable: Floats, past: Ints, memory: Floats
    ) -> Floats:
        """Terms (S + P, D, 3) of pods against their tracks, then of whole tracks as lone pods: against the past."""
        seen = self.test.pods(
            np.concatenate((counts, stable)), np.concatenate((track, stable)), memory, np.concatenate((local, past))
        )
        return np.stack((seen.drift, seen.exposure, seen.noise), axis=-1)

    def _finish(self, groups: Groups, sides: tuple[Floats, ...], *, elapsed: Floats, seconds: Floats) -> None:
        cells, memory, live = groups.cells, self.strata.rows["memory"][groups.strata], elapsed > 0
        for history in (False, True):
            rows = np.flatnonzero(live[groups.cell] != history)
            if len(rows):
                part = memory[rows]
                self.test.remember(part, sides[1][rows], seconds=seconds[groups.cell[rows]], history=history)
                memory[rows] = part
        self.strata.rows["memory"][groups.strata] = memory
        self.cells["ticks"][cells] += 1
        self.cells["history"][cells] += np.where(live, 0.0, seconds)
        self.cells["lasted"][cells] = np.maximum(self.cells["lasted"][cells], elapsed)
        served = [self.test.requests(side) * live[groups.cell] for side in sides]
        self.strata.serve(groups, *served, seconds=seconds)
        for track, side in enumerate(sides):
            self.cells["totals"][cells, track] += groups.summed(side) * live[:, None]
        self._fit_noise(cells[self.cells["ticks"][cells] % REFRESH == 0])

    def _fit_noise(self, cells: Ints) -> None:
        pods, group = self.members(cells)
        for some in np.array_split(np.arange(len(cells)), -(-len(cells) // FITTED)) if len(cells) else ():
            here = slice(*np.searchsorted(group, (some[0], some[-1] + 1)))
            mine = pods[here]
            whole = None if self.strata.plain else self.pods["whole"][mine].astype(np.int64)
            self.noise.refresh(cells[some], mine, group[here] - some[0], whole)

    def harm(self, cells: Ints, gain: Floats) -> Floats:
        """Log evidence (C,) that the canary is beyond the rollback margin; 0 before its first traffic.

        gain: as `gains` gave it. What pods differ is worked out only where the plain mixture says anything.
        """
        parts = gain.shape[1] - 1
        if parts == 0:
            return np.zeros(len(cells))
        weights, mixture, noise = START_WEIGHTS[:parts], self.test.mixture, self.noise.cells
        log_starts = np.log(np.append(weights, max(1.0 - weights.sum(), 1e-300)))
        value = plain(gain, log_starts=log_starts, log_weights=np.log(mixture.harm_weights))
        grown = np.flatnonzero(value > 0.0)
        if len(grown):
            chosen = cells[grown]
            lasting = Lasting(
                posterior=noise["posterior"][chosen], bound=noise["bound"][chosen], part=noise["part"][chosen]
            )
            sums = self.sums(chosen, gain[grown])
            value[grown] = harm_evidence(value[grown], sums, lasting=lasting, mixture=mixture, log_starts=log_starts)
        return value

    def safe(self, cells: Ints) -> Floats:
        """Log evidence (C,) that the canary is within the promote margin."""
        reach, passing, common = self._reach(cells, 1, self._since(("information",), cells, 1)[0])
        since_first = Sums(
            gain=self.cells["safe_gain"][cells][:, None], reach=reach, passing=passing, common=common,
            information=self.cells["safe_information"][cells][:, None], wander=self.noise.cells["wander"][cells],
        )  # fmt: skip
        return safe_evidence(since_first, posterior=self.noise.cells["posterior"][cells], mixture=self.test.mixture)

    def unrest(self, cells: Ints, gain: Floats) -> Floats:
        """Largest log evidence (C,) of one start and alternative alone, tempered by the plainest dispersion."""
        if gain.shape[1] == 1:
            return np.zeros(len(cells))
        return unrest(self.sums(cells, gain), posterior=self.noise.cells["posterior"][cells], mixture=self.test.mixture)

    def calibrated(self, cells: Ints) -> npt.NDArray[np.bool_]:
        """Whether enough of stable against itself was seen (C,)."""
        enough = self.cells["history"][cells] >= ENOUGH_HISTORY
        return np.asarray(enough & (self.noise.cells["pods"][cells] >= 2))

    def _since(self, names: tuple[str, ...], cells: Ints, parts: int) -> tuple[Floats, ...]:
        """Sums (C, parts, ...) of each name since each start; 0 where it has not come yet."""
        begun, state = (np.arange(parts) < self.cells["started"][cells][:, None])[:, :, None], self.cells
        return tuple((state[name][cells][:, None] - state[f"{name}0"][cells, :parts]) * begun for name in names)

    def gains(self, cells: Ints) -> Floats:
        """Gains since each start (C, parts + 1, K); the last part, all 0, stands for what has not begun."""
        (gain,) = self._since(("gain",), cells, int(self.cells["started"][cells].max(initial=0)))
        partner = self.test.mixture.partner
        alone = gain.shape[2] == len(partner)  # each is its own partner
        return _padded(gain if alone else np.minimum(gain[..., : len(partner)], gain[..., partner]))

    def sums(self, cells: Ints, gain: Floats) -> Sums:
        """Everything since each start (C, parts + 1, ...); gain: as `gains` gave it."""
        parts = gain.shape[1] - 1
        (information,) = self._since(("information",), cells, parts)
        reach, passing, common = self._reach(cells, parts, information)
        return Sums(
            gain=gain, information=_padded(information), reach=_padded(reach), passing=_padded(passing),
            common=_padded(common), wander=self.noise.cells["wander"][cells],
        )  # fmt: skip

    def _reach(self, cells: Ints, parts: int, information: Floats) -> tuple[Floats, Floats, Floats]:
        """Per start (C, parts, D): squared lean over pods; the same times passing noise; if whole tracks wander."""
        mine, group = self.members(cells)
        lean = self.pods["lean"][mine][:, None] - self.pods["lean0"][mine, :parts]
        square = self.pods["square"][mine][:, None] - self.pods["square0"][mine, :parts]
        if not self.strata.plain:  # what one pod leans in several strata is one lean
            _, first, of = np.unique(self.pods["whole"][mine], return_index=True, return_inverse=True)
            lean, square, group = sum_by(lean, of, len(first)), sum_by(square, of, len(first)), group[first]
        noise = _noise(self.noise.cells["curve"][cells][group], lean, square)
        both = sum_by(np.concatenate((lean**2, lean**2 * noise), axis=2), group, len(cells))
        reach, passing = both[..., : lean.shape[2]], both[..., lean.shape[2] :]
        thin = UNCALIBRATED * (self.cells["history"][cells] < ENOUGH_HISTORY)[:, None]
        if self.users is not None:  # what users do together shows the more of itself, the longer they are seen
            thin = thin + self.users.dispersion(self.cells["lasted"][cells][:, None] - STARTS[:parts]) - 1.0
        common, tracks = np.zeros_like(reach), self.noise.cells["tracks"][cells]
        if tracks.any():
            whole, squares = self._since(("lean", "square"), cells, parts)
            common = 2.0 * whole**2 * _noise(tracks, whole, squares)
        return reach, passing + thin[:, :, None] * information, common


def _padded(parts: Floats) -> Floats:
    """The parts (C, parts, ...) and one more, all 0."""
    out = np.zeros((parts.shape[0], parts.shape[1] + 1, parts.shape[2]))
    out[:, :-1] = parts
    return out


def _noise(curve: Floats, lean: Floats, square: Floats) -> Floats:
    """Passing variance (N, parts, D) over the effective number of ticks behind each lean; curve (N, D, W)."""
    return noise_at(curve[:, None], np.divide(lean**2, square, out=np.ones_like(lean), where=square > 0))
