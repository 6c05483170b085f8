"""PromQL of other systems' checks -> the two shapes that are SLIs of ours: a ratio of counts, a quantile of buckets.

The parser is the `promql-parser` package (docs/decisions/0001-dependencies.md). A query of another shape is said to be
none (`NoShape`), never bent into one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import promql_parser as ql

_RATES: Final = frozenset({"rate", "irate", "increase"})
_NEGATED: Final = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
_OPS: Final = (
    (ql.MatchOp.Equal, "="),
    (ql.MatchOp.NotEqual, "!="),
    (ql.MatchOp.Re, "=~"),
    (ql.MatchOp.NotRe, "!~"),
)
"""Pairs, since the parser's operators compare but do not hash."""


class NoShape(Exception):
    """Why a check is no guardrail of ours, for people."""


@dataclass(frozen=True, slots=True, order=True)
class Matcher:
    """One condition on a label: op is one of = != =~ !~."""

    label: str
    op: str
    value: str

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.label}{self.op}"{escaped}"'

    @property
    def negated(self) -> Matcher:
        """The condition that holds exactly where this one does not."""
        return Matcher(self.label, _NEGATED[self.op], self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Series by metric name and conditions; window: seconds of the range in brackets."""

    name: str
    matchers: frozenset[Matcher]
    window: float

    def __str__(self) -> str:
        conditions = ",".join(map(str, sorted(self.matchers)))
        return f"{self.name}{{{conditions}}}" if conditions else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What the one counts and the other does not."""

    all: Selection
    part: Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Part of the events over all of them."""

    part: Selection
    total: Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """A quantile of a histogram, in the unit of its buckets."""

    share: float
    buckets: Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a query returns: scale x core + offset. core None: a constant."""

    core: Ratio | Quantile | Selection | Difference | None
    scale: float
    offset: float

    def unscaled(self, value: float) -> float:
        """Return the value of the core at which the query returns `value`."""
        return (value - self.offset) / self.scale


def read_query(text: str) -> Query:
    """Return the query as a ratio or a quantile, scaled. Raises NoShape, also for a text that is no PromQL."""
    try:
        expression = ql.parse(text)
    except ValueError as error:
        raise NoShape(f"it is not PromQL: {' '.join(str(error).split())}") from None
    query = _query(expression)
    if not isinstance(query.core, Ratio | Quantile) or query.scale == 0.0:
        raise NoShape("it is neither a ratio of two summed rates nor a quantile of one histogram")
    return query


def _query(node: ql.Expr) -> Query:
    match node:
        case ql.ParenExpr():
            return _query(node.expr)
        case ql.NumberLiteral():
            return Query(core=None, scale=0.0, offset=node.val)
        case ql.UnaryExpr():
            inner = _query(node.expr)
            return Query(core=inner.core, scale=-inner.scale, offset=-inner.offset)
        case ql.BinaryExpr():
            return _binary(node)
        case ql.AggregateExpr():
            return Query(core=_summed(node, within=()), scale=1.0, offset=0.0)
        case ql.Call() if node.func.name == "histogram_quantile":
            return Query(core=_quantile(node), scale=1.0, offset=0.0)
        case ql.Call() if node.func.name == "scalar":
            return _query(node.args[0])
    raise NoShape(f"`{_short(node)}` is no summed rate")


def _binary(node: ql.BinaryExpr) -> Query:
    sign = str(node.op)
    if sign == "or" and _is_vector(node.rhs):
        return _query(node.lhs)  # a value for no data: the guardian says itself what that means
    modifier = node.modifier
    if modifier is not None and (modifier.group_labels or (modifier.matching is not None and modifier.matching.labels)):
        raise NoShape("it matches series by labels")
    left, right = _query(node.lhs), _query(node.rhs)
    if sign in {"+", "-"}:
        return _sum(left, right if sign == "+" else Query(core=right.core, scale=-right.scale, offset=-right.offset))
    if sign == "*" and (left.core is None or right.core is None):
        inner, factor = (right, left.offset) if left.core is None else (left, right.offset)
        return Query(core=inner.core, scale=inner.scale * factor, offset=inner.offset * factor)
    if sign == "/":
        return _quotient(left, right)
    raise NoShape(f"it uses '{sign}'")


def _sum(left: Query, right: Query) -> Query:
    if left.core is None or right.core is None:
        core, scale = (right.core, right.scale) if left.core is None else (left.core, left.scale)
        return Query(core=core, scale=scale, offset=left.offset + right.offset)
    if isinstance(left.core, Selection) and isinstance(right.core, Selection) and left.scale == -right.scale == 1.0:
        return Query(core=Difference(all=left.core, part=right.core), scale=1.0, offset=0.0)
    raise NoShape("it adds or subtracts several metrics")


def _quotient(left: Query, right: Query) -> Query:
    if right.core is None:
        if right.offset == 0.0:
            raise NoShape("it divides by zero")
        return Query(core=left.core, scale=left.scale / right.offset, offset=left.offset / right.offset)
    if not isinstance(right.core, Selection) or left.offset or right.offset or not right.scale:
        raise NoShape("it divides by something else than a summed rate")
    factor = left.scale / right.scale
    if isinstance(left.core, Selection):
        return Query(core=Ratio(part=left.core, total=right.core), scale=factor, offset=0.0)
    if isinstance(left.core, Difference) and _same(left.core.all, right.core):
        return Query(core=Ratio(part=left.core.part, total=right.core), scale=-factor, offset=factor)
    raise NoShape("its numerator is no summed rate")


def _same(one: Selection, other: Selection) -> bool:
    return (one.name, one.matchers) == (other.name, other.matchers)


def _summed(node: ql.Expr, *, within: tuple[str, ...]) -> Selection:
    """Return the series of sum(rate(...)); within: labels that it may keep apart."""
    if isinstance(node, ql.ParenExpr):
        return _summed(node.expr, within=within)
    if not isinstance(node, ql.AggregateExpr) or str(node.op) != "sum":
        raise NoShape(f"`{_short(node)}` is no sum")
    selection = _rated(node.expr)
    fixed = {matcher.label for matcher in selection.matchers if matcher.op == "="}
    kept = set() if node.modifier is None else set(node.modifier.labels)
    by = node.modifier is None or node.modifier.type == ql.AggModifierType.By
    if not by or not kept - fixed <= set(within) or not set(within) <= kept:
        wanted = f" by ({', '.join(within)})" if within else ""
        raise NoShape(f"`{_short(node)}` has several results: only sum{wanted} is understood")
    return selection


def _rated(node: ql.Expr) -> Selection:
    if isinstance(node, ql.ParenExpr):
        return _rated(node.expr)
    if not isinstance(node, ql.Call) or node.func.name not in _RATES:
        raise NoShape(f"`{_short(node)}` is no rate of a counter")
    matrix = node.args[0]
    if not isinstance(matrix, ql.MatrixSelector):
        raise NoShape(f"`{_short(matrix)}` is a subquery")
    vector = matrix.vector_selector
    if vector.offset is not None or vector.at is not None or vector.matchers.or_matchers:
        raise NoShape(f"`{_short(vector)}` has offset, @ or 'or'")
    matchers = [Matcher(one.name, _op(one.op), one.value) for one in vector.matchers.matchers]
    named = [one.value for one in matchers if one.label == "__name__" and one.op == "="]
    name = vector.name or (named[0] if named else "")
    kept = frozenset(one for one in matchers if one.label != "__name__" or not named)
    return Selection(name=name, matchers=kept, window=matrix.range.total_seconds())


def _op(found: ql.MatchOp) -> str:
    return next(text for op, text in _OPS if op == found)


def _quantile(node: ql.Call) -> Quantile:
    share = _query(node.args[0])
    if share.core is not None or not 0.0 < share.offset < 1.0:
        raise NoShape("its quantile is no number between 0 and 1")
    buckets = _summed(node.args[1], within=("le",))
    if not buckets.name.endswith("_bucket"):
        raise NoShape(f"{buckets.name or 'its metric'} does not end in _bucket")
    return Quantile(share=share.offset, buckets=buckets)


def _is_vector(node: ql.Expr) -> bool:
    return isinstance(node, ql.Call) and node.func.name == "vector"


def _short(node: ql.Expr) -> str:
    text = str(node)
    return text if len(text) <= 60 else f"{text[:57]}..."


def without(selection: Selection, dropped: frozenset[Matcher]) -> Selection:
    """Return the selection without these conditions."""
    return replace(selection, matchers=selection.matchers - dropped)
