"""Parameters of a scenario: quantities that every seed draws anew, written `$name` wherever a value may stand.

So one file is a family of incidents: small and large, early and late. What must come out is the same for all of them:
the truth has no parameters. Does not know what the values mean.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from guardian.config.findings import complaint, hint
from guardian.config.units import UnitError, parse_duration
from simulator.chance import Chance, Purpose
from simulator.units import Part

_QUANTITY: Final = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*(%?)")
REFERENCE: Final = re.compile(r"\$([A-Za-z_]\w*)")
Scalar = str | int | float
Values = Mapping[str, Scalar]
"""Parameter -> what a seed drew, as it would be written."""


class Parameter(Part):
    """How a quantity is drawn: `between` two, evenly (scale: log: evenly on the scale of factors), or `one_of` some.

    Between two whole numbers lie whole numbers: write 2.0 where fractions are meant.
    """

    between: tuple[Scalar, Scalar] | None = None
    one_of: Annotated[tuple[Scalar, ...], Field(min_length=1)] | None = None
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        if (self.between is None) == (self.one_of is None):
            raise complaint("is drawn either `between` two or as `one_of` some", "write one of the two")
        if self.between is None:
            return self
        try:
            (low, unit), (high, other) = (_number(end) for end in self.between)
        except ValueError as error:
            raise complaint(str(error), "write numbers, with a unit where one is needed", at=("between",)) from None
        if unit != other:
            what = f"'{self.between[0]}' and '{self.between[1]}' have different units"
            raise complaint(what, "write both in one unit", at=("between",))
        if low >= high or (self.scale == "log" and low <= 0):
            what = f"nothing lies between {self.between[0]} and {self.between[1]}"
            raise complaint(what, "write the smaller one first, for `scale: log` more than 0", at=("between",))
        return self

    def at(self, place: float) -> Scalar:
        """Return the value at a place of its range, 0..1."""
        if self.between is None:
            choices = self.one_of or ()
            return choices[min(int(place * len(choices)), len(choices) - 1)]
        (low, unit), (high, _) = (_number(end) for end in self.between)
        whole = all(isinstance(end, int) for end in self.between)
        if whole:
            low, high = low - 0.5 + 1e-9, high + 0.5 - 1e-9  # each of them as often as any other
        value = low * math.exp(place * math.log(high / low)) if self.scale == "log" else low + place * (high - low)
        if whole:
            return round(value)
        return f"{value:.6f}{unit}" if unit else float(f"{value:.6g}")

    @property
    def extremes(self) -> tuple[float, ...]:
        """Return the places at which a value may be one that a scenario cannot have: ends, or each choice."""
        if self.one_of is None:
            return (0.0, 1.0)
        return tuple((number + 0.5) / len(self.one_of) for number in range(len(self.one_of)))


def _number(value: Scalar) -> tuple[float, str]:
    """Return a quantity as number and unit, a duration in seconds. Raises ValueError."""
    text = str(value).strip()
    found = _QUANTITY.fullmatch(text)
    if found is not None:
        return float(found[1]), found[2]
    try:
        seconds = parse_duration(text.removeprefix("-"))
    except UnitError:
        raise ValueError(f"'{value}' is not a number, a share or a duration") from None
    return -seconds if text.startswith("-") else seconds, "s"


class Drawn(Part):
    """The section `parameters` of a scenario file."""

    parameters: dict[str, Parameter] = Field({}, description="drawn for each seed; written $NAME where a value stands")


MIDDLE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A specification with references in it, as plain data, and how what they name is drawn."""

    data: Mapping[str, Any]
    parameters: Mapping[str, Parameter]

    def middle(self) -> Values:
        """Return the values in the middle of every range."""
        return {name: one.at(MIDDLE) for name, one in self.parameters.items()}

    def drawn(self, chance: Chance) -> Values:
        """Draw values; each from a stream of its own, so that a further parameter changes no other."""
        return {
            name: one.at(float(chance.at(Purpose.PARAMETERS, zlib.crc32(name.encode())).uniform()))
            for name, one in self.parameters.items()
        }

    def corners(self) -> Iterator[Values]:
        """Yield values at the ends: all lowest, all highest, and each choice of one with the others in their middle."""
        for end in (0.0, 1.0):
            yield {name: one.at(end) for name, one in self.parameters.items()}
        for name, one in self.parameters.items():
            for place in one.extremes if one.one_of is not None else ():
                yield {**self.middle(), name: one.at(place)}

    def filled(self, values: Values) -> Any:
        """Return the specification with values for references."""
        return _filled(self.data, values)


def _filled(node: Any, values: Values) -> Any:
    if isinstance(node, dict):
        return {key: _filled(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(item, values) for item in node]
    found = REFERENCE.fullmatch(node) if isinstance(node, str) else None
    return values[found[1]] if found is not None else node


def references(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield where parameters are named, and which."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from references(value, (*path, key))
    if isinstance(node, str) and (found := REFERENCE.fullmatch(node)):
        yield path, found[1]


_Mistake = tuple[tuple[str | int, ...], str, str]


def misused(spec: Any, parameters: Mapping[str, Any]) -> Iterator[_Mistake]:
    """Yield references to nothing, parameters of the truth, and those that nothing names: where, what, remedy."""
    used: set[str] = set()
    for path, name in references(spec):
        used.add(name)
        if name not in parameters:
            remedy = hint(name, parameters) if parameters else "write it under `parameters:`"
            yield ("spec", *path), f"there is no parameter '{name}'", remedy
        if path[:1] == ("truth",):
            what = f"the truth depends on '${name}': what is right must be the same for every seed"
            yield ("spec", *path), what, "write a value; split the scenario where outcomes differ"
    for name in parameters.keys() - used:
        what = f"nothing uses the parameter '{name}'"
        yield ("parameters", name), what, f"write ${name} where it belongs, or remove it"
