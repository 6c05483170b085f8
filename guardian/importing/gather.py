"""The checks of one rollout together: which become guardrails, which label tells their tracks, what is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from guardian.errors import ConfigError
from guardian.importing.conditions import Limit
from guardian.importing.draft import Guardrail, Track, Value
from guardian.importing.guardrails import Check, Telling, guardrail_of
from guardian.importing.promql import Matcher, NoShape

Left = list[tuple[str, str]]
"""What has no equal: (key of the source, what to do instead)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the files cannot say, from the command line; '' and None: take it from them."""

    service: str = ""
    environment: str = ""
    provider: str = ""
    track: Track | None = None
    pod_label: str = "pod"
    service_label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Which labels tell service, track and pod, why, and what is doubtful about that."""

    written: Mapping[str, Value]
    notes: tuple[str, ...]
    doubt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """The guardrails of one policy and their labels."""

    guardrails: tuple[Guardrail, ...]
    labels: Labels


@dataclass(slots=True, kw_only=True)
class Gathering:
    """Checks as they are found. telling: what conditions say about tracks; guess: a track that objects hint at."""

    telling: Telling
    wanted: Wanted
    left: Left
    guess: Track | None = None
    found: list[tuple[str, Check, Guardrail]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def add(self, key: str, check: Check) -> None:
        """Take one check as a guardrail, or say why it is none."""
        try:
            self.found.append((key, check, guardrail_of(check, self._telling)))
        except NoShape as reason:
            self.refuse(key, f"{reason}. The query: {' '.join(check.query.split())}")

    def refuse(self, key: str, why: str) -> None:
        """Leave one check out."""
        self.refused.append(f"{key}: {why}")
        self.left.append((key, f"NO GUARDRAIL: {why}"))

    def done(self, origin: str, where: str) -> Gathered:
        """Return what was found. Raises ConfigError when that is nothing."""
        told = [guardrail.track for _, _, guardrail in self.found if guardrail.track is not None]
        track = self.wanted.track or (told[0] if told else self.guess)
        kept: list[Guardrail] = []
        for key, check, guardrail in self.found:
            if guardrail.track is not None and guardrail.track != track:
                other = f"it tells canary by {guardrail.track.label}, the others by {track.label if track else ''}"
                self.refuse(key, f"{other}; a policy has one track label. The query: {' '.join(check.query.split())}")
                continue
            if all(replace(guardrail, name=one.name) != one for one in kept):  # background and step may ask the same
                kept.append(replace(guardrail, name=_apart(guardrail.name, {one.name for one in kept})))
        if not kept:
            what = "; ".join(self.refused) or "it names no metric"
            remedy = "write a guardrail for it by hand (docs/reference/guardrails.md): none is invented"
            raise ConfigError(f"{origin}: nothing here can be judged: {what}", where=where, remedy=remedy)
        return Gathered(guardrails=tuple(kept), labels=self._labels(track, told=bool(told)))

    def _telling(self, matcher: Matcher) -> Track | None:
        track = self.wanted.track
        if track is None:
            return self.telling(matcher)
        try:
            told = matcher.label == track.label or self.telling(matcher) is not None
        except NoShape:
            told = True  # the option says what the query could not
        return track if told else None

    def _labels(self, found: Track | None, *, told: bool) -> Labels:
        service = "service '': the queries choose the service themselves"
        if self.wanted.service_label:
            service = f"service: as --service-label says; its series carry the service as {self.wanted.service_label}"
        doubt, track = "", found or Track(label="track", stable="stable", canary="canary")
        if self.wanted.track is not None:
            why = f"track, stable, canary: as the options say ({track.label})"
        elif told:
            why = f"track: the queries tell canary by {track.label}; it was taken out of them, both tracks are read"
        elif found is not None:
            why = f"track: pods are labelled {track.label}; see that your metrics carry that label"
        else:
            doubt = (
                "nothing here says which label tells canary from stable: name it by --track-label, --stable, --canary"
            )
            why = f"TO DO, track: {doubt}; what stands here is only the default"
        written: dict[str, Value] = {
            "service": self.wanted.service_label,
            "track": track.label,
            "pod": self.wanted.pod_label,
            "stable": track.stable,
            "canary": track.canary,
        }
        return Labels(written=written, notes=(service, why), doubt=doubt)


def _apart(name: str, taken: Iterable[str]) -> str:
    number, free = 2, name
    while free in taken:
        number, free = number + 1, f"{name}-{number}"
    return free


def leave(left: Left, key: str, names: Mapping[str, object], texts: Mapping[str, str]) -> None:
    """Add every key of a mapping that has no equal: what to do where it is known, that it is unknown where not.

    What is switched off needs no equal.
    """
    unknown = "is not known here: see whether it matters to you"
    for name, value in names.items():
        if (text := texts.get(name, unknown)) and value is not False:
            left.append((f"{key}.{name}", text))


def limits_or_critical(warning: tuple[Limit, ...], critical: tuple[Limit, ...]) -> tuple[tuple[Limit, ...], ...]:
    """Return (warning, critical) where one of both may be missing: what is alone rolls back."""
    return (warning, critical) if critical else ((), warning)
