"""Argo Rollouts become policies, or are refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardian.config.policy import parse_policy
from guardian.core.model import Seconds
from guardian.core.policy import HistogramSli, Level, Policy, RatioSli
from guardian.errors import ConfigError
from guardian.importing.argo import import_argo
from guardian.importing.draft import Draft, Track, write
from guardian.importing.gather import Wanted
from tests.importing.manifests import BLUE_GREEN, GUESTBOOK, SUBSETS, SUCCESS_RATE, manifests


def draft(folder: Path, *texts: str, wanted: Wanted | None = None) -> Draft:
    """The one policy of these files, still a draft."""
    (found,) = import_argo(manifests(folder, *texts), wanted or Wanted())
    return found


def policy(folder: Path, *texts: str, wanted: Wanted | None = None) -> Policy:
    """The one policy of these files, as the daemon would read it."""
    return parse_policy(write([draft(folder, *texts, wanted=wanted)]), file="imported.yaml")


def test_background_analysis_becomes_steps_and_a_guardrail(tmp_path: Path) -> None:
    """The example of their documentation, in two files."""
    found = policy(tmp_path, GUESTBOOK, SUCCESS_RATE, wanted=Wanted(environment="production"))
    assert (found.match.service, found.match.environment) == ("guestbook", "production")
    steps = [(float(step.weight), float(step.bake)) for step in found.strategy.steps()]
    assert steps == [(0.2, 600), (0.4, 600), (0.6, 600), (0.8, 600), (1.0, 600)]
    (guardrail,) = found.guardrails
    service = 'destination_service=~"guestbook-svc.default.svc.cluster.local",reporter="source"'
    assert guardrail.sli == RatioSli(
        bad=f'istio_requests_total{{{service},response_code=~"5.*"}}', total=f"istio_requests_total{{{service}}}"
    )
    assert guardrail.objective is not None
    assert guardrail.objective.critical == Level(bound=0.95, lasts=Seconds(1200.0))
    assert (guardrail.objective.target, guardrail.objective.window) == (0.95, 300.0)
    assert guardrail.compare is not None


def test_an_unknown_track_label_is_asked_for(tmp_path: Path) -> None:
    """Their query reads the whole service: which series are the canary's nobody has said."""
    asked = draft(tmp_path, GUESTBOOK, SUCCESS_RATE)
    assert any("--track-label" in note for note in asked.notes)
    given = draft(tmp_path, GUESTBOOK, SUCCESS_RATE, wanted=Wanted(track=Track(label="v", stable="old", canary="new")))
    assert not any("--track-label" in note for note in given.notes)
    assert (given.labels["track"], given.labels["stable"], given.labels["canary"]) == ("v", "old", "new")


def test_the_canary_service_tells_the_tracks(tmp_path: Path) -> None:
    """Their name is in the query: it is a label's value for canary, and stable's Service that of stable."""
    found = policy(tmp_path, SUBSETS)
    assert found.labels.track == "destination"
    assert found.labels.canary == "split-canary.shop.svc.cluster.local"
    assert found.labels.stable == "split-stable.shop.svc.cluster.local"
    (guardrail,) = found.guardrails
    assert guardrail.sli == HistogramSli(buckets='request_duration_seconds_bucket{region="north"}')


def test_what_a_query_says_counts_more_than_labels_of_pods(tmp_path: Path) -> None:
    """The metrics need not carry the pods' labels; what the query asks for they have."""
    metadata = (
        "canaryMetadata: {labels: {role: fresh}}\n      stableMetadata: {labels: {role: old}}\n      canaryService"
    )
    assert policy(tmp_path, SUBSETS.replace("canaryService", metadata, 1)).labels.track == "destination"


def test_what_is_told_is_told_once(tmp_path: Path) -> None:
    """The same template at two steps has one list of what it lacks."""
    again = """
      - setWeight: 60
      - analysis:
          templates: [{templateName: latency, clusterScope: true}]
          args: [{name: canary, value: c}, {name: region, value: r}]
---"""
    left = draft(tmp_path, SUBSETS.replace("\n---", again).replace(again, "\n---", 1)).left
    assert len(left) == len(set(left))
    assert sum(key.endswith("metric p95.count") for key, _ in left) == 1


def test_both_conditions_become_warning_and_critical(tmp_path: Path) -> None:
    """Between them their run is inconclusive and pauses, as a warning holds."""
    (guardrail,) = policy(tmp_path, SUBSETS).guardrails
    objective = guardrail.objective
    assert objective is not None
    assert (objective.quantile, objective.target) == (0.95, 0.5)
    assert objective.warning == Level(bound=0.5, lasts=Seconds(120.0))
    assert objective.critical == Level(bound=0.8, lasts=Seconds(120.0))


def test_an_endless_pause_is_an_approval_and_an_analysis_takes_its_time(tmp_path: Path) -> None:
    """One minute of delay and four intervals between five measurements."""
    first, second, last = policy(tmp_path, SUBSETS).strategy.steps()
    assert first.approval is not None
    assert (first.bake, first.limit) == (0.0, 1800.0)
    assert (second.approval, second.bake) == (None, 300.0)
    assert (last.weight, last.approval) == (1.0, None)


def test_istio_becomes_the_router(tmp_path: Path) -> None:
    """By subsets, on the one route."""
    router = policy(tmp_path, SUBSETS).router
    assert router is not None
    options = {"virtual_service": "istio-subset-split-vsvc", "route": "primary", "stable": "stable", "canary": "canary"}
    assert (router.kind, router.options) == ("istio", options)


def test_istio_without_subsets_moves_between_the_services(tmp_path: Path) -> None:
    """Host-level splitting names the two Services."""
    text = SUBSETS.replace("destinationRule: {name: rule, canarySubsetName: canary, stableSubsetName: stable}", "")
    router = policy(tmp_path, text).router
    assert router is not None
    assert (router.options["stable_host"], router.options["canary_host"]) == ("split-stable", "split-canary")


@pytest.mark.parametrize("kind", ["nginx: {stableIngress: a}", "alb: {ingress: a}", "smi: {}"])
def test_other_traffic_is_moved_by_others(tmp_path: Path, kind: str) -> None:
    """No router of ours: said, not guessed."""
    text = GUESTBOOK.replace("    canary:\n", f"    canary:\n      trafficRouting:\n        {kind}\n", 1)
    found = draft(tmp_path, text, SUCCESS_RATE)
    assert found.router is None
    assert any(kind.partition(":")[0] in what and "no router of ours" in what for _, what in found.left)


def test_what_has_no_equal_is_told(tmp_path: Path) -> None:
    """By the key of the source, in the text of the policy."""
    text = write([draft(tmp_path, SUBSETS)])
    for key in ("abortScaleDownDelaySeconds", "setCanaryScale", "metric p95.count", "metric p95.initialDelay"):
        assert f"{key}: " in text


def test_labels_that_the_rollout_gives_its_pods_stand_for_hashes(tmp_path: Path) -> None:
    """A hash is another one each release; canaryMetadata and stableMetadata are not."""
    hashed = GUESTBOOK.replace(
        "value: guestbook-svc.default.svc.cluster.local", "valueFrom: {podTemplateHashValue: Latest}"
    )
    with pytest.raises(ConfigError, match="a hash that is new each release"):
        draft(tmp_path, hashed, SUCCESS_RATE)
    metadata = "canaryMetadata: {labels: {role: fresh}}\n      stableMetadata: {labels: {role: old}}\n"
    found = policy(tmp_path, hashed.replace("    canary:\n", f"    canary:\n      {metadata}", 1), SUCCESS_RATE)
    assert (found.labels.track, found.labels.stable, found.labels.canary) == ("role", "old", "fresh")
    assert isinstance(found.guardrails[0].sli, RatioSli)
    assert "destination_service" not in found.guardrails[0].sli.total


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("prometheus:\n        address", "datadog:\n        address", "provider datadog is not read"),
        ("interval: 5m", "failureLimit: -1\n    interval: 5m", "never fails"),
        ("successCondition: result >= 0.95", "", "neither successCondition"),
        ("successCondition: result >= 0.95", "successCondition: result == 'ok'", "no comparison"),
        (")) /\n", ")) -\n", "neither a ratio"),
        (',response_code!~"5.*"}', ',code!="5",other!="6"}', "cannot be read off it"),
        ("sum(irate(", "avg(irate(", "is no sum"),
    ],
)
def test_a_metric_that_is_no_guardrail_is_not_made_one(tmp_path: Path, before: str, after: str, why: str) -> None:
    """A policy without guardrails would judge nothing, so there is none."""
    template = SUCCESS_RATE.replace("    failureLimit: 3\n", "").replace(before, after)
    with pytest.raises(ConfigError, match=f"nothing here can be judged: .*{why}") as refused:
        draft(tmp_path, GUESTBOOK, template)
    assert "none is invented" in refused.value.remedy


def test_a_dry_run_never_becomes_a_guardrail(tmp_path: Path) -> None:
    """There it fails nothing."""
    text = GUESTBOOK.replace("        startingStep: 2\n", "        dryRun: [{metricName: success.*}]\n")
    with pytest.raises(ConfigError, match="dryRun: it never fails a rollout there"):
        draft(tmp_path, text, SUCCESS_RATE)


@pytest.mark.parametrize(
    ("texts", "what", "line"),
    [
        ((BLUE_GREEN,), "blue-green, which import does not translate yet", "a.yaml:7"),
        ((GUESTBOOK.partition("      steps:")[0], SUCCESS_RATE), "strategy rolling is not built yet", "a.yaml:7"),
        ((GUESTBOOK,), "there is no AnalysisTemplate success-rate", "a.yaml:9"),
        ((SUCCESS_RATE,), "there is no Rollout", "a.yaml"),
        ((GUESTBOOK.replace("v1alpha1", "v2"), SUCCESS_RATE), "apiVersion argoproj.io/v2", "a.yaml:1"),
        ((GUESTBOOK.replace("setWeight: 60", "setWeight: 30"), SUCCESS_RATE), "the weight falls from 40%", "a.yaml:19"),
        ((GUESTBOOK.replace("setWeight: 60", "setWeight: 160"), SUCCESS_RATE), "not between 0 and 100", "a.yaml:19"),
        ((GUESTBOOK.replace("duration: 10m", "duration: soon"), SUCCESS_RATE), "'soon' is not a duration", "a.yaml:16"),
        ((GUESTBOOK.replace("- name: service-name", "- name: other"), SUCCESS_RATE), "'service-name' of", "b.yaml:6"),
        ((GUESTBOOK, SUCCESS_RATE.replace("args.service-name", "args.x")), "there is no argument 'x'", "b.yaml:15"),
        ((GUESTBOOK, SUCCESS_RATE, SUCCESS_RATE), "a second AnalysisTemplate success-rate", "c.yaml:1"),
        ((GUESTBOOK.replace("guestbook}", "'{{ .Release.Name }}'}"),), "templating of a chart is left in", "a.yaml:3"),
        (("kind: Rollout\n",), "is no Kubernetes object", "a.yaml:1"),
        (("a: [1\n",), "is not valid YAML", "a.yaml:"),
        (("",), "holds no object", "a.yaml"),
        ((GUESTBOOK.replace("guestbook}", '"\\ud83d"}'), SUCCESS_RATE), "holds half of a character", "a.yaml:1"),
        ((GUESTBOOK.partition("steps:")[0] + "steps: 3", SUCCESS_RATE), "steps: is not a list", "a.yaml:14"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_told_with_its_place(tmp_path: Path, texts: tuple[str, ...], what: str, line: str) -> None:
    """What, where, and what to do."""
    with pytest.raises(ConfigError) as told:
        draft(tmp_path, *texts)
    assert what in told.value.what
    assert line in told.value.where
    assert told.value.remedy


def test_one_name_for_two_rollouts_is_refused(tmp_path: Path) -> None:
    """Both would be policies of the same service."""
    both = GUESTBOOK + "---" + GUESTBOOK.replace("name: guestbook}", "name: other}")
    assert len(import_argo(manifests(tmp_path, both, SUCCESS_RATE), Wanted())) == 2
    with pytest.raises(ConfigError, match="--service names one service"):
        import_argo(manifests(tmp_path, both, SUCCESS_RATE), Wanted(service="x"))
