"""The field types that policies and guardian.yaml share: units, secrets, addresses, one-key adapters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from guardian.config.findings import complaint, quantity
from guardian.config.units import parse_duration, parse_number, parse_share, parse_size
from guardian.errors import ConfigError

API_VERSION: Final = "slo-guardian/v1"

_DURATION: Final = {"type": "string", "description": "a duration", "examples": ["90s", "5m", "1h30m"]}
_SHARE: Final = {"type": ["string", "number"], "description": "a share", "examples": ["5%", 0.05]}
_NUMBER: Final = {"type": ["string", "number"], "description": "a number", "examples": [0.8, "80%"]}
_SIZE: Final = {"type": ["string", "integer"], "description": "a size", "examples": ["1MiB"]}

Duration = Annotated[float, BeforeValidator(quantity(parse_duration)), WithJsonSchema(_DURATION)]
"""Seconds, written `90s`, `5m`, `1h30m`."""
ShareField = Annotated[float, BeforeValidator(quantity(parse_share)), WithJsonSchema(_SHARE)]
"""0..1, written `5%` or `0.05`."""
Number = Annotated[float, BeforeValidator(quantity(parse_number)), WithJsonSchema(_NUMBER)]
Size = Annotated[int, BeforeValidator(quantity(parse_size)), WithJsonSchema(_SIZE)]
"""Bytes, written `1MiB`."""
Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/\x00-\x1f\x7f]+$")]


class Section(BaseModel):
    """One mapping as a user writes it: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _absolute(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    path = path.expanduser()
    return path if path.is_absolute() or base is None else Path(base) / path


FilePath = Annotated[Path, AfterValidator(_absolute), WithJsonSchema({"type": "string", "description": "a path"})]
"""A path; a relative one is meant from the folder of the file it is written in."""


class Secret(Section):
    """A secret is named, never written: {file: PATH} or {env: NAME}. Read at each use."""

    file: FilePath | None = Field(None, description="file that holds only the secret")
    env: str | None = Field(None, description="environment variable that holds the secret")

    @model_validator(mode="before")
    @classmethod
    def _is_named(cls, value: Any) -> Any:
        remedy = "write {file: PATH} or {env: NAME}"
        if isinstance(value, Secret):
            return value
        if not isinstance(value, dict):  # its text is never shown: it may be the secret itself
            raise complaint("a secret is written here in plain", remedy)
        if len({"file", "env"} & value.keys()) != 1 and value.keys() <= {"file", "env"}:
            raise complaint("a secret needs exactly one of 'file' and 'env'", remedy)
        return value

    def read(self) -> str:
        """Return the secret as it is now. Raises ConfigError when it is absent or empty."""
        if self.env is not None:
            value, where = os.environ.get(self.env, ""), f"environment variable {self.env}"
        else:
            value, where = self._from_file()
        if not value:
            raise ConfigError("the secret is empty or absent", where=where, remedy="set it, or name another place")
        return value

    def _from_file(self) -> tuple[str, str]:
        path = self.file or Path()
        try:
            return path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"the secret cannot be read: {error}",
                where=str(path),
                remedy="check the path and its permissions",
            ) from None


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _address(value: object) -> Address:
    remedy = "write host:port, for example 127.0.0.1:8080"
    if isinstance(value, Address):
        return value
    if not isinstance(value, str) or ":" not in value:
        raise complaint(f"{value!r} is not an address", remedy)
    host, _, port = value.rpartition(":")
    if not port.isdigit() or int(port) > 65535 or (":" in host and not host.startswith("[")):
        raise complaint(f"{value!r} is not an address", remedy)
    return Address(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104  ":8080" means every interface, as elsewhere


AddressField = Annotated[
    Address, BeforeValidator(_address), WithJsonSchema({"type": "string", "examples": ["127.0.0.1:8080"]})
]
