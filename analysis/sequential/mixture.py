"""From gains to evidence: mixtures over alternatives and start times, plain and corrected for pods that differ.

Two numbers, and the smaller one counts:
  plain       mixture of likelihood ratios. Proved (Ville): under independent requests it exceeds 1/alpha with chance
              at most alpha, at any number of looks.
  calibrated  the same against a null in which pods differ by a random lasting effect and a passing one: the ratio of
              marginal likelihoods, Gaussian in the score. Measured, not proved.
The minimum keeps the first claim and usually has the second.

Source: Robbins 1970 (mixtures); Howard et al. 2021; random effects: docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.special import log_ndtr

from analysis.sequential.base import HUGE, Floats, Ints, Mixture, logsumexp

AT_ONCE: Final = 3_000
"""Cells times starts worked on at once: what lies between gains and evidence then stays in the processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What has accumulated since each start; (C, J, ...) with rows that have not started all 0.

    gain: (C, J, K). information: (C, J, D). reach: (C, J, D) sum over pods of squared lean, in units of the
    direction. passing: (C, J, D) the same, times the passing variance of each pod over that time. common: (C, J, D)
    variance of the score if whole tracks wander by themselves; which they do with chance `wander` (C, D).
    """

    gain: Floats
    information: Floats
    reach: Floats
    passing: Floats
    common: Floats
    wander: Floats

    def rows(self, chosen: Ints | slice) -> Sums:
        """The same for some of the cells."""
        return Sums(
            gain=self.gain[chosen], information=self.information[chosen], reach=self.reach[chosen],
            passing=self.passing[chosen], common=self.common[chosen], wander=self.wander[chosen],
        )  # fmt: skip

    def cells_last(self) -> Sums:
        """The same with axes turned round, (..., J, C): what is done to each spread then runs along the cells."""
        return Sums(
            gain=_turned(self.gain), information=_turned(self.information), reach=_turned(self.reach),
            passing=_turned(self.passing), common=_turned(self.common), wander=_turned(self.wander),
        )  # fmt: skip


def _turned(values: Floats) -> Floats:
    return np.ascontiguousarray(values.T)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanations:
    """What a score may come from but harm: each lasting spread (Q), with and without tracks that wander.

    lasting: (2Q, D, J, C) variance of the score by lasting differences between pods. passing: the same by all else
    beyond independent requests. weights: (2Q, D, 1, C), sum to 1. Only Q where no track is said to wander.
    """

    lasting: Floats
    passing: Floats
    weights: Floats

    @classmethod
    def of(cls, sums: Sums, spreads: Floats, posterior: Floats, *, wander: bool) -> Explanations:
        """From the weight (Q, D, C) of each spread (Q, D); sums: cells last."""
        lasting = sums.reach * spreads[..., None, None] ** 2
        passing = np.broadcast_to(sums.passing, lasting.shape)
        if wander:
            passing = np.concatenate((passing, passing + sums.common))
            lasting = np.concatenate((lasting, lasting))
            posterior = np.concatenate((posterior * (1.0 - sums.wander), posterior * sums.wander))
        return cls(lasting=lasting, passing=passing, weights=posterior[:, :, None])

    def inflation(self, information: Floats) -> Floats:
        """Variance of the score over what independent requests give (2Q, D, J, C), >= 1; information (D, J, C)."""
        extra = self.lasting + self.passing
        return 1.0 + np.divide(extra, information, out=np.zeros_like(extra), where=information > 0)

    def within(self, bound: Floats, sums: Sums, deviance: Floats) -> Floats:
        """Log chance (2Q, D, J, C) that the lasting part of a score of this deviance (D, J, C) is not beyond a bound.

        bound: (D, C) of a lasting difference, in units of the direction. The score's lasting part is Gaussian given the
        score, and may be at most bound * sqrt(reach).
        """
        rest = sums.information + self.passing
        whole = np.maximum(self.lasting + rest, 1e-300)
        score = np.sqrt(2.0 * sums.information * deviance)
        gap = bound[:, None] * np.sqrt(sums.reach) - score * self.lasting / whole
        spread = np.sqrt(self.lasting * rest / whole)
        return np.asarray(log_ndtr(np.divide(gap, spread, out=np.full_like(gap, np.inf), where=spread > 0)))


def _blocks(gain: Floats) -> Iterator[slice]:
    """Cells of gains (C, J, K) that are worked on at once."""
    step = max(AT_ONCE // gain.shape[1], 1)
    return (slice(begin, begin + step) for begin in range(0, len(gain), step))


def plain(gain: Floats, *, log_starts: Floats, log_weights: Floats) -> Floats:
    """Log of the mixture e-process (C,); gain (C, J, K), log_starts (J,), log_weights (K,)."""
    out, weights = np.empty(len(gain)), log_weights + log_starts[:, None]
    for some in _blocks(gain):
        out[some] = logsumexp(gain[some] + weights, axis=(1, 2))
    return out


def null_weights(deviance: Floats, phi: Floats, posterior: Floats) -> Floats:
    """How well each spread explains what was seen under the null; logs, normalised over Q, (Q, ...).

    deviance: (...) largest log likelihood ratio against the null, >= 0. posterior: (Q, ...), broadcast.
    """
    with np.errstate(divide="ignore"):
        fit = np.log(posterior) - 0.5 * np.log(phi) - deviance / phi
    return np.asarray(fit - mixed(fit))


def mixed(values: Floats) -> Floats:
    """log(sum(exp(values))) along the first axis, without overflow; all -inf gives -inf.

    Pairs are summed first, as numpy does along a last axis: which axis it is then changes no bit.
    """
    top = np.minimum(np.maximum(np.maximum.reduce(values), -HUGE), HUGE)
    terms = np.exp(values - top)
    while len(terms) > 8 and len(terms) % 2 == 0:
        terms = terms[: len(terms) // 2] + terms[len(terms) // 2 :]
    while len(terms) > 1 and len(terms) % 2 == 0:
        terms = terms[0::2] + terms[1::2]
    total = terms[0] if len(terms) == 1 else np.add.reduce(terms)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(total) + top)


def begins(direction: Ints) -> Ints:
    """Places where the alternatives of each direction named begin; direction: (K,), sorted.

    >>> begins(np.array([0, 0, 2])).tolist()
    [0, 2]
    """
    return np.concatenate(([True], direction[1:] != direction[:-1])).nonzero()[0]


def tempered(sums: Sums, direction: Ints, *, posterior: Floats, spreads: Floats, bound: Floats | None = None) -> Floats:
    """Log ratio of marginal likelihoods for each alternative, (C, J, K), against the spreads of its own direction.

    direction: (K,), sorted. posterior: (C, D, Q) of spreads (D, Q): sum over spreads of
    P(spread | seen, null) * exp(gain / phi). bound: (C, D), the null leaves out lasting differences beyond it
    (`Explanations.within`): what is as unlikely as the risk that was taken need not be disproved.
    """
    out, wander = np.empty(sums.gain.shape), bool(sums.common.any())
    for some in _blocks(sums.gain):
        out[some] = _tempered(
            sums.rows(some).cells_last(), direction, posterior=_turned(posterior[some]), spreads=spreads.T,
            bound=None if bound is None else bound[some].T, wander=wander,
        ).T  # fmt: skip
    return out


def _tempered(
    sums: Sums, direction: Ints, *, posterior: Floats, spreads: Floats, bound: Floats | None, wander: bool
) -> Floats:
    """The same (K, J, C) of arrays whose axes are turned round."""
    found = Explanations.of(sums, spreads, posterior, wander=wander)
    phi = found.inflation(sums.information)
    first = begins(direction)
    deviance = np.zeros(phi.shape[1:])
    deviance[direction[first]] = np.maximum(np.maximum.reduceat(sums.gain, first), 0.0)
    fit = null_weights(deviance, phi, found.weights)
    if bound is not None:
        fit -= mixed(fit + found.within(bound, sums, deviance))
    out = np.empty(sums.gain.shape)
    for begin, end in pairwise([*first.tolist(), len(direction)]):
        own = direction[begin]
        out[begin:end] = mixed(sums.gain[begin:end] / phi[:, own, None] + fit[:, own, None])
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """What is thought of lasting differences between the pods of each cell.

    posterior: (C, D, Q) weight of each spread. bound: (C, D) difference for which `part` (C, D) of the risk is taken;
    only the rest of the risk is left for everything else (analysis/lasting.py).
    """

    posterior: Floats
    bound: Floats
    part: Floats


def harm_evidence(bare: Floats, sums: Sums, *, lasting: Lasting, mixture: Mixture, log_starts: Floats) -> Floats:
    """Log evidence (C,) that the canary is beyond the rollback margin: the smaller of plain and calibrated.

    bare: (C,) the plain one, above 0; below, it is the evidence by itself. log_starts: (J,) weights of the start times.
    What the part of the risk costs never makes of no evidence less than none.
    """
    each = tempered(
        sums, mixture.harm_direction, posterior=lasting.posterior, spreads=mixture.spreads, bound=lasting.bound
    )
    each += np.log1p(-lasting.part)[:, None, mixture.harm_direction]
    calibrated = plain(each, log_starts=log_starts, log_weights=np.log(mixture.harm_weights))
    return np.minimum(bare, np.maximum(calibrated, 0.0))


def safe_evidence(sums: Sums, *, posterior: Floats, mixture: Mixture) -> Floats:
    """Log evidence (C,) that the canary is within the promote margin; every direction named must show it by itself.

    sums: with J = 1, gains of the promotion alternatives (C, 1, P), information at the promote margin.
    """
    each = tempered(sums, mixture.safe_direction, posterior=posterior, spreads=mixture.spreads)
    both = np.concatenate((sums.gain, each), axis=1) + np.log(mixture.safe_weights)
    return np.asarray(np.logaddexp.reduceat(both, begins(mixture.safe_direction), axis=2).min(axis=(1, 2)))


def unrest(sums: Sums, *, posterior: Floats, mixture: Mixture) -> Floats:
    """Largest log evidence (C,) of a single start and alternative, without paying for the choice; >= 0.

    Not valid at many looks by itself: it may only make a promotion wait.
    """
    each = tempered(sums, mixture.harm_direction, posterior=posterior, spreads=mixture.spreads)
    return np.asarray(np.maximum(each.max(axis=(1, 2)), 0.0))
