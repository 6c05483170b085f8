"""Reads scenario files, by path, folder or library name, and says of a wrong one what is wrong and where.

A file holds two YAML documents: `kind: Scenario`, then `kind: Policy` exactly as the guardian reads it. One that
extends another (layers.py) may leave out all that is the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from guardian.config.findings import Finding, findings_of, nearest
from guardian.config.policy import read_policy
from guardian.config.source import Document, parse_documents, read_documents
from guardian.core.model import Mode
from guardian.core.policy import Adapter, Match, Policy
from guardian.errors import ConfigError, Refused, ScenarioError
from simulator.layers import layered
from simulator.parameters import Drawn, Template, misused
from simulator.recorded import with_series
from simulator.request.language import MOST_EVENTS, Grain
from simulator.scenario import Scenario, ScenarioFile, Spec
from simulator.service import ZONE
from simulator.telemetry import measured

LIBRARY: Final = Path(__file__).parent / "scenarios"

NAMES: Final = "`guardian simulate --list` names those that are shipped; give one of them, a file or a folder"


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
    meant = nearest(name, known)
    near = f"did you mean '{meant}'? " if meant else ""
    raise ScenarioError(f"there is no scenario '{name}'", remedy=near + NAMES)


def find_all(names: Iterable[str]) -> tuple[Path, ...]:
    """Return the files meant by several names, each once, in the order given. Raises ScenarioError."""
    return tuple(dict.fromkeys(file for name in names for file in find(name)))


def load(path: Path, *, grain: Grain | None = None) -> Scenario:
    """Read one scenario, with what it extends. Raises ScenarioError with file, line and remedy of the first mistake.

    grain: how it shall be played; None: as the file says.
    """
    return _scenario(lambda: read_documents(path), str(path), grain)


def parse(text: str, *, file: str) -> Scenario:
    """Read one scenario from its text; `file` is what errors call it. Raises ScenarioError as `load` does."""
    return _scenario(lambda: parse_documents(text, file=file), file, None)


def whole(path: Path) -> str:
    """Return a scenario as one text that needs no other file, for whoever has not its folder. Raises ScenarioError.

    Of one that needs none anyway it is the file's own text, so that mistakes keep their lines.
    """
    documents = _documents(lambda: read_documents(path), str(path))
    if [one.data for one in read_documents(path)] == [one.data for one in documents]:
        return path.read_text(encoding="utf-8")
    return "\n---\n".join(json.dumps(one.data) for one in documents)  # JSON is YAML


def _documents(read: Callable[[], list[Document]], file: str) -> list[Document]:
    """Return world and policies as plain data, with all that stands in other files. Raises ScenarioError."""
    try:
        documents = layered(read(), file=Path(file), find=find)
    except ConfigError as error:
        raise ScenarioError(error.what, where=error.where, remedy=error.remedy) from None
    return [with_series(documents[0]), *documents[1:]] if documents else documents


def _scenario(read: Callable[[], list[Document]], file: str, grain: Grain | None) -> Scenario:
    documents = _documents(read, file)
    world, template = _read_world(documents[0])
    wanted = 2 + len(world.spec.beside)
    if len(documents) != wanted:
        many = "1 YAML document" if len(documents) == 1 else f"{len(documents)} YAML documents"
        what = f"a scenario of {wanted - 1} services is {wanted}" if world.spec.beside else "a scenario is two"
        others = ", then those of the services beside it" if world.spec.beside else "; or say what it `extends`"
        raise ScenarioError(
            f"holds {many}; {what}",
            where=file,
            remedy=f"write the scenario, a line '---', then the policy it is judged by{others}",
        )
    policies = tuple(_read_policy(one) for one in documents[1:])
    scenario = Scenario(
        metadata=world.metadata, spec=world.spec, policy=policies[0], policies=policies[1:], template=template
    )
    if template is not None:
        scenario = msgspec.structs.replace(scenario, values=template.middle())
    for one, document in zip((scenario, *scenario.beside), documents[1:], strict=True):
        _check(one, document)
    return _in_grain(scenario, grain or world.spec.grain, documents[0])


def _in_grain(scenario: Scenario, grain: Grain, document: Document) -> Scenario:
    """Return the scenario as played in that grain. Raises ScenarioError where it cannot be."""
    if grain is Grain.FLOW and scenario.spec.grain is Grain.REQUEST:
        raise ScenarioError(
            "is told by its causes, which flow grain does not have",
            where=document.where(("spec", "grain")),
            remedy="play it with --grain request",
        )
    played = scenario.played(grain)
    if grain is Grain.REQUEST and played.events > MOST_EVENTS:
        raise ScenarioError(
            f"request by request this is at least {played.events:.1g} events a run, {MOST_EVENTS:.0g} are allowed",
            where=document.where(("spec", "traffic")),
            remedy="play it with `grain: flow`, or have fewer requests, a shorter `history` or `lasts`",
        )
    return played


def judged_by(scenario: Scenario, policy: Policy, *, file: str) -> Scenario:
    """Return the scenario under another policy: its guardrails, risk and steps.

    Where it applies and what carries it out are the scenario's, and no approval is asked: nobody would answer.
    file: what errors call the policy. Raises ScenarioError for one that measures what is not simulated.
    """
    place = scenario.place
    memory = Adapter(kind="memory") if scenario.spec.deploy.weight is None else None
    policy = msgspec.structs.replace(
        policy, match=Match(service=place.service, environment=place.environment), mode=Mode.ENFORCE,
        router=memory, workload=memory, probes=(), depends_on=(), strategy=policy.strategy.unattended(),
    )  # fmt: skip
    for _, what, remedy in _strange(scenario.spec, policy):
        raise ScenarioError(f"{what} (scenario {scenario.name})", where=file, remedy=remedy)
    return msgspec.structs.replace(scenario, policy=policy)


def _read_world(document: Document) -> tuple[ScenarioFile, Template | None]:
    """Return the world, its parameters in the middle of their ranges; every end of them must be a world, too."""
    data = document.data
    written = data.get("parameters") if isinstance(data, dict) else None
    drawn = written if isinstance(written, dict) else {}
    spec = data.get("spec", {}) if isinstance(data, dict) else {}
    for path, what, remedy in misused(spec, drawn):
        raise ScenarioError(what, where=document.where(path, key=path[0] == "parameters"), remedy=remedy)
    if not drawn:
        return _validated(document, data), None
    try:
        parameters = Drawn.model_validate({"parameters": drawn}).parameters
    except ValidationError as error:
        raise _first(findings_of(error, document, Drawn)) from None
    template = Template(data=spec, parameters=parameters)
    for values in template.corners():
        told = ", ".join(f"{name} = {value}" for name, value in values.items())
        try:
            _validated(document, {**data, "spec": template.filled(values)})
        except ScenarioError as error:
            raise ScenarioError(f"{error.what} (with {told})", where=error.where, remedy=error.remedy) from None
    return _validated(document, {**data, "spec": template.filled(template.middle())}), template


def _validated(document: Document, data: Any) -> ScenarioFile:
    try:
        return ScenarioFile.model_validate(data)
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


def _check(scenario: Scenario, document: Document) -> None:
    """Refuse a policy that is not about this world, or under which nothing ever happens in it."""
    for path, what, remedy in (*_strange(scenario.spec, scenario.policy), *_still(scenario)):
        raise ScenarioError(what, where=document.where(path), remedy=remedy)


_Mistake = tuple[tuple[str | int, ...], str, str]
"""Path in the policy, what is wrong there, and what to do."""


def _strange(world: Spec, policy: Policy) -> Iterator[_Mistake]:
    """Yield what makes the policy one about something else: it would be judged on nothing."""
    service = world.service
    match = policy.match
    if match.service != service.name:
        what = f"the policy matches service '{match.service}', the scenario's is '{service.name}'"
        yield ("spec", "match", "service"), what, f"write '{service.name}'"
    if match.environment not in {"", service.environment}:
        what = f"the policy matches environment '{match.environment}', the scenario's is '{service.environment}'"
        yield ("spec", "match", "environment"), what, f"write '{service.environment}'"
    if service.pods.control and not policy.labels.control:
        what = "the scenario has control pods, the policy names no control track"
        yield ("spec",), what, "add `labels: {control: control}`, or remove `pods.control`"
    if policy.labels.control and not service.pods.control:
        what = "the policy names a control track, the scenario has no control pods: it would hold to its end"
        yield (
            ("spec", "labels", "control"),
            what,
            "write `pods: {control: ...}` in the scenario's service, or remove it",
        )
    for number, guardrail in enumerate(policy.guardrails):
        try:
            measured(guardrail, world)
        except Refused as error:
            yield ("spec", "guardrails", number, "sli"), error.what, error.remedy
        for place, label in enumerate(guardrail.strata):
            if label != ZONE or not service.zones:
                what = f"guardrail '{guardrail.name}': no metrics of this service have the label '{label}'"
                remedy = f"give the service `zones`, and compare within `{ZONE}`; or remove `strata`"
                yield ("spec", "guardrails", number, "compare", "strata", place), what, remedy


def _still(scenario: Scenario) -> Iterator[_Mistake]:
    """Yield what keeps every request from the canary: a run would stand still to its end."""
    policy = scenario.policy
    if scenario.spec.deploy.weight is not None:
        if policy.router is not None:
            what = "somebody else moves the traffic (`deploy.weight`), and the policy has a router to move it, too"
            yield ("spec", "router"), what, "remove one of the two"
        return
    never = "no request ever reaches the canary of a scenario"
    if policy.mode is not Mode.ENFORCE:
        needs = "nobody is there to approve" if policy.mode is Mode.ADVISE else "nothing is written"
        yield ("spec", "mode"), f"in mode {policy.mode} {never}: {needs}", "write `mode: enforce`"
    if policy.router is None:
        what = f"without a router {never}: nothing sets its weight"
        yield ("spec",), what, "add `router: {memory: {}}`"
    if policy.workload is None:
        what = f"without a workload {never}: nothing starts it"
        yield ("spec",), what, "add `workload: {memory: {}}`"
