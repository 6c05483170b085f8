"""The JSON Schema accepts what the reader accepts, and the reference pages are what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from guardian.config.comparison import DEFAULTS
from guardian.config.plan import STRATEGIES as WRITTEN
from guardian.config.schema import SUBJECTS
from guardian.core.strategies import STRATEGIES


@pytest.mark.parametrize("subject", ["policy", "settings"])
def test_the_reference_page_is_what_the_schema_says(subject: str) -> None:
    """`guardian schema SUBJECT -o markdown > docs/reference/SUBJECT.md` brings it up to date."""
    assert Path(f"docs/reference/{subject}.md").read_text(encoding="utf-8") == SUBJECTS[subject].reference(subject)


def test_every_key_of_the_contracts_example_is_in_the_schema() -> None:
    """An editor that validates by it must not mark the example."""
    text = Path("examples/policies/checkout.yaml").read_text(encoding="utf-8")
    known = {key.path.replace("[]", "").replace("(canary)", "") for key in SUBJECTS["policy"].rows()}
    written = set(_paths(YAML(typ="safe").load(text)))
    free = ("spec.router.", "spec.alerts.match.")
    assert {path for path in written if not path.startswith(free)} <= known


def _paths(node: Any, prefix: str = "") -> list[str]:
    if isinstance(node, list):
        return [path for item in node for path in _paths(item, prefix)]
    if not isinstance(node, dict):
        return []
    found = []
    for name, child in node.items():
        here = f"{prefix}.{name}" if prefix else name
        found += [here, *_paths(child, here)]
    return found


def test_unknown_keys_are_refused_everywhere() -> None:
    """The schema says so as well, so that editors mark them."""
    definitions = SUBJECTS["policy"].json_schema()["$defs"]
    assert [name for name, node in definitions.items() if "properties" in node and node["additionalProperties"]] == []


def test_defaults_are_written_as_a_user_would() -> None:
    """10m and 1%, not 600.0 and 0.01."""
    defaults = {key.path: key.default for key in SUBJECTS["policy"].rows()}
    assert defaults["spec.guardrails[].page_after"] == "`10m`"
    assert defaults["spec.risk.false_rollback"] == "`1%`"


def test_each_strategy_of_the_core_can_be_written() -> None:
    """And nothing can be written that the core does not know."""
    assert set(WRITTEN) == set(STRATEGIES)


def test_default_margins_are_those_of_the_contract() -> None:
    """CONTRACTS section 5: left out means the margins of its example."""
    ratio, histogram = DEFAULTS["ratio"], DEFAULTS["histogram"]
    assert (ratio.rollback.relative, ratio.rollback.absolute) == (1.05, 0.00005)
    assert (ratio.promote.relative, ratio.promote.absolute) == (1.5, 0.0005)
    assert (histogram.rollback.relative, histogram.promote.relative) == (1.02, 1.15)
    assert (histogram.tail_rollback, histogram.tail_promote) == (0.001, 0.003)
