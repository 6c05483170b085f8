"""Durations, shares and sizes as people write them: `1h30m`, `5%`, `1MiB`. Not times of day.

A number without a unit is refused wherever two readings are possible: 5 is neither 5 s nor 5 %.
"""

from __future__ import annotations

import math
import re
from typing import Final

from guardian.core.model import Ratio, Seconds

_UNITS: Final[dict[str, float]] = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST: Final = 3652.0 * 86400.0
"""Seconds; a time that far ahead can still be written as a date."""
_ORDER: Final[tuple[str, ...]] = ("d", "h", "m", "s", "ms")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ms|s|m|h|d)")
_PERCENT: Final = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*%")
_SIZES: Final[dict[str, int]] = {
    "": 1, "B": 1, "kB": 1000, "MB": 1000**2, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3,
}  # fmt: skip
_SIZE: Final = re.compile(r"(\d+)\s*(B|kB|MB|KiB|MiB|GiB)?")


class UnitError(ValueError):
    """A text that is not the quantity it should be; `remedy` says what to write."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what, self.remedy = what, remedy


def parse_duration(value: object) -> Seconds:
    """Return a duration in seconds; 0 may be written without unit. Raises UnitError.

    >>> parse_duration("1h30m"), parse_duration("500ms"), parse_duration(0)
    (5400.0, 0.5, 0.0)
    """
    remedy = "write a number and a unit: 500ms, 90s, 5m, 1h30m or 1d"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value == 0:
            return Seconds(0.0)
        raise UnitError(
            f"duration {value:g} has no unit", f"add the one that is meant: {value:g}ms, {value:g}s or {value:g}m"
        )
    if not isinstance(value, str):
        raise UnitError(f"{value!r} is not a duration", remedy)
    text = value.strip().replace(" ", "")
    parts = _PART.findall(text)
    units = [unit for _, unit in parts]
    if text == "0":
        return Seconds(0.0)
    in_order = units == sorted(set(units), key=_ORDER.index)
    if not parts or "".join(number + unit for number, unit in parts) != text or not in_order:
        raise UnitError(f"{value!r} is not a duration", remedy)
    seconds = math.fsum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds > LONGEST:
        raise UnitError(f"{value!r} is longer than ten years", "write a shorter duration")
    return Seconds(seconds)


def parse_number(value: object) -> float:
    """Return a finite number; `80%` is 0.8. Raises UnitError."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
        # repr of the decimal text / 100 would carry binary noise: 99.9% shall equal 0.999 exactly.
        return float(f"{match[1]}e-2") if "e" not in match[1].lower() else float(match[1]) / 100.0
    raise UnitError(f"{value!r} is not a number", "write a number such as 0.8, or a percentage such as 80%")


def parse_share(value: object) -> Ratio:
    """Return a share in 0..1 from `5%` or 0.05. Raises UnitError.

    >>> parse_share("99.9%"), parse_share(0.05)
    (0.999, 0.05)
    """
    try:
        share = parse_number(value)
    except UnitError:
        raise UnitError(f"{value!r} is not a share", "write a percentage such as 5%, or a share such as 0.05") from None
    if share > 1.0 and not isinstance(value, str):
        raise UnitError(f"{share:g} is more than 1", f"write {_plain(share / 100)} or '{share:g}%'")
    if not 0.0 <= share <= 1.0:
        raise UnitError(f"share {value} is not between 0 % and 100 %", "write a percentage such as 5%")
    return Ratio(share)


def parse_size(value: object) -> int:
    """Return a size in bytes from `1MiB` or 1048576. Raises UnitError."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    match = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise UnitError(f"{value!r} is not a size", "write a number and a unit: 64KiB or 1MiB")
    return int(match[1]) * _SIZES[match[2] or ""]


def format_duration(seconds: float) -> str:
    """Return a duration as it would be written in a policy.

    >>> format_duration(5400), format_duration(0.25), format_duration(-90)
    ('1h30m', '250ms', '-1m30s')
    """
    left = round(abs(seconds) * 1000)
    texts = []
    for unit in _ORDER:
        size = round(_UNITS[unit] * 1000)
        count, left = divmod(left, size)
        if count:
            texts.append(f"{count}{unit}")
    return ("-" if seconds < 0 else "") + "".join(texts) if texts else "0s"


def format_share(share: float) -> str:
    """Return a share as a percentage: '5 %', '0.005 %'."""
    return f"{_plain(float(f'{share * 100:.4g}'))} %"


def _plain(number: float) -> str:
    """Return a number without exponent and without binary noise."""
    text = f"{number:.10f}".rstrip("0").rstrip(".")
    return text if float(text or 0) != 0 or number == 0 else f"{number:g}"
