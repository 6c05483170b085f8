"""`extends`: a scenario file that says only what differs from another; both together are one scenario.

Mappings are merged key by key; everything else, lists too, stands for itself. A mapping of another `kind` or `verdict`
replaces the whole, and `null` takes a key away. Every key keeps the file and line that it was written in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from guardian.config.source import Document, YamlPath, read_documents
from guardian.errors import ScenarioError

EXTENDS: Final = "extends"
PARAMETERS: Final = "parameters"
_WHOLE: Final = ("kind", "verdict")
"""Keys whose value says what the others mean."""
_FILES: Final = {".yaml", ".yml"}


def layered(documents: list[Document], *, file: Path, find: Callable[[str], tuple[Path, ...]]) -> list[Document]:
    """Return the documents of a scenario file with all that it extends; of one that extends nothing, its own.

    find: library name -> file. Raises ScenarioError for what cannot be extended, ConfigError for a file that cannot
    be read.
    """
    return _layered(documents, (file,), find)


def _layered(
    documents: list[Document], chain: tuple[Path, ...], find: Callable[[str], tuple[Path, ...]]
) -> list[Document]:
    if not documents or not isinstance(documents[0].data, dict) or EXTENDS not in documents[0].data:
        return documents
    own, *policies = documents
    name, where = own.data[EXTENDS], own.where((EXTENDS,))
    if not isinstance(name, str) or not name:
        remedy = "write a name of the library, or a file beside this one"
        raise ScenarioError("`extends` names no scenario", where=where, remedy=remedy)
    path = _meant(name, chain[-1], find, where)
    if path.resolve() in {one.resolve() for one in chain}:
        ring = " -> ".join(one.name for one in (*chain, path))
        raise ScenarioError(f"goes round in a circle: {ring}", where=where, remedy="have one of them extend nothing")
    base = _layered(read_documents(path), (*chain, path), find)
    if len(base) != 2 or len(policies) > 1 or not all(isinstance(one.data, dict) for one in (*base, *policies)):
        what = f"what '{name}' and this file hold together is no scenario and its policy"
        raise ScenarioError(what, where=where, remedy="extend a file of two documents; write one, or two as well")
    world = merged(_without(base[0], "metadata"), _without(own, EXTENDS))  # its name and origin are its own
    return [world, merged(base[1], policies[0]) if policies else base[1]]


def _meant(name: str, file: Path, find: Callable[[str], tuple[Path, ...]], where: str) -> Path:
    """Return the file that is extended: one beside this one, or one of the library."""
    if Path(name).suffix in _FILES:
        return file.parent / name
    try:
        return find(name)[0]
    except ScenarioError as error:
        raise ScenarioError(error.what, where=where, remedy=error.remedy) from None


def _without(document: Document, key: str) -> Document:
    return replace(document, data={name: value for name, value in document.data.items() if name != key})


def merged(base: Document, own: Document) -> Document:
    """Return one document; each place of it is where it was written."""
    data = _merged(base.data, own.data)
    keys, values, files = {}, {}, {}
    for path in _paths(data):
        source = own if path in own.values else base
        keys[path], values[path] = source.keys.get(path, (1, 1)), source.values[path]
        files[path] = source.files.get(path, source.file)
    return Document(file=own.file, data=data, keys=keys, values=values, files=files)


def _merged(base: Any, own: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(own, dict) or _another(base, own):
        return own
    found = {name: value for name, value in base.items() if name not in own}
    for name, value in own.items():
        if name == PARAMETERS and isinstance(value, dict):
            found[name] = base.get(name, {}) | value  # each of them is one thing: how it is drawn
        elif value is not None:
            found[name] = _merged(base.get(name), value)
    return found


def _another(base: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    return any(key in own and own[key] != base.get(key) for key in _WHOLE)


def _paths(tree: Any, path: YamlPath = ()) -> Iterator[YamlPath]:
    """Yield the path of every node."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, node in items:
        yield from _paths(node, (*path, name))
