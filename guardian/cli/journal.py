"""`guardian journal verify|export`: the journal read from outside; the daemon may run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from guardian.adapters.journal import audit
from guardian.cli.connect import find_settings
from guardian.cli.exits import ExitCode
from guardian.cli.options import ConfigOption, OutputOption
from guardian.cli.output import Output, Table, show, show_error
from guardian.config.settings import Settings
from guardian.errors import JournalError

FILE: Final = "journal.sqlite"
"""Name of the journal in the data folder, as guardian.app.serve has it."""
PathArgument = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="journal file or data folder; default: that of guardian.yaml")
]
journal = typer.Typer(
    add_completion=False, rich_markup_mode=None, help="Verify the journal, or export it as JSON lines."
)


@journal.command()
def verify(path: PathArgument = None, *, output: OutputOption = Output.TABLE, config: ConfigOption = None) -> None:
    """Follow the hash chain over all rows.

    Exit 0: whole; 3: damaged, and stderr says which row is the first.
    """
    file = _file(path, config)
    try:
        whole = audit.verify(file)
    except JournalError as error:
        if not file.is_file():
            raise
        show_error(error)
        raise typer.Exit(ExitCode.NO) from None
    found = {"file": str(file), "rows": whole.rows, "head": whole.head}
    table = Table(columns=("file", "rows", "head"), rows=[tuple(found.values())], notes=["whole"])
    show("Journal", found, output, tables=[table])


@journal.command()
def export(
    path: PathArgument = None,
    *,
    after: Annotated[int, typer.Option("--after", metavar="SEQ", help="rows after this one only")] = 0,
    config: ConfigOption = None,
) -> None:
    """Print every row as one line of JSON.

    Its keys: seq, at, rollout, source, id, fact, records.
    """
    for line in audit.export(_file(path, config), after=after):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _file(path: Path | None, config: Path | None) -> Path:
    place = path or (find_settings(config) or Settings()).data
    return place / FILE if place.is_dir() or path is None else place
