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
    "Observation",
    "Phase",
    "Policy",
    "Rollout",
    "Signal",
    "Slo",
    "Verdict",
    "explain",
    "fold",
    "load_policy",
}
HEAVY = {
    "aiohttp",
    "aiokafka",
    "fastapi",
    "google",
    "httpx",
    "kubernetes",
    "prometheus_api_client",
    "pyarrow",
    "pydantic",
    "requests",
    "ruamel",
    "simpy",
    "starlette",
    "typer",
    "uvicorn",
}


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
    assert loaded_after("import guardian") & HEAVY == set()


def test_the_policy_loader_imports_its_libraries_late() -> None:
    """The name is there at once; pydantic and the YAML parser come with the first call."""
    assert loaded_after("from guardian import load_policy") & HEAVY == set()


def test_the_search_for_heavy_modules_sees_one() -> None:
    """Else the two facts above would hold for any import."""
    assert "pydantic" in loaded_after("import pydantic") & HEAVY
