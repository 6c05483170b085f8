"""guardian.yaml: storage, address, broker, and the places that environments mean.

`load_settings(path)` reads it; without a file, `Settings()` is a daemon on loopback with HTTP
intake only. All values are frozen; durations are seconds, sizes bytes, paths absolute. Secrets are
`Secret`: call `.read()` at each use.

    settings.data              folder of journal and checkpoints
    settings.listen            .host .port .loopback: where the API listens
    settings.token             Secret | None; required unless listening on loopback
    settings.user_header       header that a proxy sets to who asks; None: orders carry what people say of themselves
    settings.policies          folder of policy files
    settings.kafka             None: no broker. .bootstrap (Addresses) .group .client_id
                               .topics.events .topics.dead_letter .topics.decisions
                               .security (.protocol .mechanism .username .password .ca
                               .certificate .key) .session_timeout .request_timeout
    settings.console           address that people open in a browser; None: notices hold no link
    settings.notify            name -> Notify (.way .webhook .slack .pagerduty .email .events
                               .environments .at_most .timeout .token .ca)
    settings.environments      name -> Environment
    settings.place(environment, region)   the Environment with the region's differences applied;
                               raises UnknownEnvironment with the nearest name
    settings.intervals         .policies .checkpoint .stop
    settings.limits            .body .write_body (bytes) .waiting .series .streams (counts)
    settings.record            None: no tapes. .folder .services .size (bytes) .age .part (seconds)
    settings.monitor           .enabled .over .every: stable judged against stable beside the work
    environment                .cluster .kubeconfig .context .in_cluster .namespace
    environment.metrics        None: not configured. .url (None: streamed only) .labels (added to
                               every selector) .stream (remote write feeds it) .drop_labels
                               .timeout .scrape_interval .token .username .password .ca
    environment.haproxy        name -> HaproxySocket (.socket path or .tcp Address, .timeout)

It does not open, connect or check anything outside itself: `guardian doctor` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from guardian.config.fields import (
    Address,
    AddressField,
    Duration,
    FilePath,
    Secret,
    Section,
    Size,
)
from guardian.config.findings import Finding, complaint, findings_of, hint
from guardian.config.notify import Notify
from guardian.config.source import Document, read_documents
from guardian.errors import ConfigError, UnknownEnvironment


class Protocol(StrEnum):
    """How the connection to Kafka is protected."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class Mechanism(StrEnum):
    """How the guardian proves to Kafka who it is."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class KafkaSecurity(Section):
    """Encryption and login; SASL needs mechanism, username and password."""

    protocol: Protocol = Protocol.PLAINTEXT
    mechanism: Mechanism = Mechanism.SCRAM_SHA_512
    username: str | None = None
    password: Secret | None = None
    ca: FilePath | None = Field(None, description="certificate authority, PEM; default: the system's")
    certificate: FilePath | None = Field(None, description="client certificate, PEM")
    key: FilePath | None = Field(None, description="key of the client certificate, PEM")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.protocol.startswith("SASL") and (self.username is None or self.password is None):
            raise complaint(f"protocol {self.protocol} needs 'username' and 'password'", "add them, or use SSL")
        if (self.certificate is None) != (self.key is None):
            raise complaint("'certificate' and 'key' belong together", "add the other one")
        return self


class Topics(Section):
    """Names of the three topics."""

    events: str = Field("deploy-events", min_length=1, max_length=249)
    dead_letter: str = Field("deploy-events.dead-letter", min_length=1, max_length=249)
    decisions: str = Field("guardian-decisions", min_length=1, max_length=249)

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len({self.events, self.dead_letter, self.decisions}) < 3:
            raise complaint("two of the topics have one name", "the guardian would read what it writes: rename one")
        return self


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class Kafka(Section):
    """The broker that deploy events come from and decisions go to."""

    bootstrap: Annotated[tuple[AddressField, ...], BeforeValidator(_listed)] = Field(
        min_length=1, description="brokers, host:port: a list, or one text with commas"
    )
    topics: Topics = Topics()
    group: str = Field("slo-guardian", min_length=1, description="consumer group")
    client_id: str = "slo-guardian"
    security: KafkaSecurity = KafkaSecurity()
    session_timeout: Duration = Field(30.0, description="after this long without a sign of life the group goes on")
    request_timeout: Duration = Field(30.0, description="longest wait for one answer of the broker")


class Metrics(Section):
    """Where an environment's SLIs are measured."""

    url: str | None = Field(None, pattern=r"^https?://", description="Prometheus or what speaks its HTTP API")
    stream: bool = Field(default=False, description="take what is written to POST /api/v1/write; no polling")
    labels: dict[str, str] = Field({}, description="added to every selector")
    drop_labels: tuple[str, ...] = Field(
        ("replica", "prometheus_replica", "__replica__"),
        description="labels of a deduplicating pair, left out",
    )
    scrape_interval: Duration = Field(15.0, description="how often Prometheus scrapes; a query reaches back further")
    timeout: Duration = Field(10.0, description="longest wait for one answer")
    token: Secret | None = None
    username: str | None = None
    password: Secret | None = None
    ca: FilePath | None = None

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.url is None and not self.stream:
            raise complaint("metrics come from nowhere", "add 'url:' to poll, or 'stream: true' to receive")
        if (self.username is None) != (self.password is None):
            raise complaint("'username' and 'password' belong together", "add the other one")
        return self


class HaproxySocket(Section):
    """The runtime API of one HAProxy process (`stats socket ... level admin`)."""

    socket: FilePath | None = Field(None, description="unix socket")
    tcp: AddressField | None = Field(None, description="host:port of a TCP stats socket; on loopback, it has no login")
    timeout: Duration = 5.0

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.socket is None) == (self.tcp is None):
            raise complaint("needs exactly one of 'socket' and 'tcp'", "write {socket: /run/haproxy/admin.sock}")
        return self


class Environment(Section):
    """The place that an environment's name means; a region may differ from it in any key."""

    cluster: str | None = Field(None, description="what people call the cluster, in texts and events")
    kubeconfig: FilePath | None = None
    context: str | None = Field(None, description="context of the kubeconfig; default: its current one")
    in_cluster: bool = Field(default=False, alias="inCluster", description="use the pod's service account")
    namespace: str = "default"
    metrics: Metrics | None = None
    haproxy: dict[str, HaproxySocket] = Field({}, description="HAProxy processes by name; policies name them")
    regions: dict[str, Environment] = Field({}, description="region -> keys that differ there")

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if self.kubeconfig is not None and self.in_cluster:
            raise complaint("'kubeconfig' and 'inCluster' exclude each other", "remove one")
        return self

    @model_validator(mode="after")
    def _regions_hold_no_regions(self) -> Self:
        for region, differences in self.regions.items():
            if differences.regions:
                what, remedy = "a region cannot have regions", "move them up, beside it"
                raise complaint(what, remedy, at=("regions", region, "regions"))
        return self

    def in_region(self, region: str) -> Environment:
        """Return the environment with the region's differences applied."""
        differences = self.regions.get(region)
        if differences is None:
            return self
        update = {name: getattr(differences, name) for name in differences.model_fields_set}
        if differences.in_cluster:
            update["kubeconfig"] = None
        elif differences.kubeconfig is not None:
            update["in_cluster"] = False
        return self.model_copy(update=update)


class Intervals(Section):
    """How often the daemon does what nobody asks for."""

    policies: Duration = Field(10.0, description="how often changed policy files are looked for")
    checkpoint: Duration = Field(60.0, description="most often that evidence is written down between verdicts")
    stop: Duration = Field(3.0, description="how long a stopping daemon waits for effects that are under way")


class Monitor(Section):
    """Judging stable against stable on the past, beside the work: the false rollbacks each service would have seen."""

    enabled: bool = Field(default=True, description="false: nobody asks, and nothing is told")
    over: Duration = Field(10 * 86400.0, description="trailing span whose windows count, an hour or more")
    every: Duration = Field(3600.0, description="how often new windows are looked for, a minute or more")

    @model_validator(mode="after")
    def _is_polite(self) -> Self:
        for name, least, text in (("over", 3600.0, "1h"), ("every", 60.0, "1m")):
            if getattr(self, name) < least:
                remedy = f"write {text} or more; enabled: false turns it off"
                raise complaint(f"'{name}' is less than {text}", remedy, at=(name,))
        return self


class Record(Section):
    """Tapes: what decided on rollouts, kept for `guardian replay`."""

    folder: FilePath | None = Field(None, description="where tapes are kept; default: `tapes` in `data`")
    services: tuple[str, ...] = Field((), description="only of these services; default: of all")
    size: Size = Field(256 * 1024 * 1024, description="most bytes of one service; the oldest parts are dropped")
    age: Duration = Field(30 * 86400.0, description="parts that began longer ago are dropped")
    part: Duration = Field(300.0, description="most time of a part, and so what a crash loses; 10 seconds or more")

    @model_validator(mode="after")
    def _is_sensible(self) -> Self:
        if self.size < 1024 * 1024:
            raise complaint("'size' is less than 1MiB", "one part may be as large: write 1MiB or more", at=("size",))
        if self.part < 10.0:
            raise complaint("'part' is less than 10s", "each part is a file: write 10s or more", at=("part",))
        if self.age < self.part:
            raise complaint("'age' is less than 'part'", "a part would be dropped before it is whole", at=("age",))
        return self


class Limits(Section):
    """What the daemon takes before it says no."""

    body: Size = Field(1024 * 1024, description="largest event or webhook; more is answered 413")
    write_body: Size = Field(32 * 1024 * 1024, description="largest remote-write request, unpacked")
    waiting: int = Field(20_000, ge=1, description="facts that may wait for the engine; more are answered 503")
    series: int = Field(1_000_000, ge=1, description="series kept from remote write; more are dropped and counted")
    streams: int = Field(200, ge=1, description="listeners of /v1/stream at a time")


class Settings(Section):
    """guardian.yaml."""

    api_version: Literal["slo-guardian/v1"] = Field("slo-guardian/v1", alias="apiVersion")
    kind: Literal["Settings"] = "Settings"
    data: FilePath = Field(
        Path("guardian-data"),
        validate_default=True,
        description="folder of the journal; one daemon per folder",
    )
    listen: AddressField = Field(Address("127.0.0.1", 8080), description="host:port of API, hooks and console")
    server: str | None = Field(None, pattern=r"^https?://", description="where commands find the daemon")
    console: str | None = Field(
        None, pattern=r"^https?://", description="address at which people reach the daemon; notices link to it"
    )
    token: Secret | None = Field(None, description="bearer token of API, hooks and remote write")
    user_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]+$",
        description="header in which your proxy names who asks; believed of everybody who may ask at all",
    )
    policies: FilePath = Field(
        Path("policies"), validate_default=True, description="folder of policy files (*.yaml, *.yml)"
    )
    environment: str | None = Field(None, description="environment of `guardian deploy` when none is given")
    environments: dict[str, Environment] = Field({}, description="environment -> place")
    kafka: Kafka | None = None
    notify: dict[str, Notify] = Field({}, description="who is told of decisions, by a name of your choice")
    intervals: Intervals = Intervals()
    limits: Limits = Limits()
    monitor: Monitor = Monitor()
    record: Record | None = None
    log: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _is_protected(self) -> Self:
        if not self.listen.loopback and self.token is None:
            raise complaint(
                f"listening on {self.listen} without a token lets anybody move traffic",
                "add token: {file: PATH} or {env: NAME}, or listen on 127.0.0.1",
                at=("listen",),
            )
        if self.environment is not None and self.environments and self.environment not in self.environments:
            raise complaint(
                f"environment '{self.environment}' is not one of 'environments'",
                hint(self.environment, self.environments),
                at=("environment",),
            )
        return self

    @model_validator(mode="after")
    def _tells_of_environments_there_are(self) -> Self:
        for name, notify in self.notify.items():
            for environment in notify.environments:
                if environment not in self.environments:
                    what = f"environment '{environment}' is not one of 'environments'"
                    at = ("notify", name, "environments", notify.environments.index(environment))
                    raise complaint(what, hint(environment, self.environments), at=at)
        return self

    @property
    def url(self) -> str:
        """Where commands find the daemon."""
        host = "127.0.0.1" if self.listen.host in {"0.0.0.0", "::"} else self.listen.host  # noqa: S104
        return self.server or f"http://{Address(host, self.listen.port)}"

    @property
    def default_environment(self) -> str | None:
        """The environment meant when none is given: the one named, or the only one there is."""
        if self.environment is not None:
            return self.environment
        return next(iter(self.environments)) if len(self.environments) == 1 else None

    def place(self, environment: str, region: str = "") -> Environment:
        """Return the environment as it is in that region ("" or one without differences: as it stands)."""
        found = self.environments.get(environment)
        if found is None:
            raise UnknownEnvironment(
                f"environment '{environment}' is not configured",
                where="guardian.yaml: environments",
                remedy=hint(environment, self.environments) if self.environments else "add it to 'environments'",
            )
        return found.in_region(region)


def load_settings(path: Path) -> Settings:
    """Return what guardian.yaml says. Raises ConfigError with the place of the first mistake."""
    settings, findings = read_settings(path)
    if settings is None:
        first, more = findings[0], len(findings) - 1
        what = f"{first.what} (and {more} more: `guardian check {path}` lists them)" if more else first.what
        raise ConfigError(what, where=first.where, remedy=first.remedy)
    return settings


def read_settings(path: Path) -> tuple[Settings | None, list[Finding]]:
    """Return the settings, or all that is wrong. Raises ConfigError when it is not readable YAML."""
    return settings_of(read_documents(path), path)


def settings_of(documents: Sequence[Document], path: Path) -> tuple[Settings | None, list[Finding]]:
    """Return the settings of a file that was read, or all that is wrong. Raises ConfigError."""
    if len(documents) > 1:
        raise ConfigError(
            "holds more than one document", where=documents[1].where(()), remedy="keep one, remove the '---'"
        )
    document = documents[0] if documents else Document(file=str(path), data={}, values={(): (1, 1)})
    return read_document(document, base=path.absolute().parent)


def read_document(document: Document, *, base: Path) -> tuple[Settings | None, list[Finding]]:
    """Return the settings of one document, or all that is wrong; base: folder that paths are meant from."""
    try:
        return Settings.model_validate(document.data, context={"base": base}), []
    except ValidationError as error:
        return None, findings_of(error, document, Settings)
