"""`guardian import argo|flagger`: a policy out of what another system is configured with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from guardian.cli.options import EnvironmentOption
from guardian.cli.output import warn
from guardian.config.policy import read_policy
from guardian.config.source import parse_documents
from guardian.errors import ConfigError
from guardian.importing.argo import import_argo
from guardian.importing.draft import Draft, Track, write
from guardian.importing.flagger import import_flagger
from guardian.importing.gather import Wanted
from guardian.importing.manifests import Manifest, read_manifests

FilesArgument = Annotated[list[Path], typer.Argument(metavar="FILE..", help="manifests that belong together")]
ServiceOption = Annotated[str, typer.Option("--service", help="name of the service; default: the object's")]
FileOption = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="write there instead of stdout")
]
TrackOption = Annotated[str, typer.Option("--track-label", metavar="LABEL", help="metric label that tells the tracks")]
StableOption = Annotated[str, typer.Option("--stable", metavar="VALUE", help="its value for stable; default: stable")]
CanaryOption = Annotated[str, typer.Option("--canary", metavar="VALUE", help="its value for canary; default: canary")]
PodOption = Annotated[str, typer.Option("--pod-label", metavar="LABEL", help="metric label that tells pods apart")]
NamedOption = Annotated[
    str,
    typer.Option(
        "--service-label", metavar="LABEL", help="metric label that names the service; default: the queries do"
    ),
]
ProviderOption = Annotated[str, typer.Option("--provider", metavar="NAME", help="default: the Canary's spec.provider")]
Translation = Callable[[Sequence[Manifest], Wanted], list[Draft]]
importing = typer.Typer(
    add_completion=False, rich_markup_mode=None, help="Translate a rollout of Argo Rollouts or Flagger into a policy."
)


@importing.command()
def argo(
    files: FilesArgument,
    *,
    service: ServiceOption = "",
    environment: EnvironmentOption = None,
    track_label: TrackOption = "",
    stable: StableOption = "stable",
    canary: CanaryOption = "canary",
    pod_label: PodOption = "pod",
    service_label: NamedOption = "",
    output: FileOption = None,
) -> None:
    """Translate Rollouts with the analysis templates they name."""
    wanted = Wanted(
        service=service,
        environment=environment or "",
        track=_track(track_label, stable, canary),
        pod_label=pod_label,
        service_label=service_label,
    )
    _print(import_argo(read_manifests(files), wanted), output)


@importing.command()
def flagger(
    files: FilesArgument,
    *,
    service: ServiceOption = "",
    environment: EnvironmentOption = None,
    provider: ProviderOption = "",
    track_label: TrackOption = "",
    stable: StableOption = "stable",
    canary: CanaryOption = "canary",
    pod_label: PodOption = "pod",
    service_label: NamedOption = "",
    output: FileOption = None,
) -> None:
    """Translate Canaries with the MetricTemplates they name."""
    wanted = Wanted(
        service=service,
        environment=environment or "",
        provider=provider,
        track=_track(track_label, stable, canary),
        pod_label=pod_label,
        service_label=service_label,
    )
    _print(import_flagger(read_manifests(files), wanted), output)


def _track(label: str, stable: str, canary: str) -> Track | None:
    if not label and (stable, canary) != ("stable", "canary"):
        raise ConfigError("--stable and --canary are values of a label", remedy="name it with --track-label LABEL")
    return Track(label=label, stable=stable, canary=canary) if label else None


def _print(drafts: Sequence[Draft], output: Path | None) -> None:
    """Print the policies, or write the file; what was left out goes to stderr."""
    text = write(drafts)
    _is_valid(text)
    for draft in drafts:
        for note in draft.notes:
            warn(f"{draft.name}: {note}")
        for key, what in draft.left:
            warn(f"{draft.name}: {key}: {what}")
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        raise ConfigError(what, where=str(output), remedy="check the folder and its permissions") from None


def _is_valid(text: str) -> None:
    """Raise ConfigError where a name or label of the source is none a policy may have."""
    for document in parse_documents(text, file="the translated policy"):
        for finding in read_policy(document).findings:
            raise ConfigError(finding.what, where=finding.where, remedy=f"change it in the source: {finding.remedy}")
