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

from dataclasses import dataclass

import numpy as np

from analysis.sequential.base import Floats, Ints, Mixture, logsumexp


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

    def rows(self, chosen: Ints) -> Sums:
        """The same for some of the cells."""
        return Sums(
            gain=self.gain[chosen], information=self.information[chosen], reach=self.reach[chosen],
            passing=self.passing[chosen], common=self.common[chosen], wander=self.wander[chosen],
        )  # fmt: skip


def inflation(sums: Sums, spreads: Floats, posterior: Floats) -> tuple[Floats, Floats]:
    """Variance of the score over what independent requests give, for each explanation, and their weights.

    Explanations: each lasting spread (Q), with and without tracks that wander. Returns phi (C, J, D, 2Q), >= 1, and
    weights (C, D, 2Q); only Q of each where no track is thought to wander.
    """
    information = sums.information[..., None]
    extra = sums.reach[..., None] * spreads**2 + sums.passing[..., None]
    if sums.common.any():
        extra = np.concatenate((extra, extra + sums.common[..., None]), axis=-1)
        chance = sums.wander[..., None]
        posterior = np.concatenate((posterior * (1.0 - chance), posterior * chance), axis=-1)
    return 1.0 + np.divide(extra, information, out=np.zeros_like(extra), where=information > 0), posterior


def plain(gain: Floats, *, log_starts: Floats, log_weights: Floats) -> Floats:
    """Log of the mixture e-process (C,); gain (C, J, K), log_starts (J,), log_weights (K,)."""
    return logsumexp(gain + log_weights + log_starts[:, None], axis=(1, 2))


def null_weights(deviance: Floats, phi: Floats, posterior: Floats) -> Floats:
    """How well each spread explains what was seen under the null; logs, normalised over Q, (..., D, Q).

    deviance: (..., D) largest log likelihood ratio against the null, >= 0. posterior: (..., D, Q), broadcast.
    """
    with np.errstate(divide="ignore"):
        fit = np.log(posterior) - 0.5 * np.log(phi) - deviance[..., None] / phi
    return np.asarray(fit - logsumexp(fit, axis=-1)[..., None])


def begins(direction: Ints) -> Ints:
    """Places where the alternatives of each direction named begin; direction: (K,), sorted.

    >>> begins(np.array([0, 0, 2])).tolist()
    [0, 2]
    """
    return np.concatenate(([True], direction[1:] != direction[:-1])).nonzero()[0]


def tempered(gain: Floats, phi: Floats, posterior: Floats, direction: Ints) -> Floats:
    """Log ratio of marginal likelihoods for each alternative, (..., K), against the spreads of its own direction.

    gain: (..., K), phi, posterior: (..., D, Q), direction: (K,), sorted: sum over spreads of
    P(spread | seen, null) * exp(gain / phi).
    """
    first = begins(direction)
    deviance = np.zeros(phi.shape[:-1])
    deviance[..., direction[first]] = np.maximum(np.maximum.reduceat(gain, first, axis=-1), 0.0)
    fit = null_weights(deviance, phi, posterior)
    return logsumexp(gain[..., None] / phi[..., direction, :] + fit[..., direction, :], axis=-1)


def _explanations(sums: Sums, posterior: Floats, mixture: Mixture) -> tuple[Floats, Floats]:
    """What `inflation` gives, with an axis for the starts in both."""
    phi, weights = inflation(sums, mixture.spreads, posterior)
    return phi, weights[:, None]


def calibrated(sums: Sums, *, posterior: Floats, mixture: Mixture, log_starts: Floats, log_weights: Floats) -> Floats:
    """Log of the evidence under a null with pod effects (C,). posterior: (C, D, Q) of the mixture's spreads."""
    each = tempered(sums.gain, *_explanations(sums, posterior, mixture), mixture.harm_direction)
    return plain(each, log_starts=log_starts, log_weights=log_weights)


def harm_evidence(sums: Sums, *, posterior: Floats, mixture: Mixture, starts: Floats) -> Floats:
    """Log evidence (C,) that the canary is beyond the rollback margin: the smaller of plain and calibrated.

    posterior: (C, D, Q) weight of each spread. starts: (J,) weights of the start times, sum to 1.
    Where the plain one is below 0 the calibrated one is not worked out.
    """
    log_starts, log_weights = np.log(starts), np.log(mixture.harm_weights)
    value = plain(sums.gain, log_starts=log_starts, log_weights=log_weights)
    grown = np.flatnonzero(value > 0.0)
    if len(grown):
        corrected = calibrated(
            sums.rows(grown), posterior=posterior[grown], mixture=mixture, log_starts=log_starts,
            log_weights=log_weights,
        )  # fmt: skip
        value[grown] = np.minimum(value[grown], corrected)
    return value


def safe_evidence(sums: Sums, *, posterior: Floats, mixture: Mixture) -> Floats:
    """Log evidence (C,) that the canary is within the promote margin; every direction named must show it by itself.

    sums: with J = 1, gains of the promotion alternatives (C, 1, P), information at the promote margin.
    """
    each = tempered(sums.gain, *_explanations(sums, posterior, mixture), mixture.safe_direction)
    both = np.concatenate((sums.gain, each), axis=1) + np.log(mixture.safe_weights)
    return np.asarray(np.logaddexp.reduceat(both, begins(mixture.safe_direction), axis=2).min(axis=(1, 2)))


def unrest(sums: Sums, *, posterior: Floats, mixture: Mixture) -> Floats:
    """Largest log evidence (C,) of a single start and alternative, without paying for the choice; >= 0.

    Not valid at many looks by itself: it may only make a promotion wait.
    """
    each = tempered(sums.gain, *_explanations(sums, posterior, mixture), mixture.harm_direction)
    return np.asarray(np.maximum(each.max(axis=(1, 2)), 0.0))
