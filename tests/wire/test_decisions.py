"""Decision events out: the contract's fields, and the same bytes for the same event."""

from __future__ import annotations

import json

from guardian.core.events import DecisionEvent
from guardian.core.model import Instant, Phase, Ratio, Seconds, Verdict
from guardian.core.records import Evidence, SideNote
from guardian.wire.decisions import encode_decision, rfc3339

EVENT = DecisionEvent(
    type="slo-guardian.rollout.rolled-back.v1",
    id="checkout-6f28a1c7b0/7",
    rollout="checkout-6f28a1c7b0",
    service="checkout",
    environment="production",
    region="",
    revision="2.1.0",
    previous="2.0.3",
    phase=Phase.ROLLED_BACK,
    step=0,
    weight=0.0,
    guardrail="errors",
    verdict=Verdict.ROLLBACK,
    evidence=Evidence(
        guardrail="errors",
        harm=226.4,
        safe=0.1,
        canary=SideNote(requests=4000.0, bad=201.0, level=0.05025),
        stable=SideNote(requests=36000.0, bad=181.0, level=0.005028),
        lasted=Seconds(230.0),
        calibrated=True,
        moved=Ratio(0.99),
    ),
    reason="'errors' of the canary is 10.0 times that of stable; all traffic goes to 2.0.3",
    mode="enforce",
    decided_at=Instant(1795251830.5),
    sequence=7,
)
GOLDEN = (
    '{"specversion":"1.0","id":"checkout-6f28a1c7b0/7","source":"slo-guardian",'
    '"type":"slo-guardian.rollout.rolled-back.v1","subject":"checkout","time":"2026-11-21T09:03:50.500Z",'
    '"datacontenttype":"application/json","data":{"rollout":"checkout-6f28a1c7b0","service":"checkout",'
    '"environment":"production","region":"","revision":"2.1.0","previous":"2.0.3","phase":"rolled-back","step":0,'
    '"weight":0.0,"guardrail":"errors","verdict":"rollback","evidence":{"guardrail":"errors","harm":226.4,"safe":0.1,'
    '"canary":{"requests":4000.0,"bad":201.0,"level":0.05025},'
    '"stable":{"requests":36000.0,"bad":181.0,"level":0.005028},"lasted":230.0,"calibrated":true,"moved":0.99},'
    '"reason":"\'errors\' of the canary is 10.0 times that of stable; all traffic goes to 2.0.3",'
    '"mode":"enforce","decided_at":"2026-11-21T09:03:50.500Z","sequence":7}}'
)


def test_an_event_is_always_the_same_bytes() -> None:
    """A repeat after a crash, or by a later version, must not look like another event."""
    assert encode_decision(EVENT).decode() == GOLDEN
    assert encode_decision(EVENT) == encode_decision(EVENT)


def test_the_data_has_every_field_of_the_contract() -> None:
    """CONTRACTS section 3."""
    fields = (
        "rollout service environment revision previous phase step weight guardrail verdict evidence reason decided_at"
        " sequence"
    )
    assert set(fields.split()) <= set(json.loads(encode_decision(EVENT))["data"])


def test_times_are_rfc_3339_in_utc() -> None:
    """With milliseconds, also where they are zero: equal lengths sort."""
    assert rfc3339(1795251600.0) == "2026-11-21T09:00:00.000Z"
