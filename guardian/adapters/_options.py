"""Options of a target, read with their types: what a policy or guardian.yaml says of a router, workload or probe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from guardian.errors import Refused
from guardian.ports import Target


def allowed(target: Target, names: Iterable[str], *, kind: str) -> None:
    """Raise Refused when the target has an option that this kind does not know."""
    known = sorted(names)
    for name in target.options:
        if name not in known:
            raise Refused(
                f"{kind} has no option '{name}'", where=str(target.place), remedy=f"known: {', '.join(known)}"
            )


def text(target: Target, name: str, default: str | None = None) -> str:
    """Return an option that is a text. Raises Refused when it is absent without default, or something else."""
    value = target.options.get(name, default)
    if isinstance(value, str) and value:
        return value
    if value is None:
        raise Refused(f"option '{name}' is missing", where=str(target.place), remedy=f"add {name}: to the policy")
    raise Refused(f"option '{name}' is {value!r}, not a text", where=str(target.place), remedy="quote it")


def texts(target: Target, name: str, default: str) -> tuple[str, ...]:
    """Return an option that is a text or a list of texts."""
    value = target.options.get(name, default)
    if isinstance(value, list) and value and all(isinstance(one, str) and one for one in value):
        return tuple(value)
    return (text(target, name, default),)


def number(target: Target, name: str, default: float) -> float:
    """Return an option that is a number, 0 or more."""
    value = target.options.get(name, default)
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise Refused(f"option '{name}' is {value!r}, not a number >= 0", where=str(target.place), remedy="mend it")


def mapping(target: Target, name: str) -> dict[str, str]:
    """Return an option that maps texts to texts; empty when it is absent."""
    value = target.options.get(name, {})
    if isinstance(value, Mapping) and all(isinstance(one, str) for pair in value.items() for one in pair):
        return dict(value)
    raise Refused(f"option '{name}' is {value!r}, not a mapping of texts", where=str(target.place), remedy="mend it")


def filled(template: str, values: Mapping[str, str], *, where: str) -> str:
    """Return the template with its `{names}` replaced. Raises Refused for a name that means nothing here."""
    try:
        return template.format_map(values)
    except (KeyError, ValueError, IndexError) as error:
        names = ", ".join(f"{{{name}}}" for name in values)
        raise Refused(f"template {template!r}: {error}", where=where, remedy=f"use {names}") from error
