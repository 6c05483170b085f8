"""What commands print: tables that fit the terminal, JSON, YAML or Markdown. Data to stdout, the rest to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from guardian.cli import fit
from guardian.errors import GuardianError

if TYPE_CHECKING:
    from rich.console import Console

API_VERSION: Final = "slo-guardian/v1"
_WIDE: Final = 10_000
"""Width of a table in a pipe: whatever reads it must not lose columns."""


class Output(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "markdown"


@dataclass(slots=True)
class Screen:
    """What the common options ask of all output of this process."""

    color: bool = True
    quiet: bool = False


SCREEN: Final = Screen()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under headings. styles: column -> rich style; notes: lines below the table."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""
    styles: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def console(*, stderr: bool = False) -> Console:
    """Return a rich console that obeys --no-color; in a pipe it neither wraps nor truncates."""
    from rich.console import Console  # noqa: PLC0415  costs as much as the rest of `guardian --help`

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDE
    return Console(file=stream, no_color=not SCREEN.color or None, width=width, highlight=False, soft_wrap=False)


def show(kind: str, data: Mapping[str, Any] | Sequence[Any], output: Output, *, tables: Iterable[Table]) -> None:
    """Print data once. kind: what it is, for readers of JSON and YAML; tables: the same for people."""
    if output is Output.JSON:
        print(msgspec.json.format(msgspec.json.encode(versioned(kind, data)), indent=2).decode())
    elif output is Output.YAML:
        print(_yaml(versioned(kind, data)), end="")
    elif output is Output.MARKDOWN:
        print("\n\n".join(markdown(table) for table in tables))
    else:
        _print_tables(tables)


def show_line(kind: str, data: Mapping[str, Any]) -> None:
    """Print one JSON object on one line: for --watch and for commands that give one result after the other."""
    print(msgspec.json.encode(versioned(kind, data)).decode(), flush=True)


def versioned(kind: str, data: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """Return what is printed as JSON or YAML: apiVersion, kind, then the data (a list becomes `items`)."""
    plain = msgspec.to_builtins(data)
    body = plain if isinstance(plain, dict) else {"items": plain}
    return {"apiVersion": API_VERSION, "kind": kind, **body}


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    lines = [f"**{table.title}**", ""] if table.title else []
    lines.append(f"| {' | '.join(table.columns)} |")
    lines.append(f"|{'---|' * len(table.columns)}")
    for row in table.rows:
        cells = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *table.notes] if table.notes else []
    return "\n".join(lines)


def say(text: str, *, style: str = "") -> None:
    """Tell a person something that is not data; --quiet silences it."""
    if not SCREEN.quiet:
        console(stderr=True).print(text, style=style or None, markup=False)


def warn(text: str) -> None:
    """Tell a person of something that is wrong but does not end the command."""
    say(f"warning: {text}", style="yellow")


def show_error(error: GuardianError) -> None:
    """Print an error: what and where on the first line, the remedy on the second."""
    screen = console(stderr=True)
    where = f"{error.where}: " if error.where else ""
    screen.print(f"error: {where}{error.what}", style="bold red", markup=False)
    if error.remedy:
        screen.print(f"  remedy: {error.remedy}", markup=False)


def _yaml(data: object) -> str:
    import io  # noqa: PLC0415

    from ruamel.yaml import YAML  # noqa: PLC0415  not needed for a table

    stream = io.StringIO()
    YAML(typ="rt", pure=True).dump(data, stream)
    return stream.getvalue()


def _print_tables(tables: Iterable[Table]) -> None:
    screen = console()
    for number, table in enumerate(tables):
        if number:
            screen.print()
        if table.title:
            screen.print(table.title, style="bold", markup=False)
        for part in _fitting(table, screen.width) if table.rows else ():
            screen.print(part)
        for note in table.notes:
            screen.print(note, markup=False, style="dim")


def _fitting(table: Table, room: int) -> Iterator[Any]:
    """Yield the table; where the terminal is too narrow its last column below each row, or a block of lines a row."""
    found = fit.widths(table.columns, table.rows, room=room)
    if found is not None or len(table.columns) < 3:
        yield rich_table(table, widths=found)
        return
    short = [row[:-1] for row in table.rows]
    found = fit.widths(table.columns[:-1], short, room=room)
    if found is not None and table.columns[-1]:
        yield from _hanging(table, short, found)
        return
    for number, row in enumerate(table.rows):
        if number:
            yield ""
        cells = [pair for pair in zip(table.columns, row, strict=True) if str(pair[1])]
        yield rich_table(Table(columns=("", ""), rows=cells), headed=False)


def _hanging(table: Table, short: Sequence[Sequence[object]], found: Sequence[int]) -> Iterator[Any]:
    from rich.padding import Padding  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    columns = table.columns[:-1]
    yield rich_table(Table(columns=columns, rows=()), widths=found)
    for row, cells in zip(table.rows, short, strict=True):
        yield rich_table(Table(columns=columns, rows=(cells,), styles=table.styles), widths=found, headed=False)
        if str(row[-1]):
            yield Padding(Text(str(row[-1])), (0, 0, 0, fit.INDENT))


def rich_table(table: Table, *, widths: Sequence[int] | None = None, headed: bool = True) -> Any:
    """Return the table for a rich console. widths: of its columns, in characters; default: rich decides."""
    from rich.table import Table as RichTable  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = RichTable(box=None, pad_edge=False, header_style="bold", show_edge=False, show_header=headed)
    for number, column in enumerate(table.columns):
        width = widths[number] if widths is not None else None
        drawn.add_column(column, style=table.styles.get(column), overflow="fold", width=width)
    for row in table.rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return drawn
