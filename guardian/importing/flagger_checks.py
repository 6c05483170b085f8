"""Metrics of a Flagger Canary: the built-in ones, MetricTemplates, and queries written in place.

Source: docs/gitbook/usage/metrics.md and pkg/metrics/observers/{istio,linkerd}.go of fluxcd/flagger.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from guardian.importing.conditions import Limit
from guardian.importing.draft import Track
from guardian.importing.gather import Gathering, leave
from guardian.importing.guardrails import Check, Telling
from guardian.importing.manifests import Manifest, Node
from guardian.importing.promql import Matcher, NoShape

TARGET, SERVICE = "__target__", "__service__"
"""Stand for the two names by which queries tell canary from primary, until the tracks were read off them."""
_PLACEHOLDER: Final = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")
_ISTIO: Final = (
    'reporter="destination",destination_workload_namespace="{{ namespace }}",destination_workload=~"{{ target }}"'
)
_LINKERD: Final = 'namespace="{{ namespace }}",deployment=~"{{ target }}",direction="inbound"'
_SUCCESS, _DURATION = "request-success-rate", "request-duration"
BUILT_IN: Final[Mapping[str, Mapping[str, tuple[str, str, str]]]] = {
    _SUCCESS: {
        "istio": ("istio_requests_total", _ISTIO, 'response_code!~"5.*"'),
        "linkerd": ("response_total", _LINKERD, 'classification!="failure"'),
    },
    _DURATION: {
        "istio": ("istio_request_duration_milliseconds_bucket", _ISTIO, ""),
        "linkerd": ("response_latency_ms_bucket", _LINKERD, ""),
    },
}
"""Metric, conditions, and the condition of success, by built-in check and provider."""
_KNOWN: Final = dict.fromkeys(
    ("name", "interval", "thresholdRange", "templateRef", "templateVariables", "query", "threshold"), ""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the variables of queries stand for; namespace and ingress may be ''."""

    canary: str
    namespace: str
    target: str
    service: str
    ingress: str
    provider: str

    @classmethod
    def of(cls, canary: Manifest, provider: str) -> Names:
        """Return the names of one Canary. Raises ConfigError when it has no target."""
        spec = canary.node.at("spec")
        target = spec.at("targetRef", "name").text()
        return cls(
            canary=canary.name,
            namespace=canary.namespace,
            target=target,
            service=spec.at("service", "name").text(target),
            ingress=spec.at("ingressRef", "name").text(""),
            provider=provider,
        )


def telling(names: Names) -> Telling:
    """Return what conditions say about tracks: canary has the target's name or SERVICE-canary, stable -primary."""

    def tell(matcher: Matcher) -> Track | None:
        if matcher.value == TARGET and matcher.op in {"=", "=~"}:
            return Track(label=matcher.label, stable=f"{names.target}-primary", canary=names.target)
        if matcher.value == f"{SERVICE}-canary" and matcher.op in {"=", "=~"}:
            return Track(label=matcher.label, stable=f"{names.service}-primary", canary=f"{names.service}-canary")
        if TARGET in matcher.value or SERVICE in matcher.value:
            shown = str(matcher).replace(TARGET, names.target).replace(SERVICE, names.service)
            what = f"it tells canary by a pattern, {shown}; a policy has fixed values of one label"
            raise NoShape(f"{what}. Name the label with --track-label, --stable and --canary")
        return None

    return tell


def checks_of(metrics: Node, names: Names, templates: Sequence[Manifest], gathering: Gathering, lasts: float) -> None:
    """Hand every metric to the gathering. lasts: seconds of failing checks that roll back.

    Raises ConfigError for a template or a variable that is missing.
    """
    for metric in metrics.items():
        key = f"metric {metric.at('name').text()}"
        try:
            query = _query(metric, names, templates)
            limits = _limits(metric)
        except NoShape as reason:
            gathering.refuse(key, str(reason))
            continue
        shown = " and ".join(f"{'at least' if one.side == 'below' else 'at most'} {one.bound:g}" for one in limits)
        note = f"{metric.at('name').text()} ({metric.where}): {shown}"
        check = Check(name=metric.at("name").text(), query=query, critical=limits, lasts=lasts, notes=(note,))
        gathering.add(key, check)
        leave(gathering.left, metric.key, metric.mapping(), _KNOWN)


def _limits(metric: Node) -> tuple[Limit, ...]:
    bounds = metric.at("thresholdRange")
    found = [Limit("below", _bound(bounds.at("min")))] if bounds.at("min") else []
    found += [Limit("above", _bound(bounds.at("max")))] if bounds.at("max") else []
    name = metric.at("name").text()
    if not found and metric.at("threshold"):  # deprecated there: a success rate was a minimum, all else a maximum
        found.append(Limit("below" if name == _SUCCESS else "above", _bound(metric.at("threshold"))))
    if not found:
        raise NoShape("it has no thresholdRange")
    return tuple(found)


def _bound(node: Node) -> float:
    return node.number(0.0)


def _query(metric: Node, names: Names, templates: Sequence[Manifest]) -> str:
    """Return the metric's query with its variables filled in. Raises NoShape: not Prometheus, or not known."""
    name, interval = metric.at("name").text(), metric.at("interval").text("1m")
    if metric.at("templateRef"):
        template = _template(metric.at("templateRef"), names, templates)
        provider = template.node.at("spec", "provider", "type").text()
        if provider != "prometheus":
            raise NoShape(f"provider {provider} is not read; name the Prometheus counters of the metric in a guardrail")
        given = {
            f"variables.{key}": metric.at("templateVariables", key).text()
            for key in metric.at("templateVariables").mapping()
        }
        return _filled(template.node.at("spec", "query"), names, interval, given)
    if metric.at("query"):
        return _filled(metric.at("query"), names, interval, {})
    if name not in BUILT_IN:
        raise metric.wrong(f"'{name}' is not built in and has no templateRef", f"built in are {', '.join(BUILT_IN)}")
    if names.provider not in BUILT_IN[name]:
        known = ", ".join(BUILT_IN[name])
        said = f"for provider {names.provider}" if names.provider else "without a provider (--provider NAME)"
        raise NoShape(f"which query stands for it {said} is not known here; known: {known}")
    source, conditions, good = BUILT_IN[name][names.provider]
    rate = "sum(rate({}{{{}}}[{{{{ interval }}}}]))"
    if name == _SUCCESS:
        text = f"{rate.format(source, f'{conditions},{good}')} / {rate.format(source, conditions)} * 100"
    else:
        text = f"histogram_quantile(0.99, {rate.format(source, conditions)} by (le))"
    return _filled(Node(metric.document, metric.path, text), names, interval, {})


def _template(reference: Node, names: Names, templates: Sequence[Manifest]) -> Manifest:
    name, namespace = reference.at("name").text(), reference.at("namespace").text(names.namespace)
    found = [
        one
        for one in templates
        if one.name == name and (not one.namespace or not namespace or one.namespace == namespace)
    ]
    if not found:
        there = ", ".join(map(str, templates)) or "none"
        place = f" in namespace {namespace}" if namespace else ""
        raise reference.wrong(
            f"there is no MetricTemplate {name}{place} in these files (there: {there})", "name its file, too"
        )
    if len(found) > 1:
        raise reference.wrong(
            f"MetricTemplate {name} is there in {len(found)} namespaces", "write templateRef.namespace"
        )
    return found[0]


def _filled(query: Node, names: Names, interval: str, given: Mapping[str, str]) -> str:
    """Return the query with its variables; target and service as their stand-ins. Raises ConfigError: no value."""
    known = {
        "name": names.canary, "namespace": names.namespace, "target": TARGET, "service": SERVICE,
        "ingress": names.ingress, "interval": interval, **given,
    }  # fmt: skip

    def value_of(found: re.Match[str]) -> str:
        if not known.get(found[1]):
            missing = f"the Canary's {found[1]} is not written" if found[1] in known else "there is no such variable"
            raise query.wrong(f"'{found[0]}': {missing}", f"write it; variables are {', '.join(known)}")
        return known[found[1]]

    text = _PLACEHOLDER.sub(value_of, query.text())
    if "{{" in text:
        raise query.wrong(f"a placeholder is left in: {text[text.index('{{') :][:40]}", "replace it by its value")
    return text
