"""Rollouts: looking at them, having them explained, and giving orders."""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response

from guardian.core.explain import explain, queued_behind
from guardian.core.facts import Order, Ordered
from guardian.core.model import EventRef, Phase
from guardian.core.policy import Policy
from guardian.core.rollout import Rollout
from guardian.errors import CommandError, EventError
from guardian.web.answers import answer
from guardian.web.body import read_body
from guardian.web.desk import Desk
from guardian.web.views import Wanted, explained, find, listing, view

_MOST_LISTED: Final = 1_000
_LONGEST_REASON: Final = 2_000


class OrderBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a person sends with an order. policy: the tightened policy of an amend, as YAML or JSON text."""

    reason: str = ""
    policy: str = ""
    who: str = ""


class Obeyed(msgspec.Struct, frozen=True, kw_only=True):
    """An order that was carried out. new: False for a repeat of an earlier request."""

    rollout: str
    order: Order
    phase: Phase
    seq: int
    new: bool


def routes(desk: Desk) -> APIRouter:
    """Return the routes about rollouts."""
    router = APIRouter(prefix="/v1/rollouts", tags=["rollouts"])
    _add_listing(router, desk)
    _add_looking(router, desk)
    _add_orders(router, desk)
    return router


def _add_listing(router: APIRouter, desk: Desk) -> None:
    @router.get("")
    async def get_rollouts(
        service: str = "",
        environment: str = "",
        region: str = "",
        phase: Annotated[list[Phase] | None, Query(description="may be given several times")] = None,
        only_open: Annotated[bool, Query(alias="open", description="only those that have not ended")] = False,  # noqa: FBT002
        limit: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = 100,
    ) -> Response:
        """List rollouts, newest first."""
        wanted = Wanted(
            service=service,
            environment=environment,
            region=region,
            phases=frozenset(phase or ()),
            open=only_open,
            limit=limit,
        )
        return answer(listing(desk.engine(), wanted, desk.clock.now()))


def _add_looking(router: APIRouter, desk: Desk) -> None:
    @router.get("/{rollout_id}")
    async def get_rollout(rollout_id: str) -> Response:
        """Return one rollout."""
        engine = desk.engine()
        rollout = find(engine, rollout_id)
        queued = queued_behind(engine.world, rollout)
        return answer(view(rollout, engine.look(rollout.id), desk.clock.now(), queued=queued))

    @router.get("/{rollout_id}/explanation")
    async def get_explanation(rollout_id: str) -> Response:
        """Explain one rollout in sentences: what happened, what it waits for, what a person can do."""
        engine = desk.engine()
        rollout = find(engine, rollout_id)
        records = await asyncio.to_thread(desk.history, rollout.id)
        queued = queued_behind(engine.world, rollout)
        found = explain(
            rollout,
            engine.look(rollout.id),
            desk.clock.now(),
            records,
            queued=queued,
            unmeasured=desk.unmeasured(rollout.place),
            measured=desk.measured(rollout),
        )
        return answer(explained(found))


def _add_orders(router: APIRouter, desk: Desk) -> None:
    @router.post("/{rollout_id}/{order}")
    async def post_order(request: Request, rollout_id: str, order: Order) -> Response:
        """Give an order; 409 says why it cannot be carried out now, and what can."""
        rollout = find(desk.engine(), rollout_id)
        fact = await _order(desk, request, rollout, order)
        (receipt,) = await desk.inbox.put([fact])
        if receipt.refusal is not None:
            raise receipt.refusal
        phase = find(desk.engine(), rollout_id).phase
        return answer(Obeyed(rollout=rollout_id, order=order, phase=phase, seq=receipt.seq, new=receipt.new))


async def _order(desk: Desk, request: Request, rollout: Rollout, order: Order) -> Ordered:
    body = await read_body(request, limit=desk.body_limit)
    try:
        said = msgspec.json.decode(body or b"{}", type=OrderBody)
    except msgspec.MsgspecError as error:
        remedy = 'send {"reason": "TEXT"}, for amend also "policy"'
        raise EventError(f"the order does not read: {error}", reason="unparsable", remedy=remedy) from None
    if not said.reason.strip():
        raise CommandError(f"an order to {order} needs a reason", remedy='send {"reason": "TEXT"}')
    key = request.headers.get("idempotency-key") or uuid.uuid4().hex
    return Ordered(
        event=EventRef(source=f"api/{rollout.id}/{order}", id=key),
        rollout=rollout.id,
        order=order,
        reason=said.reason.strip()[:_LONGEST_REASON],
        who=_who(desk, request, said),
        policy=await _policy(desk, said, order),
    )


async def _policy(desk: Desk, said: OrderBody, order: Order) -> Policy | None:
    if order is not Order.AMEND or not said.policy:
        return None
    return await asyncio.to_thread(desk.read_policy, said.policy)  # YAML may take seconds, and rollbacks must not wait


def _who(desk: Desk, request: Request, said: OrderBody) -> str:
    """Return who orders: as a trusted proxy says it, else as they say themselves, marked as such."""
    named = request.headers.getlist(desk.user_header) if desk.user_header else []
    if len(named) == 1 and (name := named[0].strip()):  # of two, one came from before the proxy
        return name[:200]
    claimed = " ".join(said.who.split())[:200]
    return f"{claimed} (unchecked)" if claimed else "somebody with access to the API"
