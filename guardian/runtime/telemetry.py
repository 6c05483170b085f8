"""The guardian's own metrics, in their own registry. Names are a contract (CONTRACTS section 4); counts, nothing else.

Counters begin at 0 with the process, as Prometheus expects; the journal has the whole history.
"""

from __future__ import annotations

from functools import cache
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from guardian.core import records as r
from guardian.core.looks import Look
from guardian.core.model import Phase, RolloutId
from guardian.core.rollout import Rollout

Metric = TypeVar("Metric", Counter, Histogram)
_PLACE: Final = ("service", "environment", "strategy")
_QUICK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG: Final = (60, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


class Telemetry:
    """Every metric the daemon gives out."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seen: dict[tuple[str, str, str], int] = {}
        self._of_deployments()
        self._of_intake()
        self._of_work()
        self._of_measuring()
        self._of_recording()
        self.published = self._counter("events_published", "Decision events given to a sink.", "sink")
        self.behind = self._gauge("sink_behind", "Journal rows a sink has yet to see.", "sink")
        self.policies = self._gauge("policies", "Policies in force for new rollouts.")
        self.reloads = self._counter("policy_reloads", "Policy reloads, by outcome.", "outcome")

    def _of_deployments(self) -> None:
        registry = self.registry
        self.deployments = Counter("deployment", "Rollouts started.", _PLACE, registry=registry)
        self.successes = Counter("deployment_success", "Rollouts verified.", _PLACE, registry=registry)
        self.rollbacks = Counter("deployment_rollback", "Rollouts rolled back.", _PLACE, registry=registry)
        text = "From start to end of a rollout."
        self.durations = Histogram("deployment_duration_seconds", text, _PLACE, buckets=_LONG, registry=registry)
        self.open = self._gauge("rollouts_open", "Rollouts that have not ended.")

    def _of_intake(self) -> None:
        self.taken = self._counter("facts", "Facts from outside, by kind and whether they were new.", "kind", "new")
        self.refused = self._counter("refused", "What could not be taken, by way in and reason.", "way", "reason")
        self.dead_letters = self._counter("dead_letters", "Messages put aside, by reason.", "reason")
        self.waiting = self._gauge("inbox_facts", "Facts that wait for the engine.")
        self.durable = self._seconds("intake_seconds", "From a fact's arrival until the journal holds it.")

    def _of_work(self) -> None:
        self.looks = self._seconds("tick_seconds", "Time one wake of the engine took.")
        self.faults = self._counter("engine_faults", "Mistakes in deciding itself; see the log.")
        self.effects = self._counter("effects", "Effects tried, by kind and outcome.", "kind", "outcome")
        self.effect_seconds = self._seconds("effect_seconds", "Time an effect took.", "kind")

    def _of_measuring(self) -> None:
        self.samples = self._counter("samples", "Metric samples received, by source.", "source")
        self.problems = self._counter("metric_problems", "Incomplete or failed answers, by source.", "source")
        self.anomalies = self._counter("anomalies", "Rows refused as impossible, by kind.", "kind")

    def _of_recording(self) -> None:
        self.tape_parts = self._counter("tape_parts", "Parts of tapes, by outcome: kept or lost.", "outcome")
        self.tape_bytes = self._counter("tape_bytes", "Bytes of tapes written.")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"guardian_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"guardian_{name}", text, labels, registry=self.registry)

    def _seconds(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"guardian_{name}", text, labels, buckets=_QUICK, registry=self.registry)

    def looked(self, look: Look) -> None:
        """Count the rows of a look that were refused since the one before it."""
        for guardrail in look.guardrails:
            for kind, total in guardrail.anomalies.items():
                key = (look.rollout, guardrail.name, kind)
                new = total - self._seen.get(key, 0)
                if new > 0:
                    _child(self.anomalies, kind).inc(new)
                self._seen[key] = total

    def ended(self, rollout: RolloutId) -> None:
        """Forget what was remembered of a rollout that is over."""
        for key in [key for key in self._seen if key[0] == rollout]:
            del self._seen[key]

    def count(self, record: r.Record, after: Rollout | None) -> None:
        """Count one durable conclusion; `after` is the rollout it led to."""
        if after is None or not isinstance(record, r.Started | r.Ended):
            return
        labels = (after.place.service, after.place.environment, _strategy(after))
        if isinstance(record, r.Started):
            _child(self.deployments, *labels).inc()
            return
        if self._seen:
            self.ended(record.rollout)
        if record.phase is Phase.VERIFIED:
            _child(self.successes, *labels).inc()
        elif record.phase is Phase.ROLLED_BACK:
            _child(self.rollbacks, *labels).inc()
        if after.started_at is not None:
            _child(self.durations, *labels).observe(record.at - after.started_at)

    def took(self, kind: str, *, new: bool, times: int = 1) -> None:
        """Count facts from outside."""
        _child(self.taken, kind, "yes" if new else "no").inc(times)

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
