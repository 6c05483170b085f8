"""Errors as RFC 9457 problem+json: what is wrong, where, and the remedy; one table from errors to status codes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from guardian.errors import (
    CommandError,
    EventError,
    EventTooLarge,
    Forbidden,
    GuardianError,
    JournalError,
    PolicyError,
    Unavailable,
    UnknownEnvironment,
    UnknownRollout,
)

PROBLEM_JSON: Final = "application/problem+json"
_STATUS: Final[tuple[tuple[type[GuardianError], int], ...]] = (
    (EventTooLarge, 413),
    (EventError, 400),
    (UnknownRollout, 404),
    (Forbidden, 403),
    (CommandError, 409),
    (PolicyError, 400),
    (UnknownEnvironment, 400),
    (Unavailable, 503),
    (JournalError, 503),
)
"""The first that fits counts. 503 asks the sender to try again: Alertmanager does so for 5xx only."""


def status_of(error: GuardianError) -> int:
    """Return the status code of an error; 500 for what no request can have caused."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None, **more: str) -> Response:
    """Return a problem; `more` are further members, such as remedy, where and reason. Empty ones are left out."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    content.update((name, value) for name, value in more.items() if value)
    return Response(msgspec.json.encode(content), status, headers, PROBLEM_JSON)


def problem_of(error: GuardianError) -> Response:
    """Return the problem an error is."""
    reason = error.reason if isinstance(error, EventError) else ""
    return problem(status_of(error), error.what, where=error.where, remedy=error.remedy, reason=reason)


def add_handlers(app: FastAPI) -> None:
    """Have every error leave as a problem."""

    @app.exception_handler(GuardianError)
    async def guardian_error(_request: Request, error: GuardianError) -> Response:
        return problem_of(error)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        remedy = "GET /openapi.json lists what there is" if error.status_code in (404, 405) else ""
        detail = f"{request.method} {request.url.path}: {error.detail}"
        return problem(error.status_code, detail, headers=dict(error.headers or {}), remedy=remedy)

    @app.exception_handler(RequestValidationError)
    async def parameter_error(_request: Request, error: RequestValidationError) -> Response:
        found = [(".".join(map(str, one["loc"])), str(one["msg"])) for one in error.errors()]
        detail = "; ".join(f"{place}: {text}" for place, text in found)
        where = found[0][0] if found else ""
        return problem(422, detail, where=where, remedy="GET /openapi.json says what each parameter may be")

    @app.exception_handler(Exception)
    async def own_error(_request: Request, _error: Exception) -> Response:
        return problem(500, "an error of the guardian itself", remedy="its log says more; please report it")
