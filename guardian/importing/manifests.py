"""Kubernetes objects in YAML files, each value with its place, so that an error can say file:line:column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from guardian.config.source import Document, YamlPath, parse_documents, read_text
from guardian.errors import ConfigError

_HELM: Final = re.compile(
    r"""\{\{(?:-|\s*(?:[.$"`]|/\*|(?:if|else|end|range|with|include|template|define|tpl|toYaml)\b))"""
)
"""What only a chart has: Argo's and Flagger's own placeholders are plain names."""
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNITS: Final = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a document, or the lack of one (value None), and where it stands."""

    document: Document
    path: YamlPath
    value: Any

    @property
    def where(self) -> str:
        """file:line:column."""
        return self.document.where(self.path)

    @property
    def key(self) -> str:
        """The path as people write it: spec.strategy.canary.steps[2]."""
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text

    def wrong(self, what: str, remedy: str) -> ConfigError:
        """Return the error that something is wrong with this value."""
        return ConfigError(f"{self.key}: {what}" if self.path else what, where=self.where, remedy=remedy)

    def at(self, *path: str) -> Node:
        """Return the value below, with value None where there is none. Raises ConfigError below a list or text."""
        node = self
        for name in path:
            below = None if node.value is None else node.mapping().get(name)
            node = Node(self.document, (*node.path, name), below)
        return node

    def __bool__(self) -> bool:
        return self.value is not None

    def mapping(self) -> dict[str, Any]:
        """Return it as a mapping, {} where it is absent."""
        if self.value is not None and not isinstance(self.value, dict):
            raise self.wrong("is not a mapping of keys to values", "write keys below it")
        return self.value or {}

    def items(self) -> list[Node]:
        """Return the items of a list, none where it is absent."""
        if self.value is not None and not isinstance(self.value, list):
            raise self.wrong("is not a list", "write one '- ' a line, or [a, b]")
        return [Node(self.document, (*self.path, number), item) for number, item in enumerate(self.value or ())]

    def text(self, default: str | None = None) -> str:
        """Return it as text; a number as it is written. Raises ConfigError where it is absent without default."""
        if self.value is None and default is not None:
            return default
        if self.value is None:
            raise self.wrong("is missing", f"add '{self.path[-1]}:'")
        if isinstance(self.value, dict | list):
            raise self.wrong("is not a text", "put it in quotes if that text is meant")
        return str(self.value).lower() if isinstance(self.value, bool) else str(self.value)

    def number(self, default: float) -> float:
        """Return a finite number from 0 on; texts that are one count, as they do in Kubernetes."""
        if self.value is None:
            return default
        text = "" if isinstance(self.value, bool) else self.text()
        if not re.fullmatch(r"\d{1,12}(\.\d{1,12})?", text):
            raise self.wrong(f"{self.value!r} is not a number from 0 on", "write a number such as 5")
        return float(text)

    def flag(self) -> bool:
        """Return true or false; absent is false."""
        if self.value is not None and not isinstance(self.value, bool):
            raise self.wrong(f"{self.value!r} is neither true nor false", "write true or false")
        return bool(self.value)

    def duration(self, default: float = 0.0) -> float:
        """Return seconds from `5m`, `1h30m` or a bare number of seconds."""
        if self.value is None:
            return default
        if re.fullmatch(r"\d+(\.\d+)?", text := self.text()):
            return self.number(default)
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise self.wrong(f"{text!r} is not a duration", "write 30s, 5m or 1h30m")
        return sum(float(number) * _UNITS[unit] for number, unit in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One object: its group and version, kind, name, namespace ('' where none is written), and its content."""

    api: str
    kind: str
    name: str
    namespace: str
    node: Node

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def read_manifests(files: Iterable[Path]) -> list[Manifest]:
    """Return every object of these files. Raises ConfigError: no YAML, no object, or a chart that was not rendered."""
    found: list[Manifest] = []
    for file in files:
        text = read_text(file)
        _is_rendered(text, str(file))
        documents = parse_documents(text, file=str(file))
        if not documents:
            raise ConfigError(
                "holds no object", where=str(file), remedy="name the files with the rollout and its metrics"
            )
        for document in documents:
            found += _objects(Node(document, (), document.data))
    return found


def _is_rendered(text: str, file: str) -> None:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.lstrip().startswith("#") and (left := _HELM.search(line)) is not None:
            what = f"templating of a chart is left in: {line[left.start() :].strip()[:60]}"
            remedy = "import what `helm template` prints"
            raise ConfigError(what, where=f"{file}:{number}:{left.start() + 1}", remedy=remedy)


def _objects(node: Node) -> Iterator[Manifest]:
    if not isinstance(node.value, dict) or not {"apiVersion", "kind"} <= node.value.keys():
        what = "is no Kubernetes object: it has no apiVersion and kind"
        raise ConfigError(what, where=node.where, remedy="name manifests, as `kubectl get -o yaml` prints them")
    kind = node.at("kind").text()
    if kind == "List" or (kind.endswith("List") and "items" in node.value):
        for item in node.at("items").items():
            yield from _objects(item)
        return
    try:
        msgspec.json.encode(node.value)
    except UnicodeEncodeError:
        raise node.wrong("holds half of a character (\\ud800 to \\udfff)", "write the character itself") from None
    metadata = node.at("metadata")
    yield Manifest(
        api=node.at("apiVersion").text(),
        kind=kind,
        name=metadata.at("name").text(""),
        namespace=metadata.at("namespace").text(""),
        node=node,
    )


def of_kinds(manifests: Sequence[Manifest], versions: dict[str, str]) -> list[Manifest]:
    """Return the objects of these kinds; versions: kind -> the apiVersion that is understood.

    Objects of other groups (Services, Deployments) are passed over. Raises ConfigError for a wrong version, for no
    name, and for two of one name.
    """
    groups = {version.partition("/")[0] for version in versions.values()}
    found: dict[tuple[str, str, str], Manifest] = {}
    for manifest in manifests:
        wanted = versions.get(manifest.kind)
        if wanted is None or manifest.api.partition("/")[0] not in groups:
            continue
        if manifest.api != wanted:
            what = f"apiVersion {manifest.api} of kind {manifest.kind} is not known here"
            raise ConfigError(what, where=manifest.node.at("apiVersion").where, remedy=f"convert it to {wanted}")
        if not manifest.name:
            raise manifest.node.at("metadata").wrong("has no name", "add metadata.name")
        key = (manifest.kind, manifest.namespace, manifest.name)
        if key in found:
            what = f"a second {manifest}, the first is at {found[key].node.where}"
            raise ConfigError(what, where=manifest.node.where, remedy="name each object once")
        found[key] = manifest
    return list(found.values())


def begins_with(
    kind: str, manifests: Sequence[Manifest], versions: dict[str, str], *, service: str
) -> tuple[list[Manifest], list[Manifest]]:
    """Return the objects of the kind that becomes a policy, and those of the other kinds that they may name.

    service: the one that was asked for, "" for none. Raises ConfigError as `of_kinds` does, and where there is no
    object of that kind or one service stands for several.
    """
    found = of_kinds(manifests, versions)
    chosen = [one for one in found if one.kind == kind]
    if not chosen:
        there = ", ".join(map(str, manifests))
        what = f"there is no {kind} of {versions[kind]}: steps and traffic are its (there: {there})"
        raise ConfigError(what, where=manifests[0].node.document.file, remedy=f"name the file with the {kind}, too")
    if service and len(chosen) > 1:
        what = f"--service names one service, and there are {len(chosen)} objects of kind {kind}"
        raise ConfigError(what, where=chosen[1].node.where, remedy=f"import one {kind} at a time")
    return chosen, [one for one in found if one.kind != kind]
