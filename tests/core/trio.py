"""A service on three tracks: old stable pods, a canary, and control pods of the old revision; live and as a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from guardian.adapters.samples.tables import Samples
from guardian.core.looks import Part, SeriesKey
from guardian.core.model import Track
from guardian.core.offline import Offline, OfflineVerdict
from guardian.core.policy import Guardrail, Labels, Policy
from tests.core.levels import ZERO, R, Sample, by

HEAD = "rollout_id,t,dt,track,pod,metric,requests,bad,value"
STEP, ASKED, BAD = 10.0, 400.0, 0.01
"""Seconds between scrapes; requests of a pod in between, and the share of them that fails on stable."""


def controlled(*guardrails: Guardrail) -> Policy:
    """A policy of these guardrails that names a control track."""
    return replace(by(*guardrails), labels=Labels(control="control"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trio:
    """Scrapes in ticks of 10 s; the canary's begin at 0.

    worse: times as many failures of the canary. fresh: the same of all pods that began with the rollout, whatever they
    run. controls: first tick of each control pod. until: their last one. orders: times as many orders of the canary.
    """

    worse: float = 1.0
    fresh: float = 1.0
    orders: float = 1.0
    canaries: int = 2
    stables: int = 4
    controls: tuple[int, ...] = (0, 0)
    until: int = 10_000
    history: int = 190
    lasts: int = 90
    seed: int = 3

    def scrapes(self) -> Iterator[tuple[float, Track, str, float, float, float]]:
        """(t, track, pod, requests, failures and orders since the scrape before)."""
        random = np.random.default_rng(self.seed)
        pods = [(Track.CANARY, f"new-{number}", 0) for number in range(self.canaries)]
        pods += [(Track.CONTROL, f"control-{number}", begins) for number, begins in enumerate(self.controls)]
        pods += [(Track.STABLE, f"old-{number}", -self.history) for number in range(self.stables)]
        share = {Track.CANARY: BAD * self.worse * self.fresh, Track.CONTROL: BAD * self.fresh, Track.STABLE: BAD}
        for tick in range(-self.history, self.lasts + 1):
            for track, pod, begins in pods:
                asked = random.poisson(ASKED)
                bad = random.binomial(asked, share[track])
                sold = random.poisson(0.05 * asked * (self.orders if track is Track.CANARY else 1.0))
                if begins <= tick and (track is not Track.CONTROL or tick <= self.until):
                    yield STEP * tick, track, pod, float(asked), float(bad), float(sold)

    def samples(self) -> list[Sample]:
        """Raw counters as a running rollout meets them, in the order of time."""
        sums: dict[SeriesKey, float] = {}
        found: list[Sample] = []
        for t, track, pod, *news in self.scrapes():
            parts = (("errors", Part.TOTAL), ("errors", Part.BAD), ("orders", Part.COUNT))
            for (guardrail, part), new in zip(parts, news, strict=True):
                key = SeriesKey(rollout=R, guardrail=guardrail, track=track, pod=pod, part=part)
                sums[key] = sums.get(key, 1000.0) + new
                found.append((key, ZERO + t, sums[key]))
        return found

    def rows(self) -> list[str]:
        """The same as lines of a file."""
        seen: set[str] = set()
        lines = []
        for t, track, pod, asked, bad, sold in self.scrapes():
            start = f"r,{t:g},{STEP if pod in seen else 0:g},{track},{pod}"
            seen.add(pod)
            lines += [f"{start},errors,{asked:g},{bad:g},", f"{start},orders,,,{sold:g}"]
        return lines

    def judged(self, path: Path, rules: Policy) -> OfflineVerdict:
        """What the judge of samples says of that file."""
        path.write_text("\n".join([HEAD, *self.rows()]) + "\n", encoding="utf-8")
        reader = Samples([path], control=bool(rules.labels.control))
        court = Offline(rules, rollouts=reader.rollouts, metrics=reader.metrics, pods=reader.pods)
        for batch in reader:
            court.take(batch)
        return court.finish()[0]
