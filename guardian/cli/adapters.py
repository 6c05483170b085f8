"""Whether the routers, workloads and probes that policies name exist, and know the options they are given."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from guardian.catalog import Port, kinds
from guardian.config.findings import Finding, Severity, hint
from guardian.config.policy import PolicyFile
from guardian.config.source import YamlPath
from guardian.core.policy import Adapter


def adapter_findings(file: PolicyFile) -> list[Finding]:
    """Return what is wrong with the adapters of a valid policy; nothing for one that is not."""
    policy = file.policy
    if policy is None:
        return []
    named: list[tuple[Port, Adapter | None, YamlPath]] = [
        (Port.ROUTER, policy.router, ("spec", "router")),
        (Port.WORKLOAD, policy.workload, ("spec", "workload")),
        *((Port.PROBE, probe, ("spec", "probes", number)) for number, probe in enumerate(policy.probes)),
    ]
    return [
        finding for port, adapter, path in named if adapter is not None for finding in _said(file, port, adapter, path)
    ]


def _said(file: PolicyFile, port: Port, adapter: Adapter, path: YamlPath) -> Iterator[Finding]:
    installed = kinds(port)
    if adapter.kind not in installed:
        where = file.document.where((*path, adapter.kind), key=True)
        what = f"there is no {port} of kind '{adapter.kind}'"
        yield Finding(severity=Severity.ERROR, what=what, where=where, remedy=hint(adapter.kind, installed))
        return
    module = importlib.import_module(installed[adapter.kind].partition(":")[0])
    known: tuple[str, ...] = getattr(module, "OPTIONS", tuple(adapter.options))
    for name in adapter.options:
        if name not in known:
            where = file.document.where((*path, adapter.kind, name), key=True)
            what = f"{port} {adapter.kind} has no option '{name}'"
            yield Finding(severity=Severity.ERROR, what=what, where=where, remedy=hint(name, known))
