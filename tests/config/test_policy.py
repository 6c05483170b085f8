"""A policy file becomes the core's policy, or every mistake in it is said with its place and a remedy."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from guardian.config.findings import Finding
from guardian.config.policy import load_policy, parse_policy, read_policy
from guardian.config.source import parse_documents
from guardian.core.model import Mode
from guardian.core.policy import (
    Adapter,
    AlertRule,
    Compare,
    Labels,
    Level,
    Margin,
    OnAlert,
    Policy,
    RatioSli,
    Risk,
    Slo,
    WarmUp,
)
from guardian.core.strategies import Approval, Canary, Step
from guardian.errors import PolicyError

EXAMPLE = Path("examples/policies/checkout.yaml")
HEAD = """apiVersion: slo-guardian/v1
kind: Policy
metadata: {name: checkout}
spec:
  match: {service: checkout, environment: production}
  strategy: {kind: canary, steps: [{weight: 10%, bake: 5m}, {weight: 100%, bake: 10m}]}
"""
ERRORS = """  guardrails:
    - name: errors
      sli: {ratio: {bad: 'errors_total', total: requests_total}}
"""
LATENCY = """  guardrails:
    - name: latency
      sli: {histogram: {buckets: seconds_bucket}}
"""
GAUGE = """  guardrails:
    - name: memory
      sli: {gauge: {value: memory_bytes, worse: below}}
"""
COUNT = """  guardrails:
    - name: orders
      sli: {count: {events: orders_total}}
"""


def policy(rest: str = ERRORS, head: str = HEAD) -> Policy:
    """Return the policy of a text."""
    return parse_policy(head + rest, file="checkout.yaml")


def findings(rest: str = ERRORS, head: str = HEAD) -> list[Finding]:
    """Return all that is wrong with a text."""
    (document,) = parse_documents(head + rest, file="checkout.yaml")
    return list(read_policy(document).findings)


def finding(rest: str = ERRORS, head: str = HEAD) -> Finding:
    """Return the one thing that is wrong with a text."""
    (only,) = findings(rest, head)
    return only


def compared(compare: str, rest: str = ERRORS) -> Compare:
    """Return the comparison of a policy that says so."""
    found = policy(f"{rest}      compare: {compare}\n").guardrails[0].compare
    assert found is not None
    return found


def test_the_contracts_example_is_read_in_full() -> None:
    """Each value of CONTRACTS section 5 arrives in the core's unit."""
    read = load_policy(EXAMPLE)
    errors, latency = read.guardrails
    assert read.mode is Mode.ENFORCE
    assert read.risk == Risk(false_rollback=0.01, false_promotion=0.05, earliest_promotion=900.0)  # type: ignore[arg-type]
    steps = [(float(step.weight), float(step.bake)) for step in read.strategy.steps()]
    assert steps == [(0.1, 300.0), (0.5, 300.0), (1.0, 600.0)]
    assert errors.sli == RatioSli(bad='http_requests_total{status=~"5.."}', total="http_requests_total")
    assert errors.compare is not None
    assert errors.compare.rollback == Margin(relative=1.05, absolute=0.00005)
    assert errors.compare.promote == Margin(relative=1.5, absolute=0.0005)
    assert errors.objective == Slo(
        target=0.999,
        breached="below",
        warning=Level(bound=0.999, lasts=120.0),  # type: ignore[arg-type]
        critical=Level(bound=0.998, lasts=60.0),  # type: ignore[arg-type]
    )
    assert latency.objective is not None
    assert (latency.objective.breached, latency.objective.quantile) == ("above", 0.95)
    assert latency.warm_up == WarmUp(lasts=180.0, factor=3.0)  # type: ignore[arg-type]
    assert read.alerts == (
        AlertRule(match={"alertname": "CheckoutErrors", "severity": "critical"}, on_firing=OnAlert.ROLLBACK),
    )


def test_a_policy_survives_the_journal() -> None:
    """It is journaled in full, and the digest is that of what was read."""
    read = load_policy(EXAMPLE)
    again = msgspec.json.decode(msgspec.json.encode(read), type=Policy)
    assert again == read
    assert again.digest == read.digest


def test_margins_left_out_are_those_of_the_contracts_example() -> None:
    """So that a guardrail of two lines is judged as the documentation shows."""
    assert policy(ERRORS).guardrails[0].compare == load_policy(EXAMPLE).guardrails[0].compare
    assert policy(LATENCY).guardrails[0].compare == load_policy(EXAMPLE).guardrails[1].compare


def test_a_default_margin_never_contradicts_the_one_that_is_written() -> None:
    """Whoever tightens one side has not inverted the other."""
    assert compared("{promote: {relative: 1.02}}").rollback == Margin(relative=1.02)
    assert compared("{rollback: {relative: 2, absolute: 1%}}").promote == Margin(relative=2.0, absolute=0.01)
    assert compared("{tail: {rollback: 1%}}", LATENCY).tail_promote == 0.01


def test_fresh_pods_are_said_by_the_policy_and_not_assumed() -> None:
    """Only who draws machines anew knows that stable's pods say nothing of the canary's."""
    assert compared("{fresh_pods: true}").fresh_pods
    assert not compared("{rollback: {relative: 2}}").fresh_pods


def test_like_is_compared_with_like_where_labels_are_named() -> None:
    """Labels of the metric, for kinds that count or measure requests."""
    assert compared("{strata: [zone, endpoint]}").strata == ("zone", "endpoint")
    assert compared("{strata: [zone]}", LATENCY).strata == ("zone",)
    assert compared("{rollback: {relative: 2}}").strata == ()


def test_compare_none_leaves_the_objective_alone() -> None:
    """The guardrail then does not participate."""
    read = policy(f"{ERRORS}      compare: none\n      objective: {{target: 99.9%}}\n")
    assert read.guardrails[0].compare is None
    assert read.participating == ()


def test_every_other_key_reaches_the_core() -> None:
    """Nothing that is accepted is dropped."""
    rest = (
        ERRORS
        + """      min_requests: 100
      page_after: 20m
  mode: advise
  labels: {service: app, track: version, pod: instance, stable: v1, canary: v2}
  router: {haproxy: {process: edge, backend: checkout}}
  workload: {kubernetes: {deployment: checkout, image: 'registry.example/checkout:{revision}'}}
  probes: [{http: {url: 'http://canary/health', statuses: ['200']}}, memory]
  concurrency: queue
  on_undecided: rollback
  first_release: remove
  hold_back: 4m
  drain: 20s
  skew: 1m
  refuse_for: 1h
  history: 30m
  interval: 5s
"""
    )
    read = policy(rest)
    assert (read.guardrails[0].min_requests, read.guardrails[0].page_after) == (100, 1200.0)
    assert read.mode is Mode.ADVISE
    assert read.labels == Labels(service="app", track="version", pod="instance", stable="v1", canary="v2")
    assert read.router == Adapter(kind="haproxy", options={"process": "edge", "backend": "checkout"})
    assert read.workload is not None
    assert [probe.kind for probe in read.probes] == ["http", "memory"]
    assert (read.concurrency, read.on_undecided, read.first_release) == ("queue", "rollback", "remove")
    assert (read.hold_back, read.drain, read.skew) == (240.0, 20.0, 60.0)
    assert (read.refuse_for, read.history, read.interval) == (3600.0, 1800.0, 5.0)


def test_a_step_may_ask_for_approval_and_set_its_limit() -> None:
    """`true` is a day for anybody; a mapping names role and expiry."""
    head = HEAD.replace(
        "steps: [{weight: 10%, bake: 5m}",
        "steps: [{weight: 5%, bake: 5m, limit: 1h, approval: true},"
        " {weight: 10%, bake: 5m, approval: {expires: 2h, role: lead}}",
    )
    strategy = policy(ERRORS, head).strategy
    assert isinstance(strategy, Canary)
    assert strategy.plan[0] == Step(weight=0.05, bake=300.0, limit=3600.0, approval=Approval())  # type: ignore[arg-type]
    assert strategy.plan[1].approval == Approval(expires=7200.0, role="lead")  # type: ignore[arg-type]


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_name() -> None:
    """A misspelt key must not become a silent default."""
    found = finding(ERRORS + "  concurency: queue\n")
    assert found.where == "checkout.yaml:10:3"
    assert "unknown key 'concurency' in spec" in found.what
    assert "did you mean 'concurrency'?" in found.remedy


@pytest.mark.parametrize(
    ("text", "misspelt"),
    [
        ("{weight: 10%, bake: 5m, aproval: true}", "aproval"),
        ("{weight: 10%, bake: 5m, wieght: 1}", "wieght"),
    ],
)
def test_an_unknown_key_inside_a_strategy_is_an_error(text: str, misspelt: str) -> None:
    """A union must not swallow keys: an approval that is misspelt would be no gate."""
    found = finding(ERRORS, HEAD.replace("{weight: 10%, bake: 5m}", text))
    assert f"unknown key '{misspelt}'" in found.what


def test_an_objective_over_one_is_told_how_to_write_it() -> None:
    """99.95 without a percent sign."""
    found = finding(f"{ERRORS}      objective: {{target: 99.95}}\n")
    assert "99.95 is more than 1" in found.what
    assert found.remedy == "write 0.9995 or '99.95%'"
    assert found.where == "checkout.yaml:10:27"


@pytest.mark.parametrize(
    "compare",
    [
        "{rollback: {relative: 1.5}, promote: {relative: 1.2}}",
        "{rollback: {relative: 1.05, absolute: 1%}, promote: {relative: 1.5, absolute: 0.1%}}",
        "{rollback: {relative: 2}, promote: {relative: 1, absolute: 1%}}",
    ],
)
def test_promote_below_rollback_is_inverted(compare: str) -> None:
    """For some stable error share a canary would be both worse and promotable."""
    found = finding(f"{ERRORS}      compare: {compare}\n")
    assert "inverted" in found.what
    assert found.where.startswith("checkout.yaml:10:")


def test_inverted_latencies_are_told_as_latencies() -> None:
    """A share of failures would say nothing to whoever wrote a factor on time."""
    found = finding(f"{LATENCY}      compare: {{rollback: {{relative: 1.1}}, promote: {{relative: 1.05}}}}\n")
    assert "1.05 times stable's latency, below rollback at 1.1" in found.what


def test_a_misspelt_margin_is_the_only_thing_said() -> None:
    """`compare` may be a mapping or the word none: a complaint about the other reading would lead astray."""
    found = finding(f"{ERRORS}      compare: {{rollback: {{absolut: 0.1%}}}}\n")
    assert found.what == "unknown key 'absolut' in spec.guardrails[0].compare.rollback"


def test_a_misspelt_key_is_not_missing_as_well() -> None:
    """Two complaints about one mistake send the reader looking for a second one."""
    found = finding(ERRORS.replace("guardrails:", "gardrails:"))
    assert found.what == "unknown key 'gardrails' in spec"
    assert found.remedy.startswith("did you mean 'guardrails'?")


@pytest.mark.parametrize(
    ("selector", "where", "remedy"),
    [
        ('errors_total{status="500"}', ":3:", "put the selector in quotes"),
        ("'errors_total", ":3:12", "close the quote that begins here"),
        ('"errors_total', ":3:12", "close the quote that begins here"),
        ("[errors_total", ":", "check indentation, quotes and brackets"),
    ],
)
def test_a_selector_that_breaks_the_yaml_is_told_how_to_be_written(selector: str, where: str, remedy: str) -> None:
    """Braces without quotes are the most usual mistake of all; an open quote is told where it opens."""
    with pytest.raises(PolicyError) as caught:
        parse_policy(f"kind: Policy\nspec:\n  sli: {{b: {selector}, total: requests_total}}\n", file="p.yaml")
    assert f"p.yaml{where}" in caught.value.where + ":"
    assert remedy in caught.value.remedy


def test_an_inverted_tail_is_refused() -> None:
    """The tail has margins of its own."""
    assert "inverted" in finding(f"{LATENCY}      compare: {{tail: {{rollback: 1%, promote: 0.1%}}}}\n").what


@pytest.mark.parametrize(
    ("steps", "what"),
    [
        ("[{weight: 50%, bake: 5m}, {weight: 10%, bake: 5m}, {weight: 100%, bake: 5m}]", "weights must rise"),
        ("[{weight: 10%, bake: 5m}, {weight: 10%, bake: 5m}]", "weights must rise"),
        ("[{weight: 10%, bake: 5m}]", "the last weight is 10 %"),
        ("[]", "there are no steps"),
        ("[{weight: 10, bake: 5m}]", "10 is more than 1"),
        ("[{weight: 100%, bake: 5}]", "duration 5 has no unit"),
        ("[{weight: 100%, bake: 5m, limit: 1m}]", "limit 1m is shorter than bake 5m"),
        ("[{weight: 100%, bake: 0}]", "bake 0 leaves no time"),
    ],
)
def test_impossible_steps_are_refused(steps: str, what: str) -> None:
    """A plan that cannot complete is found before it runs."""
    before = "[{weight: 10%, bake: 5m}, {weight: 100%, bake: 10m}]"
    assert what in finding(ERRORS, HEAD.replace(before, steps)).what


@pytest.mark.parametrize(
    ("rest", "what"),
    [
        ("  guardrails: []\n", "there are no guardrails"),
        (ERRORS + ERRORS.partition("\n")[2], "a second guardrail is named 'errors'"),
        (ERRORS + "      compare:\n", "is empty"),
        (ERRORS + "      compare: none\n", "neither compares nor has an objective"),
        (ERRORS + "      compare: {rollback: {relative: 0.9}}\n", "relative 0.9 is below 1"),
        (ERRORS + "      compare: {tail: {rollback: 1%}}\n", "'tail' is about latencies"),
        (ERRORS + "      compare: {strata: [zone, zone]}\n", "a label stands twice"),
        (ERRORS + "      compare: {strata: ['zone=a']}\n", "'zone=a' cannot be a label"),
        (ERRORS + "      compare: {strata: [zone, track]}\n", "'track' tells the track: no stratum has both"),
        (LATENCY + "      compare: {strata: [le]}\n", "'le' tells buckets apart"),
        (COUNT + "      compare: {strata: [zone]}\n  router: memory\n", "no requests to be told apart"),
        (LATENCY + "      compare: {rollback: {relative: 1.1, absolute: 1%}}\n", "'absolute' is a share of requests"),
        (LATENCY + "      objective: {target: 500ms}\n", "needs 'quantile'"),
        (LATENCY + "      objective: {target: 500ms, quantile: 95}\n", "95 is more than 1"),
        (LATENCY + "      objective: {target: 99%, quantile: 95%}\n", "is not a duration"),
        (ERRORS + "      objective: {target: 500ms}\n", "is not a share"),
        (ERRORS + "      objective: {target: 99%, critical: {above: 99%, for: 1m}}\n", "never hurts users"),
        (ERRORS + "      objective: {target: 99%, critical: {for: 1m}}\n", "exactly one of 'above' and 'below'"),
        (
            ERRORS
            + "      objective: {target: 99%, warning: {below: 98%, for: 1m}, critical: {below: 99%, for: 1m}}\n",
            "critical is milder than warning",
        ),
        (ERRORS + "      warm_up: {for: 3m, factor: 0.5}\n", "0.5 is not allowed"),
        (ERRORS.replace("errors_total", "rate(errors_total[5m])"), "is an expression"),
        (ERRORS.replace("errors_total", "errors total"), "is not a metric selector"),
        (COUNT, "nothing says how much each track served"),
        (COUNT + "  router: memory\n  mode: observe\n", "nothing says how much each track served"),
        (COUNT + "      objective: {target: 500}\n", "a count has no objective"),
        (GAUGE + "      objective: {target: 500ms}\n", "is not a number"),
        (GAUGE + "      objective: {target: 5, quantile: 95%}\n", "'quantile' is about latencies"),
        (
            GAUGE + "      objective: {target: 5, critical: {above: 6, for: 1m}}\n",
            "this gauge hurts 'below', as 'worse' says",
        ),
        (
            GAUGE + "      objective: {target: 5, warning: {below: 3, for: 1m}, critical: {below: 4, for: 1m}}\n",
            "critical is milder than warning",
        ),
        (GAUGE + "      compare: {rollback: {relative: 1.2, absolute: 1%}}\n", "'absolute' is a share of requests"),
        (GAUGE + "      compare: {rollback: {relative: 1.4}, promote: {relative: 1.2}}\n", "1.2 times stable's level"),
        (ERRORS + "  risk: {false_rollback: 0}\n", "0.0 is not allowed"),
        (ERRORS + "  router: {haproxy: {}, istio: {}}\n", "needs exactly one adapter"),
        (ERRORS + "  alerts: [{match: {a: b}, service: svc}]\n", "does not name a label"),
        (ERRORS + "  labels: {stable: v1, canary: v1}\n", "stable and canary are both 'v1'"),
        (ERRORS + "  interval: 0\n", "is not allowed"),
    ],
)
def test_what_cannot_be_meant_is_refused(rest: str, what: str) -> None:
    """One mistake, one finding, with a remedy."""
    found = finding(rest)
    assert what in found.what
    assert found.remedy


def test_enumerations_say_what_is_allowed() -> None:
    """And which one was most likely meant."""
    found = finding(ERRORS + "  mode: enforced\n")
    assert "did you mean 'enforce'? Allowed: advise, enforce, observe" in found.remedy


def test_all_mistakes_are_said_in_the_order_of_the_file() -> None:
    """One run of `guardian check` is enough to mend a file."""
    found = findings(ERRORS + "  mod: enforce\n  drain: 5\n  skew: soon\n")
    assert [int(item.where.split(":")[1]) for item in found] == [10, 11, 12]


@pytest.mark.parametrize(
    ("text", "relative"),
    [(GAUGE, 1.2), (ERRORS + COUNT.removeprefix("  guardrails:\n"), 1.1), (COUNT + "  router: memory\n", 1.1)],
)
def test_gauges_and_counts_are_guardrails_with_margins_of_their_own(text: str, relative: float) -> None:
    """A count beside a guardrail that counts requests, or under a router whose weight says how much each track gets."""
    guardrail = policy(text).guardrails[-1]
    assert guardrail.compare is not None
    assert guardrail.compare.rollback.relative == relative


def test_a_gauge_has_its_objective_in_its_own_unit() -> None:
    """Breached on the side on which it hurts; negative levels are levels."""
    text = GAUGE + "      objective: {target: 0, warning: {below: -5, for: 2m}, critical: {below: -10, for: 1m}}\n"
    objective = policy(text).guardrails[0].objective
    assert objective is not None
    assert objective.critical is not None
    assert (objective.breached, objective.target, objective.critical.bound) == ("below", 0.0, -10.0)
