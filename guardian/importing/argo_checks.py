"""Metrics of Argo Rollouts' analysis templates, with the arguments of the rollout that names them.

Source: argoproj.io/v1alpha1, docs/features/analysis.md of argoproj/argo-rollouts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from guardian.importing.conditions import Limit, read_condition
from guardian.importing.gather import Gathering, leave, limits_or_critical
from guardian.importing.guardrails import Check
from guardian.importing.manifests import Manifest, Node
from guardian.importing.promql import NoShape

LATEST, STABLE = "__latest_hash__", "__stable_hash__"
"""Stand for pod template hashes, which no file knows."""
_PLACEHOLDER: Final = re.compile(r"\{\{\s*args\.([\w-]+)\s*\}\}")
_FIELD: Final = re.compile(r"metadata\.(?:(name|namespace)|(labels|annotations)\['([^']+)'\])")
_KNOWN: Final = {
    "name": "", "interval": "", "successCondition": "", "failureCondition": "", "failureLimit": "", "provider": "",
    "count": "the guardian judges as long as there is traffic on both tracks",
    "initialDelay": "write warm_up: {for: ..., factor: ...} if fresh pods are slow at first",
    "consecutiveErrorLimit": "a query that fails is no data: held, and paged after page_after",
    "inconclusiveLimit": "undecided is held; a step's limit pages",
    "consecutiveSuccessLimit": "evidence decides, not a number of good measurements",
}  # fmt: skip
_OTHERS: Final = {
    "web": "write probes: [{http: {url: ...}}] for what must answer before traffic moves",
    "job": "run the job in the pipeline before the deploy event, or write an http probe",
    "kayenta": "its comparison is what `compare` does: name the counters of the metric in a guardrail",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """One use of templates: in the background or as a step."""

    node: Node
    rollout: Manifest


def checks_of(analysis: Analysis, templates: Sequence[Manifest], gathering: Gathering) -> float:
    """Hand every metric of the templates to the gathering; return how long the analysis takes at least, in seconds.

    Raises ConfigError for a template or an argument that is missing.
    """
    longest = 0.0
    for template in _named(analysis.node, templates, ()):
        args = _args(analysis, template)
        dry = [item.at("metricName").text() for item in analysis.node.at("dryRun").items()]
        dry += [item.at("metricName").text() for item in template.node.at("spec", "dryRun").items()]
        for metric in template.node.at("spec", "metrics").items():
            key = f"{template}, metric {metric.at('name').text()}"
            if any(_matches(pattern, metric) for pattern in dry):
                gathering.refuse(key, "dryRun: it never fails a rollout there, and a guardrail would here")
                continue
            longest = max(longest, _metric(key, metric, args, gathering))
    return longest


def _matches(pattern: str, metric: Node) -> bool:
    try:
        return re.fullmatch(pattern, metric.at("name").text()) is not None
    except re.error as error:
        raise metric.wrong(f"dryRun {pattern!r}: {error}", "write a regular expression") from None


def _named(node: Node, templates: Sequence[Manifest], above: tuple[str, ...]) -> Iterator[Manifest]:
    """Yield the templates that a list of references names, and those that these name."""
    references = node.at("templates").items() or ([node] if node.at("templateName") else [])
    for reference in references:
        name = reference.at("templateName").text()
        kind = "ClusterAnalysisTemplate" if reference.at("clusterScope").flag() else "AnalysisTemplate"
        found = [one for one in templates if (one.kind, one.name) == (kind, name)]
        if not found:
            there = ", ".join(map(str, templates)) or "none"
            raise reference.wrong(f"there is no {kind} {name} in these files (there: {there})", "name its file, too")
        if len(found) > 1:
            raise reference.wrong(
                f"{kind} {name} is there in {len(found)} namespaces", "name the files of one namespace"
            )
        if name in above:
            raise reference.wrong(f"{kind} {name} names itself", "remove the circle")
        yield found[0]
        yield from _named(found[0].node.at("spec"), templates, (*above, name))


def _args(analysis: Analysis, template: Manifest) -> Mapping[str, str | None]:
    """Return the template's arguments with the rollout's values; None: from a secret. Raises ConfigError: no value."""
    given = {item.at("name").text(): item for item in analysis.node.at("args").items()}
    args: dict[str, str | None] = {}
    for item in template.node.at("spec", "args").items():
        name = item.at("name").text()
        source = given.get(name, item)
        if not source.at("value") and not source.at("valueFrom"):
            what = f"{analysis.rollout} gives argument '{name}' of {template} no value"
            raise source.wrong(what, f"add {{name: {name}, value: ...}} to the args of its analysis")
        args[name] = _value(source, analysis.rollout)
    return args


def _value(item: Node, rollout: Manifest) -> str | None:
    if item.at("value"):
        return item.at("value").text()
    source = item.at("valueFrom")
    if source.at("podTemplateHashValue"):
        return {"Latest": LATEST, "Stable": STABLE}.get(source.at("podTemplateHashValue").text())
    if source.at("fieldRef"):
        path = source.at("fieldRef", "fieldPath")
        field = _FIELD.fullmatch(path.text())
        keys = () if field is None else ((field[1],) if field[1] else (field[2], field[3]))
        found = rollout.node.at("metadata", *keys) if keys else None
        if not found:
            raise path.wrong(
                f"{rollout} has no {path.text()} in its file", "write it there, or give the argument a value"
            )
        return found.text()
    return None


def filled(node: Node, args: Mapping[str, str | None]) -> Node:
    """Return the value with its arguments. Raises ConfigError for an unknown placeholder, NoShape for a secret one."""
    if not isinstance(node.value, str):
        return node

    def value_of(found: re.Match[str]) -> str:
        if found[1] not in args:
            raise node.wrong(
                f"'{found[0]}': there is no argument '{found[1]}'", f"allowed: {', '.join(args) or 'none'}"
            )
        value = args[found[1]]
        if value is None:
            raise NoShape(f"its argument '{found[1]}' comes from a secret")
        return value

    text = _PLACEHOLDER.sub(value_of, node.value)
    if "{{" in text:
        raise node.wrong(f"a placeholder is left in: {text[text.index('{{') :][:40]}", "replace it by its value")
    return Node(node.document, node.path, text)


def _metric(key: str, metric: Node, args: Mapping[str, str | None], gathering: Gathering) -> float:
    """Hand one metric over; return how long it is measured at least, in seconds."""
    provider = metric.at("provider")
    kind = next(iter(provider.mapping()), "none")
    try:
        interval, count = filled(metric.at("interval"), args).duration(), filled(metric.at("count"), args).number(1)
        delay = filled(metric.at("initialDelay"), args).duration()
        if kind != "prometheus":
            other = _OTHERS.get(kind, "name the Prometheus counters of the metric in a guardrail")
            gathering.refuse(key, f"provider {kind} is not read; {other}")
        else:
            gathering.add(key, _check(metric, args, interval))
            leave(gathering.left, key, metric.mapping(), _KNOWN)
    except NoShape as reason:
        gathering.refuse(key, str(reason))
        return 0.0
    return delay + max(0.0, count - 1.0) * interval


def _check(metric: Node, args: Mapping[str, str | None], interval: float) -> Check:
    """Return the metric as a check. Raises NoShape where it can never fail."""
    warning: tuple[Limit, ...] = ()
    critical: tuple[Limit, ...] = ()
    asks = False
    success, failure = filled(metric.at("successCondition"), args), filled(metric.at("failureCondition"), args)
    if success:
        condition = read_condition(success.text(), passes=True)
        warning, asks = condition.limits, condition.asks_for_data
    if failure:
        condition = read_condition(failure.text(), passes=False)
        critical, asks = condition.limits, asks or condition.asks_for_data
    if not (warning or critical):
        raise NoShape("it has neither successCondition nor failureCondition")
    failures = filled(metric.at("failureLimit"), args)
    if failures and failures.text() == "-1":
        raise NoShape("failureLimit -1: it never fails a rollout there")
    allowed = failures.number(0) + 1
    conditions = " and ".join(f"{name.key.rpartition('.')[2]} `{name.text()}`" for name in (success, failure) if name)
    times = f"{allowed:.0f} x {metric.at('interval').text()}" if interval else "measured once"
    notes = [f"{metric.at('name').text()} ({metric.where}): {conditions}, {times}"]
    if asks:
        notes.append("what its condition says of no data is left out: no data holds, then pages")
    levels = limits_or_critical(warning, critical)
    return Check(
        name=metric.at("name").text(),
        query=filled(metric.at("provider", "prometheus", "query"), args).text(),
        warning=levels[0],
        critical=levels[1],
        lasts=allowed * interval if interval else None,
        notes=tuple(notes),
    )
