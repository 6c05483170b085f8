"""JSON answers, written by msgspec, and what a post of facts is answered with."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from fastapi import Response

from guardian.core.model import RolloutId
from guardian.ports import Receipt


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the facts of one request.

    taken, repeats: how many were new, and how many the journal held already. seq: the last journal row
    concerned. rollouts: what they opened or touched. notes: what the sender should know.
    """

    taken: int
    repeats: int
    seq: int
    rollouts: tuple[RolloutId, ...] = ()
    notes: tuple[str, ...] = ()


def taken(receipts: Sequence[Receipt], notes: Sequence[str] = ()) -> Taken:
    """Return the answer to facts with these receipts."""
    new = sum(receipt.new for receipt in receipts)
    rollouts = dict.fromkeys(receipt.rollout for receipt in receipts if receipt.rollout)
    seq = max((receipt.seq for receipt in receipts), default=0)
    return Taken(taken=new, repeats=len(receipts) - new, seq=seq, rollouts=tuple(rollouts), notes=tuple(notes))


def answer(value: object, status: int = 200) -> Response:
    """Return a value as JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")
