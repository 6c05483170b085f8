"""What keeps the daemon from its work just now, as /readyz and the log tell it. Judges nothing, stores nothing."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is wrong now. blocking: events cannot be taken while it lasts."""

    part: str
    text: str
    blocking: bool


class Health:
    """Problems by the part that has them; begins with one, that the daemon is starting."""

    def __init__(self) -> None:
        self._problems: dict[str, Problem] = {"start": Problem(part="start", text="reading the journal", blocking=True)}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong, by part."""
        return tuple(self._problems[part] for part in sorted(self._problems))

    @property
    def ready(self) -> bool:
        """Whether events can be taken."""
        return not any(problem.blocking for problem in self._problems.values())

    def report(self, part: str, text: str, *, blocking: bool = False) -> None:
        """Say that something is wrong; saying it again changes nothing."""
        problem = Problem(part=part, text=text, blocking=blocking)
        if self._problems.get(part) != problem:
            self._problems[part] = problem
            _log.warning("problem", part=part, text=text, blocking=blocking)

    def clear(self, part: str) -> None:
        """Say that it is right again."""
        if self._problems.pop(part, None) is not None and part != "start":  # starting was no problem to anybody
            _log.info("problem_over", part=part)
