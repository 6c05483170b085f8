"""`guardian schema`: JSON Schema for editors, or the reference of every key."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from guardian.cli.options import OutputOption
from guardian.cli.output import Output, Table, show
from guardian.config.schema import json_schema, keys, reference


class Subject(StrEnum):
    """What there is a schema of."""

    POLICY = "policy"
    SETTINGS = "settings"


SubjectArgument = Annotated[Subject, typer.Argument(help="policy, or settings (guardian.yaml)")]


def schema(subject: SubjectArgument = Subject.POLICY, output: OutputOption = Output.JSON) -> None:
    """Print the JSON Schema of policies or of guardian.yaml; -o markdown or table: every key in words."""
    if output is Output.MARKDOWN:
        print(reference(subject.value), end="")
    elif output is Output.TABLE:
        rows = [(key.path, key.kind, key.default.strip("*`"), key.meaning) for key in keys(subject.value)]
        table = Table(columns=("key", "write", "default", "meaning"), rows=rows, styles={"key": "cyan"})
        show("Schema", {}, output, tables=[table])
    elif output is Output.YAML:
        show("Schema", {"schema": json_schema(subject.value)}, output, tables=[])
    else:
        # Bare, without apiVersion and kind: editors and validators read it as it stands.
        print(msgspec.json.format(msgspec.json.encode(json_schema(subject.value)), indent=2).decode())
