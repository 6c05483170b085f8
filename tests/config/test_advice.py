"""Advice: what is lawful and likely not meant."""

from __future__ import annotations

import pytest

from guardian.config.advice import advice
from guardian.config.policy import read_policy
from guardian.config.source import parse_documents

TEXT = """apiVersion: slo-guardian/v1
kind: Policy
metadata: {name: checkout}
spec:
  match: {service: checkout, environment: staging}
  strategy: {kind: canary, steps: [{weight: 10%, bake: 20m}, {weight: 100%, bake: 10m}]}
  router: memory
  guardrails:
    - name: errors
      sli: {ratio: {bad: errors_total, total: requests_total}}
"""


def said(*changes: tuple[str, str]) -> str:
    """Return all advice on the policy with these changes."""
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (document,) = parse_documents(text, file="p.yaml")
    file = read_policy(document)
    assert file.policy is not None
    return "\n".join(str(finding) for finding in advice(file))


def test_the_step_that_extends_itself_is_always_named() -> None:
    """The bake is a minimum there, and whoever plans a release must know."""
    assert said().startswith("p.yaml:6:36: the step at 10 % is the last that compares: it extends itself")


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("environment: staging", "environment: production", "mode enforce moves production traffic"),
        (", environment: staging", "", "mode enforce moves production traffic"),
        ("router: memory", "router: memory\n  mode: observe", "never uses the router"),
        ("  router: memory\n", "", "without router and workload"),
        ("bake: 20m", "bake: 5m", "not before 15m of canary traffic (the bakes are 5m)"),
        ("bake: 20m}", "bake: 20m, approval: {role: lead}}", "role 'lead' is shown to people and not checked"),
        ("{weight: 10%, bake: 20m}, ", "", "no step has traffic on both tracks"),
        ("router: memory", "router: memory\n  risk: {false_rollback: 20%}", "one healthy rollout in 5"),
        ("router: memory", "router: memory\n  history: 5m", "5m of stable history is too short"),
        ("bad: errors_total", "bad: requests_total", "bad and total are the same series"),
        (
            "requests_total}}",
            "requests_total}}\n      compare: none\n      objective: {target: 1%}",
            "the target 1 % is a share of GOOD events; write 99 %",
        ),
        (
            "router: memory",
            "router: memory\n  probes: [{http: {url: 'http://h/', headers: {Authorization: Bearer x}}}]",
            "p.yaml:8:63: this looks like a secret, and a policy is journaled in full",
        ),
        (
            "router: memory",
            "router: memory\n  affinity: {requests: 30, session: 1h}",
            "p.yaml:6:36: a step of 20m ends before its 10 % are served: users keep their track for 1h",
        ),
        (
            "router: memory",
            "router: memory\n  probes: [{http: {url: 'http://me:secret@h/'}}]",
            "p.yaml:8:25: this looks like a secret",
        ),
        ("ratio: {bad: errors_total, total: requests_total}", "histogram: {buckets: seconds}", "does not look like"),
        (
            "requests_total}}",
            "requests_total}}\n      objective: {target: 90%, burn_rate: {}}",
            "p.yaml:11:43: 1h and 5m never page: they do from burn rate 14.4 on, and there can be 10 at most; ask for",
        ),
        (
            "requests_total}}",
            "requests_total}}\n      objective: {target: 99%, scope: service, burn_rate: {}}",
            "the service's last hour is judged on 40m of history at first; write history: 1h",
        ),
    ],
)
def test_each_habit_that_hurts_is_advised_against(old: str, new: str, what: str) -> None:
    """Valid, and a surprise later."""
    assert what in said((old, new))
    assert what not in said()


def test_an_invalid_policy_gets_errors_not_advice() -> None:
    """First things first."""
    (document,) = parse_documents("kind: Policy\n", file="p.yaml")
    assert advice(read_policy(document)) == []


def test_fresh_pods_beside_a_control_track_are_needless() -> None:
    """Both say that the canary's machines are new; control's are, too."""
    fresh = ("requests_total}}", "requests_total}}\n      compare: {fresh_pods: true}")
    control = ("router: memory", "router: memory\n  labels: {control: control}")
    assert "fresh_pods" not in said(fresh)
    assert "p.yaml:12:29: fresh_pods changes nothing beside labels.control" in said(fresh, control)
