"""What README.md and docs/ tell a reader to type works, and prints what they say it prints."""

from pathlib import Path

import pytest

from tests.documents import Command, DocumentError, File, Reader, commands, links, missing, steps

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKING = [*DOCUMENTS, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"))]

# Commands that are not run here, each with the reason.
LEFT_OUT = {
    "make test": "it is what runs this test",
    "make demo": "it needs the checkout, not an empty folder; tests/e2e runs the demo itself",
}


@pytest.mark.xdist_group("documents")  # they may name the same default port
@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_reader_can_do_what_a_document_says(document: Path, tmp_path: Path) -> None:
    """From the top to the bottom, in an empty folder."""
    Reader(tmp_path).follow(document.read_text(encoding="utf-8"), left_out=list(LEFT_OUT))


@pytest.mark.parametrize("document", LINKING, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """A file that was moved takes the links to it along."""
    targets = links(document.read_text(encoding="utf-8"))
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    """A page that nothing leads to is not read."""
    reached, ahead = set[Path](), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        found = ((page.parent / link).resolve() for link in links(page.read_text(encoding="utf-8")))
        ahead += [link for link in found if link.suffix == ".md" and link not in reached]
    decisions = set((ROOT / "docs" / "decisions").glob("*.md"))  # the README leads to their folder
    assert set(DOCUMENTS) - reached - decisions == set()


def test_links_within_and_to_the_web_are_told_apart() -> None:
    """Only files of the repository can be looked for."""
    assert list(links("[a](b.md#c) [d](#e) [f](https://example.org) ![g](h.png)")) == ["b.md", "h.png"]


def test_commands_and_their_output_are_read() -> None:
    """Continued commands, promised exit codes and background commands are told apart."""
    lines = ["$ guardian run \\", "> --quiet &", "ready ...", "$ guardian check x.yaml  # exits 3", "", "wrong"]
    assert list(commands(lines, first_line=10)) == [
        Command(text="guardian run \\\n--quiet", printed=("ready ...",), code=0, stays=True, line=10),
        Command(text="guardian check x.yaml", printed=("wrong",), code=3, stays=False, line=13),
    ]


def test_a_block_with_a_file_name_is_a_file() -> None:
    """A reader saves it under that name."""
    assert list(steps("text\n\n```yaml policy.yaml\nkind: Policy\n```\n\n```json\n{}\n```\n")) == [
        File(name="policy.yaml", content="kind: Policy\n", line=3)
    ]


@pytest.mark.parametrize("language", ["", "sh", "bash", "shell"])
def test_a_block_that_would_not_be_run_is_refused(language: str) -> None:
    """Commands that nobody runs rot."""
    with pytest.raises(DocumentError, match=r"line 1: .* write ```console"):
        list(steps(f"```{language}\nguardian version\n```\n"))


def test_three_dots_stand_for_anything() -> None:
    """Times and identifiers differ from run to run."""
    assert missing(["rollout ... is ...", "done"], "rollout r1 is verified\n  undone\n") == ["done"]


def test_commands_share_folder_files_and_ports(tmp_path: Path) -> None:
    """One reader, one folder; a port that is written twice is the same port."""
    text = (
        "```text note.txt\nhttp://127.0.0.1:8480\n```\n"
        "```console\n$ python -m http.server --bind 127.0.0.1 --directory . "
        "$(sed 's/.*://' note.txt) &\nServing HTTP on ...\n$ python -c \"import urllib.request as u; "
        "print(u.urlopen('http://127.0.0.1:8480/note.txt').status)\"\n200\n```\n"
    )
    assert Reader(tmp_path).follow(text, left_out=[]) == 2


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("$ false", "exited 1, 0 is promised"),
        ("$ true  # exits 3", "exited 0, 3 is promised"),
        ("$ echo yes\nno", r"not printed: \['no'\]"),
        ("$ echo over &\nnever", r"did not print \['never'\]"),
    ],
)
def test_a_promise_that_is_not_kept_is_told_with_its_line(tmp_path: Path, line: str, complaint: str) -> None:
    """The line is that of the document."""
    with pytest.raises(DocumentError, match=f"line 2: .*{complaint}"):
        Reader(tmp_path).follow(f"```console\n{line}\n```\n", left_out=[])


def test_what_is_left_out_is_really_there() -> None:
    """A reason for a command that no document has any more is dead weight."""
    told = {
        step.text
        for document in DOCUMENTS
        for step in steps(document.read_text(encoding="utf-8"))
        if isinstance(step, Command)
    }
    assert set(LEFT_OUT) - told == set()
