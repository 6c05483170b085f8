"""The tuning benchmark: a kill, a cluster and a proof on a small world; the page of its committed result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.tuning.__main__ import RESULT, measured
from benchmarks.tuning.document import DOCUMENT, PICTURE, document
from benchmarks.tuning.figures import FIGURES, mean_limits, share_limits
from benchmarks.tuning.search import GAME, Asked, Size, patched
from guardian.config.policy import parse_policy
from tests.simulator.tunings import BAD, SCENARIOS, SPACE

pytestmark = pytest.mark.timeout(300)  # processes and a cluster start, and one of them is killed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything is kept, so that a second run plays nothing."""
    root = tmp_path_factory.mktemp("tuning")
    (root / "s").mkdir()
    files = {"policy.yaml": BAD, "space.yaml": SPACE} | {f"s/{name}.yaml": text for name, text in SCENARIOS.items()}
    for name, text in files.items():
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def result(folder: Path) -> dict[str, Any]:
    """A policy whose margins are ten times too wide, tuned both ways."""
    return _measured(folder)


def _measured(folder: Path) -> dict[str, Any]:
    asked = Asked(root=folder, policy=Path("policy.yaml"), space=Path("space.yaml"), scenarios=Path("s"))
    return measured(asked, Size(trials=3, seeds=2, fresh=6), folder / "kept")


def test_a_killed_search_and_a_cluster_recommend_the_same_policy(result: dict[str, Any]) -> None:
    """Byte for byte, and the whole answer with it."""
    assert result["standing"] == "accepted"
    killed, clustered = result["searches"]
    assert killed["by"].startswith("2 processes, killed after ")
    assert clustered["by"] == "2 Dask workers"
    assert killed["policy_sha256"] == clustered["policy_sha256"]
    assert killed["answer_sha256"] == clustered["answer_sha256"]


def test_each_figure_has_limits_before_and_after(result: dict[str, Any]) -> None:
    """The delay of the wide margins ends: it is the proof that a change is real, on seeds of its own."""
    rows = {one["name"]: one for one in result["figures"]}
    assert list(rows) == [figure.name for figure in FIGURES]
    for one in rows.values():
        for when in ("before", "after"):
            assert one[when]["lower"] <= one[when]["value"] <= one[when]["upper"]
    delay = rows["delay until rolled back"]
    assert delay["after"]["upper"] < delay["before"]["lower"]
    assert delay["change"]["upper"] < 1.0
    assert rows["false rollbacks"]["after"] == share_limits(np.zeros((1, 6)))
    assert min(result["seed"]["fresh"]) > 1_000_000


def test_a_benchmark_that_was_done_plays_nothing(folder: Path, result: dict[str, Any]) -> None:
    """The same command again finds all of it kept; only its clock and its machine go on."""
    before = [(folder / "kept" / f"{name}.jsonl").read_bytes() for name in ("processes", "dask")]
    again = _measured(folder)
    assert [(folder / "kept" / f"{name}.jsonl").read_bytes() for name in ("processes", "dask")] == before
    assert again["patch"] == result["patch"]
    assert again["figures"] == result["figures"]


def test_a_mean_weighs_scenarios_alike_and_a_share_is_exact() -> None:
    """By hand: variances 2 and 2 of two seeds each give (2 + 2) / 8, and t of 2 degrees of freedom is 4.303."""
    assert mean_limits(np.array([[1.0, 3.0], [11.0, 13.0]])) == {"value": 7.0, "lower": 3.9576, "upper": 10.0424}
    assert share_limits(np.ones((1, 1))) == {"value": 1.0, "lower": 0.025, "upper": 1.0}


def test_the_committed_page_is_that_of_the_committed_result() -> None:
    """`python -m benchmarks.tuning --docs` brings it up to date; result, page and picture are there, or none."""
    assert RESULT.is_file() == DOCUMENT.is_file() == PICTURE.is_file()
    if RESULT.is_file():
        found = json.loads(RESULT.read_text(encoding="utf-8"))
        assert DOCUMENT.read_text(encoding="utf-8") == document(found)
        assert found["standing"] == "accepted"
        assert parse_policy(patched(GAME, found["patch"]), file="policy.yaml").name == "game"
