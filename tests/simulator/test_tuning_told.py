"""How `guardian tune` tells what it found: tables, one object, a page that needs no other file."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from guardian.cli.output import Output
from guardian.config.policy import parse_policy
from simulator.commands.tune import tune
from tests.simulator.tunings import BAD, SCENARIOS, SPACE


class _Tags(HTMLParser):
    """Fails where a tag is closed that is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is left where a policy of too wide margins was tuned: state, patch, page, and found.json."""
    folder = tmp_path_factory.mktemp("tuned")
    (folder / "s").mkdir()
    files = {"policy.yaml": BAD, "space.yaml": SPACE} | {f"s/{name}.yaml": text for name, text in SCENARIOS.items()}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, (folder / "found.json").open("w", encoding="utf-8") as out:
        patch.chdir(folder)
        patch.setattr("sys.stdout", out)
        _tune(Output.JSON)
    return folder


def _tune(output: Output) -> None:
    tune(
        Path("policy.yaml"), space=Path("space.yaml"), scenarios=["s"], trials=3, seeds=2, fresh=6, jobs=1,
        state=Path("state"), patch=Path("better.patch"), report=Path("report.html"), output=output,
    )  # fmt: skip


def test_programs_and_people_are_told_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One search, told four times: as an object, as tables, as a patch and as a page."""
    found = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    monkeypatch.chdir(folder)
    _tune(Output.MARKDOWN)
    told = capsys.readouterr()
    assert "; 0 of " in told.err  # nothing was played again
    assert found["kind"] == "Tuning"
    assert told.out.startswith(found["answer"])
    assert found["patch"] in told.out
    assert Path("better.patch").read_text(encoding="utf-8") == found["patch"]
    page = Path("report.html").read_text(encoding="utf-8")
    assert found["answer"] in page
    assert all(one in page for one in found["not_looked_at"])


def test_the_page_is_whole_and_needs_nothing_else(folder: Path) -> None:
    """It is mailed, and opened where there is no network."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert page.count("<svg") == 2
    assert not re.search(r"""\b(src|href)=["'](?!#)""", page)
    assert [file.name for file in folder.iterdir() if file.name.startswith(".")] == []


def test_the_patch_makes_the_recommended_policy(folder: Path) -> None:
    """Line by line: what is taken away is in the policy, and what is put there makes the margin that was told."""
    recommended = json.loads((folder / "found.json").read_text(encoding="utf-8"))["recommended"]
    text = (folder / "policy.yaml").read_text(encoding="utf-8")
    changed = (folder / "better.patch").read_text(encoding="utf-8").splitlines()[3:]
    for old, new in zip(
        (line[1:] for line in changed if line[0] == "-"), (line[1:] for line in changed if line[0] == "+"), strict=True
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    compare = parse_policy(text, file="policy.yaml").guardrails[0].compare
    assert compare is not None
    assert compare.rollback.relative == recommended["spec.guardrails[errors].compare.rollback.relative"]
