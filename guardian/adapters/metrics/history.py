"""Prometheus asked with PromQL, through prometheus-api-client: for history, `doctor` and reports, not for verdicts.

The client drops the warnings of a partial answer, which is why guardrails are measured by metrics.polled.
It retries by itself unless told not to, and waits for ever without a timeout: both are set here.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import requests
import urllib3
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException

from guardian.adapters._http import Login
from guardian.adapters._past import Line
from guardian.core.model import Instant, Seconds
from guardian.errors import AdapterError, Refused, Unavailable

TIMEOUT: Final = Seconds(10.0)


class PrometheusHistory:
    """PromQL to one Prometheus. Raises Unavailable and Refused; tries once."""

    def __init__(self, *, url: str, login: Login | None = None, timeout: Seconds = TIMEOUT) -> None:
        self._url, self._login, self._timeout = url.rstrip("/"), login or Login(), timeout

    async def query(self, expression: str, at: Instant) -> tuple[Line, ...]:
        """Return the value of each series at one time."""
        return await asyncio.to_thread(self._query, expression, at)

    async def query_range(self, expression: str, *, start: Instant, end: Instant, step: Seconds) -> tuple[Line, ...]:
        """Return the value of each series at every `step` from `start` to `end`."""
        return await asyncio.to_thread(self._query_range, expression, start, end, step)

    def _query(self, expression: str, at: Instant) -> tuple[Line, ...]:
        try:
            found = self._connection().custom_query(expression, params={"time": f"{at:.3f}"})
        except (PrometheusApiClientException, requests.RequestException, ValueError, KeyError) as error:
            raise self._translated(error) from error
        return tuple(_line(one["metric"], [one["value"]]) for one in found)

    def _query_range(self, expression: str, start: Instant, end: Instant, step: Seconds) -> tuple[Line, ...]:
        try:
            found = self._connection().custom_query_range(
                expression, _moment(start), _moment(end), f"{step:g}", params={"timeout": f"{self._timeout:g}s"}
            )
        except (PrometheusApiClientException, requests.RequestException, ValueError, KeyError) as error:
            raise self._translated(error) from error
        return tuple(_line(one["metric"], one["values"]) for one in found)

    def _connection(self) -> Any:
        """Return a client for one call: it holds a session, which threads must not share."""
        return PrometheusConnect(
            url=self._url, headers=self._login.headers(), retry=urllib3.Retry(total=0), timeout=self._timeout
        )

    def _translated(self, error: Exception) -> AdapterError:
        said = str(error) or type(error).__name__
        if isinstance(error, PrometheusApiClientException) and "HTTP Status Code 4" in said:
            return Refused(said, where=self._url, remedy="check the expression, and token or password")
        return Unavailable(said, where=self._url, remedy="check that it is up and not overloaded")


def _moment(at: Instant) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _line(labels: dict[str, str], points: list[tuple[float, str]]) -> Line:
    return Line(
        labels=dict(labels),
        time=np.array([at for at, _ in points], np.float64),
        value=np.array([float(text) for _, text in points], np.float64),
    )
