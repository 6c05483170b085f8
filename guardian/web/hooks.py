"""What comes in: deploy events and webhooks. Answered only when the journal holds them; repeats have no effect.

The bodies are taken as bytes and decoded by guardian.wire: parameters of the framework would cost as much
again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Final

from fastapi import FastAPI, Request, Response

from guardian.core.deploys import older
from guardian.core.facts import DeployRequested, Fact
from guardian.core.model import EventRef, Phase
from guardian.errors import EventError, EventTooLarge, Unavailable
from guardian.ports import Receipt
from guardian.web.answers import Taken, answer, taken
from guardian.web.body import read_body
from guardian.web.desk import Desk
from guardian.web.problem import problem
from guardian.wire import DECODERS, Decoded, Decoder, decode_event, read_headers

_HOOKS: Final = ", ".join(sorted(DECODERS))


def add_routes(app: FastAPI, desk: Desk) -> None:
    """Add the routes that take facts in: first of all and on the application itself, the shortest way to them."""
    for name, decode in DECODERS.items():
        _add_hook(app, desk, name, decode)

    @app.post(
        "/v1/events", status_code=202, tags=["in"], openapi_extra=_documented("CloudEvent, CDEvent or plain JSON")
    )
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

    @app.post("/hooks/{name}", include_in_schema=False)
    async def unknown_hook(name: str) -> Response:
        return problem(404, f"there is no webhook '{name}'", remedy=f"there are: {_HOOKS}")


def _add_hook(app: FastAPI, desk: Desk, name: str, decode: Decoder) -> None:
    @app.post(f"/hooks/{name}", tags=["in"], openapi_extra=_documented("the webhook as its sender makes it"))
    async def post_hook(request: Request) -> Response:
        """Take a webhook; 200 means that the journal holds it, 503 that it is to be sent again."""
        body = await _body(desk, request, name)
        try:
            decoded = decode(body, limit=desk.body_limit)
        except EventError as error:
            desk.meter.refuse(name, error.reason)
            raise
        return answer(await _put(desk, decoded, name))


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
    said = dict.fromkeys(_without_effect(desk, decoded.facts, receipts))  # a group of alerts is told once
    return taken(receipts, (*decoded.notes, *said))


def _without_effect(desk: Desk, facts: Sequence[Fact], receipts: Sequence[Receipt]) -> Iterator[str]:
    """Say why nothing follows from what was taken: a pipeline would wait for a rollout, a person for an alert."""
    for fact, receipt in zip(facts, receipts, strict=True):
        if not isinstance(fact, DeployRequested):
            if receipt.note:
                yield receipt.note
        elif receipt.rollout:
            opened = desk.engine().world.rollouts.get(receipt.rollout)
            if opened is not None and opened.phase is Phase.REJECTED:
                yield f"{opened.id} is rejected: {opened.end_reason}"
        elif receipt.new:
            yield from _going_out_already(desk, fact)


def _going_out_already(desk: Desk, fact: DeployRequested) -> Iterator[str]:
    world = desk.engine().world
    state = world.place(fact.place)
    for one in [world.rollouts[name] for name in (state.running, *state.queue) if name]:
        if one.revision == fact.revision:
            yield f"{fact.revision} is going out already as {one.id}: no new rollout begins"
        elif (age := older(fact.time, one)) is not None:
            yield f"the event for {fact.revision} is {age} older than that of {one.id}, and was ignored"


def _documented(what: str) -> dict[str, object]:
    """Return the part of the OpenAPI document that the framework cannot know."""
    return {"requestBody": {"description": what, "required": True, "content": {"application/json": {}}}}
