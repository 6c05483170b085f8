"""The schema of scenario files, for editors, and the reference of their keys."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from simulator.faults import Fault
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
    union = get_args(get_args(Fault)[0])
    kinds = {kind for fault in union for kind in get_args(fault.model_fields["kind"].annotation)}
    assert {f"spec.faults[]({kind}).kind" for kind in kinds} <= paths
    assert {"spec.traffic(steady).rate", "spec.traffic(daily).low", "spec.faults[](attempt_step).of"} <= paths


def test_every_kind_says_what_it_is_in_the_reference() -> None:
    """Who writes a scenario chooses by that; keys that several kinds share are explained with each."""
    meanings = {key.path: key.meaning for key in SCENARIO.rows()}
    assert [path for path, meaning in meanings.items() if path.endswith(").kind") and not meaning] == []
    assert meanings["spec.faults[](error_step).kind"].startswith("Failures jump")
    assert meanings["spec.traffic(ramp).rate"] == meanings["spec.traffic(ramp).to"] == "requests per second"


def test_defaults_are_written_as_a_user_would_write_them() -> None:
    """Moments as durations; of a list of mappings only that there is a default."""
    defaults = {key.path: key.default for key in SCENARIO.rows()}
    assert defaults["spec.faults[](error_step).at"] == "`0s`"
    assert defaults["spec.deploys[]"] == "see below"
