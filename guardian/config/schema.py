"""JSON Schema of policies and of guardian.yaml, for editors; and the same as reference pages in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel

from guardian.config.comparison import DEFAULTS
from guardian.config.policy import PolicyConfig
from guardian.config.settings import Settings
from guardian.config.units import format_duration, format_share

Subject = Literal["policy", "settings"]
MODELS: Final[dict[Subject, type[BaseModel]]] = {"policy": PolicyConfig, "settings": Settings}
TITLES: Final[dict[Subject, str]] = {"policy": "Policy", "settings": "guardian.yaml"}
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema(subject: Subject) -> dict[str, Any]:
    """Return the JSON Schema; defaults are written as a user would write them."""
    schema = MODELS[subject].model_json_schema(by_alias=True)
    return {"$schema": _DIALECT, **_readable(schema), "title": TITLES[subject]}


def _readable(node: Any) -> Any:
    if isinstance(node, list):
        return [_readable(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _readable(value) for key, value in node.items()}
    if "default" in node:
        found["default"] = _default(node["default"], node)
    return found


def _default(value: Any, node: Mapping[str, Any]) -> Any:
    kinds = [node, *node.get("anyOf", [])]
    examples = [example for kind in kinds for example in kind.get("examples", [])]
    if "90s" in examples and isinstance(value, int | float):
        return format_duration(value)
    if "5%" in examples and isinstance(value, int | float):
        return format_share(value).replace(" ", "")
    if "127.0.0.1:8080" in examples and isinstance(value, list | tuple):
        return f"{value[0]}:{value[1]}"
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of the reference: its path, what may be written, the default, what it means."""

    path: str
    kind: str
    default: str
    meaning: str


def keys(subject: Subject) -> list[Key]:
    """Return every key that may be written, parents before children, in the order of the schema."""
    schema = json_schema(subject)
    return list(_keys(schema, schema, "", frozenset()))


def _keys(schema: Mapping[str, Any], node: Mapping[str, Any], path: str, above: frozenset[str]) -> Iterator[Key]:
    required = set(node.get("required", []))
    for name, child in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        target, suffix = _target(schema, child)
        yield Key(
            path=here + suffix,
            kind=_kind(schema, child),
            default="**required**" if name in required else _shown(child.get("default")),
            meaning=str(child.get("description") or target.get("description") or ""),
        )
        title = str(target.get("title", ""))
        if "properties" in target and title not in above:
            yield from _keys(schema, target, here + suffix, above | {title})


def _target(schema: Mapping[str, Any], node: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the schema that holds the properties below, and what the path gets: [] in lists, .NAME in mappings."""
    for member in (node, *node.get("anyOf", []), *node.get("allOf", [])):
        if "$ref" in member:
            return _target(schema, schema["$defs"][member["$ref"].rsplit("/", 1)[-1]])
        if "items" in member:
            return _target(schema, member["items"])[0], "[]"
        below = member.get("additionalProperties")
        if isinstance(below, Mapping) and "$ref" in below:
            return _target(schema, below)[0], ".NAME"
    return node, ""


def _kind(schema: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    """Return what may be written, in words."""
    if "$ref" in node:
        return _kind(schema, schema["$defs"][node["$ref"].rsplit("/", 1)[-1]])
    if "anyOf" in node:
        kinds = [_kind(schema, member) for member in node["anyOf"] if member.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in node or "const" in node:
        return ", ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    if "examples" in node:
        return ", ".join(f"`{example}`" for example in node["examples"])
    names = {
        "object": "mapping",
        "array": "list",
        "string": "text",
        "integer": "whole number",
        "boolean": "true, false",
    }
    return names.get(str(node.get("type", "")), str(node.get("type", "anything")))


def _shown(default: Any) -> str:
    if default is None or default in ({}, [], ""):
        return ""
    if isinstance(default, dict):
        return "see below"
    if isinstance(default, list):
        return ", ".join(f"`{item}`" for item in default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def reference(subject: Subject) -> str:
    """Return the reference page: one row per key."""
    lines = [
        f"# {TITLES[subject]}: every key",
        "",
        f"Printed by `guardian schema {subject} -o markdown`; `guardian schema {subject}` prints the JSON Schema.",
        "Unknown keys are errors. Durations: `90s`, `5m`, `1h30m`. Shares: `5%` or `0.05`. Secrets: `{file: PATH}` or",
        "`{env: NAME}`, read at use.",
        "",
        "| key | what to write | default | meaning |",
        "|---|---|---|---|",
    ]
    for key in keys(subject):
        cells = (f"`{key.path}`", key.kind, key.default, key.meaning)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, *(_margins() if subject == "policy" else [])]) + "\n"


def _margins() -> list[str]:
    """Return which margins hold where a policy names none."""
    lines = ["", "## Margins left out", "", "| kind | margin | relative | absolute | tail |", "|---|---|---|---|---|"]
    for kind, compare in DEFAULTS.items():
        tails = {"rollback": compare.tail_rollback, "promote": compare.tail_promote}
        for side, margin in (("rollback", compare.rollback), ("promote", compare.promote)):
            absolute = format_share(margin.absolute) if kind == "ratio" else ""
            tail = format_share(tails[side]) if kind == "histogram" else ""
            lines.append(f"| {kind} | {side} | {margin.relative:g} | {absolute} | {tail} |")
    written = "A margin that is left out beside one that is written never contradicts it: it is bounded by it."
    return [*lines, "", written]
