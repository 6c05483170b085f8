"""What a search may change: places of a policy, each with the values it may take. From a file, or around a policy.

Does not search, and does not say what is good.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError

from guardian.config.fields import Section
from guardian.config.findings import Finding, Severity, complaint, findings_of
from guardian.config.policy import parse_policy, read_policy
from guardian.config.source import Document, parse_documents, read_documents
from guardian.core.policy import Policy
from guardian.errors import ConfigError, PolicyError
from simulator.tuning.edit import Keys, Value, edited, keys_of, put, value_at
from simulator.tuning.guesses import guesses

Choice = tuple[int, ...]
"""For each knob which of its values; 0 leaves the policy's own."""


def _scalar(value: object) -> object:
    if isinstance(value, str | int | float):
        return value
    raise complaint("is not one value", "write numbers and texts as in a policy: [5m, 10m]")


Scalar = Annotated[Any, BeforeValidator(_scalar)]


class SpaceSpec(Section):
    """The places that may change, each with the values to try."""

    knobs: dict[str, tuple[Scalar, ...]] = Field(description="place in the policy -> values, written as in a policy")


class SpaceFile(Section):
    """One search space as a user writes it."""

    api_version: Literal["slo-guardian/v1"] = Field(alias="apiVersion")
    kind: Literal["SearchSpace"]
    spec: SpaceSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """One place. own: what the policy has there, None for the default; others: what may stand there instead."""

    place: str
    keys: Keys
    own: Any
    others: tuple[Value, ...]

    def value(self, level: int) -> Any:
        """Return the value at a level: 0 is the policy's own."""
        return self.own if level == 0 else self.others[level - 1]


@dataclass(frozen=True, kw_only=True)
class Space:
    """All policies that differ from one in these places only. text: that policy's; file: what errors call it."""

    text: str
    file: str
    knobs: tuple[Knob, ...]

    @cached_property
    def document(self) -> Document:
        """The policy as data, with the place of each value."""
        return parse_documents(self.text, file=self.file)[0]

    @property
    def base(self) -> Choice:
        """The policy as it is."""
        return (0,) * len(self.knobs)

    @property
    def size(self) -> int:
        """How many combinations there are, those that are no policy included."""
        return math.prod(1 + len(knob.others) for knob in self.knobs)

    @property
    def others(self) -> int:
        """How many policies differ from one of these in one knob."""
        return sum(len(knob.others) for knob in self.knobs)

    def changes(self, choice: Choice) -> dict[str, Value]:
        """Return what a choice writes where: place -> value."""
        return {knob.place: knob.others[level - 1] for knob, level in zip(self.knobs, choice, strict=True) if level > 0}

    def policy_text(self, choice: Choice) -> str:
        """Return the policy's text under a choice."""
        return edited(self.text, self._edits(choice), file=self.file)

    def problem(self, choice: Choice) -> str | None:
        """Return why a choice is no policy; None where it is one."""
        finding = _under(self.document, self._edits(choice))[1]
        return None if finding is None else finding.what

    def _edits(self, choice: Choice) -> dict[Keys, Value]:
        return {knob.keys: knob.others[level - 1] for knob, level in zip(self.knobs, choice, strict=True) if level > 0}


def read_space(path: Path, policy_text: str, *, file: str) -> Space:
    """Read what may change in a policy. file: what errors call the policy.

    Raises ConfigError with file:line:column for a place that is not in policies, a value that no policy can have, and a
    space that holds only the policy as it is.
    """
    documents = read_documents(path)
    if len(documents) != 1:
        raise ConfigError(f"holds {len(documents)} documents; a search space is one", where=str(path), remedy=_EXAMPLE)
    document = documents[0]
    try:
        spec = SpaceFile.model_validate(document.data).spec
    except ValidationError as error:
        first = findings_of(error, document, SpaceFile)[0]
        raise ConfigError(first.what, where=first.where, remedy=first.remedy) from None
    policy = parse_documents(policy_text, file=file)[0]
    keys = {place: _keys(place, policy.data, document) for place in spec.knobs}
    edits = {place: [(keys[place], value) for value in values] for place, values in spec.knobs.items()}
    for place, values in edits.items():
        beside = [one for other, each in edits.items() if other != place for one in each]
        for number, value in enumerate(values):
            _check_value(value, beside, policy, where=document.where(("spec", "knobs", place, number)))
            edited(policy_text, dict([value]), file=file)
    space = _space(policy_text, policy, spec.knobs.items())
    if not space.knobs:
        where = document.where(("spec", "knobs"), key=True)
        raise ConfigError("the search space is empty: every value is the policy's own", where=where, remedy=_EXAMPLE)
    return space


def space_around(policy_text: str, *, file: str) -> Space:
    """Return the space that is searched when none is named: half and twice of what a policy's author guesses.

    Margins, bakes before the last, the first weight, earliest_promotion, hold_back, warm-up, and how long an objective
    must be broken. Not the accepted risks, nor objectives: they are what the service wants, not means. Raises
    PolicyError, and ConfigError where there is nothing of the kind.
    """
    policy = parse_policy(policy_text, file=file)
    document = parse_documents(policy_text, file=file)[0]
    space = _space(policy_text, document, _guesses(policy, document))
    if not space.knobs:
        raise ConfigError("has nothing that could be tuned", where=file, remedy="name what may change: --space FILE")
    return space


_Edit = tuple[Keys, Value]
_EXAMPLE: Final = "write places and values: `knobs:` and below it `spec.risk.earliest_promotion: [10m, 20m]`"


def _keys(place: str, data: Any, document: Document) -> Keys:
    try:
        return keys_of(place, data)
    except ConfigError as error:
        where = document.where(("spec", "knobs", place), key=True)
        raise ConfigError(error.what, where=where, remedy=error.remedy) from None


def _check_value(edit: _Edit, beside: Iterable[_Edit], policy: Document, *, where: str) -> None:
    """Raise for a value that is wrong alone and beside each value of every other knob."""
    alone = _under(policy, dict([edit]))[1]
    if alone is not None and all(_under(policy, dict([edit, other]))[1] is not None for other in beside):
        raise ConfigError(alone.what, where=where, remedy=alone.remedy)


def _under(document: Document, changes: Mapping[Keys, Value]) -> tuple[Policy | None, Finding | None]:
    """Return the policy with values replaced, or what is wrong with it."""
    try:
        data = put(document.data, changes)
    except (TypeError, IndexError):
        what, remedy = "a policy has no such place", "see `guardian schema -o table`"
        return None, Finding(severity=Severity.ERROR, what=what, where=document.file, remedy=remedy)
    read = read_policy(replace(document, data=data))
    return (read.policy, None) if read.policy is not None else (None, read.findings[0])


def _space(text: str, document: Document, places: Iterable[tuple[str, Sequence[Value]]]) -> Space:
    """Keep of each place the values that make another policy, each once. Raises PolicyError."""
    base, finding = _under(document, {})
    if finding is not None:
        raise PolicyError(finding.what, where=finding.where, remedy=finding.remedy)
    knobs = []
    for place, values in places:
        keys = keys_of(place, document.data)
        others: dict[Value, Policy | None] = {}
        for value in values:
            made, _ = _under(document, {keys: value})  # none: a policy beside other changes only
            if made is None or (made != base and made not in others.values()):
                others[value] = made
        if others:
            knobs.append(Knob(place=place, keys=keys, own=value_at(document.data, keys), others=tuple(others)))
    return Space(text=text, file=document.file, knobs=tuple(knobs))


def _guesses(policy: Policy, document: Document) -> Iterator[tuple[str, Sequence[Value]]]:
    """Yield guesses that each alone make a policy."""
    for place, values in guesses(policy):
        keys = keys_of(place, document.data)
        valid = [value for value in values if _under(document, {keys: value})[1] is None]
        if valid:
            yield place, valid
