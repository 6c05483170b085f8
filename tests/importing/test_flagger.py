"""Canaries of Flagger become policies, or are refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardian.config.policy import parse_policy
from guardian.core.policy import HistogramSli, Policy, RatioSli
from guardian.errors import ConfigError
from guardian.importing.draft import Draft, Track, write
from guardian.importing.flagger import import_flagger
from guardian.importing.gather import Wanted
from tests.importing.manifests import NOT_FOUND, PODINFO, manifests

WITH_TEMPLATE = PODINFO.replace(
    "    webhooks:\n",
    "    - name: 404s percentage\n"
    "      templateRef: {name: not-found-percentage, namespace: istio-system}\n"
    "      thresholdRange: {max: 5}\n"
    "      interval: 1m\n"
    "    webhooks:\n",
)
PRIMARY = 'destination_workload_namespace="test",reporter="destination"'


def draft(folder: Path, *texts: str, wanted: Wanted | None = None) -> Draft:
    """The one policy of these files, still a draft."""
    (found,) = import_flagger(manifests(folder, *texts), wanted or Wanted())
    return found


def policy(folder: Path, *texts: str, wanted: Wanted | None = None) -> Policy:
    """The one policy of these files, as the daemon would read it."""
    return parse_policy(write([draft(folder, *texts, wanted=wanted)]), file="imported.yaml")


def test_built_in_checks_are_read_as_the_queries_they_stand_for(tmp_path: Path) -> None:
    """Istio's, with canary and primary told by the workload's name."""
    found = policy(tmp_path, PODINFO)
    assert (found.labels.track, found.labels.canary, found.labels.stable) == (
        "destination_workload",
        "podinfo",
        "podinfo-primary",
    )
    success, duration = found.guardrails
    assert success.sli == RatioSli(
        bad=f'istio_requests_total{{{PRIMARY},response_code=~"5.*"}}', total=f"istio_requests_total{{{PRIMARY}}}"
    )
    assert success.objective is not None
    assert success.objective.critical is not None
    assert (success.objective.critical.bound, success.objective.critical.lasts) == (0.99, 600.0)
    assert duration.sli == HistogramSli(buckets=f"istio_request_duration_milliseconds_bucket{{{PRIMARY}}}")


def test_buckets_in_milliseconds_are_compared_and_bounded_by_nobody(tmp_path: Path) -> None:
    """An objective would read 500 as seconds."""
    _, duration = policy(tmp_path, PODINFO).guardrails
    assert duration.objective is None
    assert duration.compare is not None
    assert "COMPARED ONLY" in write([draft(tmp_path, PODINFO)])


def test_a_template_in_percent_of_the_good_is_turned_around(tmp_path: Path) -> None:
    """100 - good / all * 100 at most 5: what is not good is its one condition negated."""
    guardrail = policy(tmp_path, WITH_TEMPLATE, NOT_FOUND).guardrails[2]
    assert guardrail.name == "404s-percentage"
    assert isinstance(guardrail.sli, RatioSli)
    assert guardrail.sli.bad == f'istio_requests_total{{{PRIMARY},response_code="404"}}'
    assert guardrail.objective is not None
    assert guardrail.objective.critical is not None
    assert guardrail.objective.critical.bound == 0.95


def test_weights_go_on_until_one_is_not_below_the_largest(tmp_path: Path) -> None:
    """As their scheduler counts: 20, 40, 60 with a maximum of 50; the last one waits for the verdict."""
    steps = policy(tmp_path, PODINFO).strategy.steps()
    assert [step.weight for step in steps] == [0.2, 0.4, 0.6, 1.0]
    assert [step.bake for step in steps] == [60.0, 60.0, 60.0, 600.0]
    assert steps[2].limit == 1800.0


def test_listed_weights_are_taken_as_they_are(tmp_path: Path) -> None:
    """Their artifacts/examples/linkerd-canary-steps.yaml has such."""
    text = PODINFO.replace("maxWeight: 50\n    stepWeight: 20", "stepWeights: [1, 2, 10, 80]")
    assert [step.weight for step in policy(tmp_path, text).strategy.steps()] == [0.01, 0.02, 0.1, 0.8, 1.0]
    with pytest.raises(ConfigError, match="2 follows 10: weights must rise"):
        draft(tmp_path, text.replace("2, 10", "10, 2"))


def test_hooks_that_confirm_become_approvals(tmp_path: Path) -> None:
    """Promotion is the last shared step's, more traffic each one's."""
    gate = '    - {name: gate, type: confirm-promotion, url: "http://gate/"}\n'
    asked = [step.approval is not None for step in policy(tmp_path, PODINFO + gate).strategy.steps()]
    assert asked == [False, False, True, False]
    every = gate.replace("confirm-promotion", "confirm-traffic-increase")
    asked = [step.approval is not None for step in policy(tmp_path, PODINFO + every).strategy.steps()]
    assert asked == [True, True, True, False]


def test_the_virtual_service_that_flagger_made_is_the_router(tmp_path: Path) -> None:
    """Between the hosts of primary and canary."""
    hosts = {"stable_host": "podinfo-primary", "canary_host": "podinfo-canary"}
    options = {"namespace": "test", "virtual_service": "podinfo", **hosts}
    router = policy(tmp_path, PODINFO).router
    assert router is not None
    assert (router.kind, router.options) == ("istio", options)


def test_linkerd_has_names_of_its_own(tmp_path: Path) -> None:
    """Named by the option where Flagger has one provider for all."""
    found = policy(tmp_path, PODINFO.replace("  provider: istio\n", ""), wanted=Wanted(provider="linkerd"))
    assert (found.router, found.labels.track) == (None, "deployment")
    assert isinstance(found.guardrails[0].sli, RatioSli)
    assert found.guardrails[0].sli.bad.startswith("response_total{classification=")


def test_a_pattern_of_pod_names_needs_the_label(tmp_path: Path) -> None:
    """Tracks have fixed values; with the label named the pattern is not needed."""
    pods = 'kubernetes_pod_name=~"{{ target }}-[0-9a-z]+"'
    query = NOT_FOUND.replace('destination_workload="{{ target }}"', pods)
    assert len(draft(tmp_path, WITH_TEMPLATE, query).guardrails) == 2
    track = Track(label="app", stable="podinfo-primary", canary="podinfo")
    found = draft(tmp_path, WITH_TEMPLATE, query, wanted=Wanted(track=track))
    assert len(found.guardrails) == 3
    assert "kubernetes_pod_name" not in str(found.guardrails[2].sli)


def test_users_who_stick_are_told_loudly(tmp_path: Path) -> None:
    """Evidence that counts their requests as independent would be wrong."""
    text = PODINFO.replace(
        "    threshold: 10\n", "    threshold: 10\n    sessionAffinity: {cookieName: c, maxAge: 3600}\n"
    )
    assert any("USERS STICK TO A TRACK" in what for _, what in draft(tmp_path, text).left)


def test_only_what_is_switched_on_is_told(tmp_path: Path) -> None:
    """Their artifacts/examples/istio-canary.yaml writes skipAnalysis: false."""
    for value, told in (("false", False), ("true", True)):
        text = PODINFO.replace("  analysis:", f"  skipAnalysis: {value}\n  analysis:")
        assert any(key == "spec.skipAnalysis" for key, _ in draft(tmp_path, text).left) is told


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("stepWeight: 20", "iterations: 10", "blue-green, which import does not translate yet"),
        ("stepWeight: 20", "iterations: 5\n    match: [{headers: {a: {exact: b}}}]", "header-routed is not built yet"),
        ("provider: istio", "provider: kubernetes", "blue-green, which import does not translate yet"),
        ("    stepWeight: 20\n", "", "neither stepWeight nor stepWeights"),
        ("name: request-duration", "name: request-speed", "'request-speed' is not built in"),
        ("  analysis:", "  skipAnalysis: true\n  other:", "has no analysis"),
        ("v1beta1", "v1alpha3", "apiVersion flagger.app/v1alpha3"),
        (", namespace: test", "", "the Canary's namespace is not written"),
        ("provider: istio", "provider: nginx", "which query stands for it for provider nginx is not known here"),
        ("  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}\n", "", "targetRef.name: is missing"),
        ("threshold: 10", "threshold: many", "'many' is not a number"),
        ("kind: Canary", "kind: Cannery", "there is no Canary"),
        ("    - name: request-duration", "    - name: x\n      templateRef: {name: y}", "there is no MetricTemplate y"),
    ],
)
def test_what_cannot_be_translated_is_refused(tmp_path: Path, before: str, after: str, what: str) -> None:
    """With what is missing, its place and what to do."""
    assert before in PODINFO
    with pytest.raises(ConfigError) as told:
        draft(tmp_path, PODINFO.replace(before, after))
    assert what in told.value.what
    assert "a.yaml" in told.value.where
    assert told.value.remedy
