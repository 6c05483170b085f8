"""The whole of it: try the policy and others like it, choose one, prove it on fresh seeds, and say what each knob does.

What is tried depends on the policy, the space, the scenarios and the number of trials; never on who plays it, in what
order it ends, or how often it was interrupted. A budget of time is the exception, and ends a search between batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Final

from guardian.config.policy import parse_policy
from guardian.core.model import Seconds, Verdict
from guardian.errors import ScenarioError
from simulator.library import judged_by, parse
from simulator.tuning.confirm import Confirmation, confirmed
from simulator.tuning.crew import Crew, made_with
from simulator.tuning.kept import Header, Kept
from simulator.tuning.objectives import Figures, Runs, figures, score, wrong_more
from simulator.tuning.search import BATCH, Search
from simulator.tuning.space import Choice, Knob, Space
from simulator.tuning.tapes import Tape, truths
from simulator.tuning.trial import TapeTask, Task, Tried, Work

FRESH_FROM: Final = 1_000_001
"""First of the seeds that no search sees."""
SEARCHING: Final = 0.75
"""Part of a budget that the search may use; the rest proves the answer and asks what each knob does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is played, and how much. scenarios: name -> text; tapes: name -> tape, of other names.

    seeds, fresh: how many of each scenario; a tape is one world, and played once.
    trials: policies tried at most, the one that came in not counted; budget: seconds. None: no limit.
    """

    scenarios: Mapping[str, str]
    seeds: int
    fresh: int
    trials: int | None
    budget: Seconds | None
    tapes: Mapping[str, Tape] = field(default_factory=dict)

    @property
    def worlds(self) -> int:
        """How many tasks a policy is in the search."""
        return len(self.scenarios) + len(self.tapes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The recommended policy with one knob at another value. figures: None where it was not tried."""

    knob: Knob
    level: int
    figures: Figures | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What came of it. tried: figures by choice, in the order they were tried, the policy itself first.

    front: choices that nobody beats, best first. candidate: the best of them without more wrong verdicts; the policy
    itself where nothing is better. recommended: the same after it was proved on fresh seeds. stopped: why the search
    ended. skipped: combinations that are no policy, counted by reason. moved: the recommended one, knob by knob.
    tapes: what was recorded, and replays: by choice what it came to on each of them.
    """

    space: Space
    tried: Mapping[Choice, Figures]
    front: tuple[Choice, ...]
    candidate: Choice
    recommended: Choice
    confirmation: Confirmation | None
    moved: tuple[Moved, ...]
    stopped: str
    skipped: Mapping[str, int]
    tapes: Mapping[str, Tape]
    replays: Mapping[Choice, Mapping[str, Tried]]

    @property
    def base(self) -> Figures:
        """Figures of the policy that came in."""
        return self.tried[self.space.base]


class Study:
    """A search in progress. elapsed: seconds since it began; progress: is told the share that is done, 0..1."""

    def __init__(
        self, space: Space, terms: Terms, crew: Crew, kept: Kept, *,
        elapsed: Callable[[], float], progress: Callable[[float], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.space, self.terms, self.crew, self.kept = space, terms, crew, kept
        self.elapsed, self.progress = elapsed, progress
        self.search = Search(space)
        self.tried: dict[Choice, Runs] = {}
        self.done = self.played = 0
        """Tasks that are behind it, and those of them that were not found among what was kept."""

    @cached_property
    def truths(self) -> Mapping[str, Verdict]:
        """What must come out of each scenario and tape."""
        simulated = {name: parse(text, file=name).spec.truth.verdict for name, text in self.terms.scenarios.items()}
        return simulated | truths(self.terms.tapes)

    def run(self) -> Tuning:
        """Search, choose, prove and explain."""
        stopped = self._search()
        candidate = self._trimmed(self._best())
        confirmation = self._confirm(candidate) if candidate != self.space.base else None
        holds = confirmation is not None and confirmation.holds
        recommended = candidate if holds else self.space.base
        moved = self._moved(recommended)
        found = self._figures()
        return Tuning(
            space=self.space, tried=found, front=tuple(self.search.ranked(found)),
            candidate=candidate, recommended=recommended, confirmation=confirmation,
            moved=moved, stopped=stopped, skipped=dict(self.search.skipped), tapes=self.terms.tapes,
            replays={choice: {name: runs[name][0] for name in self.terms.tapes} for choice, runs in self.tried.items()},
        )  # fmt: skip

    def _search(self) -> str:
        """Try batch after batch; return why it ended."""
        self._try([self.space.base])
        while True:
            trials, limit = len(self.tried) - 1, self.terms.trials
            if limit is not None and trials >= limit:
                return f"{limit} policies were tried"
            if self._spent() >= SEARCHING:
                return f"the budget of time ended after {trials} policies"
            batch = self.search.next(self._figures())
            if not batch:
                return f"all {trials} other policies of the space were tried"
            self._try(batch if limit is None else batch[: limit - trials])

    def _best(self) -> Choice:
        """Return the best without more wrong verdicts than the policy that came in; that one where none is better."""
        found = self._figures()
        base = found[self.space.base]
        lawful = (one for one in self.search.ranked(found) if self._lawful(one, found))
        best = next(lawful, self.space.base)
        return best if score(found[best], base) < 1.0 else self.space.base

    def _lawful(self, choice: Choice, found: Mapping[Choice, Figures]) -> bool:
        """Whether there are no more wrong verdicts, and on no tape one where the policy that came in is right."""
        mine, base = self.tried[choice], self.tried[self.space.base]
        spoilt = any(base[name][0].right and not mine[name][0].right for name in self.terms.tapes)
        return not spoilt and not wrong_more(found[choice], found[self.space.base])

    def _trimmed(self, choice: Choice) -> Choice:
        """Take back, one by one, changes that bring nothing: nobody should have to wonder why they are there."""
        for number in range(len(choice)):
            without = (*choice[:number], 0, *choice[number + 1 :])
            if without == choice or not self.search.usable(without):
                continue
            if without not in self.tried:
                self._try([without])
            found = self._figures()
            base = found[self.space.base]
            if self._lawful(without, found) and score(found[without], base) <= score(found[choice], base):
                choice = without
        return choice

    def _spent(self) -> float:
        """Return the part of the budget that is used up, with what proving the answer will take."""
        if self.terms.budget is None:
            return 0.0
        each = self.elapsed() / max(self.played, 1)
        proof = 2.0 * each * len(self.terms.scenarios) * self.terms.fresh / self.terms.seeds
        return (self.elapsed() + proof) / self.terms.budget

    def _tell(self) -> None:
        """Tell how far it is, by time or by what is still to be played."""
        self.done += 1
        share = self.elapsed() / self.terms.budget if self.terms.budget else 0.0
        if self.terms.trials is not None:
            policies = 1 + self.terms.trials + 2 * self.terms.fresh / self.terms.seeds + self.space.others
            share = max(share, self.done / (policies * self.terms.worlds))
        self.progress(min(share, 1.0))

    def _figures(self) -> dict[Choice, Figures]:
        base = self.tried[self.space.base]
        return {choice: figures(runs, base, self.truths) for choice, runs in self.tried.items()}

    def _try(self, choices: Sequence[Choice]) -> None:
        seeds = range(1, self.terms.seeds + 1)
        for choice, runs in zip(choices, self._play(choices, seeds, self.terms.tapes), strict=True):
            self.tried[choice] = runs

    def _confirm(self, candidate: Choice) -> Confirmation:
        seeds = tuple(range(FRESH_FROM, FRESH_FROM + self.terms.fresh))
        before, after = self._play([self.space.base, candidate], seeds)
        return confirmed(before, after, self.truths, seeds)

    def _moved(self, choice: Choice) -> tuple[Moved, ...]:
        """Try the neighbours of a choice, as long as there is time."""
        near = self.search.neighbours(choice)
        new = [one for one in near if one not in self.tried]
        for at in range(0, len(new), BATCH):
            if self.terms.budget is not None and self.elapsed() >= self.terms.budget:
                break
            self._try(new[at : at + BATCH])
        found = self._figures()
        return tuple(
            Moved(knob=knob, level=one[number], figures=found.get(one))
            for one in near
            for number, knob in enumerate(self.space.knobs)
            if one[number] != choice[number]
        )

    def _play(
        self, choices: Sequence[Choice], seeds: Iterable[int], tapes: Mapping[str, Tape] = MappingProxyType({})
    ) -> list[Runs]:
        """Return the runs of choices, those that were kept without playing them again."""
        policies = [self.space.policy_text(choice) for choice in choices]
        wanted: list[tuple[int, str, Work]] = []
        for number, policy in enumerate(policies):
            simulated = {
                name: Task(policy=policy, scenario=text, seeds=tuple(seeds))
                for name, text in self.terms.scenarios.items()
            }
            recorded = {name: TapeTask(policy=policy, tape=tape) for name, tape in tapes.items()}
            wanted += [(number, name, task) for name, task in (simulated | recorded).items()]
        found: dict[tuple[int, str], tuple[Tried, ...]] = {}
        new = []
        for number, name, task in wanted:
            runs = self.kept.get(task.key)
            if runs is None:
                new.append((number, name, task))
            else:
                found[number, name] = runs
                self._tell()
        for at, runs in self.crew.play([task for *_, task in new]):
            number, name, task = new[at]
            self.kept.add(task.key, runs)
            found[number, name] = runs
            self.played += 1
            self._tell()
        return [
            {name: found[number, name] for name in (*self.terms.scenarios, *tapes)} for number in range(len(choices))
        ]


def header(space: Space, terms: Terms) -> Header:
    """Return what a file of kept runs is about; limits may change from one run to the next, what is played may not."""
    knobs = [(knob.place, *map(repr, knob.others)) for knob in space.knobs]
    return Header(
        policy=_digest(space.text),
        space=_digest(repr(knobs)),
        scenarios=_digest(repr((sorted(terms.scenarios.items()), terms.seeds))),
        made_with=made_with(),
        tapes=_digest(repr(sorted((name, tape.digest) for name, tape in terms.tapes.items()))) if terms.tapes else "",
    )


def check(space: Space, terms: Terms) -> None:
    """Raise ScenarioError where a scenario lacks what the policy measures, or has a tape's name; plays nothing."""
    for name in terms.tapes.keys() & terms.scenarios.keys():
        raise ScenarioError(f"a tape and a scenario are both called '{name}'", remedy="rename one of them")
    policy = parse_policy(space.text, file=space.file)
    for name, text in terms.scenarios.items():
        judged_by(parse(text, file=name), policy, file=space.file)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
