"""From guardrails to selectors, and from labels to series: what polled and streamed metrics share."""

from __future__ import annotations

import math

from msgspec.structs import replace

from guardian.adapters._series import Wanted, key_of, wanted_of
from guardian.config.comparison import RATIO
from guardian.core.looks import Part
from guardian.core.model import RolloutId, Track
from guardian.core.policy import Guardrail, Labels, RatioSli
from tests.builders import ERRORS, LATENCY

ROLLOUT = RolloutId("checkout-1")


def wanted(guardrail: Guardrail, labels: Labels | None = None, **everywhere: str) -> tuple[Wanted, ...]:
    """What a guardrail of `checkout` needs."""
    return wanted_of(
        rollout=ROLLOUT, service="checkout", guardrail=guardrail, labels=labels or Labels(), everywhere=everywhere
    )


def test_service_and_track_are_added_to_both_parts_of_a_ratio() -> None:
    """A policy names the metric; whose it is follows from the rollout."""
    bad, total = wanted(ERRORS, cluster="eu")
    assert (bad.part, total.part) == (Part.BAD, Part.TOTAL)
    assert str(bad.complete) == (
        '{__name__="http_requests_total",status=~"5..",cluster="eu",track=~"canary|stable",service="checkout"}'
    )


def test_a_selector_that_says_service_or_track_itself_is_left_as_it_is() -> None:
    """Who names his own labels knows why."""
    own = Guardrail(name="own", sli=RatioSli(bad='b{service="x",track!=""}', total='t{service="x",track!=""}'))
    bad, _ = wanted(own)
    assert bad.own_service
    assert str(bad.complete) == '{__name__="b",service="x",track!=""}'


def test_labels_tell_track_pod_and_bucket() -> None:
    """`le` is a number: 1 and 1.0 are one bucket."""
    (buckets,) = wanted(LATENCY)
    labels = {"__name__": "b", "service": "checkout", "track": "canary", "pod": "p1", "le": "1.0", "path": "/a"}
    key = key_of(labels, buckets, ())
    assert key is not None
    assert (key.rollout, key.guardrail, key.track, key.pod, key.part) == (
        ROLLOUT, "latency", Track.CANARY, "p1", Part.BUCKET,
    )  # fmt: skip
    assert key == key_of(labels | {"le": "1"}, buckets, ())
    assert math.isinf(getattr(key_of(labels | {"le": "+Inf"}, buckets, ()), "le", 0.0))


def test_the_stratum_is_told_by_the_labels_that_the_policy_names() -> None:
    """In their order; a label that is missing is empty."""
    compare = replace(ERRORS.compare or RATIO, strata=("zone", "endpoint"))
    _, total = wanted(replace(ERRORS, compare=compare))
    labels = {"service": "checkout", "track": "canary", "pod": "p1", "status": "200", "zone": "a"}
    assert getattr(key_of(labels | {"endpoint": "/pay"}, total, ()), "stratum", None) == "zone=a, endpoint=/pay"
    assert getattr(key_of(labels, total, ()), "stratum", None) == "zone=a, endpoint="


def test_other_labels_make_another_series_but_those_of_a_pair_do_not() -> None:
    """Two paths of one pod are two counters; two replicas of Prometheus see one."""
    (buckets,) = wanted(LATENCY)
    labels = {"service": "checkout", "track": "stable", "pod": "p1", "le": "1", "path": "/a", "replica": "a"}
    key = key_of(labels, buckets, ("replica",))
    assert key == key_of(labels | {"replica": "b"}, buckets, ("replica",))
    assert key != key_of(labels | {"path": "/b"}, buckets, ("replica",))


def test_the_scraped_instance_stands_for_a_pod_that_has_no_label() -> None:
    """Static targets have no pod label; their pods must still be told apart."""
    _, total = wanted(ERRORS)
    labels = {"service": "checkout", "track": "stable", "instance": "10.0.0.1:80"}
    key = key_of(labels, total, ())
    assert key is not None
    assert (key.pod, key.labels) == ("10.0.0.1:80", "")


def test_a_series_of_no_track_and_a_bucket_without_bound_are_no_evidence() -> None:
    """What cannot be attributed is left out, never guessed."""
    (buckets,) = wanted(LATENCY)
    assert key_of({"service": "checkout", "track": "preview", "le": "1"}, buckets, ()) is None
    assert key_of({"service": "checkout", "track": "stable"}, buckets, ()) is None
    assert key_of({"service": "checkout", "track": "stable", "le": "much"}, buckets, ()) is None


def test_an_absent_track_label_may_mean_stable() -> None:
    """Many services label only the canary."""
    labels = Labels(stable="")
    _, total = wanted(ERRORS, labels)
    assert 'track=~"|canary"' in str(total.complete)
    key = key_of({"service": "checkout", "pod": "p"}, total, ())
    assert key is not None
    assert key.track is Track.STABLE


def test_a_control_track_is_asked_for_where_the_policy_names_it() -> None:
    """Without its name, its series are of no track."""
    named, unnamed = (wanted(ERRORS, Labels(control=name))[1] for name in ("baseline", ""))
    metric = {"service": "checkout", "track": "baseline", "pod": "p"}
    assert 'track=~"baseline|canary|stable"' in str(named.complete)
    assert 'track=~"canary|stable"' in str(unnamed.complete)
    key = key_of(metric, named, ())
    assert key is not None
    assert key.track is Track.CONTROL
    assert key_of(metric, unnamed, ()) is None
