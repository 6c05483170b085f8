"""`guardian version`: what is installed."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed

from guardian.cli.options import OutputOption
from guardian.cli.output import Output, Table, show
from guardian.core.records import VERSION


def version(output: OutputOption = Output.TABLE) -> None:
    """Show the version of the guardian, of its journal format and of Python."""
    found = {
        "version": installed("slo-guardian"),
        "journal": VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
    }
    table = Table(columns=("part", "version"), rows=list(found.items()))
    show("Version", found, output, tables=[table])
