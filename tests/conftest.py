"""What every test shares: the event loop's backend and the profiles of property tests.

It does not start services (the plugin named here does) and builds no domain values (tests/builders.py does).
"""

import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["simulator.testing.plugin"]

settings.register_profile("fixed", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("search", max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run coroutines on asyncio, the only loop the daemon runs on."""
    return "asyncio"
