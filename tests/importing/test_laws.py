"""What holds for every query and every rollout: the same data fail here and there, and what is printed is a policy."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.adapters._selectors import parse_selector
from guardian.importing.conditions import Limit, read_condition
from guardian.importing.guardrails import Check, guardrail_of
from guardian.importing.promql import NoShape, read_query
from tests.cli.daemon import Answer, guardian

ALL, GOOD, BAD = 'm{job="a"}', 'm{job="a",code!~"5.."}', 'm{job="a",code=~"5.."}'
FORMS = {
    "{part} / {all}": lambda share: share,
    "1 - {part} / {all}": lambda share: 1 - share,
    "100 * {part} / {all}": lambda share: 100 * share,
    "100 - ({part} / {all}) * 100": lambda share: 100 - 100 * share,
    "({all} - {part}) / {all}": lambda share: 1 - share,
    "({part} or on() vector(0)) * 100 / {all}": lambda share: 100 * share,
    "scalar({part}) / scalar({all})": lambda share: share,
}


def summed(selector: str) -> str:
    """The usual rate of a counter."""
    return f"sum(irate({selector}[2m]))"


@given(st.sampled_from(sorted(FORMS)), st.booleans(), st.floats(0.01, 0.99), st.floats(0.0, 1.0))
def test_the_same_share_of_failures_is_refused(form: str, good: bool, limit: float, failing: float) -> None:  # noqa: FBT001
    """A success condition at any limit, in any form of the ratio, fails exactly where the objective is missed."""
    share = 1.0 - failing if good else failing
    value, bound = FORMS[form](share), FORMS[form](1.0 - limit if good else limit)
    rises = FORMS[form](1.0) > FORMS[form](0.0)
    hurts: Any = "below" if rises == good else "above"
    query = form.format(part=summed(GOOD if good else BAD), all=summed(ALL))
    found = guardrail_of(Check(name="c", query=query, critical=[Limit(hurts, bound)], lasts=60), lambda _: None)
    assert found.objective is not None
    ratio: Any = found.sli["ratio"]
    assert parse_selector(ratio["bad"]).matches({"__name__": "m", "job": "a", "code": "500"})
    assert not parse_selector(ratio["bad"]).matches({"__name__": "m", "job": "a", "code": "200"})
    critical: Any = found.objective["critical"]
    wanted = float(critical["below"].removesuffix("%")) / 100
    assert wanted == pytest.approx(1.0 - limit, abs=1e-9)
    if abs(failing - limit) > 1e-6:
        assert (1.0 - failing < wanted) == (value < bound if hurts == "below" else value > bound)


@given(st.sampled_from(["200", "404", "500", "503", ""]), st.sampled_from(["a", "b"]), st.booleans())
def test_bad_is_what_is_not_good(code: str, job: str, negated: bool) -> None:  # noqa: FBT001
    """Every series of the total is good or bad, never both."""
    good = f'm{{job="a",code{"!~" if negated else "=~"}"5.."}}'
    query = f"{summed(good)} / {summed(ALL)}"
    found = guardrail_of(Check(name="c", query=query, critical=[Limit("below", 0.9)], lasts=60), lambda _: None)
    ratio: Any = found.sli["ratio"]
    series = {"__name__": "m", "job": job, "code": code}
    total = parse_selector(ratio["total"]).matches(series)
    assert total == (job == "a")
    assert parse_selector(ratio["bad"]).matches(series) == (total and not parse_selector(good).matches(series))


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("up", "is no summed rate"),
        ("sum(rate(m[1m]))", "neither a ratio"),
        ("rate(m[1m]) / rate(n[1m])", "is no summed rate"),
        ("sum(m) / sum(n)", "is no rate of a counter"),
        ("sum(rate(m[1m] offset 5m)) / sum(rate(m[1m]))", "has offset"),
        ("sum by (code) (rate(m[1m])) / sum(rate(m[1m]))", "several results"),
        ("sum(rate(m[1m])) / on(x) sum(rate(m[1m]))", "matches series by labels"),
        ("histogram_quantile(0.9, sum(rate(m_bucket[1m])))", "several results: only sum by"),
        ("histogram_quantile(0.9, sum(rate(m[1m])) by (le))", "does not end in _bucket"),
        ("sum(rate(m[$__rate_interval])) / sum(rate(m[1m]))", "it is not PromQL"),
        ("sum(rate(m[1m])) / 0", "divides by zero"),
        ("0 * sum(rate(m[1m])) / sum(rate(m[1m]))", "neither a ratio"),
    ],
)
def test_another_shape_is_none(query: str, why: str) -> None:
    """It is said in what; nothing is guessed."""
    with pytest.raises(NoShape, match=why):
        read_query(query)


@pytest.mark.parametrize(
    ("query", "limit", "why"),
    [
        (f"{summed('d_sum')} / {summed('d_count')}", Limit("above", 0.5), "it is a mean"),
        (f"{summed(BAD)} / {summed(ALL)}", Limit("above", 1.5), "never breached or always"),
        (f"{summed('ok_total')} / {summed('m')}", Limit("below", 0.9), "cannot be read off it"),
        ("histogram_quantile(0.9, sum(rate(d_seconds_bucket[1m])) by (le))", Limit("below", 1), "not too short"),
    ],
)
def test_a_ratio_that_means_something_else_is_none(query: str, limit: Limit, why: str) -> None:
    """The mean of latencies has the shape of a ratio, too."""
    with pytest.raises(NoShape, match=why):
        guardrail_of(Check(name="c", query=query, critical=[limit], lasts=None), lambda _: None)


@pytest.mark.parametrize(
    ("text", "passes", "limits"),
    [
        ("result[0] >= 0.95", True, [Limit("below", 0.95)]),
        ("0.95 <= asFloat(result)", True, [Limit("below", 0.95)]),
        ("result < 0.05", True, [Limit("above", 0.05)]),
        ("result < 0.05", False, [Limit("below", 0.05)]),
        ("(len(result) > 0 && result[0] >= 1e-2)", True, [Limit("below", 0.01)]),
        ("isNaN(result) || default(result[0], 0) <= 5", True, [Limit("above", 5.0)]),
        ("result[0] >= 0.9 && result[0] <= 1.0", True, [Limit("below", 0.9), Limit("above", 1.0)]),
        ("result < 0.5 || result > 2", False, [Limit("below", 0.5), Limit("above", 2.0)]),
    ],
)
def test_conditions_say_on_which_side_it_hurts(text: str, passes: bool, limits: list[Limit]) -> None:  # noqa: FBT001
    """With Argo's ways to ask for data."""
    assert list(read_condition(text, passes=passes).limits) == limits


@pytest.mark.parametrize("text", ["result == 5", "all(result, {# < 5})", "result < 1 || result > 5", "len(result) > 0"])
def test_other_conditions_are_not_guessed_at(text: str) -> None:
    """As success conditions."""
    with pytest.raises(NoShape, match="condition"):
        read_condition(text, passes=True)


names = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?", fullmatch=True)
texts = st.text(
    st.characters(exclude_categories=["Cs", "Cn", "Cc"], include_characters="\n\t"), min_size=1, max_size=20
)
waits = st.one_of(
    st.sampled_from(["30s", "10m", "1h", 90]).map(lambda lasts: {"pause": {"duration": lasts}}),
    st.sampled_from([{"pause": {}}, {"analysis": {"templates": [{"templateName": "t"}]}}, {"setCanaryScale": {}}]),
)
pauses = st.sampled_from(["30s", "10m", "1h", 90]).map(lambda lasts: {"pause": {"duration": lasts}})
rising = st.lists(st.tuples(st.integers(1, 99), pauses, st.lists(waits, max_size=2)), min_size=1, max_size=6).map(
    lambda parts: [
        step
        for weight, pause, after in sorted(parts, key=lambda part: part[0])
        for step in ({"setWeight": weight}, pause, *after)
    ]
)
wild = st.lists(st.one_of(st.integers(-1, 101).map(lambda weight: {"setWeight": weight}), waits), max_size=6)


ratios = st.tuples(
    st.sampled_from([f"{summed(GOOD)} / {summed(ALL)}", f"1 - ({summed(BAD)} / {summed(ALL)})"]),
    st.floats(0.001, 0.999).map("result[0] >= {}".format),
    st.floats(0.001, 0.999).map("result[0] < {}".format),
)
latencies = st.tuples(
    st.sampled_from(
        [
            "histogram_quantile(0.95, sum(rate(d_seconds_bucket[5m])) by (le)) * 1000",
            "histogram_quantile(0.95, sum(rate(d_bucket{a='it\\'s'}[5m])) by (le))",
        ]
    ),
    st.floats(1, 1e6).map("len(result) == 0 || result[0] < {}".format),
    st.floats(1, 1e6).map("result[0] > {}".format),
)
others = st.tuples(st.just("up"), texts, texts)
checks = st.one_of(ratios, latencies, others)


def metrics(kind: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Metrics of templates with such a query and such conditions."""
    optional: dict[Any, Any] = {"interval": st.sampled_from(["10s", "5m", "1h"]), "count": st.integers(0, 10)}
    optional["failureLimit"] = st.integers(0, 100)
    more = st.fixed_dictionaries({"name": texts}, optional=optional)
    return st.builds(lambda check, rest: metric_of(*check) | rest, kind, more)


def metric_of(query: str, success: str, failure: str) -> dict[str, Any]:
    """A metric as its template has it."""
    provider = {"prometheus": {"query": query}}
    return {"provider": provider, "successCondition": success, "failureCondition": failure}


def imported(folder: Path, name: str, asked: list[Any], canary: dict[str, Any]) -> Answer:
    """What the command says of a rollout in one file and its template in another."""
    meta = {"apiVersion": "argoproj.io/v1alpha1"}
    rollout = meta | {"kind": "Rollout", "metadata": {"name": name}, "spec": {"strategy": {"canary": canary}}}
    template = meta | {"kind": "AnalysisTemplate", "metadata": {"name": "t"}, "spec": {"metrics": asked}}
    for file, content in (("rollout.yaml", rollout), ("template.yaml", template)):
        (folder / file).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return guardian("import", "argo", "rollout.yaml", "template.yaml", folder=folder)


@given(names, metrics(ratios), st.lists(metrics(checks), max_size=3), rising, st.booleans())
def test_what_is_printed_passes_check(
    name: str,
    sound: Any,
    asked: list[Any],
    plan: list[Any],
    labelled: bool,  # noqa: FBT001
) -> None:
    """A rollout with rising weights and one sound metric is a policy, whatever else is in it."""
    canary: dict[str, Any] = {"steps": plan, "analysis": {"templates": [{"templateName": "t"}]}}
    if labelled:
        canary["canaryMetadata"] = {"labels": {"track": name}}
        canary["stableMetadata"] = {"labels": {"track": f"{name}-old"}}
    with TemporaryDirectory() as place:
        folder = Path(place)
        done = imported(folder, name, [sound, *asked], canary)
        assert done.code == 0, done.err
        (folder / "policy.yaml").write_text(done.out, encoding="utf-8")
        checked = guardian("check", "policy.yaml", folder=folder)
        assert checked.code == 0, checked.out + done.out


@given(names, st.lists(metrics(checks), max_size=2), wild)
def test_any_steps_are_translated_or_refused_in_words(name: str, asked: list[Any], plan: list[Any]) -> None:
    """A third does not happen: one error, with nothing printed, or a policy."""
    with TemporaryDirectory() as place:
        done = imported(Path(place), name, asked, {"steps": plan, "analysis": {"templates": [{"templateName": "t"}]}})
    if done.code:
        assert (done.code, done.out, done.err.count("error: ")) == (2, "", 1)
    else:
        assert done.out.count("kind: Policy") == 1
