"""Policies as users write them (CONTRACTS section 5) become guardian.core.policy.Policy.

`load_policy` and `load_policies` raise the first mistake; `read_policies` returns all of them. What is merely
unwise is guardian.config.advice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from guardian.config.affinity import AffinityField
from guardian.config.fields import Duration, Name, Section, ShareField
from guardian.config.findings import Finding, Severity, complaint, findings_of
from guardian.config.guardrails import GuardrailConfig
from guardian.config.plan import AdapterField, AlertConfig, StrategyField
from guardian.config.source import Document, parse_documents, read_documents
from guardian.core.model import Mode, Ratio, Seconds, Track
from guardian.core.policies import NO_CIRCLE, circles
from guardian.core.policy import Attribution, Concurrency, CountSli, Labels, Match, Policy, Risk
from guardian.errors import ConfigError, PolicyError


class MetadataConfig(Section):
    """How the policy is called."""

    name: Name = Field(description="what events and commands call it")


class MatchConfig(Section):
    """Which rollouts the policy is for."""

    service: Name
    environment: str = Field("", description="empty: every environment without a policy of its own")


class RiskConfig(Section):
    """Chances accepted for the whole rollout, all guardrails together."""

    false_rollback: ShareField = Field(0.01, gt=0, le=0.5, description="a healthy rollout is rolled back")
    false_promotion: ShareField = Field(0.05, gt=0, le=0.5, description="a worse one is promoted")
    earliest_promotion: Duration = Field(900.0, description="no promotion sooner after the first traffic")

    def to_core(self) -> Risk:
        """Return the chances as the core reads them."""
        return Risk(
            false_rollback=Ratio(self.false_rollback),
            false_promotion=Ratio(self.false_promotion),
            earliest_promotion=Seconds(self.earliest_promotion),
        )


class LabelsConfig(Section):
    """Metric labels that tell service, track and pod, and the values that mean each track."""

    service: str = Field("service", description="label that names the service; empty: selectors already do")
    track: str = "track"
    pod: str = "pod"
    stable: str = Field("stable", description="value of the track label for stable")
    canary: str = Field("canary", description="value of the track label for the canary")
    control: str = Field(
        "",
        description="value of the track label for control: pods of the old revision, as many and as young as the "
        "canary's, with which it is compared then instead of stable's old ones; empty: there are none",
    )

    @model_validator(mode="after")
    def _tracks_differ(self) -> Self:
        if self.stable == self.canary:
            raise complaint(f"stable and canary are both '{self.stable}'", "name two values", at=("canary",))
        for name in ("stable", "canary"):
            if self.control and self.control == getattr(self, name):
                what = f"control and {name} are both '{self.control}'"
                raise complaint(what, "name another value, or none", at=("control",))
        return self


class AttributionConfig(Section):
    """What happens when something else than the revision is probably to blame."""

    limit: Duration = Field(
        300.0, description="longest a rollback is put off while a dependency's rollout is suspected"
    )
    one_pod: Literal["hold", "rollback"] = Field(
        "hold", description="when all evidence comes from one canary pod of three or more"
    )

    def to_core(self) -> Attribution:
        """Return it as the core reads it."""
        return Attribution(limit=Seconds(self.limit), one_pod=self.one_pod)


class SpecConfig(Section):
    """Everything a rollout is judged by."""

    match: MatchConfig
    strategy: StrategyField
    guardrails: tuple[GuardrailConfig, ...]
    mode: Mode = Field(Mode.ENFORCE, description="observe writes nothing; advise waits for approval")
    risk: RiskConfig = RiskConfig()
    alerts: tuple[AlertConfig, ...] = Field((), description="default: critical canary alerts roll back")
    labels: LabelsConfig = LabelsConfig()
    router: AdapterField = Field(None, description="what moves traffic; none: somebody else does")
    workload: AdapterField = Field(None, description="what runs revisions; none: somebody else does")
    probes: tuple[AdapterField, ...] = Field((), description="asked before traffic moves")
    concurrency: Concurrency = Field(Concurrency.SUPERSEDE, description="an earlier rollout of the place")
    on_undecided: Literal["hold", "rollback"] = Field("hold", description="when a step's limit is over")
    first_release: Literal["hold", "remove"] = Field("hold", description="a failing release without stable")
    hold_back: Duration = Field(300.0, description="promotion waits while evidence rose for this long")
    drain: Duration = Field(30.0, description="canary requests later than this after a rollback are paged")
    unready: Duration = Field(60.0, description="a canary none of whose pods is ready for so long is rolled back")
    skew: Duration = Field(300.0, description="an event older than the running one by more is ignored")
    refuse_for: Duration = Field(86400.0, description="a revision rolled back is refused for this long")
    history: Duration = Field(2400.0, gt=0, description="stable history that is read at the start")
    interval: Duration = Field(
        10.0,
        ge=0.1,
        description=(
            "how often the evidence is looked at; a track whose newest sample is three of them old is silent and holds "
            "the rollout: where metrics always come late, half of that delay or more"
        ),
    )
    depends_on: tuple[Name, ...] = Field((), description="services this one calls; unknown ones are allowed")
    attribution: AttributionConfig = AttributionConfig()
    affinity: AffinityField = Field(
        None, description="users stick to a track, by a cookie for example; none: each request is sent by itself"
    )

    @field_validator("guardrails")
    @classmethod
    def _are_named_apart(cls, guardrails: tuple[GuardrailConfig, ...]) -> tuple[GuardrailConfig, ...]:
        if not guardrails:
            raise complaint("there are no guardrails: nothing would be judged", "add one")
        seen: set[str] = set()
        for number, guardrail in enumerate(guardrails):
            if guardrail.name in seen:
                what = f"a second guardrail is named '{guardrail.name}'"
                raise complaint(what, "give each its own name", at=(number, "name"))
            seen.add(guardrail.name)
        return guardrails

    @model_validator(mode="after")
    def _strata_cut_across_tracks(self) -> Self:
        for number, guardrail in enumerate(self.guardrails):
            for place, label in enumerate(guardrail.strata):
                if label in {self.labels.track, self.labels.pod}:
                    what = (
                        f"'{label}' tells the {'track' if label == self.labels.track else 'pod'}: no stratum has both"
                    )
                    at = ("guardrails", number, "compare", "strata", place)
                    raise complaint(what, "name a label that canary and stable share", at=at)
        return self


class PolicyConfig(Section):
    """One policy document."""

    api_version: Literal["slo-guardian/v1"] = Field(alias="apiVersion")
    kind: Literal["Policy"]
    metadata: MetadataConfig
    spec: SpecConfig

    def to_core(self) -> Policy:
        """Return the policy as the core reads it, defaults written out."""
        spec = self.spec
        return Policy(
            name=self.metadata.name,
            match=Match(service=spec.match.service, environment=spec.match.environment),
            strategy=spec.strategy.to_core(),
            guardrails=tuple(guardrail.to_core() for guardrail in spec.guardrails),
            risk=spec.risk.to_core(),
            mode=spec.mode,
            alerts=tuple(alert.to_core() for alert in spec.alerts),
            labels=Labels(**spec.labels.model_dump()),
            router=spec.router,
            workload=spec.workload,
            probes=spec.probes,
            concurrency=spec.concurrency,
            on_undecided=spec.on_undecided,
            first_release=spec.first_release,
            hold_back=Seconds(spec.hold_back),
            drain=Seconds(spec.drain),
            unready=Seconds(spec.unready),
            skew=Seconds(spec.skew),
            refuse_for=Seconds(spec.refuse_for),
            history=Seconds(spec.history),
            interval=Seconds(spec.interval),
            depends_on=spec.depends_on,
            attribution=spec.attribution.to_core(),
            affinity=None if spec.affinity is None else spec.affinity.to_core(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """One policy document that was read: the policy, or None and the errors; and where it stands."""

    document: Document
    policy: Policy | None
    findings: tuple[Finding, ...]


def read_policy(document: Document) -> PolicyFile:
    """Return the policy of one document, or all that is wrong with it."""
    try:
        config = PolicyConfig.model_validate(document.data)
    except ValidationError as error:
        found = tuple(findings_of(error, document, PolicyConfig))
        return PolicyFile(document=document, policy=None, findings=found)
    policy = config.to_core()
    missing = tuple(_unexposed(policy, document))
    return PolicyFile(document=document, policy=None if missing else policy, findings=missing)


def _unexposed(policy: Policy, document: Document) -> Iterator[Finding]:
    """Yield an error for each count where nothing says how much each track served."""
    sticks, controlled = policy.affinity is not None, policy.baseline is Track.CONTROL
    if policy.exposing is not None or (policy.moves_traffic and not sticks and not controlled):
        return
    lacks = "users who stick to a track do not follow the weight" if sticks else "no router of ours has a weight"
    lacks = "a weight says nothing of control" if controlled else lacks
    for number, guardrail in enumerate(policy.guardrails):
        if isinstance(guardrail.sli, CountSli):
            where = document.where(("spec", "guardrails", number, "sli", "count"), key=True)
            what = f"nothing says how much each track served: no guardrail counts requests, {lacks}"
            yield _error(what, where, "add a ratio or a histogram: events are judged by its requests")


def read_policies(paths: Iterable[Path]) -> list[PolicyFile]:
    """Return every policy document of these files and folders, mistakes included.

    Raises ConfigError when a file cannot be read, is not YAML or no policy.
    """
    files: list[PolicyFile] = []
    for file in files_of(paths):
        files += policies_in(read_documents(file), file)
    return with_clashes(files)


def policies_in(documents: Sequence[Document], file: Path) -> list[PolicyFile]:
    """Return the policies of one file, mistakes included. Raises ConfigError when it is something else."""
    if not documents:
        raise ConfigError("holds no policy", where=str(file), remedy="see examples/policies")
    head = documents[0]
    if isinstance(head.data, dict) and head.data.get("kind") == "Scenario":
        what, remedy = "is a scenario, not a policy", f"run `guardian simulate {file}`"
        raise ConfigError(what, where=head.where(("kind",)), remedy=remedy)
    return [read_policy(document) for document in documents]


def load_policy(path: Path) -> Policy:
    """Return the one policy of a file. Raises PolicyError with file:line:column and remedy."""
    policies = _good(_read([path]))
    if len(policies) != 1:
        what = f"holds {len(policies)} policies where one is wanted"
        raise PolicyError(what, where=str(path), remedy="split the file")
    return policies[0]


def load_policies(path: Path) -> list[Policy]:
    """Return the policies of a folder (*.yaml, *.yml, also below it) or of a file. Raises PolicyError."""
    if not path.exists():
        raise PolicyError("there is no such file or folder", where=str(path), remedy="check the path")
    return _good(_read([path]))


def parse_policy(text: str, *, file: str) -> Policy:
    """Return the one policy of a YAML text; `file` is what errors call it. Raises PolicyError."""
    try:
        documents = parse_documents(text, file=file)
    except ConfigError as error:
        raise PolicyError(error.what, where=error.where, remedy=error.remedy) from None
    if len(documents) != 1:
        what = f"holds {len(documents)} policies where one is wanted"
        raise PolicyError(what, where=file, remedy="send one document")
    return _good([read_policy(documents[0])])[0]


def _read(paths: Iterable[Path]) -> list[PolicyFile]:
    try:
        return read_policies(paths)
    except ConfigError as error:
        raise PolicyError(error.what, where=error.where, remedy=error.remedy) from None


def files_of(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files as they are, and of folders every *.yaml and *.yml in and below them."""
    for path in paths:
        if path.is_dir():
            found = (file for file in path.rglob("*") if file.suffix in {".yaml", ".yml"})
            yield from sorted(file for file in found if not file.name.startswith("."))
        else:
            yield path


def _good(files: Iterable[PolicyFile]) -> list[Policy]:
    """Return the policies; raises the first mistake, and says how many more there are."""
    policies: list[Policy] = []
    findings: list[Finding] = []
    for file in files:
        findings += file.findings
        if file.policy is not None:
            policies.append(file.policy)
    if findings:
        first, more = findings[0], len(findings) - 1
        what = f"{first.what} (and {more} more: `guardian check` lists them)" if more else first.what
        raise PolicyError(what, where=first.where, remedy=first.remedy)
    return policies


def with_clashes(files: Iterable[PolicyFile]) -> list[PolicyFile]:
    """Add an error to each policy whose name, or whose match, an earlier one has already."""
    names: dict[str, str] = {}
    matches: dict[tuple[str, str], str] = {}
    checked: list[PolicyFile] = []
    for file in files:
        policy, found = file.policy, list(file.findings)
        if policy is not None:
            match = (policy.match.service, policy.match.environment)
            where = file.document.where(("metadata", "name"))
            if policy.name in names:
                what = f"a second policy is named '{policy.name}', the first is at {names[policy.name]}"
                found.append(_error(what, where, "rename one of them"))
            elif match in matches:
                what = f"matches the same service and environment as '{matches[match]}'"
                found.append(_error(what, file.document.where(("spec", "match")), "narrow one of the two"))
            names.setdefault(policy.name, where)
            matches.setdefault(match, policy.name)
        checked.append(PolicyFile(document=file.document, policy=policy, findings=tuple(found)))
    return _with_circles(checked)


def _with_circles(files: list[PolicyFile]) -> list[PolicyFile]:
    """Add an error to each policy whose depends_on leads back to its own service."""
    ways = circles([file.policy for file in files if file.policy is not None])
    checked: list[PolicyFile] = []
    for file in files:
        found = file.findings
        if file.policy is not None and (way := ways.get(file.policy.name)):
            what, where = f"depends_on makes a circle: {way}", file.document.where(("spec", "depends_on"))
            found = (*found, _error(what, where, NO_CIRCLE))
        checked.append(PolicyFile(document=file.document, policy=file.policy, findings=found))
    return checked


def _error(what: str, where: str, remedy: str) -> Finding:
    return Finding(severity=Severity.ERROR, what=what, where=where, remedy=remedy)
