"""What every decoder needs: JSON to plain values, plain values to structs, and errors in an operator's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from guardian.core.facts import Fact
from guardian.core.model import Instant
from guardian.errors import EventError, EventTooLarge

MOST_BYTES: Final = 1024 * 1024
MOST_NESTED: Final = 64
"""Levels of lists and objects in what is kept unread: far from where JSON readers, ours at a restart too, give up."""
LATEST: Final = 253_402_300_799.0
"""Last second of the year 9999; a time beyond it cannot be written in RFC 3339."""
Name = Annotated[str, Meta(min_length=1, max_length=2048, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""An id, source or type: CloudEvents allows no control characters in them."""
T = TypeVar("T")
Time = datetime | float
"""RFC 3339 with a zone, or unix seconds."""


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """What a message says. No facts: it was understood and nothing follows. notes: what an operator should know."""

    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()


class Headers(msgspec.Struct, frozen=True, kw_only=True):
    """Headers of a message with names in lower case; Kafka's `ce_` prefix is read as `ce-`."""

    values: Mapping[str, str] = {}

    @property
    def content_type(self) -> str:
        """The media type without parameters."""
        return self.values.get("content-type", "").partition(";")[0].strip().lower()


def read_json(body: bytes, *, limit: int = MOST_BYTES) -> Any:
    """Return the JSON of a body. Raises EventTooLarge, or EventError `unparsable`."""
    if len(body) > limit:
        raise EventTooLarge(
            f"has {len(body)} bytes where {limit} are allowed",
            reason="too-large",
            remedy="send references, not contents, or raise limits.body in guardian.yaml",
        )
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise EventError(
            f"is not valid JSON: {error}", reason="unparsable", remedy="send one JSON document in UTF-8"
        ) from None


def convert(value: Any, kind: type[T], *, where: str = "") -> T:
    """Return the value as `kind`. Raises EventError naming the field that is missing or wrong."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error), where) from None


def kept(values: dict[str, Any], *, where: str = "") -> dict[str, Any]:
    """Return fields that are kept without being read. Raises EventError when they are nested too deep to be stored."""
    level: list[Any] = [values]
    for _ in range(MOST_NESTED):
        level = [one for each in level for one in (each.values() if isinstance(each, dict) else each)]
        level = [one for one in level if isinstance(one, dict | list)]
        if not level:
            return values
    what = f"its further fields are nested deeper than {MOST_NESTED} levels"
    raise EventError(what, reason="bad-field", where=where, remedy="send references, not contents")


_MISSING: Final = re.compile(r"missing required field `([^`]+)`(?: - at `([^`]+)`)?")
_AT: Final = re.compile(r" - at `([^`]+)`")


def _explained(message: str, where: str) -> EventError:
    if missing := _MISSING.search(message):
        parent = _path(missing[2] or "$")
        name = f"{parent}.{missing[1]}" if parent else missing[1]
        return EventError(f"field '{name}' is missing", reason="missing-field", where=where, remedy="add it")
    place = _AT.search(message)
    path = _path(place[1]) if place else ""
    what = _AT.sub("", message)
    if not path and "`object`" in what:
        text = "is not a JSON object"
        return EventError(text, reason="unparsable", where=where, remedy="send an object with the event's fields")
    reason = "bad-time" if "datetime" in what or "RFC3339" in what else "bad-field"
    remedy = "write RFC 3339 with a zone, or unix seconds" if reason == "bad-time" else "see docs/reference/events.md"
    if what.startswith("Expected `str`, got"):
        remedy = "write a text, in quotes"
    return EventError(f"field '{path}': {what}", reason=reason, where=where, remedy=remedy)


def _path(place: str) -> str:
    return place.removeprefix("$").removeprefix(".")


def instant(time: Time, *, field: str, where: str = "") -> Instant:
    """Return a time as unix seconds. Raises EventError `bad-time` outside 1970..9999."""
    seconds = time.timestamp() if isinstance(time, datetime) else float(time)
    if isinstance(time, datetime) and time.tzinfo is None:
        what, remedy = f"field '{field}' has no zone", "end it with Z or +00:00"
        raise EventError(what, reason="bad-time", where=where, remedy=remedy)
    if not 0.0 <= seconds <= LATEST:
        what, remedy = f"field '{field}' is not between 1970 and 9999", "write RFC 3339, or unix seconds"
        raise EventError(what, reason="bad-time", where=where, remedy=remedy)
    return Instant(seconds)
