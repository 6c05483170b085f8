"""Selectors mean in memory what they mean to Prometheus, and are written so that it reads the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.adapters._selectors import equal, one_of, parse_selector
from guardian.errors import PolicyError

VALUES = st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=12)


@pytest.mark.parametrize(
    ("text", "labels", "selected"),
    [
        ("http_requests_total", {"__name__": "http_requests_total", "code": "200"}, True),
        ("http_requests_total", {"__name__": "http_requests"}, False),
        ('m{code=~"5.."}', {"__name__": "m", "code": "503"}, True),
        ('m{code=~"5.."}', {"__name__": "m", "code": "5030"}, False),
        ('m{code!~"5..|429"}', {"__name__": "m", "code": "429"}, False),
        ('m{code!="200",}', {"__name__": "m"}, True),
        ("{__name__=~'a|b', job='x'}", {"__name__": "b", "job": "x"}, True),
        ("m{path=`/a\\b`}", {"__name__": "m", "path": "/a\\b"}, True),
        ('m{path="say \\"hi\\"\\n\\x41"}', {"__name__": "m", "path": 'say "hi"\nA'}, True),
        ('{"http.requests", "app.name"="x"}', {"__name__": "http.requests", "app.name": "x"}, True),
        ('m{code=~".*"}', {"__name__": "m", "code": "a\nb"}, True),
    ],
)
def test_a_selector_selects_what_prometheus_would(text: str, labels: dict[str, str], *, selected: bool) -> None:
    """Regular expressions are anchored, an absent label is empty, quotes are those of Go."""
    assert parse_selector(text).matches(labels) is selected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rate(m[5m])", "column 5: '(m[5m])' after the selector"),
        ("m[5m]", "column 2: '[5m]' after the selector"),
        ("m + n", "'+ n' after the selector"),
        ('m{code="5}', "expected a quoted value"),
        ('m{code"5"}', "expected one of = != =~ !~"),
        ('m{="5"}', "expected a label"),
        ('m{code=~"("}', "regular expression '('"),
        ('m{a="1" b="2"}', "expected ,"),
        ("", "expected {"),
        ('{code=~".*"}', "selects every series"),
    ],
)
def test_what_is_no_selector_is_refused_with_its_column(text: str, said: str) -> None:
    """An expression would be rates and sums, from which no exact counts can be had."""
    with pytest.raises(PolicyError) as refused:
        parse_selector(text)
    assert said in str(refused.value)
    assert refused.value.remedy


@given(VALUES, VALUES)
def test_what_is_written_reads_back(value: str, other: str) -> None:
    """Any label value survives being written into a query."""
    selector = parse_selector("m").plus([equal("a", value), equal("b c", other)])
    assert parse_selector(str(selector)) == selector


@given(st.lists(VALUES, min_size=1, max_size=5), VALUES)
def test_one_of_matches_exactly_its_values(values: list[str], other: str) -> None:
    """A service name with regex marks in it selects itself and nothing else."""
    matcher = one_of("service", values)
    assert all(matcher.matches(value) for value in values)
    assert matcher.matches(other) == (other in values)
