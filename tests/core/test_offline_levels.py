"""Gauges and counts without a denominator in files of samples: column `value` of CONTRACTS section 6."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from guardian.adapters.samples.tables import Samples
from guardian.core.model import Ratio, Seconds, Verdict
from guardian.core.offline import Offline, OfflineVerdict
from guardian.core.policy import Compare, CountSli, GaugeSli, Guardrail, Margin, Policy, Risk
from guardian.errors import PolicyError
from tests.builders import ERRORS, LATENCY, policy

RISK = Risk(false_rollback=Ratio(0.01), false_promotion=Ratio(0.05), earliest_promotion=Seconds(300.0))
MARGINS = Compare(rollback=Margin(relative=1.1), promote=Margin(relative=1.5))
MEMORY = Guardrail(name="memory", sli=GaugeSli(value="memory_bytes"), compare=MARGINS)
FREE = Guardrail(name="memory", sli=GaugeSli(value="free_bytes", worse="below"), compare=MARGINS)
ORDERS = Guardrail(name="orders", sli=CountSli(events="orders_total"), compare=MARGINS)
HEAD = "rollout_id,t,dt,track,pod,metric,requests,bad,le,count,value"
Value = Callable[[float, bool, np.random.Generator], str]


def by(*guardrails: Guardrail) -> Policy:
    """A policy of these guardrails."""
    return replace(policy(), guardrails=guardrails, risk=RISK)


def written(path: Path, *, memory: Value | None = None, orders: Value | None = None, named: bool = True) -> Path:
    """A file of one rollout: half an hour of history, 20 minutes of canary; two canary pods, four stable ones."""
    random, lines = np.random.default_rng(3), [HEAD]
    for t in range(-1800, 1201, 10):
        for number in range(6):
            canary = number < 2
            if canary and t <= 0:
                continue
            track, pod = ("canary" if canary else "stable"), f"p{number}"
            asked = random.poisson(400)
            lines.append(f"r1,{t},10,{track},{pod},errors,{asked},{random.binomial(asked, 0.01)},,,")
            start = f"r1,{t},10,{track},{pod}"
            if memory is not None:
                lines.append(f"{start},memory,,,,,{memory(float(t), canary, random)}")
            if orders is not None:
                other = start if named else f"r1,{t},10,{track},worker-{number}"
                lines.append(f"{other},orders,,,,,{orders(float(t), canary, random)}")
    path.write_text("\n".join(lines) + "\n")
    return path


def judged(path: Path, rules: Policy) -> OfflineVerdict:
    """The verdict on the one rollout of a file."""
    reader = Samples([path])
    court = Offline(rules, rollouts=reader.rollouts, metrics=reader.metrics, pods=reader.pods)
    for batch in reader:
        court.take(batch)
    return court.finish()[0]


def level(worse: float, *, leak: float = 0.0) -> Value:
    """Readings around 1e9, the canary's `worse` times as high and growing by `leak` of it an hour."""
    return lambda t, canary, random: repr(
        1e9 * (random.normal(1.0, 0.02) + (worse - 1.0 + leak * t / 3600.0 if canary else 0.0))
    )


def events(worse: float) -> Value:
    """About 20 orders a tick and pod."""
    return lambda _, canary, random: str(random.poisson(20.0 * (worse if canary else 1.0)))


def test_a_gauge_within_the_margin_is_promoted(tmp_path: Path) -> None:
    """Errors and memory as stable has them."""
    found = judged(written(tmp_path / "a.csv", memory=level(1.0)), by(ERRORS, MEMORY))
    assert found.verdict is Verdict.PROMOTE


def test_a_gauge_beyond_the_margin_is_rolled_back(tmp_path: Path) -> None:
    """Twice the memory, told with readings and not with requests."""
    found = judged(written(tmp_path / "a.csv", memory=level(2.0)), by(ERRORS, MEMORY))
    assert (found.verdict, found.metric) == (Verdict.ROLLBACK, "memory")
    assert found.decided_at <= 120.0
    assert "G on average against" in found.reason
    assert "readings are independent" in found.reason


def test_a_leak_is_rolled_back(tmp_path: Path) -> None:
    """It doubles within an hour: long before the level tells."""
    found = judged(written(tmp_path / "a.csv", memory=level(1.0, leak=1.0)), by(ERRORS, MEMORY))
    assert (found.verdict, found.metric) == (Verdict.ROLLBACK, "memory")


def test_a_gauge_that_hurts_below_may_rise(tmp_path: Path) -> None:
    """Twice the free memory is good news; half of it is not."""
    rich, poor = (written(tmp_path / f"{worse}.csv", memory=level(worse)) for worse in (2.0, 0.5))
    assert judged(rich, by(ERRORS, FREE)).verdict is Verdict.PROMOTE
    assert judged(poor, by(ERRORS, FREE)).verdict is Verdict.ROLLBACK


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("worse", [0.4, 2.0])
def test_too_few_and_too_many_events_are_rolled_back(tmp_path: Path, *, worse: float, named: bool) -> None:
    """Whether or not the pods that count orders are those that count requests."""
    found = judged(written(tmp_path / "a.csv", orders=events(worse), named=named), by(ERRORS, ORDERS))
    assert (found.verdict, found.metric) == (Verdict.ROLLBACK, "orders")
    assert "events where stable makes" in found.reason


def test_as_many_events_as_stable_are_promoted(tmp_path: Path) -> None:
    """Per request, though the canary has half of stable's pods."""
    found = judged(written(tmp_path / "a.csv", orders=events(1.0)), by(ERRORS, ORDERS))
    assert found.verdict is Verdict.PROMOTE


@pytest.mark.parametrize("text", ["", "nan", "inf"])
def test_values_that_are_no_numbers_decide_nothing(tmp_path: Path, text: str) -> None:
    """As if the rows were not there: neither rolled back nor promoted."""
    broken = written(tmp_path / "a.csv", memory=lambda _, canary, __: text if canary else "1e9", orders=events(1.0))
    found = judged(broken, by(ERRORS, MEMORY, ORDERS))
    assert found.verdict is Verdict.INCONCLUSIVE


def test_an_hour_without_events_decides_nothing(tmp_path: Path) -> None:
    """Zero orders on both tracks are no proof of health."""
    found = judged(written(tmp_path / "a.csv", orders=lambda *_: "0"), by(ERRORS, ORDERS))
    assert found.verdict in {Verdict.HOLD, Verdict.INCONCLUSIVE}


def test_the_verdict_does_not_look_ahead(tmp_path: Path) -> None:
    """The file cut after the verdict gives the same one."""
    path = written(tmp_path / "a.csv", memory=level(1.6), orders=events(1.0))
    rules = by(ERRORS, MEMORY, ORDERS)
    whole = judged(path, rules)
    lines = path.read_text().splitlines()
    kept = [line for line in lines[1:] if float(line.split(",")[1]) <= whole.decided_at]
    path.write_text("\n".join([lines[0], *kept]) + "\n")
    cut = judged(path, rules)
    assert (cut.verdict, cut.decided_at, cut.evidence) == (whole.verdict, whole.decided_at, whole.evidence)


def test_a_count_needs_a_guardrail_that_counts_requests() -> None:
    """Without one nothing says how much each track served."""
    with pytest.raises(PolicyError, match="how much each track served"):
        Offline(by(ORDERS), rollouts=[], metrics=[], pods=[])
    Offline(by(LATENCY, ORDERS), rollouts=[], metrics=[], pods=[])
