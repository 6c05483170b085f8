"""The schema of scenario files, for editors, and the reference of their keys."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.faults import FAULTS
from simulator.schema import SCENARIO


def test_the_reference_is_what_the_schema_says() -> None:
    """`guardian schema scenario -o markdown > docs/reference/scenario.md` brings it up to date."""
    assert Path("docs/reference/scenario.md").read_text(encoding="utf-8") == SCENARIO.reference("scenario")


def test_the_schema_is_published_beside_that_of_policies() -> None:
    """Strict JSON, for whole scenarios, for differences and for the policy in the same file."""
    command = [sys.executable, "-m", "guardian", "schema", "scenario"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    schema = json.loads(done.stdout, parse_constant=pytest.fail)
    assert schema == SCENARIO.json_schema()
    whole, part = schema["else"]["else"], schema["else"]["then"]
    assert whole["required"] == ["apiVersion", "kind", "metadata", "spec"]
    assert part["required"] == ["apiVersion", "kind", "metadata", "extends"]
    assert "required" not in schema["$defs"]["SpecDifference"]
    assert not any(node.get("additionalProperties", False) is True for node in schema["$defs"].values())


def test_every_kind_of_fault_and_traffic_is_in_the_reference() -> None:
    """With its own keys."""
    paths = {key.path for key in SCENARIO.rows()}
    assert {f"spec.faults[]({kind}).kind" for kind in FAULTS} <= paths
    assert {"spec.traffic(steady).rate", "spec.traffic(daily).low", "spec.faults[](attempt_step).of"} <= paths
