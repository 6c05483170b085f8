"""The families of noise in which a healthy release must not be rolled back, and the regressions that must be found.

Only situations and policies; how often what happens is counted by benchmarks/campaigns/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from msgspec.structs import replace

from analysis.sequential.base import Floats
from benchmarks.detection.streams import Situation, always, ramp, since
from guardian.core.model import Seconds
from guardian.core.policy import Compare, Guardrail, HistogramSli, Labels, Margin, Match, Policy, RatioSli, WarmUp
from guardian.core.strategies import Canary

ERRORS: Final = Guardrail(
    name="errors",
    sli=RatioSli(bad="errors", total="requests"),
    compare=Compare(rollback=Margin(relative=1.05, absolute=0.00005), promote=Margin(relative=1.5, absolute=0.0005)),
)
LATENCY_COMPARE: Final = Compare(rollback=Margin(relative=1.02), promote=Margin(relative=1.15))
LATENCY: Final = Guardrail(
    name="latency",
    sli=HistogramSli(buckets="latency"),
    compare=LATENCY_COMPARE,
)
POLICY: Final = Policy(
    name="judged", match=Match(service="judged"), strategy=Canary(plan=()), guardrails=(ERRORS, LATENCY)
)
ERRORS_ONLY: Final = replace(POLICY, guardrails=(ERRORS,))
LATENCY_ONLY: Final = replace(POLICY, guardrails=(LATENCY,))
LATENCY_FRESH: Final = replace(
    LATENCY_ONLY, guardrails=(replace(LATENCY, compare=replace(LATENCY_COMPARE, fresh_pods=True)),)
)
LATENCY_CONTROLLED: Final = replace(LATENCY_ONLY, labels=Labels(control="control"))
WARM: Final = WarmUp(lasts=Seconds(180.0), factor=3.0)
ERRORS_WARM: Final = replace(POLICY, guardrails=(replace(ERRORS, warm_up=WARM),))
LATENCY_WARM: Final = replace(POLICY, guardrails=(replace(LATENCY, warm_up=WARM),))


def incident(t: Floats) -> Floats:
    """Twenty times the errors for five minutes, on both tracks."""
    return np.where((t > 100.0) & (t < 400.0), 20.0, 1.0)


def slow_spell(t: Floats) -> Floats:
    """Three times the latency for five minutes, on both tracks."""
    return np.where((t > 100.0) & (t < 400.0), 3.0, 1.0)


def growing_weight(t: Floats) -> Floats:
    """5, 25, 50, 75 % of the traffic."""
    return np.select([t < 300.0, t < 600.0, t < 1200.0], [0.05, 0.25, 0.5], 0.75)


def cold(t: Floats) -> Floats:
    """A cold start: 2.5 times as bad at first, gone after three minutes."""
    return np.where((t > 0.0) & (t <= 180.0), 1.0 + 1.5 * np.exp(-np.clip(t, 0.0, None) / 60.0), 1.0)


def _shape(canary: int, stable: int) -> dict[str, Any]:
    return {"canary_pods": canary, "stable_pods": stable}


def _errors() -> dict[str, Situation]:
    found = {
        "independent, 200 rps": Situation(),
        "independent, 2000 rps": Situation(rps=2000.0),
        "independent, one pod a track": Situation(**_shape(1, 1)),
        "base 0.01 %": Situation(base=1e-4),
        "base 0.01 %, 2000 rps": Situation(base=1e-4, rps=2000.0),
        "base falls tenfold in 10 min": Situation(shared=ramp(0.0, 600.0, 1.0, 0.1)),
        "base falls tenfold before": Situation(shared=ramp(-1200.0, -600.0, 10.0, 1.0)),
        "shared incident": Situation(shared=incident),
        "shared incident, pods differ 15 %": Situation(shared=incident, pod_sd=0.15),
        "shared incident, gaps": Situation(shared=incident, missing=0.15),
        "weight ramp, pods differ 15 %": Situation(weight=growing_weight, pod_sd=0.15),
        "weight ramp, shared incident": Situation(weight=growing_weight, shared=incident, pod_sd=0.1),
        "traffic ramp": Situation(traffic=ramp(0.0, 1800.0, 1.0, 8.0), pod_sd=0.1),
        "gaps": Situation(missing=0.2),
        "bursts": Situation(burst=0.002),
        "rare bursts, 2000 rps": Situation(burst=0.001, rps=2000.0),
        "pods differ 20 %, 1 against 2": Situation(pod_sd=0.2, rps=2000.0, **_shape(1, 2)),
        "track noise, correlation 0.3": Situation(noise_sd=0.3, noise_rho=0.3, noise_of_track=True),
        "track noise, correlation 0.9": Situation(noise_sd=0.2, noise_rho=0.9, noise_of_track=True),
        "one pod a track, correlation 0.9": Situation(noise_sd=0.3, noise_rho=0.9, **_shape(1, 1)),
        "one pod a track, correlation 0.95": Situation(noise_sd=0.3, noise_rho=0.95, **_shape(1, 1)),
    }
    for rps in (0.2, 0.5, 2.0):
        found[f"low traffic, {rps:g} rps"] = Situation(rps=rps, base=0.01)
    for cluster in (0.2, 1.0):
        found[f"overdispersion {cluster:g}, 2000 rps"] = Situation(cluster=cluster, rps=2000.0)
    for rho in (0.3, 0.9, 0.95):
        for rps in (200.0, 2000.0):
            found[f"correlation {rho:g}, {rps:g} rps"] = Situation(noise_sd=0.4, noise_rho=rho, rps=rps)
    for sd in (0.1, 0.15, 0.3):
        for canary, stable in ((2, 6), (1, 9), (3, 3), (1, 3)):
            name = f"pods differ {sd:.0%}, {canary} against {stable}"
            found[name] = Situation(pod_sd=sd, rps=2000.0, **_shape(canary, stable))
    return found


def _latencies() -> dict[str, Situation]:
    found = {
        "independent": Situation(latency=True),
        "2 rps": Situation(latency=True, rps=2.0),
        "one pod a track": Situation(latency=True, **_shape(1, 1)),
        "one pod a track, pods differ 10 %": Situation(latency=True, latency_pod_sd=0.1, **_shape(1, 1)),
        "slow spell on both": Situation(latency=True, shared_slower=slow_spell),
        "slow spell on both, gaps": Situation(latency=True, shared_slower=slow_spell, missing=0.15),
        "tails differ": Situation(latency=True, tail_pod_sd=1.0),
        "tails differ, 1 against 9": Situation(latency=True, tail_pod_sd=1.0, **_shape(1, 9)),
        "faster": Situation(latency=True, slower=always(0.7)),
    }
    for rho in (0.3, 0.9, 0.95):
        found[f"correlation {rho:g}"] = Situation(latency=True, latency_noise_sd=0.1, latency_noise_rho=rho)
    for sd in (0.03, 0.1, 0.2):
        for canary, stable in ((2, 6), (1, 9), (1, 3)):
            name = f"pods differ {sd:.0%}, {canary} against {stable}"
            found[name] = Situation(latency=True, latency_pod_sd=sd, **_shape(canary, stable))
    return found


HEALTHY_ERRORS: Final[Mapping[str, tuple[Situation, Policy]]] = {
    **{name: (situation, ERRORS_ONLY) for name, situation in _errors().items()},
    "warm-up": (Situation(effect=cold), ERRORS_WARM),
}
HEALTHY_LATENCY: Final[Mapping[str, tuple[Situation, Policy]]] = {
    **{name: (situation, LATENCY_ONLY) for name, situation in _latencies().items()},
    "warm-up": (Situation(latency=True, slower=cold), LATENCY_WARM),
}
REGRESSIONS: Final[Mapping[str, tuple[Situation, Policy, float]]] = {
    "errors x2, 200 rps": (Situation(effect=always(2.0)), ERRORS_ONLY, 255.0),
    "errors x2, 2000 rps": (Situation(effect=always(2.0), rps=2000.0), ERRORS_ONLY, 30.0),
    "errors x2, gaps": (Situation(effect=always(2.0), missing=0.1), ERRORS_ONLY, 300.0),
    "errors x2, correlation 0.9, 2000 rps": (
        Situation(effect=always(2.0), rps=2000.0, noise_sd=0.2, noise_rho=0.9), ERRORS_ONLY, 170.0,
    ),
    "errors x2 after 10 min": (Situation(effect=since(600.0, 2.0)), ERRORS_ONLY, 1200.0),
    "errors x10": (Situation(effect=always(10.0)), ERRORS_ONLY, 60.0),
    "leak to x3, 2000 rps": (Situation(effect=ramp(0.0, 1800.0, 1.0, 3.0), rps=2000.0), ERRORS_ONLY, 900.0),
    "latency +10 %": (Situation(latency=True, slower=always(1.1)), LATENCY_ONLY, 100.0),
    "latency +20 %": (Situation(latency=True, slower=always(1.2)), LATENCY_ONLY, 30.0),
    "3 % of requests 8 times slower": (
        Situation(latency=True, tail_share=always(0.03), tail_scale=8.0), LATENCY_ONLY, 60.0,
    ),
    "two modes": (Situation(latency=True, tail_share=always(0.2), tail_scale=3.0), LATENCY_ONLY, 60.0),
    "errors x3, twice as fast": (Situation(effect=always(3.0), latency=True, slower=always(0.5)), POLICY, 120.0),
}  # fmt: skip
