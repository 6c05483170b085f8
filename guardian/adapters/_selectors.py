"""Metric selectors: read from policies, completed with matchers, written as PromQL, matched in memory.

It reads a selector only (`name{label="x"}`): no functions, ranges or offsets, since counts come from raw
samples. Regular expressions are anchored and `.` matches every character, as in Prometheus; for matching in
memory they run on Python's engine, so RE2-only syntax is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final

from guardian.errors import PolicyError

NAME: Final = "__name__"


class Op(StrEnum):
    """How a matcher compares."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """One condition on one label; an absent label is the empty string."""

    label: str
    op: Op
    value: str

    def matches(self, value: str) -> bool:
        """Whether a label of this value meets the condition."""
        match self.op:
            case Op.EQUAL:
                return value == self.value
            case Op.NOT_EQUAL:
                return value != self.value
            case Op.REGEX:
                return _compiled(self.value).fullmatch(value) is not None
            case Op.NOT_REGEX:
                return _compiled(self.value).fullmatch(value) is None

    def __str__(self) -> str:
        name = self.label if _PLAIN.fullmatch(self.label) else quoted(self.label)
        return f"{name}{self.op}{quoted(self.value)}"


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions that a series must all meet; the metric's name is one of them."""

    matchers: tuple[Matcher, ...]

    @property
    def name(self) -> str | None:
        """The metric's name; None when the selector does not fix it."""
        for matcher in self.matchers:
            if matcher.label == NAME and matcher.op is Op.EQUAL:
                return matcher.value
        return None

    def constrains(self, label: str) -> bool:
        """Whether it says anything about this label."""
        return any(matcher.label == label for matcher in self.matchers)

    def plus(self, more: Iterable[Matcher]) -> Selector:
        """Return the selector with further conditions."""
        return Selector(self.matchers + tuple(more))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a series of these labels is selected."""
        return all(matcher.matches(labels.get(matcher.label, "")) for matcher in self.matchers)

    def __str__(self) -> str:
        return "{" + ",".join(map(str, self.matchers)) + "}"


def equal(label: str, value: str) -> Matcher:
    """Return the condition that the label has this value."""
    return Matcher(label=label, op=Op.EQUAL, value=value)


def one_of(label: str, values: Iterable[str]) -> Matcher:
    """Return the condition that the label has one of these values; an empty value means absent, too."""
    distinct = sorted(set(values))
    if len(distinct) == 1:
        return equal(label, distinct[0])
    return Matcher(label=label, op=Op.REGEX, value="|".join(map(_literal, distinct)))


def _literal(value: str) -> str:
    """Quote what means something to RE2, and nothing else: RE2 refuses escapes of plain characters."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", value)


def quoted(value: str) -> str:
    """Return a PromQL string literal."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STRING: Final = r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`"""
_TOKEN: Final = re.compile(
    rf"\s*(?:(?P<string>{_STRING})|(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)|(?P<op>=~|!~|!=|=)|(?P<mark>[{{}},]))"
)
_ESCAPE: Final = re.compile(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[0-7]{3}|.)", re.DOTALL)
_NAMED_ESCAPES: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@cache
def parse_selector(text: str) -> Selector:
    """Read a selector such as `http_requests_total{code=~"5.."}`. Raises PolicyError with the column."""
    reader = _Reader(text)
    matchers: list[Matcher] = []
    if reader.peek("name"):
        matchers.append(equal(NAME, reader.take("name")))
    if reader.peek("mark", "{") or not matchers:
        reader.take("mark", "{")
        while not reader.peek("mark", "}"):
            matchers.append(_read_matcher(reader))
            if not reader.peek("mark", "}"):
                reader.take("mark", ",")
        reader.take("mark", "}")
    reader.end()
    if not any(not matcher.matches("") for matcher in matchers):
        raise reader.error("selects every series there is", "name a metric, for example http_requests_total")
    return Selector(tuple(matchers))


def _read_matcher(reader: _Reader) -> Matcher:
    if reader.peek("string"):
        label = _unquoted(reader.take("string"))
        if not reader.peek("op"):
            return equal(NAME, label)
    else:
        label = reader.take("name")
    op = Op(reader.take("op"))
    value = _unquoted(reader.take("string"))
    if op in {Op.REGEX, Op.NOT_REGEX}:
        try:
            _compiled(value)
        except re.error as error:
            raise reader.error(
                f"regular expression {value!r} of label {label!r}: {error}",
                "write it without RE2-only syntax",
            ) from None
    return Matcher(label=label, op=op, value=value)


def _unquoted(literal: str) -> str:
    if literal.startswith("`"):
        return literal[1:-1]
    return _ESCAPE.sub(_meant, literal[1:-1])


def _meant(found: re.Match[str]) -> str:
    code = found[1]
    if code[0] in "xuU" and len(code) > 1:
        return chr(int(code[1:], 16))
    if code.isdigit() and len(code) == 3:
        return chr(int(code, 8))
    return _NAMED_ESCAPES.get(code, code)


class _Reader:
    """Tokens of one selector, left to right."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text.rstrip(), 0

    def peek(self, kind: str, what: str | None = None) -> bool:
        found = _TOKEN.match(self.text, self.at)
        return found is not None and found[kind] is not None and what in {None, found[kind]}

    def take(self, kind: str, what: str | None = None) -> str:
        if not self.peek(kind, what):
            wanted = what or {"name": "a label", "op": "one of = != =~ !~", "string": "a quoted value"}[kind]
            raise self.error(f"expected {wanted}", 'write name{label="value"}')
        found = _TOKEN.match(self.text, self.at)
        assert found is not None  # noqa: S101  peek said so; this is for the type checker
        self.at = found.end()
        return found[kind]

    def end(self) -> None:
        if self.at < len(self.text):
            rest = self.text[self.at :].strip()
            raise self.error(f"{rest!r} after the selector", "give the raw counter: no functions, ranges or arithmetic")

    def error(self, what: str, remedy: str) -> PolicyError:
        return PolicyError(f"selector {self.text!r}, column {self.at + 1}: {what}", remedy=remedy)
