"""Answers of Prometheus' HTTP API: read into arrays. It does not ask.

Source: the HTTP API of Prometheus 2.x and 3.x. Values are text there ("NaN", "+Inf"); times are unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np

from guardian.core.looks import Floats
from guardian.errors import AdapterError, Refused, Unavailable


class _Series(msgspec.Struct):
    metric: msgspec.Raw
    values: list[tuple[float, str]] = []
    value: tuple[float, str] | None = None


class _Data(msgspec.Struct):
    resultType: Literal["matrix", "vector", "scalar", "string"]  # noqa: N815  the API's own name
    result: msgspec.Raw


class _Answer(msgspec.Struct):
    status: Literal["success", "error"]
    data: _Data | None = None
    errorType: str = ""  # noqa: N815  the API's own name
    error: str = ""
    warnings: list[str] = []


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_MATRIX: Final = msgspec.json.Decoder(list[msgspec.Raw])
_SERIES: Final = msgspec.json.Decoder(_Series)
_SCALAR: Final = msgspec.json.Decoder(tuple[float, str])
_METRIC: Final = msgspec.json.Decoder(dict[str, str])

_LATER: Final = frozenset({"timeout", "canceled", "internal", "unavailable"})
"""Error types of the API that another try may not meet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSeries:
    """One series of a matrix: its labels as the JSON text they came in, and samples of shape (n,)."""

    metric: bytes
    time: Floats
    value: Floats

    def labels(self) -> dict[str, str]:
        """Return the labels."""
        return _METRIC.decode(self.metric)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Series of a range selector. warnings: what the server says makes the answer incomplete."""

    series: tuple[RawSeries, ...]
    warnings: tuple[str, ...]


def read_matrix(body: bytes, where: str) -> Matrix:
    """Read the answer to an instant query of a range selector, or to a range query. Raises Unavailable or Refused.

    Series by series, so that a large answer that is read in a thread does not keep the others waiting.
    """
    data, warnings = _data(body, where)
    if data.resultType != "matrix":
        raise Refused(f"answered a {data.resultType}, not raw samples", where=where, remedy="query a range selector")
    try:
        found = map(_SERIES.decode, _MATRIX.decode(data.result))
        series = tuple(
            RawSeries(
                metric=bytes(one.metric),
                time=np.array([at for at, _ in one.values], np.float64),
                value=np.array([float(text) for _, text in one.values], np.float64),
            )
            for one in found
            if one.values
        )
    except (msgspec.MsgspecError, ValueError) as error:
        raise Unavailable(f"unreadable samples: {error}", where=where, remedy=_REMEDY) from error
    return Matrix(series=series, warnings=warnings)


def read_scalar(body: bytes, where: str) -> float:
    """Read the answer to an instant query of a scalar, for example `time()`."""
    data, _ = _data(body, where)
    try:
        return float(_SCALAR.decode(data.result)[1])
    except (msgspec.MsgspecError, ValueError) as error:
        raise Unavailable(f"unreadable scalar: {error}", where=where, remedy=_REMEDY) from error


_REMEDY: Final = "check that the address is that of a Prometheus, without a page in between"


def _data(body: bytes, where: str) -> tuple[_Data, tuple[str, ...]]:
    answer = _read(body, where)
    error = said_error(answer, where)
    if error is not None:
        raise error
    if answer.data is None:
        raise Unavailable("answered success without data", where=where, remedy=_REMEDY)
    return answer.data, tuple(answer.warnings)


def _read(body: bytes, where: str) -> _Answer:
    try:
        return _ANSWER.decode(body)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"the answer is not Prometheus' JSON: {error}", where=where, remedy=_REMEDY) from error


def said_error(answer: _Answer, where: str) -> AdapterError | None:
    """Return the error that the answer is; None when it is a result."""
    if answer.status == "success":
        return None
    what = f"{answer.errorType or 'error'}: {answer.error}"
    if answer.errorType in _LATER:
        return Unavailable(what, where=where, remedy="see its log; it will be asked again")
    return Refused(what, where=where, remedy="check the policy's selectors")


def error_of(body: bytes, where: str) -> AdapterError | None:
    """Return the error that an answer outside 2xx tells; None when it tells nothing readable."""
    try:
        return said_error(_read(body, where), where)
    except Unavailable:
        return None
