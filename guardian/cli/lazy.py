"""The list of commands, each imported only when it is run: `guardian --help` reads first lines, not modules."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from guardian.cli.output import SCREEN

COMMANDS: Final[dict[str, str]] = {
    "run": "guardian.cli.run:run",
    "deploy": "guardian.cli.deploy:deploy",
    "gate": "guardian.cli.gate:gate",
    "list": "guardian.cli.rollouts:list_rollouts",
    "status": "guardian.cli.rollouts:status",
    "explain": "guardian.cli.explain:explain",
    "promote": "guardian.cli.orders:promote",
    "pause": "guardian.cli.orders:pause",
    "resume": "guardian.cli.orders:resume",
    "approve": "guardian.cli.orders:approve",
    "reject": "guardian.cli.orders:reject",
    "abort": "guardian.cli.orders:abort",
    "rollback": "guardian.cli.orders:rollback",
    "amend": "guardian.cli.orders:amend",
    "check": "guardian.cli.check:check",
    "plan": "guardian.cli.plan:plan",
    "schema": "guardian.cli.schema:schema",
    "doctor": "guardian.cli.doctor:doctor",
    "import": "guardian.cli.importing:importing",
    "judge": "guardian.cli.judge:judge",
    "backtest": "guardian.cli.backtest:backtest",
    "replay": "guardian.cli.replay:replay",
    "journal": "guardian.cli.journal:journal",
    "version": "guardian.cli.version:version",
}
"""Command -> "module:function"; commands of other packages come by the entry-point group `guardian.commands`."""
PLUGINS: Final = "guardian.commands"


class LazyGroup(TyperGroup):
    """Knows its commands by name and first line; imports one when it is to be run."""

    def __init__(self, *, sources: dict[str, str], **attributes: Any) -> None:
        super().__init__(**attributes)
        self.sources = sources
        self.params = [*self.params, *version_option(), *common_options()]
        for name, source in sources.items():
            line = first_line(source)
            self.add_command(TyperCommand(name, help=line, short_help=line, rich_markup_mode=None))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command named, then go on as usual: options and nearest names are typer's."""
        if args and args[0] in self.sources:
            self.add_command(load(args[0], self.sources[args[0]]))
        return super().resolve_command(ctx, args)


def load(name: str, source: str) -> Any:
    """Return the command behind "module:function" with the options that all commands share."""
    module, _, attribute = source.partition(":")
    imported = importlib.import_module(module)
    found: Callable[..., Any] | typer.Typer = getattr(imported, attribute)
    if isinstance(found, typer.Typer):
        app = found
    else:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, cls=getattr(imported, "COMMAND", TyperCommand))(found)
    command = get_command(app)
    command.name = name
    leaves = [command, *getattr(command, "commands", {}).values()]
    for leaf in leaves:
        leaf.params = [*leaf.params, *common_options()]
    return command


def sources() -> dict[str, str]:
    """Return every command that is installed, ours first. A plugin never replaces one of ours."""
    from importlib.metadata import entry_points  # noqa: PLC0415  reads the disk

    found = dict(COMMANDS)
    for point in entry_points(group=PLUGINS):
        if _source(point.value):  # half of a distribution may be installed: only what works is listed
            found.setdefault(point.name, point.value)
    return found


def first_line(source: str) -> str:
    """Return the first line of a command's docstring, read from its source without running it."""
    text, attribute = _source(source), source.partition(":")[2]
    found = re.search(rf'^def {attribute}\(.*?"""(.*?)(?:\n|""")', text, re.DOTALL | re.MULTILINE)
    found = found or re.search(rf'^{attribute} = [\w.]+\(.*?help="(.*?)"', text, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def _source(source: str) -> str:
    """Return the text of the module in "module:function"; "" when there is none."""
    module = source.partition(":")[0]
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return ""
    get_source = getattr(spec.loader, "get_source", None) if spec is not None else None
    return (get_source(module) if get_source is not None else None) or ""


def version_option() -> list[Any]:
    """Return --version, which programs ask for that know no other way; `guardian version` says more."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(_versioned)
    (option,) = get_command(app).params
    option.expose_value, option.is_eager, option.callback = False, True, _show_version
    return [option]


def _versioned(version: bool = typer.Option(False, "--version", help="show the version and exit")) -> None:
    """Carry the option; never called."""


def _show_version(_ctx: Any, _param: Any, value: Any) -> Any:
    if value:
        from importlib.metadata import version  # noqa: PLC0415  reads the disk

        print(f"slo-guardian {version('slo-guardian')}")
        raise typer.Exit
    return value


def common_options() -> list[Any]:
    """Return --no-color and --quiet, which every command takes and none reads."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(_common)
    options = get_command(app).params
    for option, callback in zip(options, (_set_color, _set_quiet), strict=True):
        option.expose_value, option.callback = False, callback
    return list(options)


def _common(
    no_color: bool = typer.Option(False, "--no-color", help="print without colors"),
    quiet: bool = typer.Option(False, "-q", "--quiet", help="print data and errors only"),
) -> None:
    """Carry the two options; never called."""


def _set_color(_ctx: Any, _param: Any, value: Any) -> Any:
    SCREEN.color = SCREEN.color and not value
    return value


def _set_quiet(_ctx: Any, _param: Any, value: Any) -> Any:
    SCREEN.quiet = SCREEN.quiet or bool(value)
    return value
