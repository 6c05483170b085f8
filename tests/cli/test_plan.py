"""`guardian plan` from flags: times, pods, warnings and what is assumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.daemon import guardian
from tests.cli.test_offline import EXAMPLE


def test_plan_shows_how_long_each_step_needs(tmp_path: Path) -> None:
    """More traffic needs less time, a larger change less than a smaller one."""
    slow, fast = (
        json.loads(guardian("plan", str(EXAMPLE), "--rps", rps, "-o", "json", folder=tmp_path).out)["steps"]
        for rps in ("50", "500")
    )
    errors = [steps[0]["guardrails"][0] for steps in (slow, fast)]
    assert errors[0]["x1.5"] == pytest.approx(10 * errors[1]["x1.5"], rel=0.01)
    assert errors[0]["x2"] < errors[0]["x1.5"]
    assert [step["extends"] for step in slow] == [False, True, False]
    assert slow[2]["guardrails"] == []


def test_plan_fits_an_ordinary_terminal(tmp_path: Path) -> None:
    """80 columns: a heading on three lines is read wrongly."""
    lines = guardian("plan", str(EXAMPLE), "--rps", "200", folder=tmp_path).out.splitlines()
    assert lines[0].split()[-3:] == ["sees", "x2", "promote"]
    assert max(len(line.rstrip()) for line in lines[:5]) <= 80


def test_plan_warns_when_traffic_cannot_reach_the_verdict(tmp_path: Path) -> None:
    """Within the limit of the step; without traffic never."""
    answer = guardian("plan", str(EXAMPLE), "--rps", "1", folder=tmp_path)
    assert "over its limit" in answer.out
    none = json.loads(guardian("plan", str(EXAMPLE), "--rps", "0", "-o", "json", folder=tmp_path).out)
    assert none["steps"][1]["lasts"] is None


def test_plan_names_what_it_assumes(tmp_path: Path) -> None:
    """Times double when stable's errors halve: a reader must see which share they hold for, and how to change it."""
    assumed = guardian("plan", str(EXAMPLE), "--rps", "200", folder=tmp_path).out
    assert "stable's errors are assumed to be 0.5 % (--error-rate)" in assumed
    assert "500ms without one (--p95)" in assumed
    flags = ("--error-rate", "0.1%", "--p95", "300ms")
    told = guardian("plan", str(EXAMPLE), "--rps", "200", *flags, folder=tmp_path).out
    assert "stable's errors 0.1 %; latencies are assumed log-normal with a p95 of 300ms" in told


def test_plan_says_of_which_guardrails_no_time_is_known(tmp_path: Path) -> None:
    """And why; the others decide how long a step lasts, at least."""
    policy = tmp_path / "levels.yaml"
    more = "    - {name: memory, sli: {gauge: {value: bytes}}}\n    - {name: orders, sli: {count: {events: sold}}}\n"
    policy.write_text(EXAMPLE.read_text().replace("  alerts:\n", more + "  alerts:\n"))
    told = guardian("plan", str(policy), "--rps", "200", folder=tmp_path).out
    assert "not known" in told
    assert "or more. Traffic: from --rps" in told
    assert "'memory': how soon a level tells depends on how much pods differ" in told
    assert "'orders': how many events a request makes is not known" in told
    step = json.loads(guardian("plan", str(policy), "--rps", "200", "-o", "json", folder=tmp_path).out)["steps"][0]
    assert [one["promote"] is None for one in step["guardrails"]] == [False, False, True, True]


def test_plan_names_the_guardrail_that_makes_a_step_late(tmp_path: Path) -> None:
    """Widening the margin of another one would change nothing."""
    notes = json.loads(guardian("plan", str(EXAMPLE), "--rps", "1", "-o", "json", folder=tmp_path).out)["notes"]
    first, second = (note for note in notes if note.startswith("warning: step"))
    assert "widen the promote margin of 'errors', send more traffic or raise the limit" in first  # its sample
    assert "widen the promote and tail margins of 'latency', send more traffic" in second  # its verdict


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("- name: errors", "- name: errors\n      min_requests: 200000"), "lower min_requests of 'errors', send more"),
        (("risk: {", "risk: {earliest_promotion: 3h, "), "lower risk.earliest_promotion or raise the limit"),
    ],
)
def test_plan_names_the_setting_that_makes_a_step_late(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    """Where it is no margin at all, a wider one would be given away for nothing."""
    text = EXAMPLE.read_text(encoding="utf-8").replace(", earliest_promotion: 15m", "")
    assert change[0] in text
    (tmp_path / "p.yaml").write_text(text.replace(*change))
    assert said in guardian("plan", "p.yaml", "--rps", "500", folder=tmp_path).out


@pytest.mark.parametrize(
    ("pods", "replicas", "alone"), [("8", "", False), ("3", "", True), ("2", "", True), ("8", ", replicas: 1", True)]
)
def test_plan_speaks_of_one_canary_pod_only_where_there_is_one(
    tmp_path: Path, pods: str, replicas: str, *, alone: bool
) -> None:
    """The canary has as many pods as stable unless its workload is told otherwise, whatever its share of traffic."""
    workload = f"  workload: {{deployment: {{image: 'checkout:{{{{revision}}}}'{replicas}}}}}\n  guardrails:\n"
    text = EXAMPLE.read_text(encoding="utf-8").replace("  guardrails:\n", workload)
    (tmp_path / "p.yaml").write_text(text)
    answer = guardian("plan", "p.yaml", "--rps", "200", "--pods", pods, folder=tmp_path)
    assert answer.code == 0, answer.err
    assert ("one canary pod" in answer.out) is alone


def test_plan_says_what_its_pods_let_be_seen(tmp_path: Path) -> None:
    """Per step with the pods by its weight, the same every time; what one pod of ten never sees is warned of."""
    flags = ("--rps", "200", "--pods", "10", "--pods-differ", "15%")
    answer, again = (guardian("plan", str(EXAMPLE), *flags, "-o", "json", folder=tmp_path) for _ in range(2))
    assert answer.out == again.out, answer.err
    found = json.loads(answer.out)
    first, second = found["steps"][:2]
    assert (first["pods"], second["pods"]) == ({"canary": 1, "stable": 9}, {"canary": 5, "stable": 5})
    errors = [step["guardrails"][0] for step in (first, second)]
    assert errors[1]["smallest"] < errors[0]["smallest"]
    assert errors[0]["x2"] is None
    warned = next(note for note in found["notes"] if note.startswith("warning: 'errors' does not see x2"))
    assert "within the limit of step 1" in warned
    assert "more canary pods" in warned
    assert "pods differ by 15 %" in found["notes"][0]


def test_plan_wants_pods_on_both_tracks(tmp_path: Path) -> None:
    """Exit 2: there would be nothing to compare with."""
    answer = guardian("plan", str(EXAMPLE), "--rps", "200", "--pods", "3", "--canary-pods", "3", folder=tmp_path)
    assert answer.code == 2
    assert "leave none of stable" in answer.err
    assert "give 4 or more" in answer.err


def test_plan_warns_of_tails_that_are_not_seen(tmp_path: Path) -> None:
    """0.5 % of the requests six times slower, at ten requests a second; at 20,000 they are."""
    said = "does not see a tail (0.5 % of requests 6 times slower)"
    assert said in guardian("plan", str(EXAMPLE), "--rps", "10", folder=tmp_path).out
    assert said not in guardian("plan", str(EXAMPLE), "--rps", "20000", folder=tmp_path).out


def test_plan_without_traffic_says_where_to_get_it(tmp_path: Path) -> None:
    """Exit 2: something is missing on the command line."""
    answer = guardian("plan", str(EXAMPLE), folder=tmp_path)
    assert answer.code == 2
    assert "--rps" in answer.err


@pytest.mark.parametrize("rps", ["1e18", "inf", "nan", "-1"])
def test_plan_refuses_traffic_that_nobody_has(rps: str, tmp_path: Path) -> None:
    """More than counts can hold is a slip of the hand: wrong usage, not a crash."""
    answer = guardian("plan", str(EXAMPLE), "--rps", rps, "--pods", "4", folder=tmp_path)
    assert answer.code == 2
    assert "--rps" in answer.err
