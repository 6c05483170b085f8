"""From a guardrail to the series it needs, and from a series' labels to what they mean.

Neither asks nor stores anything; both metric sources use it, so that they name equal series equally.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np

from guardian.adapters._selectors import NAME, Matcher, Selector, equal, one_of, parse_selector
from guardian.core.looks import Floats, Ints, Part, SeriesKey, stratum_of
from guardian.core.model import RolloutId, Track
from guardian.core.policy import CountSli, GaugeSli, Guardrail, HistogramSli, Labels, RatioSli, Sli
from guardian.ports import Samples

LE: Final = "le"
INSTANCE: Final = "instance"
"""Label that Prometheus gives every scraped series; it stands for the pod where the pod's label is absent."""

FAIL_OVER: Final = 30.0
"""Seconds without samples of the elected replica of a pair after which the other one is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The series of one part of one guardrail of one rollout."""

    rollout: RolloutId
    guardrail: str
    part: Part
    labels: Labels
    service: str
    selector: Selector
    """As the policy wrote it, with the track's matcher and the environment's, without the service's."""
    own_service: bool
    """Whether the policy's selector says itself which service it is about."""
    strata: tuple[str, ...] = ()
    """Labels whose values tell which requests are alike."""

    @property
    def of(self) -> tuple[RolloutId, str]:
        """Rollout and guardrail, as in Samples.unanswered."""
        return self.rollout, self.guardrail

    @property
    def complete(self) -> Selector:
        """The selector with the service's matcher."""
        return self.selector if self.own_service else self.selector.plus([equal(self.labels.service, self.service)])


def parts_of(sli: Sli) -> tuple[tuple[Part, str], ...]:
    """Return the parts of an SLI, each with its selector.

    >>> parts_of(CountSli(events="logins_total"))
    ((<Part.COUNT: 'count'>, 'logins_total'),)
    """
    match sli:
        case RatioSli():
            return (Part.BAD, sli.bad), (Part.TOTAL, sli.total)
        case HistogramSli():
            return ((Part.BUCKET, sli.buckets),)
        case GaugeSli():
            return ((Part.VALUE, sli.value),)
        case CountSli():
            return ((Part.COUNT, sli.events),)


def wanted_of(
    *, rollout: RolloutId, service: str, guardrail: Guardrail, labels: Labels, everywhere: Mapping[str, str]
) -> tuple[Wanted, ...]:
    """Return what a guardrail needs; `everywhere`: labels added to every selector. Raises PolicyError."""
    found = []
    for part, text in parts_of(guardrail.sli):
        written = parse_selector(text)
        more: list[Matcher] = [
            equal(label, value) for label, value in everywhere.items() if not written.constrains(label)
        ]
        if not written.constrains(labels.track):
            more.append(
                one_of(labels.track, [labels.stable, labels.canary, *([labels.control] if labels.control else [])])
            )
        found.append(
            Wanted(
                rollout=rollout, guardrail=guardrail.name, part=part, labels=labels, service=service,
                selector=written.plus(more), own_service=written.constrains(labels.service),
                strata=guardrail.strata,
            )
        )  # fmt: skip
    return tuple(found)


def track_of(metric: Mapping[str, str], labels: Labels) -> Track | None:
    """Return the track that a series' labels tell; None when it is none."""
    value = metric.get(labels.track, "")
    if value == labels.canary:
        return Track.CANARY
    if labels.control and value == labels.control:
        return Track.CONTROL
    return Track.STABLE if value == labels.stable else None


def key_of(metric: Mapping[str, str], wanted: Wanted, dropped: Collection[str]) -> SeriesKey | None:
    """Return the key of a series with these labels; None when it is of no track or a bucket without `le`.

    dropped: labels that do not make a series another one (those of a deduplicating pair).
    """
    track = track_of(metric, wanted.labels)
    if track is None:
        return None
    le = math.nan
    if wanted.part is Part.BUCKET:
        try:
            le = float(metric[LE])
        except (KeyError, ValueError):
            return None
    told = {wanted.labels.track, wanted.labels.pod, *dropped}
    if wanted.selector.name is not None:
        told.add(NAME)
    if not wanted.own_service:
        told.add(wanted.labels.service)
    if wanted.part is Part.BUCKET:
        told.add(LE)
    pod = metric.get(wanted.labels.pod, "")
    if not pod:
        told.add(INSTANCE)
        pod = metric.get(INSTANCE, "")
    rest = sorted((label, value) for label, value in metric.items() if value and label not in told)
    return SeriesKey(
        rollout=wanted.rollout, guardrail=wanted.guardrail, track=track, pod=pod, part=wanted.part, le=le,
        labels=_digest(rest), stratum=stratum_of(metric, wanted.strata),
    )  # fmt: skip


def _digest(pairs: Iterable[tuple[str, str]]) -> str:
    text = "\0".join(f"{label}\1{value}" for label, value in pairs)
    return blake2b(text.encode(), digest_size=8).hexdigest() if text else ""


def joined(parts: Sequence[Samples], problems: Sequence[str] = ()) -> Samples:
    """Return one Samples of many; a problem that several report stands once."""
    keys: list[SeriesKey] = []
    index: list[Ints] = []
    for part in parts:
        index.append(part.key + len(keys))
        keys.extend(part.keys)
    said = dict.fromkeys([*problems, *(problem for part in parts for problem in part.problems)])
    return Samples(
        keys=keys,
        key=np.concatenate(index) if index else np.empty(0, np.int64),
        time=_concatenated([part.time for part in parts]),
        value=_concatenated([part.value for part in parts]),
        problems=tuple(said),
        unanswered=frozenset().union(*(part.unanswered for part in parts)),
    )


def _concatenated(parts: Sequence[Floats]) -> Floats:
    return np.concatenate(parts) if parts else np.empty(0, np.float64)
