"""What `import guardian` promises: these names, documented, and nothing heavy loaded for them."""

import inspect
import subprocess
import sys

import pytest

import guardian

NAMES = {
    "Decision",
    "Engine",
    "Evidence",
    "Guardrail",
    "GuardianError",
    "Observed",
    "Phase",
    "Policy",
    "Rollout",
    "Slo",
    "Verdict",
    "explain",
    "fold",
    "load_policy",
}
OUTSIDE = {
    "aiohttp",
    "aiokafka",
    "fastapi",
    "google",
    "httpx",
    "kubernetes",
    "prometheus_api_client",
    "pyarrow",
    "requests",
    "simpy",
    "starlette",
    "typer",
    "uvicorn",
}
"""Libraries of web, broker, cluster and the like: no public name needs one."""
READING = {"pydantic", "ruamel"}
"""Libraries that read policies: needed by `load_policy`, and by nothing before it is asked for."""


def loaded_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after the statement."""
    show = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", f"{statement}\n{show}"], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_the_public_names_are_these() -> None:
    """A name that leaves or enters is a change of contract and belongs into the changelog."""
    assert set(guardian.__all__) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_public_name_is_documented(name: str) -> None:
    """What `help()` shows is part of the interface."""
    assert inspect.getdoc(getattr(guardian, name))


def test_importing_it_loads_neither_web_nor_broker_nor_cluster_libraries() -> None:
    """Who drives the engine in a test or a notebook pays for the engine only."""
    assert loaded_after("import guardian") & (OUTSIDE | READING) == set()


def test_the_engine_needs_no_reader_of_policies() -> None:
    """Policies may be built in code."""
    assert loaded_after("from guardian import Engine, Policy") & (OUTSIDE | READING) == set()


def test_no_public_name_loads_an_outside_library() -> None:
    """Not even all of them together."""
    assert loaded_after(f"from guardian import {', '.join(sorted(guardian.__all__))}") & OUTSIDE == set()


def test_the_search_for_heavy_modules_sees_one() -> None:
    """Else the facts above would hold for any import."""
    assert loaded_after("from guardian import load_policy") & READING == READING
