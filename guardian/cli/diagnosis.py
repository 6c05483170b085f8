"""What a check of `guardian doctor` may say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from guardian.errors import GuardianError


class Health(StrEnum):
    """OK; PROBLEM: the daemon would suffer from it; NOTE: worth knowing."""

    OK = "ok"
    PROBLEM = "problem"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """One check and what it found."""

    check: str
    health: Health
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Symptom:
    """Return that all is well."""
    return Symptom(check=check, health=Health.OK, text=text)


def note(check: str, text: str, remedy: str = "") -> Symptom:
    """Return something worth knowing."""
    return Symptom(check=check, health=Health.NOTE, text=text, remedy=remedy)


def problem(check: str, text: str, remedy: str) -> Symptom:
    """Return something the daemon would suffer from."""
    return Symptom(check=check, health=Health.PROBLEM, text=text, remedy=remedy)


def of_error(check: str, error: GuardianError) -> Symptom:
    """Return the problem an error is."""
    where = f"{error.where}: " if error.where else ""
    return problem(check, f"{where}{error.what}", error.remedy)
