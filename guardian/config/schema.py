"""JSON Schema of policies and of guardian.yaml, for editors; and the same as reference pages in Markdown.

Further files that people write (scenarios) join by the entry-point group `guardian.schemas`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import BaseModel

from guardian.config.comparison import DEFAULTS
from guardian.config.policy import PolicyConfig
from guardian.config.settings import Settings
from guardian.config.units import format_duration, format_share


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A kind of file. model: what reads it. publish: what else its JSON Schema allows than the model says.

    hint: what else its reference page says of values; about: further lines of the page.
    """

    title: str
    model: type[BaseModel]
    publish: Callable[[dict[str, Any]], dict[str, Any]] = lambda schema: schema
    hint: str = "Secrets: `{file: PATH}` or\n`{env: NAME}`, read at use."
    about: Callable[[], list[str]] = list

    def plain(self) -> dict[str, Any]:
        """Return the schema of the model; defaults are written as a user would write them."""
        schema: dict[str, Any] = _readable(self.model.model_json_schema(by_alias=True))
        return {"$schema": _DIALECT, **schema, "title": self.title}

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema for editors and validators."""
        return self.publish(self.plain())

    def rows(self) -> list[Key]:
        """Return every key that may be written, parents before children, in the order of the schema."""
        schema = self.plain()
        return list(_keys(schema, schema, "", frozenset(), set()))

    def reference(self, name: str) -> str:
        """Return the reference page, one row a key; name: as `guardian schema` knows it."""
        lines = [
            f"# {self.title}: every key",
            "",
            f"Printed by `guardian schema {name} -o markdown`; `guardian schema {name}` prints the JSON Schema.",
            f"Unknown keys are errors. Durations: `90s`, `5m`, `1h30m`. Shares: `5%` or `0.05`. {self.hint}",
            "",
            "| key | what to write | default | meaning |",
            "|---|---|---|---|",
        ]
        for key in self.rows():
            cells = (f"`{key.path}`", key.kind, key.default, key.meaning)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
        return "\n".join([*lines, *self.about()]) + "\n"


_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def _readable(node: Any) -> Any:
    if isinstance(node, list):
        return [_readable(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _readable(value) for key, value in node.items() if value != math.inf}  # which JSON does not have
    if "default" in found:
        found["default"] = _default(found["default"], node)
    return found


def _default(value: Any, node: Mapping[str, Any]) -> Any:
    kinds = [node, *node.get("anyOf", [])]
    examples = [example for kind in kinds for example in kind.get("examples", [])]
    if {"90s", "8m"} & set(examples) and isinstance(value, int | float):
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


def _keys(
    schema: Mapping[str, Any], node: Mapping[str, Any], path: str, above: frozenset[str], told: set[str]
) -> Iterator[Key]:
    """Yield keys below a path. above: titles on the way here; told: those of the variants that were listed already."""
    required = set(node.get("required", []))
    for name, child in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        target, suffix = _target(schema, child)
        yield Key(
            path=here + suffix,
            kind=_kind(schema, child),
            default="**required**" if name in required else _shown(child.get("default")),
            meaning=_sentence(child) or _sentence(target),
        )
        for variant, below in _variants(schema, target):
            title = str(below.get("title", ""))
            if "properties" not in below or title in above | told:
                continue
            if variant:
                told.add(title)
            for key in _keys(schema, below, here + suffix + variant, above | {title}, told):
                told_of = variant and key.path == f"{here}{suffix}{variant}.kind"
                yield replace(key, meaning=_sentence(below)) if told_of else key


def _sentence(node: Mapping[str, Any]) -> str:
    return " ".join(str(node.get("description", "")).split())


def _variants(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the schemas that may apply, and what the path gets: (KIND) where its `kind` chooses between several."""
    chosen = node.get("discriminator", {}).get("mapping", {})
    for kind, reference in chosen.items():
        yield f"({kind})", schema["$defs"][reference.rsplit("/", 1)[-1]]
    if not chosen:
        yield "", node


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
    if "discriminator" in node:
        return "mapping"
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
    if isinstance(default, dict) or (isinstance(default, list) and isinstance(default[0], dict)):
        return "see below"
    if isinstance(default, list):
        return ", ".join(f"`{item}`" for item in default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


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


SUBJECTS: Final = {
    "policy": Subject(title="Policy", model=PolicyConfig, about=_margins),
    "settings": Subject(title="guardian.yaml", model=Settings),
}
