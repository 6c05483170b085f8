"""`guardian schema`: JSON Schema for editors, or the reference of every key."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import typer

from guardian.cli.options import OutputOption
from guardian.cli.output import Output, Table, show
from guardian.config.findings import hint
from guardian.config.schema import SUBJECTS, Subject
from guardian.errors import ConfigError

PLUGINS: Final = "guardian.schemas"
SubjectArgument = Annotated[str, typer.Argument(help="policy, settings (guardian.yaml) or scenario")]


def schema(subject: SubjectArgument = "policy", output: OutputOption = Output.JSON) -> None:
    """Print the JSON Schema of a kind of file; -o markdown or table: every key in words."""
    chosen = _found(subject)
    if output is Output.MARKDOWN:
        print(chosen.reference(subject), end="")
    elif output is Output.TABLE:
        rows = [(key.path, key.kind, key.default.strip("*`"), key.meaning) for key in chosen.rows()]
        table = Table(columns=("key", "write", "default", "meaning"), rows=rows, styles={"key": "cyan"})
        show("Schema", {}, output, tables=[table])
    elif output is Output.YAML:
        show("Schema", {"schema": chosen.json_schema()}, output, tables=[])
    else:
        # Bare, without apiVersion and kind: editors and validators read it as it stands.
        print(msgspec.json.format(msgspec.json.encode(chosen.json_schema()), indent=2).decode())


def _found(name: str) -> Subject:
    """Return what is meant. Raises ConfigError for a kind of file that there is not."""
    from importlib.metadata import entry_points  # noqa: PLC0415  reads the disk

    further = {point.name: point for point in entry_points(group=PLUGINS)}
    if name in SUBJECTS:
        return SUBJECTS[name]
    if name not in further:
        raise ConfigError(f"there is no schema of '{name}'", remedy=hint(name, [*SUBJECTS, *further]))
    found: Subject = further[name].load()
    return found
