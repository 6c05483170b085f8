"""docs/tuning.md: what the result file says, as a table. It computes nothing and concludes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from benchmarks.environment import ROOT

Json = dict[str, Any]
DOCUMENT: Final = ROOT / "docs" / "tuning.md"
PICTURE: Final = ROOT / "docs" / "tuning.svg"
HEAD: Final = """# From guessed to measured: the policy of a game service
Written by `python -m benchmarks.tuning --trials {trials} --seeds {seeds} --fresh {fresh}` from
`benchmarks/results/tuning.json`. Commit {commit}{dirty}, {cpu}, {cores} cores, load {load}, {wall:.0f} s.
More trials and seeds find and prove more.

[examples/game](../examples/game) starts from objectives as a team agreed on them (99.9 % available, critical at 99.8 %
for a minute; p95 500 ms, critical at 800 ms) and from margins and steps that were guessed. Four incidents: logins
break, some saves are lost, matchmaking slows down, failures begin under load; and three healthy releases: in the
evening ramp, with cold pods, and in bursts of a tournament. [`guardian tune`](reference/tune.md) tried {tried} policies
on seeds {search} of each.

**{answer}**
"""
PROOF: Final = """## Before and after, on seeds that the search never saw
Seeds {fresh} of each scenario, the same for both policies. In brackets: limits at 95 %.
Bad releases tell what is missed and late, healthy ones the false rollbacks and the time to promote, all of them the
rest. Requests are hurt when they fail or take over a second, be it the release's fault or not; here
they are added up, while the answer above weighs each scenario alike.
"""
SAME: Final = """## The same answer, whoever plays
| played by | seconds | SHA-256 of the recommended policy | of the whole answer |
| --- | --- | --- | --- |"""


def document(result: Json) -> str:
    """The page."""
    machine, seed = result["machine"], result["seed"]
    head = HEAD.format(
        commit=result["commit"][:10], dirty=", with changes" if result["dirty"] else "", cpu=machine["cpu"],
        cores=machine["cores"], load=machine["load"], wall=result["wall_seconds"], tried=result["tried"],
        search=_seeds(seed["search"]), answer=result["answer"],
        **{name: result["size"][name] for name in ("trials", "seeds", "fresh")},
    )  # fmt: skip
    return "\n".join([head, *_proof(result), *_patch(result), *_searches(result)]) + "\n"


def _proof(result: Json) -> Iterator[str]:
    if not result["figures"]:
        return
    yield PROOF.format(fresh=_seeds(result["seed"]["fresh"]))
    yield "| figure | runs | before | after | change |"
    yield "| --- | --- | --- | --- | --- |"
    for one in result["figures"]:
        share = one["change"]["kind"] == "difference"
        cells = [_limited(one[when], share=share) for when in ("before", "after")]
        yield f"| {one['name']} ({one['unit']}) | {one['runs']} | {cells[0]} | {cells[1]} | {_change(one['change'])} |"
    yield ""


def _limited(value: Json, *, share: bool) -> str:
    number, lower, upper = (
        f"{value[name]:.1%}" if share else _number(value[name]) for name in ("value", "lower", "upper")
    )
    return f"{number} ({lower} to {upper})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _change(change: Json) -> str:
    estimate, lower, upper = (change[name] for name in ("estimate", "lower", "upper"))
    if estimate is None:
        return "-"
    if change["kind"] == "difference":
        return "same" if lower == upper == 0 else f"{estimate:+.1%} ({lower:+.1%} to {upper:+.1%})"
    return f"x {estimate:.2f}" if upper is None else f"x {estimate:.2f} ({lower:.2f} to {upper:.2f})"


def _patch(result: Json) -> Iterator[str]:
    yield "## What changes"
    yield f"```diff\n{result['patch']}```\n" if result["patch"] else "Nothing.\n"
    yield "![All policies that were tried](tuning.svg)\n"


def _searches(result: Json) -> Iterator[str]:
    yield SAME
    for one in result["searches"]:
        policy, answer = (one[name][:16] for name in ("policy_sha256", "answer_sha256"))
        yield f"| {one['by']} | {one['wall_seconds']:.0f} | `{policy}` | `{answer}` |"


def _seeds(seeds: list[int]) -> str:
    return f"{seeds[0]:,} to {seeds[1]:,}"
