"""Policies and settings of the end-to-end tests, as a user would write them (JSON is YAML)."""

from __future__ import annotations

from typing import Any

RATIO = {"ratio": {"bad": 'http_requests_total{status=~"5.."}', "total": "http_requests_total"}}
HISTOGRAM = {"histogram": {"buckets": "http_request_duration_seconds_bucket"}}

ERRORS = {
    "name": "errors",
    "sli": RATIO,
    "compare": {
        "rollback": {"relative": 1.05, "absolute": "0.005%"},
        "promote": {"relative": 3, "absolute": "1%"},
    },
    "objective": {
        "target": "99%",
        "warning": {"below": "98%", "for": "10s"},
        "critical": {"below": "97%", "for": "15s"},
    },
}
LATENCY = {
    "name": "latency",
    "sli": HISTOGRAM,
    "compare": "none",
    "objective": {
        "quantile": "95%",
        "target": "100ms",
        "warning": {"above": "250ms", "for": "20s"},
        "critical": {"above": "1s", "for": "20s"},  # pods on a machine that is busy with other things stay below
    },
}
WEIGHTS = ("10%", "50%", "100%")
SHORT, LONG = "20s", "10m"
"""Bakes; a step with the long one is not passed within a test, however slow the machine."""


def policy(
    service: str,
    *,
    router: dict[str, Any] | str,
    guardrails: list[dict[str, Any]],
    bakes: tuple[str, str, str] = (SHORT, SHORT, SHORT),
    **more: Any,
) -> dict[str, Any]:
    """Return a policy for the service in every environment; bakes: of the steps of WEIGHTS."""
    steps = [{"weight": weight, "bake": bake} for weight, bake in zip(WEIGHTS, bakes, strict=True)]
    spec = {
        "match": {"service": service},
        "risk": {"false_rollback": "1%", "false_promotion": "5%", "earliest_promotion": "60s"},
        "strategy": {"kind": "canary", "steps": steps},
        "router": router,
        "guardrails": guardrails,
        "interval": "1s",
        "hold_back": "30s",
    }
    return {
        "apiVersion": "slo-guardian/v1",
        "kind": "Policy",
        "metadata": {"name": service},
        "spec": {**spec, **more},
    }
