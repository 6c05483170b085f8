"""The whole HTTP API of one daemon (CONTRACTS section 4), put together from its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import ASGIApp

from guardian.web import gate, hooks, rollouts, write
from guardian.web.answers import answer
from guardian.web.auth import Guard
from guardian.web.desk import Desk
from guardian.web.problem import add_handlers
from guardian.web.stream import position

_WELCOME: Final = """slo-guardian {version}

GET  /openapi.json           the whole API (/docs: to read)
GET  /v1/rollouts            what is rolling out
GET  /v1/stream              decisions as they are made
POST /v1/events              deploy events in
GET  /metrics /healthz /readyz
"""


def build_api(desk: Desk) -> ASGIApp:
    """Return the application, guarded by token or loopback."""
    app = FastAPI(
        title="slo-guardian",
        version=version("slo-guardian"),
        description="Watches releases on live metrics; promotes them or rolls them back on evidence.",
        redoc_url=None,
    )
    add_handlers(app)
    hooks.add_routes(app, desk)
    for part in (rollouts, gate, write):
        app.include_router(part.routes(desk))
    _add_stream(app, desk)
    _add_health(app, desk)
    return Guard(app, token=desk.token)


def _add_stream(app: FastAPI, desk: Desk) -> None:
    @app.get("/v1/stream", tags=["out"])
    async def stream(request: Request) -> Response:
        """Decision events as server-sent events; with Last-Event-ID, from there on without a gap."""
        last = request.headers.get("last-event-id") or request.query_params.get("last_event_id", "")
        frames: AsyncIterator[bytes] = desk.hub.listen(position(last))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(frames, media_type="text/event-stream", headers=headers)


def _add_health(app: FastAPI, desk: Desk) -> None:
    @app.get("/healthz", tags=["health"])
    async def healthz() -> Response:
        """Whether the process answers at all."""
        return answer({"status": "ok"})

    @app.get("/readyz", tags=["health"])
    async def readyz() -> Response:
        """Whether events can be taken (200, else 503), and everything that is wrong now."""
        problems = [{"part": one.part, "text": one.text, "blocking": one.blocking} for one in desk.health.problems]
        ready = desk.health.ready
        return answer({"ready": ready, "problems": problems}, 200 if ready else 503)

    @app.get("/metrics", tags=["health"])
    async def metrics() -> Response:
        """The guardian's own metrics, as Prometheus reads them."""
        return Response(desk.meter.render(), media_type=desk.meter.content_type)

    @app.get("/", include_in_schema=False)
    async def welcome() -> Response:
        return Response(_WELCOME.format(version=version("slo-guardian")), media_type="text/plain")
