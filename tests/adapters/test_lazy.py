"""Nobody pays for a client library that his configuration does not use."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("aiokafka", "aiosmtplib", "kubernetes", "pandas", "prometheus_api_client", "slack_sdk")


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("guardian", ()),
        ("guardian.catalog", ()),
        ("guardian.adapters.metrics.polled", ()),
        ("guardian.adapters.metrics.streamed", ()),
        ("guardian.adapters.routers.haproxy", ()),
        ("guardian.adapters.probes.http", ()),
        ("guardian.adapters.notify.webhook", ()),
        ("guardian.adapters.notify.pagerduty", ()),
        ("guardian.adapters.notify.slack", ("slack_sdk",)),
        ("guardian.adapters.notify.email", ("aiosmtplib",)),
        ("guardian.app", ()),
        ("guardian.adapters.routers.istio", ("kubernetes",)),
        ("guardian.adapters.workloads.deployment", ("kubernetes",)),
        ("guardian.adapters.events.kafka", ("aiokafka",)),
        ("guardian.adapters.events.kafka_sink", ("aiokafka",)),
    ],
)
def test_an_adapter_loads_its_own_client_only(module: str, allowed: tuple[str, ...]) -> None:
    """The daemon is ready in under 2 s and 150 MB because it loads what guardian.yaml names."""
    program = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert tuple(loaded) == allowed
