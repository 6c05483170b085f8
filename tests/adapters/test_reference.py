"""docs/reference/adapters.md names every option there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardian.adapters.probes import http
from guardian.adapters.routers import haproxy, istio
from guardian.adapters.workloads import deployment

TEXT = (Path(__file__).resolve().parents[2] / "docs/reference/adapters.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("heading", "options"),
    [
        ("Router `haproxy`", haproxy.OPTIONS),
        ("Router `istio`", istio.OPTIONS),
        ("Workload `deployment`", deployment.OPTIONS),
        ("Probe `http`", http.OPTIONS),
    ],
)
def test_every_option_is_described(heading: str, options: tuple[str, ...]) -> None:
    """And no other: a row that nothing reads would mislead."""
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    described = [name.strip(" `") for row in rows for name in row.split(",")]
    assert sorted(described) == sorted(options)
