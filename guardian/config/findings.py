"""What is wrong with a file, or advisable, each with its place: pydantic's complaints in the words of a user.

Does not read files and does not know what a policy is.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from guardian.config.source import Document
from guardian.config.units import UnitError


class Severity(StrEnum):
    """An error makes the file unusable; advice does not."""

    ERROR = "error"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing said about a file; `where` is file:line:column."""

    severity: Severity
    what: str
    where: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


_CODE: Final = "guardian"


def complaint(what: str, remedy: str, *, at: Sequence[str | int] = ()) -> PydanticCustomError:
    """Return what a validator raises; `at` is the path below the value that is being validated."""
    return PydanticCustomError(_CODE, "{what}; {remedy}", {"what": what, "remedy": remedy, "at": tuple(at)})


def quantity(parse: Callable[[object], Any]) -> Callable[[object], Any]:
    """Return a validator from a parser of units."""

    def validate(value: object) -> Any:
        try:
            return parse(value)
        except UnitError as error:
            raise complaint(error.what, error.remedy) from None

    return validate


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name that was most likely meant, or None when nothing is near.

    >>> nearest("guardrial", ["guardrails", "risk"]), nearest("zzz", ["risk"])
    ('guardrails', None)
    """
    names = {candidate.lower(): candidate for candidate in allowed}
    found = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    return names[found[0]] if found else None


def hint(name: str, allowed: Iterable[str]) -> str:
    """Return the remedy for a wrong name: the nearest one, or all there are."""
    names = sorted(set(allowed))
    meant = nearest(name, names)
    return f"did you mean '{meant}'? Allowed: {', '.join(names)}" if meant else f"allowed: {', '.join(names)}"


def findings_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Finding]:
    """Return one finding for each complaint of pydantic, in the order of the file."""
    schema = _schema(model)
    said = error.errors(include_url=False)
    strange = [details["loc"] for details in said if details["type"] == "extra_forbidden"]
    found = [
        _finding(details, document, schema)
        for details in said
        if not _other_member(details, said) and not _misspelt(details, strange)
    ]
    return sorted(found, key=lambda finding: _line_of(finding.where))


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True)


def _other_member(details: ErrorDetails, said: Iterable[ErrorDetails]) -> bool:
    """Say whether the complaint only follows from another one: of a list's items, or of a union's other member."""
    loc = details["loc"]
    if details["type"] == "too_short":  # counted without its items that are wrong
        return any(one["loc"][: len(loc)] == loc and len(one["loc"]) > len(loc) for one in said)
    if details["type"] != "string_type" or not isinstance(details["input"], dict) or loc[-1:] != ("str",):
        return False
    return any(one["loc"][: len(loc) - 1] == loc[:-1] and len(one["loc"]) > len(loc) for one in said)


def _misspelt(details: ErrorDetails, strange: Sequence[tuple[str | int, ...]]) -> bool:
    """Say whether a key is missing because it is spelt otherwise beside it; the unknown key is told with its name."""
    if details["type"] != "missing":
        return False
    beside = [loc for loc in strange if loc[:-1] == details["loc"][:-1]]
    return any(nearest(str(loc[-1]), [str(details["loc"][-1])]) is not None for loc in beside)


def _line_of(where: str) -> tuple[int, int]:
    line, column = where.rsplit(":", 2)[-2:]
    return int(line), int(column)


def _finding(details: ErrorDetails, document: Document, schema: Mapping[str, Any]) -> Finding:
    loc, kind = details["loc"], details["type"]
    context: dict[str, Any] = details.get("ctx", {})
    path = (*loc, *context["at"]) if kind == _CODE else (*loc, _CHOOSES) if kind in _CHOICES else loc
    what, remedy = _text(details, path, document, schema)
    where = document.where(path[:-1] if kind in _ABSENT else path, key=kind == "extra_forbidden")
    return Finding(severity=Severity.ERROR, what=what, where=where, remedy=remedy)


def _text(
    details: ErrorDetails, path: Sequence[str | int], document: Document, schema: Mapping[str, Any]
) -> tuple[str, str]:
    """Return what is wrong and what to do."""
    kind = details["type"]
    context: dict[str, Any] = details.get("ctx", {})
    name = _name(document.resolve(path))
    last = str(path[-1]) if path else "the document"
    if kind == _CODE:
        return f"{name}: {context['what']}" if name else context["what"], context["remedy"]
    if kind == "extra_forbidden":
        inside = f" in {_name(document.resolve(path[:-1]))}" if len(path) > 1 else ""
        return f"unknown key '{last}'{inside}", hint(last, _properties(schema, path[:-1]))
    if kind in _ABSENT:
        inside = f" in {_name(document.resolve(path[:-1]))}" if len(path) > 1 else ""
        some = ", ".join(sorted(_properties_enum(schema, path)))
        return f"key '{last}' is missing{inside}", f"add '{last}:'" + (f", one of {some}" if some else "")
    if kind in {"literal_error", "enum", _WRONG_CHOICE}:
        said = details["input"][_CHOOSES] if kind == _WRONG_CHOICE else details["input"]
        allowed = _properties_enum(schema, path) or [str(context.get("expected", ""))]
        return f"{name}: {_shown(said)} is not allowed", hint(str(said), allowed)
    if kind == "too_short":
        return f"{name}: holds {context['actual_length']} items", f"write at least {context['min_length']}"
    shown = _shown(details["input"])
    if (bound := _BOUNDS.get(kind)) is not None:
        sign, words = bound
        return f"{name}: {shown} is not allowed", f"write {words} {context[sign]:g}"
    wanted = _WANTED.get(kind)
    what = f"{shown} is not {wanted}" if wanted else f"{shown}: {details['msg']}"
    remedy = _remedy(kind, schema, path)
    if kind == "value_error":
        what = details["msg"].removeprefix("Value error, ")
    elif context.get("pattern") == _ADDRESS:
        what, remedy = f"{shown} is not an address", "begin it with http:// or https://"
    return f"{name or last}: {what}", remedy


_ADDRESS: Final = "^https?://"
_CHOOSES: Final = "kind"
"""Key that says which member of a union a mapping is; every discriminator has this name."""
_WRONG_CHOICE, _NO_CHOICE = "union_tag_invalid", "union_tag_not_found"
_CHOICES: Final = {_WRONG_CHOICE, _NO_CHOICE}
_ABSENT: Final = {"missing", _NO_CHOICE}


_BOUNDS: Final[dict[str, tuple[str, str]]] = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


_WANTED: Final[dict[str, str]] = {
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}


def _remedy(kind: str, schema: Mapping[str, Any], path: Sequence[str | int]) -> str:
    if kind in {"model_type", "model_attributes_type"} and (names := _properties(schema, path)):
        return f"write keys below it: {', '.join(sorted(names))}"
    if kind in {"list_type", "tuple_type"}:
        return "write a list: one '- ' a line, or [a, b]"
    if kind == "string_type":
        return "put it in quotes if that text is meant"
    return "see docs/reference, or the schema that `guardian schema` prints"


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, dict | list) else ("a mapping" if isinstance(value, dict) else "a list")
    return text if len(text) <= 60 else f"{text[:57]}..."


def _name(path: Sequence[str | int]) -> str:
    """Return a path as people write it: spec.guardrails[0].sli."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _properties(schema: Mapping[str, Any], path: Sequence[str | int]) -> list[str]:
    """Return the keys that the schema allows at the path."""
    return sorted({name for node in _nodes(schema, path) for name in node.get("properties", {})})


def _properties_enum(schema: Mapping[str, Any], path: Sequence[str | int]) -> list[str]:
    nodes = _nodes(schema, path)
    return [str(value) for node in nodes for value in node.get("enum", [node["const"]] if "const" in node else [])]


def _nodes(schema: Mapping[str, Any], path: Sequence[str | int]) -> list[Mapping[str, Any]]:
    """Return the schemas that may apply at the path, references and unions resolved."""
    nodes = _expand(schema, schema)
    for part in path:
        below: list[Mapping[str, Any]] = []
        for node in nodes:
            child = node.get("items") if isinstance(part, int) else node.get("properties", {}).get(part)
            child = child or (node.get("additionalProperties") if not isinstance(part, int) else None)
            if isinstance(child, Mapping):
                below.extend(_expand(schema, child))
        nodes = below or [node for node in nodes if _is_member(node, part)] or nodes
    return nodes


def _is_member(node: Mapping[str, Any], name: str | int) -> bool:
    """Whether this is the member of a union that the part of a path names, which is not a step in the file."""
    return bool(node.get("properties", {}).get(_CHOOSES, {}).get("const") == name)


def _expand(schema: Mapping[str, Any], node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "$ref" in node:
        return _expand(schema, schema["$defs"][str(node["$ref"]).rsplit("/", 1)[-1]])
    for union in ("anyOf", "oneOf", "allOf"):
        if union in node:
            return [found for member in node[union] for found in _expand(schema, member)]
    return [node]
