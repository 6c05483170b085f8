"""The proved correction for pods that differ (analysis/exchangeable.py) beside the calibrated one, on the same streams.

Equal-sized pods of both tracks: without them nothing is exchangeable. What is measured is the price of the proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import numpy as np

from analysis.exchangeable import drawn_evidence, draws, over_looks
from benchmarks.cells import Campaign, Cell, Counts
from benchmarks.detection.families import ERRORS, ERRORS_ONLY
from benchmarks.detection.judged import judged
from benchmarks.detection.streams import Floats, Situation, Streams, always, generate

ALPHA: Final = 0.01
LOOKS: Final = 60.0 * 1.4 ** np.arange(11)
"""Seconds after the first canary traffic; each look has the same weight."""
NOISE: Final[Mapping[str, Mapping[str, Any]]] = {
    "independent": {},
    "pods differ 15 %": {"pod_sd": 0.15},
    "pods differ 30 %": {"pod_sd": 0.3},
    "correlation 0.95": {"noise_sd": 0.4, "noise_rho": 0.95},
}
SHAPES: Final = ((2, 6), (3, 9), (4, 12))


def situation(noise: Mapping[str, Any], shape: tuple[int, int], *, worse: float) -> Situation:
    """Pods of equal size: the canary has as much traffic as it has of the pods."""
    canary, stable = shape
    return Situation(
        rps=2000.0, canary_pods=canary, stable_pods=stable, weight=always(canary / (canary + stable)),
        effect=always(worse), **noise,
    )  # fmt: skip


def proved(streams: Streams) -> Floats:
    """Largest log evidence of each run (runs,), by the sum over looks."""
    assert ERRORS.compare is not None
    world = streams.situation
    ways = draws(len(world.canary), int(world.canary.sum()))
    live = world.times > 0
    bad, requests = (np.cumsum(each[:, live], axis=1) for each in (streams.bad, streams.requests))
    at = np.searchsorted(world.times[live], LOOKS[world.length >= LOOKS] - 1e-9)
    effects = np.log((bad[:, at] + 0.5) / np.maximum(requests[:, at], 1.0))
    effects -= np.log(ERRORS.compare.rollback.relative) * world.canary
    runs, looks, pods = effects.shape
    each = drawn_evidence(effects.reshape(-1, pods), ways).reshape(runs, looks)
    return np.asarray(over_looks(each, np.full(looks, 1.0 / len(LOOKS)))[:, -1])


def compared(seed: int, runs: int, *, noise: str, shape: tuple[int, int], worse: float) -> Counts:
    """Rollbacks by the proved evidence, and by the product's rules."""
    streams = generate(situation(NOISE[noise], shape, worse=worse), runs=runs, seed=seed)
    sure = proved(streams) >= -np.log(ALPHA)
    calibrated = np.isfinite(judged(streams, ERRORS_ONLY).rolled_back)
    return Counts(
        runs=runs,
        events={
            "proved: rolled back": int(sure.sum()),
            "calibrated: rolled back": int(calibrated.sum()),
            "missed by both": int((~sure & ~calibrated).sum()),
        },
    )


def _cell(noise: str, shape: tuple[int, int], worse: float) -> Cell:
    words = f"{noise}, {shape[0]} of {sum(shape)} pods, {'healthy' if worse == 1.0 else f'x{worse:g}'}"
    claims = (
        {"proved: rolled back": ALPHA, "calibrated: rolled back": ALPHA} if worse == 1.0 else {"missed by both": 0.9}
    )
    run = partial(compared, noise=noise, shape=shape, worse=worse)
    return Cell(name=words, run=run, at_most=claims, chunk=250, slice_runs=20)


CAMPAIGN = Campaign(
    name="guarantee",
    claim="Of equal pods, healthy ones are rolled back in at most 1 %, by the proved and by the calibrated evidence.",
    cells=tuple(_cell(noise, shape, worse) for noise in NOISE for shape in SHAPES for worse in (1.0, 2.0)),
    sources=("analysis", "guardian/core", "benchmarks/campaigns", "benchmarks/detection"),
)
