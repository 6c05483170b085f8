"""The command line: one file a command, imported when it is run. `main` is the entry point."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from guardian.cli.exits import of_error
from guardian.cli.lazy import LazyGroup, sources
from guardian.cli.output import show_error
from guardian.errors import GuardianError

_HELP = """Watches a release on live metrics; promotes it or rolls it back on evidence valid at every look.

Start with `guardian demo`; then `guardian check` your policy and `guardian run` the daemon."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code. A GuardianError is told in two lines, without traceback."""
    group = LazyGroup(
        sources=sources(),
        name="guardian",
        help=_HELP,
        no_args_is_help=True,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    try:
        group.main(args=None if arguments is None else list(arguments), prog_name="guardian")
    except GuardianError as error:
        show_error(error)
        sys.exit(of_error(error))
