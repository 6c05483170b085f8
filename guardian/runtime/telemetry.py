"""The guardian's own metrics, in their own registry. Names are a contract (CONTRACTS section 4); counts, nothing else.

Counters begin at 0 with the process, as Prometheus expects; the journal has the whole history.
"""

from __future__ import annotations

from functools import cache
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from guardian.core import records as r
from guardian.core.model import Phase
from guardian.core.rollout import Rollout

Metric = TypeVar("Metric", Counter, Histogram)
_PLACE: Final = ("service", "environment", "strategy")
_QUICK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG: Final = (60, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


class Telemetry:
    """Every metric the daemon gives out."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.deployments = Counter("deployment", "Rollouts started.", _PLACE, registry=registry)
        self.successes = Counter("deployment_success", "Rollouts verified.", _PLACE, registry=registry)
        self.rollbacks = Counter("deployment_rollback", "Rollouts rolled back.", _PLACE, registry=registry)
        self.durations = Histogram(
            "deployment_duration_seconds",
            "From start to end of a rollout.",
            _PLACE,
            buckets=_LONG,
            registry=registry,
        )
        self.open = Gauge("guardian_rollouts_open", "Rollouts that have not ended.", registry=registry)
        self.taken = Counter(
            "guardian_facts",
            "Facts from outside, by kind and whether they were new.",
            ("kind", "new"),
            registry=registry,
        )
        self.refused = Counter(
            "guardian_refused", "What could not be taken, by way in and reason.", ("way", "reason"), registry=registry
        )
        self.dead_letters = Counter(
            "guardian_dead_letters", "Messages sent to the dead-letter topic.", ("reason",), registry=registry
        )
        self.waiting = Gauge("guardian_inbox_facts", "Facts that wait for the engine.", registry=registry)
        self.durable = Histogram(
            "guardian_intake_seconds",
            "From a fact's arrival until the journal holds it.",
            buckets=_QUICK,
            registry=registry,
        )
        self.looks = Histogram(
            "guardian_tick_seconds", "Time one wake of the engine took.", buckets=_QUICK, registry=registry
        )
        self.effects = Counter(
            "guardian_effects", "Effects tried, by kind and outcome.", ("kind", "outcome"), registry=registry
        )
        self.effect_seconds = Histogram(
            "guardian_effect_seconds", "Time an effect took.", ("kind",), buckets=_QUICK, registry=registry
        )
        self.samples = Counter("guardian_samples", "Metric samples received.", ("way",), registry=registry)
        self.problems = Counter(
            "guardian_metric_problems",
            "Incomplete or failed answers of metric sources.",
            ("source",),
            registry=registry,
        )
        self.anomalies = Counter(
            "guardian_anomalies", "Rows refused as impossible, by kind.", ("kind",), registry=registry
        )
        self.published = Counter(
            "guardian_events_published", "Decision events given to a sink.", ("sink",), registry=registry
        )
        self.behind = Gauge("guardian_sink_behind", "Journal rows a sink has yet to see.", ("sink",), registry=registry)
        self.policies = Gauge("guardian_policies", "Policies in force for new rollouts.", registry=registry)
        self.reloads = Counter(
            "guardian_policy_reloads", "Policy reloads, by outcome.", ("outcome",), registry=registry
        )

    def count(self, record: r.Record, after: Rollout | None) -> None:
        """Count one durable conclusion; `after` is the rollout it led to."""
        if after is None or not isinstance(record, r.Started | r.Ended):
            return
        labels = (after.place.service, after.place.environment, _strategy(after))
        if isinstance(record, r.Started):
            _child(self.deployments, *labels).inc()
            return
        if record.phase is Phase.VERIFIED:
            _child(self.successes, *labels).inc()
        elif record.phase is Phase.ROLLED_BACK:
            _child(self.rollbacks, *labels).inc()
        if after.started_at is not None:
            _child(self.durations, *labels).observe(record.at - after.started_at)

    def took(self, kind: str, *, new: bool) -> None:
        """Count one fact from outside."""
        _child(self.taken, kind, "yes" if new else "no").inc()

    def performed(self, kind: str, *, done: bool, seconds: float) -> None:
        """Count one attempt of an effect."""
        _child(self.effect_seconds, kind).observe(seconds)
        _child(self.effects, kind, "done" if done else "failed").inc()

    def refuse(self, way: str, reason: str) -> None:
        """Count something that could not be taken."""
        self.refused.labels(way, reason).inc()

    def render(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        return generate_latest(self.registry)


@cache
def _child(metric: Metric, *labels: str) -> Metric:
    """Return the child of a metric; looking it up in the metric itself takes a lock and costs three times as much."""
    return metric.labels(*labels)


def _strategy(rollout: Rollout) -> str:
    """Return the kind of the strategy as policies write it."""
    return str(rollout.policy.strategy.__struct_config__.tag)
