"""What a replay decided otherwise than the recording, rollout by rollout, each with a sentence that says how and why.

Conclusions of both sides are aligned in their order; what both came to is held against each other by time and content.
Digests and the last bits of evidence are no difference. Plays nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, Final

import msgspec

from guardian.core import records as r
from guardian.core.model import Instant, Phase, RolloutId, Seconds, Value, Verdict
from guardian.core.playback import Played, Stood
from guardian.core.sentences import duration, share, weighed

CLOSE: Final = 1e-9
"""Relative difference of numbers that is none: evidence of one service alone adds up in another order."""
_NOT_COMPARED: Final = frozenset({"digest", "sequence", "at", "policy", "request"})
_WORK: Final = (r.EffectOrdered, r.EffectDelayed, r.EffectEnded)
"""What was done outside; where the decisions differ these differ as a matter of course."""
_TELLING: Final[dict[type[r.OfRollout], tuple[str, ...]]] = {
    r.Advanced: ("step",),
    r.StepBegan: ("step",),
    r.StepWaived: ("step",),
    r.Held: ("hold", "guardrail", "cause"),
    r.Judged: ("verdict",),
    r.Paged: ("key",),
    r.RollbackOrdered: ("why",),
    r.Ended: ("phase",),
    r.Awaiting: ("proposal",),
    r.Approved: ("proposal",),
    r.Withdrawn: ("proposal",),
}
"""Fields that make two conclusions of a kind the same one, the one to be told first."""
_NAMES: Final[dict[type[r.OfRollout], str]] = {
    r.Judged: "verdict",
    r.RollbackOrdered: "rollback by",
    r.StepBegan: "began step",
    r.EffectEnded: "effect ended",
}
_ENDS: Final = (r.RollbackOrdered, r.Ended)


Pair = tuple[r.OfRollout | None, r.OfRollout | None]


class Outcome(Value, frozen=True, kw_only=True):
    """What one side came to. at: seconds after the rollout was opened. phase: where it stood last."""

    verdict: Verdict
    phase: Phase | None
    at: Seconds | None = None
    guardrail: str = ""
    evidence: float | None = None
    reason: str = ""


class Difference(Value, frozen=True, kw_only=True):
    """One conclusion that is not the same. recorded, replayed: seconds after the rollout began; None: not drawn."""

    what: str
    recorded: Seconds | None
    replayed: Seconds | None
    text: str


class Comparison(Value, frozen=True, kw_only=True):
    """Both sides of one rollout. diverged: when the replay first ordered something that was not recorded."""

    rollout: RolloutId
    revision: str
    recorded: Outcome
    replayed: Outcome
    differences: tuple[Difference, ...]
    diverged: Seconds | None = None


def compare(played: Played) -> tuple[Comparison, ...]:
    """Return every rollout of a played tape, in the order in which they began."""
    names = dict.fromkeys((*played.recorded, *played.replayed))
    return tuple(_compared(played, name) for name in names)


def _compared(played: Played, name: RolloutId) -> Comparison:
    recorded, replayed = played.recorded.get(name, []), played.replayed.get(name, [])
    rollout = played.rollouts.get(name)
    zero = rollout.opened_at if rollout is not None else (recorded or replayed)[0].at
    diverged = played.diverged.get(name)
    sides = (_Side(recorded, zero), _Side(replayed, zero))
    return Comparison(
        rollout=name,
        revision=rollout.revision if rollout is not None else "",
        recorded=sides[0].outcome(),
        replayed=sides[1].outcome(until=_end(recorded) if diverged is not None else None),
        differences=tuple(_differences(*sides, played=played, parted=diverged is not None)),
        diverged=Seconds(diverged - zero) if diverged is not None else None,
    )


class _Side:
    """What one side concluded. zero: time of second 0."""

    def __init__(self, records: Sequence[r.OfRollout], zero: Instant) -> None:
        self.records, self.zero = records, zero

    def after(self, record: r.OfRollout) -> Seconds:
        return Seconds(record.at - self.zero)

    def outcome(self, *, until: Instant | None = None) -> Outcome:
        """Return what it came to. until: what was concluded later does not count."""
        known = [record for record in self.records if until is None or record.at <= until]
        phase = next((record.phase for record in reversed(known) if isinstance(record, r.Ended)), None)
        for record in known:
            if isinstance(record, r.RollbackOrdered):
                return self._outcome(Verdict.ROLLBACK, record, phase)
            if isinstance(record, r.Judged) and record.verdict is Verdict.PROMOTE:
                return self._outcome(Verdict.PROMOTE, record, phase)
        last = next((one for one in reversed(known) if isinstance(one, r.Held | r.Resumed | r.Judged)), None)
        verdict = next((one.verdict for one in reversed(known) if isinstance(one, r.Judged)), Verdict.HOLD)
        return Outcome(verdict=verdict, phase=phase, reason=last.reason if last is not None else "")

    def _outcome(self, verdict: Verdict, record: r.RollbackOrdered | r.Judged, phase: Phase | None) -> Outcome:
        note = record.evidence
        value = None if note is None else note.harm if verdict is Verdict.ROLLBACK else note.safe
        guardrail = getattr(record, "guardrail", "") or (note.guardrail if note is not None else "")
        return Outcome(
            verdict=verdict, phase=phase, at=self.after(record), guardrail=guardrail, evidence=value,
            reason=record.reason,
        )  # fmt: skip


def _differences(recorded: _Side, replayed: _Side, *, played: Played, parted: bool) -> Iterator[Difference]:
    """Yield what differs. parted: the two had other traffic, as far as the replay's orders go."""
    theirs, ours = list(recorded.records), list(replayed.records)
    dropped = 0
    if parted:
        ends = [at for at in (_end(theirs), _end(ours)) if at is not None]
        until = min(ends, default=Instant(math.inf))
        kept = [one for one in theirs if one.at <= until or isinstance(one, _ENDS)]
        dropped = len([one for one in theirs if not isinstance(one, _WORK)])
        theirs = [one for one in kept if not isinstance(one, _WORK)]
        dropped -= len(theirs)
        ours = [one for one in ours if not isinstance(one, _WORK) and (one.at <= until or isinstance(one, _ENDS))]
        ours = [one for one in ours if one.at <= (_end(recorded.records) or math.inf)]
    found = list(_aligned(theirs, ours, (recorded, replayed), played))
    plain = [difference for difference, work in found if not work]
    yield from plain or [difference for difference, _ in found]
    if dropped and plain:
        text = f"{dropped} further recorded decisions came after the replay had ended, and are not told"
        yield Difference(what="later", recorded=None, replayed=None, text=text)


def _aligned(
    theirs: Sequence[r.OfRollout], ours: Sequence[r.OfRollout], sides: tuple[_Side, _Side], played: Played
) -> Iterator[tuple[Difference, bool]]:
    """Yield differences, and whether each is only about what was done outside."""
    for one, other in _paired(theirs, ours):
        text = _told(one, other)
        if one is not None and other is None:
            text += _stood(played.stood.get((one.rollout, one.at)), one)
        known = one or other
        if text and known is not None:
            difference = Difference(
                what=_name(known),
                recorded=sides[0].after(one) if one is not None else None,
                replayed=sides[1].after(other) if other is not None else None,
                text=text,
            )
            yield difference, isinstance(known, _WORK)


def _paired(theirs: Sequence[r.OfRollout], ours: Sequence[r.OfRollout]) -> Sequence[Pair]:
    """Return each conclusion with the same one of the other side, None where it has none, in the order of time."""
    matcher = SequenceMatcher(a=[_key(one) for one in theirs], b=[_key(one) for one in ours], autojunk=False)
    lone: list[r.OfRollout] = []
    rest: list[r.OfRollout] = []
    pairs: list[Pair] = []
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            pairs += list(zip(theirs[a:b], ours[c:d], strict=True))
        else:
            lone += theirs[a:b]
            rest += ours[c:d]
    for mine in lone:  # the same conclusion in another place of the order
        same = next((each for each in rest if _key(each) == _key(mine)), None)
        if same is not None:
            rest.remove(same)
        pairs.append((mine, same))
    pairs += [(None, each) for each in rest]
    return sorted(pairs, key=lambda pair: min(one.at for one in pair if one is not None))


def _told(one: r.OfRollout | None, other: r.OfRollout | None) -> str:
    """Say how two conclusions of one kind differ; "" where they do not."""
    if one is None or other is None:
        lone = one or other
        side = "recording" if other is None else "replay"
        return f"only in the {side}: {lone.reason or _name(lone)}" if lone is not None else ""
    found = []
    if one.at != other.at:
        apart = other.at - one.at
        lasts = duration(abs(apart)) if abs(apart) >= 1 else f"{1000 * abs(apart):.3g}ms"
        found.append(f"{lasts} {'later' if apart > 0 else 'earlier'} in the replay")
    was, now = _plain(one), _plain(other)
    seen = _changed(was.pop("evidence", None), now.pop("evidence", None))
    if seen:
        found.append(_weighed(getattr(one, "evidence", None), getattr(other, "evidence", None)))
    reasons = was.pop("reason", ""), now.pop("reason", "")
    changed = _changed(was, now)
    if changed:
        found.append(changed)
    elif reasons[0] != reasons[1] and not seen:
        found.append(f"recorded: {reasons[0] or 'no reason'}; replayed: {reasons[1] or 'no reason'}")
    return "; ".join(found)


def _weighed(one: r.Evidence | None, other: r.Evidence | None) -> str:
    """Say what two conclusions rested on."""
    notes = (
        f"{weighed(note.harm)} against and {weighed(note.safe)} for the canary ('{note.guardrail}')" if note else "none"
        for note in (one, other)
    )
    return "on other evidence: recorded {}, replayed {}".format(*notes)


def _stood(stood: Stood | None, record: r.OfRollout) -> str:
    """Say why the replay did not come to a verdict of the recording, where it was still judging."""
    if stood is None:
        return ""
    back = isinstance(record, r.RollbackOrdered) or getattr(record, "verdict", None) is Verdict.ROLLBACK
    value, needed = (stood.harm, stood.rollback) if back else (stood.safe, stood.promotion)
    side = "against" if back else "for"
    return f". The replay's evidence {side} the canary was then {weighed(value)}; its policy asks for {needed:,.0f}"


def _plain(record: r.OfRollout) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(record).items() if name not in _NOT_COMPARED}


def _changed(one: Any, other: Any, path: str = "") -> str:
    """Say which fields differ, "" where none does."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = dict.fromkeys((*one, *other))
        told = (_changed(one.get(name), other.get(name), f"{path}.{name}" if path else name) for name in names)
        return ", ".join(text for text in told if text)
    if isinstance(one, float) and isinstance(other, float) and math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE):
        return ""
    return "" if one == other else f"{path} {one!r} became {other!r}"


def _end(records: Sequence[r.OfRollout]) -> Instant | None:
    """Return when a side was through with its rollout: from then on its traffic says nothing of the other's."""
    return next((record.at for record in records if isinstance(record, _ENDS)), None)


def _key(record: r.OfRollout) -> tuple[object, ...]:
    """Return what makes two conclusions the same one."""
    told = tuple(getattr(record, name) for name in _TELLING.get(type(record), ()))
    if isinstance(record, r.EffectOrdered):
        told = type(record.effect), getattr(record.effect, "weight", None)
    return (type(record), *told)


def _name(record: r.OfRollout) -> str:
    """Name a conclusion as an operator would.

    >>> _name(r.Advanced(at=Instant(0.0), rollout=RolloutId("r"), step=1, weight=0.5))
    'advanced to 50%'
    """
    if isinstance(record, r.Advanced):
        return f"advanced to {share(record.weight)}"
    if isinstance(record, r.EffectOrdered):
        return f"ordered: {type(record.effect).__name__}"
    if isinstance(record, r.Ended):
        return str(record.phase)
    told = " ".join(str(getattr(record, name)) for name in _TELLING.get(type(record), ())[:1])
    name = _NAMES.get(type(record), type(record).__name__.lower())
    return f"{name} {told}".strip()


def told(outcome: Outcome) -> str:
    """Say what one side came to, in a few words."""
    if outcome.at is None:
        return str(outcome.phase or outcome.verdict)
    found = [outcome.guardrail] if outcome.guardrail else []
    if outcome.evidence is not None:
        found.append(f"evidence {weighed(outcome.evidence)}")
    rests = f" ({', '.join(found)})" if found else ""
    return f"{outcome.verdict} after {duration(outcome.at)}{rests}"
