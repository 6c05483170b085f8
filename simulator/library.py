"""Reads scenario files, by path, folder or library name, and says of a wrong one what is wrong and where.

A file holds two YAML documents: `kind: Scenario`, then `kind: Policy` exactly as the guardian reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from guardian.config.findings import Finding, findings_of, hint
from guardian.config.policy import read_policy
from guardian.config.source import Document, read_documents
from guardian.core.policy import HistogramSli, Policy, RatioSli
from guardian.errors import ConfigError, ScenarioError
from simulator.scenario import Scenario, ScenarioFile

LIBRARY: Final = Path(__file__).parent / "scenarios"


def library() -> dict[str, Path]:
    """Return the shipped scenarios: name -> file, in the order of their names."""
    return {path.stem.partition("_")[0]: path for path in sorted(LIBRARY.glob("*.yaml"))}


def find(name: str) -> tuple[Path, ...]:
    """Return the files meant by a path, a folder or a library name. Raises ScenarioError."""
    path = Path(name)
    if path.is_file():
        return (path,)
    if path.is_dir():
        files = tuple(sorted(path.glob("*.yaml")))
        if not files:
            raise ScenarioError("holds no scenario", where=name, remedy="a scenario is a file *.yaml")
        return files
    known = library()
    for key, file in known.items():
        if name.lower() in {key.lower(), file.stem.lower()}:
            return (file,)
    raise ScenarioError(
        f"there is no scenario '{name}'", remedy=f"give a file, a folder or a name; {hint(name, known)}"
    )


def find_all(names: Iterable[str]) -> tuple[Path, ...]:
    """Return the files meant by several names, each once, in the order given. Raises ScenarioError."""
    return tuple(dict.fromkeys(file for name in names for file in find(name)))


def load(path: Path) -> Scenario:
    """Read one scenario. Raises ScenarioError with file, line and remedy of the first mistake."""
    try:
        documents = read_documents(path)
    except ConfigError as error:
        raise ScenarioError(error.what, where=error.where, remedy=error.remedy) from None
    if len(documents) != 2:
        many = "1 YAML document" if len(documents) == 1 else f"{len(documents)} YAML documents"
        raise ScenarioError(
            f"holds {many}; a scenario is two",
            where=str(path),
            remedy="write the scenario, a line '---', then the policy it is judged by",
        )
    world = _read_world(documents[0])
    policy = _read_policy(documents[1])
    _check(world, policy, documents)
    return Scenario(metadata=world.metadata, spec=world.spec, policy=policy)


def _read_world(document: Document) -> ScenarioFile:
    try:
        return ScenarioFile.model_validate(document.data)
    except ValidationError as error:
        raise _first(findings_of(error, document, ScenarioFile)) from None


def _read_policy(document: Document) -> Policy:
    file = read_policy(document)
    if file.policy is None:
        raise _first(file.findings)
    return file.policy


def _first(findings: Sequence[Finding]) -> ScenarioError:
    """Return the most telling mistake: a misspelt key is missing under its right name as well."""
    first, more = min(findings, key=lambda finding: "unknown key" not in finding.what), len(findings) - 1
    what = f"{first.what} (and {more} more)" if more else first.what
    return ScenarioError(what, where=first.where, remedy=first.remedy)


def _check(world: ScenarioFile, policy: Policy, documents: Sequence[Document]) -> None:
    """Refuse a policy that is not about this world: it would be judged on nothing."""
    name = world.spec.service.name
    if policy.match.service != name:
        raise ScenarioError(
            f"the policy matches service '{policy.match.service}', the scenario's is '{name}'",
            where=documents[1].where(("spec", "match", "service")),
            remedy=f"write '{name}'",
        )
    for number, guardrail in enumerate(policy.guardrails):
        if not isinstance(guardrail.sli, RatioSli | HistogramSli):
            raise ScenarioError(
                f"guardrail '{guardrail.name}' measures what a simulated service does not have",
                where=documents[1].where(("spec", "guardrails", number, "sli")),
                remedy="measure http_requests_total or http_request_duration_seconds_bucket",
            )
