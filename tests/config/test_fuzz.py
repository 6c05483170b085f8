"""Whatever is written, reading gives a policy, settings, or findings with a place: never another exception."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from guardian.config.advice import advice
from guardian.config.policy import parse_policy, read_policy
from guardian.config.settings import Settings, read_document
from guardian.config.source import Document, parse_documents
from guardian.core.policy import Policy
from guardian.errors import PolicyError

POLICY = YAML(typ="safe").load(Path("examples/policies/checkout.yaml").read_text(encoding="utf-8"))
SETTINGS = YAML(typ="safe").load(Path("examples/guardian.yaml").read_text(encoding="utf-8"))
WORDS = ["none", "", "5m", "5%", "100%", "0", "-1s", "99.95", "labels.x", "x{a='b'}", "rate(x[5m])", "1h30m", "haproxy"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value."""
    found = [prefix]
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        found += paths(child, (*prefix, key))
    return found


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy with one value replaced."""
    if not path:
        return new
    changed = copy.deepcopy(value)
    node = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = new
    return changed


@given(st.data())
def test_one_wrong_value_anywhere_in_a_policy_is_a_finding_with_a_remedy(data: st.DataObject) -> None:
    """What is accepted goes through the journal unchanged."""
    broken = replaced(POLICY, data.draw(st.sampled_from(paths(POLICY))), data.draw(VALUES))
    file = read_policy(Document(file="p.yaml", data=broken, values={(): (1, 1)}))
    assert all(finding.remedy and finding.where.startswith("p.yaml:") for finding in (*file.findings, *advice(file)))
    if file.policy is not None:
        assert msgspec.json.decode(msgspec.json.encode(file.policy), type=Policy) == file.policy


@given(st.data())
def test_one_wrong_value_anywhere_in_settings_is_a_finding_with_a_remedy(data: st.DataObject) -> None:
    """A daemon that does not start says what to change."""
    broken = replaced(SETTINGS, data.draw(st.sampled_from(paths(SETTINGS))), data.draw(VALUES))
    settings, findings = read_document(Document(file="g.yaml", data=broken, values={(): (1, 1)}), base=Path("/"))
    assert isinstance(settings, Settings) or findings
    assert all(finding.remedy for finding in findings)


@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    """Also where it is hardly YAML."""
    try:
        parse_policy(text, file="p.yaml")
    except PolicyError as error:
        assert error.remedy  # noqa: PT017  either way is lawful


def test_marks_survive_anchors_and_merges() -> None:
    """A value that is shared stands where it was written first."""
    (document,) = parse_documents("a: &x {b: 1}\nc: *x\n", file="p.yaml")
    assert document.where(("a", "b")) == "p.yaml:1:11"
    assert document.data == {"a": {"b": 1}, "c": {"b": 1}}
