"""Recorded rollouts beside simulated incidents: files that name a tape and what would have been right; their replay.

A tape tells whether a policy would have rolled back, and when; the traffic on it is what the recorded policy sent, so
it does not tell when another one would have promoted, nor whom that would have hurt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import msgspec
from pydantic import Field, ValidationError, model_validator

from guardian.adapters.tapes.folder import parts_of, read_bytes
from guardian.config.fields import Name, Section
from guardian.config.findings import complaint, findings_of
from guardian.config.source import Document, read_documents
from guardian.core import records as r
from guardian.core.differences import Comparison, Outcome, compare, told
from guardian.core.model import Instant, RolloutId, Seconds, Verdict
from guardian.core.playback import Playback, Played
from guardian.core.policy import Policy
from guardian.core.tape import Part
from guardian.errors import ScenarioError
from simulator.scenario import LATE
from simulator.units import Duration

MOST_BYTES: Final = 32 * 2**20
"""Of one tape: it goes to the workers with every policy."""
_EXAMPLE: Final = (
    "a file of `kind: Tape` names Parquet files and says what would have been right: docs/reference/tune.md"
)


class TapeTruth(Section):
    """What somebody who knows the rollout says of it. Times are after the canary's first traffic.

    promote: nothing was wrong with it. rollback: the harm began at `onset`, and going back `within` is in time.
    """

    verdict: Literal[Verdict.ROLLBACK, Verdict.PROMOTE]
    onset: Annotated[Duration, Field(ge=0)] = 0.0
    within: Annotated[Duration, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _has_deadline(self) -> Self:
        if self.verdict is Verdict.ROLLBACK and self.within is None:
            raise complaint("says not by when it should have gone back", "add `within: 5m`, counted from `onset`")
        if self.verdict is Verdict.PROMOTE and (self.within is not None or self.onset):
            what = "a tape does not tell when another policy would have promoted"
            raise complaint(what, "leave out `within` and `onset`")
        return self


class TapeSpec(Section):
    """tape: a part, or a folder of parts, beside this file. revision: which rollout; left out: the only one."""

    story: str = ""
    tape: str
    revision: str | None = None
    truth: TapeTruth


class TapeMetadata(Section):
    """What the tape is called."""

    name: Name
    title: str = ""


class TapeFile(Section):
    """One recorded rollout as a user writes of it."""

    api_version: Literal["slo-guardian/v1"] = Field(alias="apiVersion")
    kind: Literal["Tape"]
    metadata: TapeMetadata
    spec: TapeSpec


class Tape(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded rollout with all that is needed to judge it again anywhere.

    parts: contents of its files, oldest first. under: the policy it was recorded under. opened, zero: when it was
    opened, and had its first traffic. verdict, onset, within: the truth, within None of a promote. recorded: what it
    came to, in words.
    """

    name: str
    parts: tuple[bytes, ...]
    service: str
    environment: str
    rollout: RolloutId
    under: Policy
    opened: Instant
    zero: Instant
    verdict: Verdict
    onset: Seconds
    within: Seconds | None
    recorded: str

    @property
    def digest(self) -> str:
        """Digest of what is on it and of its truth: equal ones judge policies alike."""
        told = hashlib.sha256(repr((self.rollout, self.verdict, self.onset, self.within)).encode())
        for part in self.parts:
            told.update(hashlib.sha256(part).digest())
        return told.hexdigest()[:24]


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy comes to on a tape. at: seconds after the first traffic. lateness: as of a run, see `_lateness`."""

    verdict: Verdict
    at: Seconds
    wrong: bool
    lateness: float | None


def read_tapes(names: Iterable[str], policy: Policy, *, file: str) -> dict[str, Tape]:
    """Read tapes with their truths: name -> tape. names: files or folders of `kind: Tape`; file: the policy's.

    Raises ScenarioError or ConfigError for a file that is wrong, TapeError for a tape that does not read, and
    ScenarioError for one that cannot judge the policy.
    """
    found: dict[str, Tape] = {}
    for path in dict.fromkeys(path for name in names for path in _files(Path(name))):
        tape = _read(path, policy, file=file)
        if tape.name in found:
            raise ScenarioError(f"two tapes are called '{tape.name}'", where=str(path), remedy="rename one of them")
        found[tape.name] = tape
    return found


def replay(tape: Tape, policy: Policy) -> Replayed:
    """Judge a tape by another policy; what carried its rollout out stays, and no approval is asked."""
    under = tape.under
    other = msgspec.structs.replace(
        policy, match=under.match, mode=under.mode, router=under.router, workload=under.workload, probes=under.probes,
        depends_on=under.depends_on, strategy=policy.strategy.unattended(),
    )  # fmt: skip
    played = _played(_parts(tape.parts), tape.service, tape.environment, other, tape.name)
    found = next(one for one in compare(played) if one.rollout == tape.rollout)
    return _judged(tape, found.replayed, _end(played, tape.rollout))


def _judged(tape: Tape, outcome: Outcome, end: Instant) -> Replayed:
    at = Seconds((end if outcome.at is None else tape.opened + outcome.at) - tape.zero)
    verdict = outcome.verdict if outcome.at is not None else Verdict.HOLD
    opposite = {Verdict.ROLLBACK: Verdict.PROMOTE, Verdict.PROMOTE: Verdict.ROLLBACK}[tape.verdict]
    return Replayed(verdict=verdict, at=at, wrong=verdict is opposite, lateness=_lateness(tape, verdict, at))


def _lateness(tape: Tape, verdict: Verdict, at: float) -> float | None:
    """Return how late a rollback was in deadlines; None: it did not come while it could still be in time.

    Where the recorded traffic ended before that, nobody knows: it counts as late as can be, and not as missed.
    """
    if tape.within is None:
        return 0.0
    if verdict is Verdict.HOLD:
        return LATE if at < tape.onset + LATE * tape.within else None
    after = (at - tape.onset) / tape.within
    return after if verdict is Verdict.ROLLBACK and after >= 0 else None


def _end(played: Played, rollout: RolloutId) -> Instant:
    """Return until when the canary had users, as far as the tape tells."""
    ends = (one.at for one in played.recorded[rollout] if isinstance(one, r.RollbackOrdered | r.Ended))
    return next(ends, played.ended)


@lru_cache(maxsize=4)
def _parts(parts: tuple[bytes, ...]) -> tuple[Part, ...]:
    """Return parts as entries; kept, as policy after policy is tried on the same few tapes."""
    return tuple(read_bytes(part, where=Path(f"part {number}")) for number, part in enumerate(parts))


def _played(parts: Iterable[Part], service: str, environment: str, policy: Policy | None, where: str) -> Played:
    playback = Playback(service, environment, policy=policy)
    for part in parts:
        playback.take(part, where=where)
    return playback.finish()


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        files = sorted(path.glob("*.yaml"))
        if not files:
            raise ScenarioError("holds no file *.yaml", where=f"--tapes {path}", remedy=_EXAMPLE)
        yield from files
    elif path.suffix == ".parquet":
        raise ScenarioError("is a tape without what would have been right", where=f"--tapes {path}", remedy=_EXAMPLE)
    else:
        yield path


def _read(path: Path, policy: Policy, *, file: str) -> Tape:
    documents = read_documents(path)
    if len(documents) != 1:
        raise ScenarioError(f"holds {len(documents)} documents; a tape is one", where=str(path), remedy=_EXAMPLE)
    document = documents[0]
    try:
        written = TapeFile.model_validate(document.data)
    except ValidationError as error:
        first = findings_of(error, document, TapeFile)[0]
        raise ScenarioError(first.what, where=first.where, remedy=first.remedy) from None
    services = parts_of([path.parent / written.spec.tape])
    if len(services) != 1:
        names = ", ".join(f"'{service}' in {environment}: {folder}" for environment, service, folder in services)
        raise ScenarioError(
            f"names {len(services)} tapes: {names}", where=document.where(("spec", "tape")), remedy="name one of them"
        )
    ((environment, service, _), files), *_ = services.items()
    _check_place(policy, service, environment, document, file=file)
    size = sum(part.stat().st_size for _, part in files)
    if size > MOST_BYTES:
        raise ScenarioError(
            f"holds {size / 2**20:.0f} MiB, {MOST_BYTES / 2**20:.0f} are allowed",
            where=document.where(("spec", "tape")), remedy="name a folder with the parts of this rollout only",
        )  # fmt: skip
    contents = tuple(part.read_bytes() for _, part in files)
    parts = [read_bytes(content, where=part) for content, (_, part) in zip(contents, files, strict=True)]
    played = _played(parts, service, environment, None, str(path))
    found = _rollout(played, written.spec.revision, document)
    _check_measured(policy, played.rollouts[found.rollout].policy, document, file=file)
    recorded = played.recorded[found.rollout]
    truth = written.spec.truth
    return Tape(
        name=written.metadata.name, parts=contents, service=service, environment=environment, rollout=found.rollout,
        under=played.rollouts[found.rollout].policy, opened=played.rollouts[found.rollout].opened_at,
        zero=_first_traffic(recorded, document), verdict=truth.verdict, onset=Seconds(truth.onset),
        within=None if truth.within is None else Seconds(truth.within), recorded=told(found.recorded),
    )  # fmt: skip


def _check_place(policy: Policy, service: str, environment: str, document: Document, *, file: str) -> None:
    match = policy.match
    if match.service == service and match.environment in {"", environment}:
        return
    mine = f"'{match.service}'" + (f" in {match.environment}" if match.environment else "")
    raise ScenarioError(
        f"is a tape of '{service}' in {environment}; {file} is for {mine}",
        where=document.where(("spec", "tape")), remedy="tune the policy of the service that was recorded",
    )  # fmt: skip


def _rollout(played: Played, revision: str | None, document: Document) -> Comparison:
    """Return the rollout that is meant, which must have begun on the tape."""
    begun = [one for one in compare(played) if one.rollout not in played.before]
    meant = [one for one in begun if revision in {None, one.revision}]
    if len(meant) == 1:
        return meant[0]
    known = ", ".join(dict.fromkeys(one.revision for one in begun)) or "none"
    what = f"{len(meant)} rollouts" + (f" of revision '{revision}'" if revision is not None else "")
    raise ScenarioError(
        f"{what} begin on the tape; revisions whose rollout does: {known}",
        where=document.where(("spec", "tape" if revision is None else "revision")),
        remedy="say which one: `revision: ...`; of one revision twice, name the parts of one rollout",
    )  # fmt: skip


def _check_measured(policy: Policy, under: Policy, document: Document, *, file: str) -> None:
    recorded = {(one.sli, one.strata) for one in under.guardrails}
    missing = [one.name for one in policy.guardrails if (one.sli, one.strata) not in recorded]
    if missing:
        names = ", ".join(f"'{name}'" for name in missing)
        raise ScenarioError(
            f"the tape has no data of {names} of {file}: what was recorded measured nothing like it",
            where=document.where(("spec", "tape")), remedy="leave this tape out, or tune without these guardrails",
        )  # fmt: skip


def _first_traffic(recorded: Iterable[r.OfRollout], document: Document) -> Instant:
    for record in recorded:
        if isinstance(record, r.StepBegan) and record.accepted > 0:
            return record.at
    raise ScenarioError(
        "its canary never had traffic: it says nothing of guardrails",
        where=document.where(("spec", "tape")), remedy="leave it out",
    )  # fmt: skip


def truths(tapes: Mapping[str, Tape]) -> dict[str, Verdict]:
    """Return what would have been right: name -> verdict."""
    return {name: tape.verdict for name, tape in tapes.items()}
