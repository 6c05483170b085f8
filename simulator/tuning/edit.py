"""A policy's text with some of its values replaced: every other byte stays, so that a patch shows only what changed.

A place is written as `guardian check` writes it, with guardrails by name: `spec.guardrails[errors].warm_up.for`,
`spec.strategy.steps[0].bake`. Does not know what the keys mean.
"""

from __future__ import annotations

import copy
import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from guardian.config.source import parse_documents
from guardian.errors import ConfigError

Value = str | int | float | bool
"""A scalar as a policy's author writes it; a text keeps its unit."""
Keys = tuple[str | int, ...]
_PART: Final = re.compile(r"(\w[\w-]*)|\[([^\[\]]+)\]")
_PLAIN: Final = re.compile(r"[A-Za-z0-9.][A-Za-z0-9.%/_+-]*")


def keys_of(place: str, data: Any) -> Keys:
    """Return the keys and list positions that lead to a place, in plain data; the last keys may be absent there.

    Raises ConfigError where the place is not written as one, or a list has no such item.
    """
    keys: list[str | int] = []
    node, at = data, 0
    while at < len(place):
        found = _PART.match(place, at)
        if found is None:
            raise ConfigError(
                f"'{place}' is not a place", remedy="write spec.risk.hold_back or spec.guardrails[NAME].warm_up"
            )
        key = found[1] if found[2] is None else _position(found[2], node, place[: found.end()])
        keys.append(key)
        node = _below(node, key)
        at = found.end() + (place[found.end() : found.end() + 1] == ".")
    return tuple(keys)


def value_at(data: Any, keys: Keys) -> Any:
    """Return what is at a place of plain data; None where nothing is written."""
    for key in keys:
        data = _below(data, key)
    return data


def put(data: Any, changes: Mapping[Keys, Value]) -> Any:
    """Return plain data with values replaced; mappings that are absent on the way are made."""
    changed = copy.deepcopy(data)
    for keys, value in changes.items():
        node = changed
        for key in keys[:-1]:
            if _below(node, key) is None:
                node[key] = {}
            node = node[key]
        node[keys[-1]] = value
    return changed


def edited(text: str, changes: Mapping[Keys, Value], *, file: str) -> str:
    """Return the text of one YAML document with values replaced, or written in front where they are absent.

    Raises ConfigError where the text has no place for one of them, or where it stands for others as well (an alias).
    """
    data = parse_documents(text, file=file)[0].data
    new = text
    for keys, value in changes.items():
        new = _edited(new, keys, value, file)
    if parse_documents(new, file=file)[0].data != put(data, changes):
        names = ", ".join(".".join(map(str, keys)) for keys in changes)
        raise ConfigError(
            f"{names}: cannot be changed alone",
            where=file,
            remedy="write the value out where an anchor or alias stands for it",
        )
    return new


def patch(before: str, after: str, *, file: str) -> str:
    """Return what changed as a unified diff that `patch -p1` and `git apply` read; empty where nothing did."""
    name = Path(file).name if Path(file).is_absolute() else file
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), fromfile=f"a/{name}", tofile=f"b/{name}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def written(value: Value) -> str:
    """Return a scalar as YAML, with quotes only where it needs them.

    >>> written("5m"), written(1.05), written("a: b"), written("true")
    ('5m', '1.05', '"a: b"', '"true"')
    """
    if not isinstance(value, str):
        return json.dumps(value)
    plain = _PLAIN.fullmatch(value) is not None and YAML(typ="safe", pure=True).load(value) == value
    return value if plain else json.dumps(value)


def _position(name: str, node: Any, place: str) -> int:
    """Return where in a list an item stands, by its number or its `name`."""
    items = node if isinstance(node, list) else []
    names = [item.get("name") for item in items if isinstance(item, dict)]
    if name in names:
        return names.index(name)
    if name.isdigit() and int(name) < len(items):
        return int(name)
    allowed = [str(one) for one in names if one is not None] or [str(number) for number in range(len(items))]
    raise ConfigError(
        f"the policy has no '{place}'",
        remedy=f"allowed in brackets: {', '.join(allowed)}" if allowed else "it is no list",
    )


def _below(node: Any, key: str | int) -> Any:
    if isinstance(node, dict):
        return node.get(key)
    return node[key] if isinstance(node, list) and isinstance(key, int) and key < len(node) else None


def _edited(text: str, keys: Keys, value: Value, file: str) -> str:
    node = _composed(text, file)
    for number, key in enumerate(keys):
        below = _child(node, key)
        if below is None:
            return _inserted(text, node, keys[number:], value, file)
        node = below
    if not isinstance(node, ScalarNode):
        raise ConfigError(
            f"{'.'.join(map(str, keys))} holds more than one value", where=file, remedy="name one value in it"
        )
    return text[: node.start_mark.index] + written(value) + text[node.end_mark.index :]


def _composed(text: str, file: str) -> Node:
    try:
        node: Node = YAML(typ="safe", pure=True).compose(text)
    except YAMLError as error:
        raise ConfigError(f"is not valid YAML: {error}", where=file, remedy="check the file") from None
    return node


def _child(node: Node, key: str | int) -> Node | None:
    if isinstance(node, MappingNode):
        return next((below for name, below in node.value if name.value == key), None)
    if isinstance(node, SequenceNode) and isinstance(key, int) and key < len(node.value):
        found: Node = node.value[key]
        return found
    return None


def _inserted(text: str, node: Node, keys: Keys, value: Value, file: str) -> str:
    """Write what is absent in front of the first key of the mapping it belongs to."""
    if not isinstance(node, MappingNode):
        raise ConfigError(
            f"there is no place for '{keys[0]}'", where=file, remedy="write its mapping in the policy first"
        )
    body = written(value)
    for key in reversed(keys[1:]):
        body = f"{{{key}: {body}}}"
    entry = f"{keys[0]}: {body}"
    if not node.value:  # an empty mapping is always {}
        at = node.start_mark.index + 1
        return text[:at] + entry + text[at:]
    first = node.value[0][0].start_mark
    return text[: first.index] + entry + (", " if node.flow_style else f"\n{' ' * first.column}") + text[first.index :]
