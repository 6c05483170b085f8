"""Prometheus remote write in. A request that cannot be read is answered 400: sent again, it would be no better."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from guardian.errors import EventError
from guardian.web.body import read_body
from guardian.web.desk import Desk
from guardian.web.problem import problem


def routes(desk: Desk) -> APIRouter:
    """Return the route that takes samples in."""
    router = APIRouter(tags=["in"])

    @router.post("/api/v1/write", status_code=204)
    async def write(request: Request) -> Response:
        """Take samples of watched series (remote write 1.0); the others are dropped."""
        if not desk.takers:
            return problem(
                404,
                "no environment streams its metrics",
                remedy="set environments.NAME.metrics.stream: true in guardian.yaml, or stop writing here",
            )
        try:
            body = await read_body(request, limit=desk.write_limit, setting="limits.write_body")
            for taker in desk.takers:
                await taker.receive(
                    body,
                    content_type=request.headers.get("content-type", ""),
                    content_encoding=request.headers.get("content-encoding", ""),
                )
        except EventError as error:
            desk.meter.refuse("write", error.reason)
            raise
        return Response(status_code=204)

    return router
