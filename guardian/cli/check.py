"""`guardian check`: everything that is wrong or unwise in policies, and in guardian.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer

from guardian.cli.adapters import adapter_findings
from guardian.cli.exits import ExitCode
from guardian.cli.options import OutputOption, PoliciesArgument
from guardian.cli.output import Output, Table, show, show_error
from guardian.config.advice import advice
from guardian.config.findings import Finding, Severity
from guardian.config.policy import PolicyFile, files_of, policies_in, with_clashes
from guardian.config.settings import Settings, settings_of
from guardian.config.source import Document, read_documents
from guardian.errors import ConfigError

STYLES = {"severity": "bold", "where": "cyan"}


def check(policies: PoliciesArgument, output: OutputOption = Output.TABLE) -> None:
    """Say all that is wrong or unwise in policies (files, folders) or guardian.yaml; exit 3 when invalid."""
    read = _read(policies)
    if not read.files and not read.unread and all(path.is_dir() for path in policies):
        where = ", ".join(map(str, policies))
        raise ConfigError("holds no policy (*.yaml, *.yml)", where=where, remedy="name policy files, or their folder")
    if len(read.unread) == 1 and not read.files and not read.settings:  # there is nothing else to tell
        raise read.unread[0]
    findings = list(read.settings)
    for file in read.files:
        findings += [*file.findings, *adapter_findings(file), *advice(file)]
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    found = {
        "valid": not errors and not read.unread,
        "policies": [file.policy.name for file in read.files if file.policy is not None],
        "findings": [*map(_finding, read.unread), *findings],
    }
    show("Check", found, output, tables=[_table(read, findings, len(errors))])
    for error in read.unread:
        show_error(error)
    code = ExitCode.NO if errors else ExitCode.YES
    raise typer.Exit(ExitCode.USAGE if read.unread else code)


@dataclass(slots=True)
class _Read:
    """What is in the files: policies, what is wrong in guardian.yaml, and why others could not be read."""

    files: list[PolicyFile] = field(default_factory=list)
    settings: list[Finding] = field(default_factory=list)
    unread: list[ConfigError] = field(default_factory=list)


def _read(paths: Iterable[Path]) -> _Read:
    """Read every file; one that cannot be read keeps nobody from hearing about the others."""
    read = _Read()
    for file in files_of(paths):
        try:
            documents = read_documents(file)
            if _are_settings(documents):
                read.settings += settings_of(documents, file)[1]
            else:
                read.files += policies_in(documents, file)
        except ConfigError as error:
            read.unread.append(error)
    read.files = with_clashes(read.files)
    return read


def _are_settings(documents: Sequence[Document]) -> bool:
    """Say whether a file is guardian.yaml: it says so, or has keys of it and none of a policy's."""
    head = documents[0].data if documents else None
    if not isinstance(head, dict):
        return False
    if "kind" in head or "spec" in head:
        return head.get("kind") == "Settings"
    return bool(head.keys() & {field.alias or name for name, field in Settings.model_fields.items()} - {"apiVersion"})


def _finding(error: ConfigError) -> Finding:
    return Finding(severity=Severity.ERROR, what=error.what, where=error.where, remedy=error.remedy)


def _table(read: _Read, findings: Sequence[Finding], errors: int) -> Table:
    rows = [(finding.severity, finding.where, f"{finding.what}; {finding.remedy}") for finding in findings]
    counts = [_count(errors, "error"), f"{len(findings) - errors} advised"]
    if read.unread:
        counts.append(f"{_count(len(read.unread), 'file')} not read, see below")
    verdict = "invalid" if errors or read.unread else "valid"
    policies = f"{len(read.files)} {'policy' if len(read.files) == 1 else 'policies'}: " if read.files else ""
    note = f"{policies}{verdict}, {', '.join(counts)}"
    return Table(columns=("severity", "where", "finding"), rows=rows, styles=STYLES, notes=[note])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
