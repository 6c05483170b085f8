"""Gauges and counts in the real daemon: history read back, evidence over restarts, traffic moved by what they say."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guardian.adapters.journal.memory import MemoryJournal
from guardian.core.explain import explain
from guardian.core.model import Phase, Weight
from guardian.core.policy import CountSli, GaugeSli, Guardrail, Policy
from tests.core.levels import MARGINS
from tests.runtime.stage import ERRORS, Stage, only, phase, quick, until

MEMORY = Guardrail(name="memory", sli=GaugeSli(value="memory_bytes"), compare=MARGINS)
ORDERS = Guardrail(name="orders", sli=CountSli(events="orders_total"), compare=MARGINS)


def guarded(*guardrails: Guardrail) -> Policy:
    """The quick policy with these guardrails."""
    return replace(quick(), guardrails=guardrails)


@pytest.mark.parametrize(
    ("memory", "orders", "guardrail", "said"),
    [
        (2.0, 1.0, "memory", "lies or grows above what the margin of 'memory' allows"),
        (1.0, 0.3, "orders", "has fewer events than the margin of 'orders' allows"),
        (1.0, 3.0, "orders", "has more events than the margin of 'orders' allows"),
    ],
)
async def test_a_canary_that_is_worse_there_is_rolled_back_over_a_restart(
    memory: float, orders: float, guardrail: str, said: str
) -> None:
    """The daemon is cut off in the middle; the sentence says what it was, in the guardrail's own terms."""
    stage = Stage(journal=MemoryJournal(), policies=[guarded(ERRORS, MEMORY, ORDERS)])
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is Phase.PROGRESSING and only(daemon).step_began is not None)
    stage.service.memory, stage.service.orders = memory, orders
    async with stage.running() as daemon:
        await until(lambda: phase(daemon) is Phase.ROLLED_BACK)
        rollout = only(daemon)
        assert rollout.cause is not None
        assert rollout.cause.evidence is not None
        assert rollout.cause.evidence.guardrail == guardrail
        assert said in rollout.cause.reason
        told = explain(rollout, daemon.engine.look(rollout.id), stage.clock.now())
        assert any(f"'{guardrail}'" in line for line in told.what_if)
    assert stage.router.history[-1] == Weight(0.0)


@pytest.mark.parametrize("guardrails", [(ERRORS, MEMORY, ORDERS), (MEMORY, ORDERS)])
async def test_a_healthy_release_is_promoted(guardrails: tuple[Guardrail, ...]) -> None:
    """Also where no guardrail counts requests, and the weight stands for them."""
    stage = Stage(journal=MemoryJournal(), policies=[guarded(*guardrails)])
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) in {Phase.BAKING, Phase.VERIFIED, Phase.ROLLED_BACK}, within=60.0)
        assert phase(daemon) is not Phase.ROLLED_BACK
