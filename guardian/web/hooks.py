"""What comes in: deploy events and webhooks. Answered only when the journal holds them; repeats have no effect.

The bodies are taken as bytes and decoded by guardian.wire: parameters of the framework would cost as much
again.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response

from guardian.core.model import EventRef
from guardian.errors import EventError, EventTooLarge, Unavailable
from guardian.web.answers import Taken, answer, taken
from guardian.web.body import read_body
from guardian.web.desk import Desk
from guardian.web.problem import problem
from guardian.wire import DECODERS, Decoded, decode_event, read_headers

_HOOKS: Final = ", ".join(sorted(DECODERS))


def routes(desk: Desk) -> APIRouter:
    """Return the routes that take facts in."""
    router = APIRouter(tags=["in"])

    @router.post("/v1/events", status_code=202, openapi_extra=_documented("one CloudEvent, CDEvent or plain JSON"))
    async def post_events(request: Request) -> Response:
        """Take deploy events; a batch as a whole or not at all."""
        body = await _body(desk, request, "events")
        fallback = EventRef(source="http", id=request.headers.get("idempotency-key") or uuid.uuid4().hex)
        try:
            headers = read_headers(request.headers.items())
            decoded = decode_event(body, headers, received=desk.clock.now(), fallback=fallback, limit=desk.body_limit)
        except EventError as error:
            desk.meter.refuse("events", error.reason)
            raise
        return answer(await _put(desk, decoded, "events"), 202)

    @router.post("/hooks/{name}", openapi_extra=_documented("the webhook as its sender makes it"))
    async def post_hook(request: Request, name: Annotated[str, Path(description=f"one of: {_HOOKS}")]) -> Response:
        """Take a webhook; 200 means that the journal holds it, 503 that it is to be sent again."""
        decode = DECODERS.get(name)
        if decode is None:
            return problem(404, f"there is no webhook '{name}'", remedy=f"there are: {_HOOKS}")
        body = await _body(desk, request, name)
        try:
            decoded = decode(body)
        except EventError as error:
            desk.meter.refuse(name, error.reason)
            raise
        return answer(await _put(desk, decoded, name))

    return router


async def _body(desk: Desk, request: Request, way: str) -> bytes:
    try:
        return await read_body(request, limit=desk.body_limit)
    except EventTooLarge as error:
        desk.meter.refuse(way, error.reason)
        raise


async def _put(desk: Desk, decoded: Decoded, way: str) -> Taken:
    if not decoded.facts:
        return taken((), decoded.notes)
    try:
        receipts = await desk.inbox.put(decoded.facts)
    except Unavailable:
        desk.meter.refuse(way, "unavailable")
        raise
    return taken(receipts, decoded.notes)


def _documented(what: str) -> dict[str, object]:
    """Return the part of the OpenAPI document that the framework cannot know."""
    return {"requestBody": {"description": what, "required": True, "content": {"application/json": {}}}}
