"""The JSON Schema of a scenario file: what its model says, references to parameters, and files that extend another."""

from __future__ import annotations

from typing import Any, Final

from guardian.config.schema import Subject
from simulator.parameters import REFERENCE
from simulator.scenario import ScenarioFile

_AS_WRITTEN: Final = {"Metadata", "Parameter", "Truth", "Milestone", "Never"}
"""Where no parameter may be named."""
_REFERENCE: Final = {"type": "string", "pattern": f"^{REFERENCE.pattern}$", "description": "a parameter"}
_DIFFERENCE: Final = "Difference"
_POLICY: Final = {"properties": {"kind": {"const": "Policy"}}, "required": ["kind"]}
"""The second document of the file: editors hold one schema against both."""


def _published(plain: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that a policy passes, a scenario, and a file that says only how it differs from another."""
    definitions = plain["$defs"]
    named = {name: node if name in _AS_WRITTEN else _with_references(node) for name, node in definitions.items()}
    whole = {key: plain[key] for key in ("type", "properties", "required", "additionalProperties")}
    differing = {name + _DIFFERENCE: _difference(node) for name, node in named.items() if name != "Metadata"}
    part = _difference(whole) | {"required": ["apiVersion", "kind", "metadata", "extends"]}
    part["properties"]["metadata"] = whole["properties"]["metadata"]
    choice = {"if": {"required": ["extends"]}, "then": part, "else": whole}
    return {
        "$schema": plain["$schema"], "title": plain["title"], "if": _POLICY, "then": True, "else": choice,
        "$defs": named | differing,
    }  # fmt: skip


def _with_references(node: dict[str, Any]) -> dict[str, Any]:
    """Return a definition in which a parameter may stand for each value that is no mapping and no list."""
    if "properties" not in node:
        return node
    fields = {
        name: value if name == "kind" or not _is_scalar(value) else {"anyOf": [value, _REFERENCE]}
        for name, value in node["properties"].items()
    }
    return {**node, "properties": fields}


def _is_scalar(node: dict[str, Any]) -> bool:
    """Whether numbers, texts or one of some words are meant."""
    kinds = {kind for one in node.get("anyOf", [node]) for kind in _kinds(one)}
    return bool(kinds & {"string", "number", "integer", "boolean"})


def _kinds(node: dict[str, Any]) -> list[str]:
    written = node.get("type", [])
    return [written] if isinstance(written, str) else written


def _difference(node: Any) -> Any:
    """Return a schema in which nothing is required and `null` takes a key away."""
    if isinstance(node, list):
        return [_difference(one) for one in node]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for key, value in node.items():
        if key == "$ref" and not value.endswith("/Metadata"):
            found[key] = value + _DIFFERENCE
        elif key == "properties":
            found[key] = {name: {"anyOf": [_difference(one), {"type": "null"}]} for name, one in value.items()}
        elif key == "oneOf":
            found["anyOf"] = _difference(value)  # without its kind a mapping may be of several
        elif key not in {"required", "discriminator"}:
            found[key] = _difference(value) if key in {"anyOf", "allOf", "items", "additionalProperties"} else value
    return found


_HINT: Final = "A value below `spec`, except of the truth, may be `$NAME`: the parameter of that name."
SCENARIO: Final = Subject(title="Scenario", model=ScenarioFile, publish=_published, hint=_HINT)
