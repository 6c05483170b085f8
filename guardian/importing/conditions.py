"""`result[0] >= 0.95` and its like, as Argo Rollouts writes conditions -> bounds, and on which side they hurt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from guardian.importing.promql import NoShape

Side = Literal["above", "below"]
_NUMBER: Final = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_VALUE: Final = r"result(?:\[0\])?"
_SUBJECT: Final = rf"(?:{_VALUE}|(?:asFloat|asInt|float)\(\s*{_VALUE}\s*\)|default\(\s*{_VALUE}\s*,\s*{_NUMBER}\s*\))"
_FORWARD: Final = re.compile(rf"{_SUBJECT}\s*(?P<op>>=|<=|>|<)\s*(?P<bound>{_NUMBER})")
_BACKWARD: Final = re.compile(rf"(?P<bound>{_NUMBER})\s*(?P<op>>=|<=|>|<)\s*{_SUBJECT}")
_NO_DATA: Final = re.compile(
    rf"len\(\s*result\s*\)\s*(?:==|!=|>=|>|<)\s*\d+|!?\s*is(?:NaN|Inf|Nil)\(\s*{_VALUE}\s*\)|{_VALUE}\s*(?:==|!=)\s*nil"
)


@dataclass(frozen=True, slots=True)
class Limit:
    """Users suffer on this side of the bound, in the query's own unit."""

    side: Side
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The limits of a condition, and whether it also says what no data means."""

    limits: tuple[Limit, ...]
    asks_for_data: bool


def read_condition(text: str, *, passes: bool) -> Condition:
    """Return the limits. passes: it says what is good (a success condition), else what is bad. Raises NoShape.

    >>> read_condition("len(result) == 0 || result[0] >= 0.95", passes=True)
    Condition(limits=(Limit(side='below', bound=0.95),), asks_for_data=True)
    """
    parts = [_bare(part) for part in re.split(r"\|\||&&", _bare(text))]
    compared = [part for part in parts if not _NO_DATA.fullmatch(part)]
    joined = "&&" if passes else "||"
    if not compared or (len(compared) > 1 and len(compared) < len(parts)):
        raise NoShape(f"condition `{text}` compares no number, or mixes numbers with questions for data")
    if len(compared) > 1 and text.count(joined) != len(parts) - 1:
        raise NoShape(f"condition `{text}` is met in more than one way")
    limits = tuple(_limit(part, text, passes=passes) for part in compared)
    return Condition(limits=limits, asks_for_data=len(compared) < len(parts))


def _limit(part: str, text: str, *, passes: bool) -> Limit:
    forward, backward = _FORWARD.fullmatch(part), _BACKWARD.fullmatch(part)
    found = forward or backward
    if found is None:
        raise NoShape(f"condition `{text}` is no comparison of the result with a number")
    more = (found["op"][0] == ">") == (forward is not None)
    return Limit("below" if more == passes else "above", float(found["bound"]))


def _bare(text: str) -> str:
    """Return the text without blanks and without brackets around all of it."""
    text = text.strip()
    while text.startswith("(") and text.endswith(")") and _is_one(text[1:-1]):
        text = text[1:-1].strip()
    return text


def _is_one(inside: str) -> bool:
    depth = 0
    for sign in inside:
        depth += (sign == "(") - (sign == ")")
        if depth < 0:
            return False
    return depth == 0
