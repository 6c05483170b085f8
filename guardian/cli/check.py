"""`guardian check`: everything that is wrong or unwise in policies, and in guardian.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from guardian.cli.adapters import adapter_findings
from guardian.cli.exits import ExitCode
from guardian.cli.options import OutputOption, PoliciesArgument
from guardian.cli.output import Output, Table, show
from guardian.config.advice import advice
from guardian.config.findings import Finding, Severity
from guardian.config.policy import PolicyFile, read_policies
from guardian.config.settings import Settings, read_settings
from guardian.config.source import read_documents
from guardian.errors import ConfigError

STYLES = {"severity": "bold", "where": "cyan"}


def check(policies: PoliciesArgument, output: OutputOption = Output.TABLE) -> None:
    """Say all that is wrong or unwise in policies (files, folders) or guardian.yaml; exit 3 when invalid."""
    files = read_policies([path for path in policies if not _is_settings(path)])
    if not files and all(path.is_dir() for path in policies):
        where = ", ".join(map(str, policies))
        raise ConfigError("holds no policy (*.yaml, *.yml)", where=where, remedy="name policy files, or their folder")
    findings = [finding for path in policies if _is_settings(path) for finding in read_settings(path)[1]]
    for file in files:
        findings += [*file.findings, *adapter_findings(file), *advice(file)]
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    found = {
        "valid": not errors,
        "policies": [file.policy.name for file in files if file.policy is not None],
        "findings": findings,
    }
    show("Check", found, output, tables=[_table(files, findings, errors)])
    raise typer.Exit(ExitCode.NO if errors else ExitCode.YES)


def _is_settings(path: Path) -> bool:
    """Say whether a file is guardian.yaml: it says so, or has keys of it and none of a policy's."""
    if path.is_dir():
        return False
    documents = read_documents(path)
    head = documents[0].data if documents else None
    if not isinstance(head, dict):
        return False
    if "kind" in head or "spec" in head:
        return head.get("kind") == "Settings"
    return bool(head.keys() & {field.alias or name for name, field in Settings.model_fields.items()} - {"apiVersion"})


def _table(files: Sequence[PolicyFile], findings: Sequence[Finding], errors: Sequence[Finding]) -> Table:
    rows = [(finding.severity, finding.where, f"{finding.what}; {finding.remedy}") for finding in findings]
    advised = len(findings) - len(errors)
    verdict = "valid" if not errors else "invalid"
    policies = f"{len(files)} {'policy' if len(files) == 1 else 'policies'}: " if files else ""
    note = f"{policies}{verdict}, {_count(len(errors), 'error')}, {advised} advised"
    return Table(columns=("severity", "where", "finding"), rows=rows, styles=STYLES, notes=[note])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
