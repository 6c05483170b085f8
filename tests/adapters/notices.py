"""A notice to tell, for tests of notifiers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from guardian.core.model import Instant
from guardian.ports import Notice, Urgency

HELD = Notice(
    at=Instant(1_795_251_600.0),
    dedup="checkout-9907d8c65a/7",
    incident="checkout-9907d8c65a/no-data-errors",
    subject="checkout-9907d8c65a",
    urgency=Urgency.CRITICAL,
    summary="paged: checkout 2.1.0 in production",
    reason="no metrics of the canary for 10m: <!channel> & all",
    facts={"state": "phase progressing", "guardrail": "errors"},
    link="https://guardian.example/v1/rollouts/checkout-9907d8c65a/explanation",
)


def notice(**changes: Any) -> Notice:
    """Return a page of a rollout that has no data, changed."""
    return replace(HELD, **changes)
