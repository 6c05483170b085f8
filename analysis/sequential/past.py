"""Is a service worse than it was before, when no stable track is left? Evidence against its own past.

For a bake at 100 %, blue-green after the switch, rolling near its end. The level wanders by itself: comparing an hour
with the hour before, as if only counting noise stood between them, calls 3-5 % of healthy hours worse at a nominal 1 %.
Here the level is a gamma variable that loses certainty with time (wander), and blocks scatter around it; how much of
both is learnt from history by how well each of a grid of models foretold it. Evidence is the ratio of two forecasts of
what came after the change, "worse by a multiple of the margin" against "at the margin", both averaged over the models.
It cannot tell the change from anything else that began with it, and history without incidents knows of none.

Source: Smith and Miller 1986, Harvey and Fernandes 1989 (gamma level of Poisson counts); Dawid 1984 (prequential
forecasts: the ratio of two is a martingale under the lower one); Robbins 1970 (mixture).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.special import gammaln

from analysis.sequential.base import Floats, Ints, logsumexp
from analysis.sequential.ratio import lower_rate
from analysis.sequential.rows import Flags
from analysis.sequential.watch import Watched, sound_rows

BLOCK: Final = 30.0
"""Seconds that are foretold at once."""
WANDERS: Final = (0.0, 0.015, 0.04, 0.1, 0.25)
"""Standard deviations of the log level's change in one minute."""
WANDER_PRIOR: Final = (0.14, 0.20, 0.24, 0.24, 0.18)
RETURNS: Final = (np.inf, 900.0, 120.0)
"""Seconds in which a level that has wandered goes back towards its mean by a factor e; inf: it never does."""
RETURN_PRIOR: Final = (0.5, 0.25, 0.25)
SCATTERS: Final = (0.0, 0.1, 0.3, 0.8)
"""Relative standard deviations of a block around the level, beyond counting noise."""
SCATTER_PRIOR: Final = (0.32, 0.28, 0.26, 0.14)
WORSE: Final = (1.25, 1.6, 2.5, 5.0, 15.0)
"""Alternatives, in multiples of the margin."""
STARTS: Final = (0.0, 270.0)
"""Seconds after the change at which they begin."""
START_WEIGHTS: Final = (0.65, 0.35)
ODD: Final = 0.01
"""Chance given in advance that a block is a burst: it says nothing of the level, gains little, and is not learnt."""
ODD_SCATTER: Final = 4.0
"""Relative variance of such a block."""
LEAST_HISTORY: Final = 1800.0
"""Seconds of history that calibrate at least."""
LEAST_TIMES: Final = 2.0
"""How many times the time since the change history must last to calibrate."""
LEAST_EVENTS: Final = 0.5
"""Events added to the first block: a level of exactly 0 is never certain."""
NOW: Final = 9
"""Column of memory: log evidence after the newest block; the next one is that after the block before."""
_FIRST: Final = 11
"""Columns of memory before the models': live, history, since, pending events, exposure and seconds, margin, all events
and all exposure of history, then see NOW."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastWatch:
    """Events per exposure, after a change against before; counts are (events, exposure).

    Exposure: requests (events: the bad ones) or seconds (events that have no denominator). relative, absolute: margin
    level * relative + absolute, absolute in events per exposure. few: the margin is level / relative, and too few are
    looked for. alpha: chance of evidence 1 / alpha under the models. Memory: see _FIRST; then of each model shape and
    rate of the level, and the log chance of what came; then of each model and alternative its gain and rate.
    """

    relative: float
    absolute: float = 0.0
    few: bool = False
    alpha: float = 0.01
    wander: Floats = field(init=False)
    returns: Floats = field(init=False)
    scatter: Floats = field(init=False)
    spread: Floats = field(init=False)
    prior: Floats = field(init=False)
    worse: Floats = field(init=False)
    starts: Floats = field(init=False)
    weights: Floats = field(init=False)

    def __post_init__(self) -> None:
        """Lay out the grid of models."""
        if not (self.relative >= 1.0 and self.absolute >= 0.0 and 0.0 < self.alpha < 1.0):
            raise ValueError(f"{self.relative=}, {self.absolute=}, {self.alpha=}: needs >= 1, >= 0 and (0, 1)")
        grid = np.meshgrid(np.square(WANDERS) / 60.0, RETURNS, np.square(SCATTERS), indexing="ij")
        wander, returns, scatter = (axis.ravel() for axis in grid)
        prior = np.einsum("i,j,k->ijk", WANDER_PRIOR, RETURN_PRIOR, SCATTER_PRIOR).ravel()
        multiples = np.tile(1.0 / np.array(WORSE) if self.few else np.array(WORSE), len(STARTS))
        weights = np.repeat(START_WEIGHTS, len(WORSE)) / len(WORSE)
        lasting = wander * np.where(np.isfinite(returns), returns, 0.0) / 2.0
        setters = {
            "wander": wander,
            "returns": returns,
            "scatter": scatter,
            "spread": np.where(lasting > 0, lasting, np.inf),
            "prior": np.log(prior),
            "worse": np.concatenate(([1.0], multiples)),
            "starts": np.concatenate(([0.0], np.repeat(STARTS, len(WORSE)))),
            "weights": np.log(weights),
        }
        for name, value in setters.items():
            object.__setattr__(self, name, value)

    @property
    def models(self) -> int:
        """G: how many models there are."""
        return len(self.wander)

    @property
    def remembered(self) -> int:
        """Columns of `memory` per cell."""
        return _FIRST + self.models * (3 + 2 * len(self.worse))

    def take(self, memory: Floats, counts: Floats, *, seconds: Floats, live: Flags) -> None:
        """Take one tick; see watch.Watch."""
        counts, length = sound_rows(counts, seconds)
        counts = np.where((counts[:, 1] > 0)[:, None], counts, 0.0)
        turned = live & (memory[:, 0] == 0.0)
        self._close(memory, np.flatnonzero(turned))
        self._turn(memory, np.flatnonzero(turned))
        memory[:, 1] += np.where(memory[:, 0] == 0.0, length, 0.0)
        memory[:, 2] += np.where(memory[:, 0] > 0.0, length, 0.0)
        memory[:, 3:5] += counts
        memory[:, 5] += length
        self._close(memory, np.flatnonzero(memory[:, 5] >= BLOCK * 0.999))

    def _turn(self, memory: Floats, cells: Ints) -> None:
        """The change begins: fix the margin, and begin every alternative where the level stands."""
        if not len(cells):
            return
        models = self._models(memory[cells])
        shape, rate = models[:, :, 0], models[:, :, 1]
        known = rate > 0
        level = np.divide(shape, rate, out=np.zeros_like(rate), where=known)
        events = np.where(known.any(axis=1), shape.mean(axis=1), 0.0)
        exposure = np.divide(events, level.mean(axis=1), out=np.zeros(len(cells)), where=level.mean(axis=1) > 0)
        low = lower_rate(events, exposure)
        extra = np.divide(self.absolute, low, out=np.zeros_like(low), where=low > 0)
        margin = 1.0 / (self.relative + extra) if self.few else self.relative + extra
        memory[cells, 6] = np.where(low > 0, margin, 0.0)
        memory[cells, 0] = 1.0
        parts = self._alternatives(memory)
        parts[cells, :, :, 1] = rate[:, :, None]

    def _models(self, memory: Floats) -> Floats:
        """View (C, G, 3): shape and rate of the level, log chance of what came under the null."""
        return memory[:, _FIRST : _FIRST + 3 * self.models].reshape(len(memory), self.models, 3)

    def _alternatives(self, memory: Floats) -> Floats:
        """View (C, G, K, 2): gain on the null and rate of the level; the first alternative is the null."""
        return memory[:, _FIRST + 3 * self.models :].reshape(len(memory), self.models, len(self.worse), 2)

    def _close(self, memory: Floats, cells: Ints) -> None:
        """Let every model foretell the pending block, then learn from it."""
        cells = cells[memory[cells, 5] > 0]
        if not len(cells):
            return
        events, exposure, seconds = memory[cells, 3:6].T
        memory[cells, 3:6] = 0.0
        live = memory[cells, 0] > 0
        kinds = slice(None if live.any() else 1)  # before the change only the null foretells
        models, parts = self._models(memory)[cells], self._alternatives(memory)[cells, :, kinds]
        begun = memory[cells, 2:3] - seconds[:, None] >= self.starts[kinds] - 1e-6
        margin = np.where(live, memory[cells, 6], 1.0)[:, None] * np.where(begun, self.worse[kinds], 1.0)
        rates = np.where(live[:, None, None], parts[..., 1], models[:, :, 1:2])
        shape, rate, rates = self._older(models[:, :, 0], models[:, :, 1], rates, memory[cells], seconds)
        seen = (exposure > 0)[:, None] & (rate > 0) & (margin[:, :1] > 0)
        logs, odd, mean = self._forecasts(events, exposure, shape, rates, margin, seen)
        usual = np.log1p(-ODD) + logs
        logs = np.logaddexp(usual, np.log(ODD) + odd[..., None])
        believed = np.exp(usual[..., 0] - logs[..., 0])
        weight = np.where(seen, believed / (1.0 + self.scatter * mean), 0.0)
        first = (exposure > 0)[:, None] & (rate <= 0) & ~live[:, None]
        models[:, :, 0] = np.where(first, events[:, None] + LEAST_EVENTS, shape + weight * events[:, None])
        models[:, :, 1] = np.where(first, exposure[:, None], rate + weight * exposure[:, None])
        memory[cells, 7:9] += np.where(live[:, None], 0.0, np.stack((events, exposure), axis=1))
        models[:, :, 2] += np.where(seen, logs[..., 0], 0.0)
        parts[..., 0] += np.where(live[:, None, None] & seen[..., None], logs - logs[..., :1], 0.0)
        parts[..., 1] = np.where(
            live[:, None, None], rates + (weight * exposure[:, None])[..., None] * margin[:, None, :], parts[..., 1]
        )
        self._models(memory)[cells], self._alternatives(memory)[cells, :, kinds] = models, parts
        memory[cells, NOW + 1] = memory[cells, NOW]
        memory[cells, NOW] = 0.0
        if live.any():
            memory[cells, NOW] = np.where(live, self._evidence(models[:, :, 2], parts[:, :, 1:, 0]), 0.0)

    def _older(
        self, shape: Floats, rate: Floats, rates: Floats, memory: Floats, seconds: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Shape and rate (C, G), rates (C, G, K) of the level after `seconds` (C,) without data.

        Less is known of it; where it goes back to its mean, that of history is what it goes back to.
        """
        keep = 1.0 / (1.0 + shape * self.wander * seconds[:, None])
        returns = np.isfinite(self.spread) & (memory[:, 7:8] > 0)
        part = np.where(returns, 1.0 - np.exp(-seconds[:, None] / self.returns), 0.0)
        doubt = 1.0 + 2.0 * self.returns / np.maximum(memory[:, 1:2], BLOCK)
        anchor = part / (self.spread * doubt)
        level = np.divide(memory[:, 8:9], memory[:, 7:8], out=np.zeros_like(part), where=memory[:, 7:8] > 0)
        left = keep * (1.0 - part)
        return (
            shape * left + anchor,
            rate * left + anchor * level,
            rates * left[..., None] + (anchor * level)[..., None],
        )

    def _forecasts(
        self, events: Floats, exposure: Floats, shape: Floats, rates: Floats, margin: Floats, seen: Flags
    ) -> tuple[Floats, Floats, Floats]:
        """Log chance (C, G, K) of the events under each alternative, (C, G) in a burst, and the mean under the null.

        Negative binomials; their relative variance is that of the level and of the scatter together.
        """
        safe = np.where(seen[..., None], rates, 1.0)
        mean = np.maximum(shape[..., None] * margin[:, None, :] * exposure[:, None, None] / safe, 1e-12)
        variance = 1.0 / np.maximum(shape, 1e-12)
        logs = _log_chance(events[:, None], mean, 1.0 / (variance + self.scatter))
        odd = _log_chance(events[:, None], mean[..., :1], 1.0 / (variance + ODD_SCATTER))
        return logs, odd[..., 0], mean[..., 0]

    def standing(self, memory: Floats) -> Watched:
        """How cells stand: log evidence (C, 1) that the level is beyond the margin, since the change.

        The smaller one of the last two blocks: a burst of one block decides nothing.
        """
        value = np.minimum(memory[:, NOW], memory[:, NOW + 1])[:, None]
        calibrated = memory[:, 1] >= np.maximum(LEAST_HISTORY, LEAST_TIMES * memory[:, 2])
        found = (value >= -np.log(self.alpha)) & calibrated[:, None]
        return Watched(log_evidence=value, found=found, calibrated=np.asarray(calibrated))

    def _evidence(self, fit: Floats, gain: Floats) -> Floats:
        """Log ratio (C,) of the forecasts of all models together; fit (C, G), gain (C, G, K)."""
        weights = self.prior + fit
        weights -= logsumexp(weights, axis=1)[:, None]
        return logsumexp(weights[:, :, None] + gain + self.weights, axis=(1, 2))


def _log_chance(events: Floats, mean: Floats, size: Floats) -> Floats:
    """Log chance (C, G, K) of events (C, 1) in a negative binomial of mean (C, G, K) and size (C, G)."""
    common = np.asarray(gammaln(events + size) - gammaln(size) - gammaln(events + 1.0), dtype=np.float64)
    odds = mean / size[..., None]
    rest = events[..., None] * np.log(odds) - (size + events)[..., None] * np.log1p(odds)
    found: Floats = common[..., None] + rest
    return found
