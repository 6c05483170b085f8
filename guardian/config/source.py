"""A YAML file with the place of every key and value, so that an error can say file:line:column.

Does not know what the keys mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean

from guardian.errors import ConfigError

YamlPath = tuple[str | int, ...]
_Place = tuple[int, int]
_SELECTOR: Final = re.compile(r"""[\s{,]\w+\s*:\s*[A-Za-z_:][\w:]*\{""")
"""A metric selector without quotes: YAML reads its brace as a mapping."""
MOST_NODES: Final = 100_000
"""A policy folder has some hundred; a file of nested aliases would grow without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One YAML document: plain data, and where its keys and values stand (line and column from 1).

    files: of what was written in another file, which.
    """

    file: str
    data: Any
    keys: Mapping[YamlPath, tuple[int, int]] = field(default_factory=dict)
    values: Mapping[YamlPath, tuple[int, int]] = field(default_factory=dict)
    files: Mapping[YamlPath, str] = field(default_factory=dict)

    def where(self, path: Sequence[str | int], *, key: bool = False) -> str:
        """Return file:line:column of the value at the path (or of its key), else of its nearest parent.

        Parts of the path that are not in the file (names of union members) are passed over.
        """
        found = self.resolve(path)
        marks = self.keys if key and found in self.keys else self.values
        line, column = marks.get(found, (1, 1))
        return f"{self.files.get(found, self.file)}:{line}:{column}"

    def resolve(self, path: Sequence[str | int]) -> YamlPath:
        """Return the part of the path that exists in the file."""
        found: YamlPath = ()
        for part in path:
            if (*found, part) in self.values:
                found = (*found, part)
        return found


def read_documents(path: Path) -> list[Document]:
    """Return the documents of a YAML file that are not empty. Raises ConfigError with line, column."""
    return parse_documents(read_text(path), file=str(path))


def read_text(path: Path) -> str:
    """Return the text of a file. Raises ConfigError when there is none, or it is no text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("there is no such file", where=str(path), remedy="check the path") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"byte {error.start} is not UTF-8", where=str(path), remedy="save the file as UTF-8 text"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror or error}",
            where=str(path),
            remedy="check the path and its permissions",
        ) from None


def parse_documents(text: str, *, file: str) -> list[Document]:
    """Return the documents of a YAML text; `file` is what errors call it. Raises ConfigError."""
    try:
        return [_document(tree, file) for tree in YAML(typ="rt", pure=True).load_all(text) if tree is not None]
    except MarkedYAMLError as error:
        problem = " ".join(str(error.problem or error.context or "not YAML").split())
        quote = error.context_mark if "quoted scalar" in str(error.context) else None  # where it begins, not the end
        mark = quote or error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        remedy = "close the quote that begins here" if quote else _remedy(problem, _line(text, mark))
        raise ConfigError(f"is not valid YAML: {problem}", where=where, remedy=remedy) from None
    except (YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())[:200] or "nested too deeply"
        raise ConfigError(f"is not valid YAML: {problem}", where=file, remedy=_remedy(problem)) from None


def _line(text: str, mark: Any) -> str:
    """Return the line a mark is on."""
    lines = text.splitlines()
    return lines[mark.line] if mark and mark.line < len(lines) else ""


def _remedy(problem: str, line: str = "") -> str:
    if "duplicate key" in problem:
        return "keep one of the two"
    if "tab" in problem or "\\t" in problem:
        return "indent with spaces"
    if _SELECTOR.search(line):
        return """put the selector in quotes: 'name{label="value"}'"""
    return "check indentation, quotes and brackets at this place"


def _document(tree: Any, file: str) -> Document:
    keys: dict[YamlPath, tuple[int, int]] = {}
    values: dict[YamlPath, tuple[int, int]] = {(): _mark(tree)}
    for path, key, value in _children((), tree):
        keys[path], values[path] = key, value
        if len(values) > MOST_NODES:
            raise ConfigError(
                f"more than {MOST_NODES} entries",
                where=file,
                remedy="split the file, or remove nested aliases",
            )
    return Document(file=file, data=_plain(tree), keys=keys, values=values)


def _mark(tree: Any) -> tuple[int, int]:
    place = getattr(tree, "lc", None)
    return (place.line + 1, place.col + 1) if place is not None and place.line is not None else (1, 1)


def _children(path: YamlPath, tree: Any) -> Iterator[tuple[YamlPath, _Place, _Place]]:
    """Yield every node below: its path, and where its key and its value begin."""
    if isinstance(tree, Mapping):
        items: list[tuple[Any, Any]] = list(tree.items())
    elif isinstance(tree, list):
        items = list(enumerate(tree))
    else:
        return
    places = getattr(getattr(tree, "lc", None), "data", None) or {}
    for name, node in items:
        mark = places.get(name)
        key = (mark[0] + 1, mark[1] + 1) if mark else _mark(tree)
        value = (mark[-2] + 1, mark[-1] + 1) if mark else _mark(tree)
        here = (*path, name if isinstance(name, int) and isinstance(tree, list) else str(name))
        yield here, key, value
        yield from _children(here, node)


def _plain(tree: Any) -> Any:
    """Return the tree in plain types; ruamel's own carry comments and styles."""
    if isinstance(tree, Mapping):
        return {str(key): _plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_plain(item) for item in tree]
    if isinstance(tree, bool | ScalarBoolean):
        return bool(tree)
    if tree is None:
        return None
    for plain in (str, int, float):
        if isinstance(tree, plain):
            return plain(tree)
    return str(tree)  # dates and sets: as text, so that a field can refuse them
