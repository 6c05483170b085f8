"""Which rollout is to blame: rollouts of two services that overlap, told to the engine as looks."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.attribution import ALONE
from guardian.core.events import decision_event
from guardian.core.explain import explain
from guardian.core.facts import Order
from guardian.core.looks import Breach
from guardian.core.model import Driver, Mode, Phase, Place, Seconds, Verdict
from guardian.core.policies import Policies
from guardian.core.policy import Attribution
from guardian.core.world import World, fold
from guardian.errors import PolicyError
from guardian.wire.decisions import decision_data
from tests.builders import ERRORS, OBJECTIVE, alert, ordered
from tests.core.shop import BAD, FINE, LIMIT, Shop, bad, deploy, doubtful, explained, newest, of, play, reasons


def test_an_innocent_dependent_is_held_while_its_dependency_goes_back_and_then_goes_on() -> None:
    """Both canaries look bad; what the bad dependency did is left out, and the dependent is promoted in the end."""
    story = play(
        of("payment"),
        of("checkout", "payment"),
        harm={"payment": bad, "checkout": bad},
    )
    explained(story, "checkout")
    story.tell(deploy("checkout"))
    story.tell(deploy("payment"))
    story.until(5)
    assert newest(story, "checkout").phase is Phase.PROGRESSING
    story.until(4000)
    assert newest(story, "payment").phase is Phase.ROLLED_BACK
    assert newest(story, "checkout").phase is Phase.VERIFIED
    held = reasons(story, r.Held, "checkout")
    assert "probably that of payment 2.1.0" in held[0]
    assert len(reasons(story, r.Paged, "checkout")) == 1


def test_a_guilty_dependent_goes_back_within_the_limit_although_its_dependency_is_bad_as_well() -> None:
    """A dependency that stays suspect, for example because nobody approves its rollback, excuses for the limit only."""
    story = play(
        of("payment", mode=Mode.ADVISE),
        of("checkout", "payment"),
        harm={"payment": lambda at: BAD if at > 5 else FINE, "checkout": bad},
    )
    story.tell(deploy("payment"))
    payment = newest(story, "payment").id

    story.tell(ordered(payment, Order.APPROVE))
    story.until(10)
    story.tell(deploy("checkout", at=10.0))
    story.until(10 + LIMIT - 20)
    assert newest(story, "payment").awaiting is not None
    assert newest(story, "checkout").phase is Phase.PROGRESSING
    story.until(10 + LIMIT + 30)
    assert newest(story, "checkout").phase is Phase.ROLLED_BACK
    assert f"on account of {payment}" in newest(story, "checkout").end_reason


def test_a_guilty_dependent_goes_back_when_its_evidence_outlives_its_dependency() -> None:
    """After the dependency's users are back, evidence that stays is the dependent's own; it does not wait the limit."""
    story = play(
        of("payment"),
        of("checkout", "payment"),
        harm={"payment": bad, "checkout": bad},
    )
    story.tell(deploy("checkout"))
    story.tell(deploy("payment"))
    story.until(LIMIT - 100)
    assert newest(story, "payment").phase is Phase.ROLLED_BACK
    assert newest(story, "checkout").phase is Phase.ROLLED_BACK
    assert newest(story, "checkout").ended_at > newest(story, "payment").ended_at + 30.0  # type: ignore[operator]


def test_a_dependent_whose_dependency_is_healthy_goes_back_at_once() -> None:
    """Overlapping alone excuses nothing."""
    story = play(of("payment"), of("checkout", "payment"), harm={"checkout": bad})
    story.tell(deploy("payment"))
    story.tell(deploy("checkout"))
    story.until(25)
    assert newest(story, "checkout").phase is Phase.ROLLED_BACK
    assert newest(story, "payment").phase is Phase.PROGRESSING


def test_a_bad_dependent_does_not_touch_what_it_depends_on() -> None:
    """Blame goes down the graph only: callers are no excuse for those they call."""
    story = play(of("payment"), of("checkout", "payment"), harm={"payment": bad, "checkout": bad})
    story.tell(deploy("checkout"))
    story.tell(deploy("payment"))
    story.until(25)
    assert newest(story, "payment").phase is Phase.ROLLED_BACK
    assert newest(story, "checkout").phase is Phase.PROGRESSING


def test_only_the_deepest_of_a_chain_goes_back() -> None:
    """Blame: web -> checkout -> payment, all look bad: payment goes back, the others wait and name it."""
    names = ("payment", "checkout", "web")
    story = play(
        of("payment"),
        of("checkout", "payment"),
        of("web", "checkout"),
        harm={"payment": bad, "checkout": bad, "web": bad},
    )
    explained(story, "checkout", "web")
    for name in names:
        story.tell(deploy(name))
    story.until(400)
    phases = [newest(story, name).phase for name in names]
    assert phases == [Phase.ROLLED_BACK, Phase.PROGRESSING, Phase.PROGRESSING]
    assert "payment 2.1.0" in reasons(story, r.Held, "web")[0]


def test_a_dependency_named_by_the_event_counts_like_one_of_the_policy() -> None:
    """CONTRACTS section 2: `depends_on` of a deploy event."""
    story = play(of("payment"), of("checkout"), harm={"payment": bad, "checkout": bad})
    story.tell(deploy("checkout", depends_on=("payment",)))
    story.tell(deploy("payment"))
    story.until(15)
    assert newest(story, "checkout").held is not None
    assert newest(story, "checkout").held.hold is r.Hold.ATTRIBUTION  # type: ignore[union-attr]


def test_two_rollouts_that_name_each_other_wait_for_neither() -> None:
    """A circle of events is told once, and blames nobody: both go back on their own evidence."""
    story = play(of("payment"), of("checkout"), harm={"payment": bad, "checkout": bad})
    story.tell(deploy("payment", depends_on=("checkout",)))
    story.tell(deploy("checkout", depends_on=("payment",)))
    told = [record.reason for record in story.all(r.Noted)]
    assert any("checkout -> payment -> checkout" in text for text in told)
    story.until(25)
    assert {newest(story, name).phase for name in ("payment", "checkout")} == {Phase.ROLLED_BACK}


def test_policies_in_a_circle_are_refused_and_unknown_services_are_not() -> None:
    """The text names the way round and what to write; a database has no policy and no rollout."""
    with pytest.raises(PolicyError, match="payment -> checkout -> payment") as refused:
        Policies([of("payment", "checkout"), of("checkout", "payment")])
    assert "that a service calls" in refused.value.remedy
    with pytest.raises(PolicyError, match="checkout -> checkout"):
        Policies([of("checkout", "checkout")])
    assert len(Policies([of("checkout", "postgres")])) == 1


def test_rollouts_of_other_environments_are_no_excuse() -> None:
    """Staging cannot break production."""
    story = play(of("payment"), of("checkout", "payment"), harm={"payment": bad, "checkout": bad})
    story.tell(replace(deploy("payment"), place=Place(service="payment", environment="staging")))
    story.tell(deploy("checkout"))
    story.until(25)
    assert newest(story, "checkout").phase is Phase.ROLLED_BACK


def test_a_person_who_rolls_a_dependency_back_is_no_evidence_against_it() -> None:
    """What a person ordered may rest on the dependent's own figures; it leaves nothing out and excuses nothing."""
    story = play(of("payment"), of("checkout", "payment"), harm={"checkout": lambda at: BAD if at > 60 else FINE})
    story.tell(deploy("payment"))
    story.tell(deploy("checkout"))
    story.until(55)
    story.tell(ordered(newest(story, "payment").id, Order.ROLLBACK))
    story.until(85)
    assert newest(story, "payment").phase is Phase.ROLLED_BACK
    assert newest(story, "checkout").phase is Phase.ROLLED_BACK
    assert reasons(story, r.Held, "checkout") == []


def test_an_objective_broken_on_the_canary_waits_for_the_dependency_too() -> None:
    """The objective's window still holds the bad time after the dependency went back; then it decides again."""
    guardrail = replace(ERRORS, objective=OBJECTIVE)

    def breach(service: str, at: float) -> tuple[Breach, bool]:
        return (Breach.CRITICAL if service == "checkout" else Breach.NONE), False

    story = play(
        of("payment"),
        of("checkout", "payment", guardrails=(guardrail,)),
        harm={"payment": bad},
        breach=breach,
    )
    story.tell(deploy("checkout"))
    story.tell(deploy("payment"))
    story.until(100)
    assert newest(story, "checkout").phase is Phase.PROGRESSING
    story.until(LIMIT + 30)
    assert newest(story, "checkout").phase is Phase.ROLLED_BACK


def test_a_shared_incident_names_what_probably_caused_it() -> None:
    """Both tracks break: held and paged as before, with the dependency's rollout in the sentence."""
    guardrail = replace(ERRORS, objective=OBJECTIVE)

    def breach(service: str, at: float) -> tuple[Breach, bool]:
        return (Breach.CRITICAL, True) if service == "checkout" else (Breach.NONE, False)

    policies = of("payment"), of("checkout", "payment", guardrails=(guardrail,))
    story = play(*policies, harm={"payment": doubtful}, breach=breach)
    story.tell(deploy("payment"))
    story.tell(deploy("checkout"))
    story.until(25)
    assert "probably payment 2.1.0" in reasons(story, r.Paged, "checkout")[0]
    quiet = play(*policies, harm={}, breach=breach)
    quiet.tell(alert(service="payment", alertname="PaymentDown"))
    quiet.tell(deploy("checkout"))
    quiet.until(25)
    assert "possibly payment, which it depends on: alert PaymentDown" in reasons(quiet, r.Paged, "checkout")[0]


def test_the_decision_event_names_the_cause_and_others_have_no_such_field() -> None:
    """Consumers can act on the id; events of before the field keep their bytes."""
    story = play(of("payment"), of("checkout", "payment"), harm={"payment": bad, "checkout": bad})
    story.tell(deploy("checkout"))
    story.tell(deploy("payment"))
    story.until(15)
    payment, world = newest(story, "payment").id, World()
    causes = {}
    for record in story.records:
        after = world.apply(record)
        event = decision_event(record, after) if after is not None and isinstance(record, r.OfRollout) else None
        if event is not None and event.service == "checkout":
            causes[event.type.split(".")[2]] = decision_data(event).get("cause", "absent")
    assert causes["held"] == causes["paged"] == payment
    assert causes["advanced"] == "absent"


def test_a_put_off_rollback_is_no_verdict_of_rollback() -> None:
    """Whoever waits for the verdict of the evidence must not act on one that is put off."""
    story = play(of("payment"), of("checkout", "payment"), harm={"payment": bad, "checkout": bad})
    story.tell(deploy("checkout"))
    story.tell(deploy("payment"))
    story.until(15)
    assert newest(story, "checkout").verdict is Verdict.HOLD


@pytest.mark.parametrize("cut", [12.0, 25.0, 45.0, 70.0])
def test_a_restart_changes_nothing(cut: float) -> None:
    """Whom it blames, and since when, follows from the journal and the looks."""
    policies = of("payment", mode=Mode.ADVISE), of("checkout", "payment")
    harm = {"payment": bad, "checkout": bad}
    ends = []
    for restarted in (False, True):
        story = play(*policies, harm=harm)
        story.tell(deploy("payment"))

        story.tell(ordered(newest(story, "payment").id, Order.APPROVE))
        story.tell(deploy("checkout"))
        story.until(cut)
        if restarted:
            again = Shop(
                policies=policies, show=story.show, now=story.now, routers=story.routers, world=fold(story.records)
            )
            again.records = story.records
            story = again
        story.until(600)
        ends.append((newest(story, "checkout").end_reason, newest(story, "checkout").blamed))
    assert ends[0] == ends[1]


def test_a_limit_of_zero_puts_nothing_off() -> None:
    """Who wants the old behaviour writes attribution.limit: 0s."""
    none = Attribution(limit=Seconds(0.0))
    story = play(
        of("payment"),
        of("checkout", "payment", attribution=none),
        harm={"payment": bad, "checkout": bad},
    )
    story.tell(deploy("checkout"))
    story.tell(deploy("payment"))
    story.until(25)
    assert newest(story, "checkout").phase is Phase.ROLLED_BACK


def test_a_service_that_depends_on_nothing_is_alone() -> None:
    """No dependency, no attribution: nothing is looked up."""
    story = play(of("checkout"), harm={})
    story.tell(deploy("checkout"))
    story.until(25)
    assert story.engine.around(newest(story, "checkout"), story.now) == ALONE


def test_an_amendment_may_shorten_the_limit_and_not_lengthen_it() -> None:
    """Harm is never acted on later than the policy said in the beginning."""
    story = play(of("payment"), of("checkout", "payment"), harm={})
    story.tell(deploy("checkout"))
    story.until(15)
    rollout = newest(story, "checkout")
    for limit, dependencies, refused in ((60.0, (), False), (600.0, (), True), (60.0, ("payment", "cart"), True)):
        stricter = of("checkout", *dependencies, attribution=Attribution(limit=Seconds(limit)))
        story.refusal = None
        story.tell(ordered(rollout.id, Order.AMEND, reason=f"{limit} {dependencies}", policy=stricter))
        assert (story.refusal is not None) is refused


def test_explain_says_whose_trouble_it_probably_is_and_how_long_it_waits() -> None:
    """An operator reads who is to blame, on what evidence, and when the wait ends; nothing is left to guess."""
    story = play(of("payment"), of("checkout", "payment"), harm={"payment": bad, "checkout": bad})
    story.tell(deploy("checkout"))
    story.tell(deploy("payment"))
    story.until(5)
    rollout = newest(story, "checkout")
    told = explain(rollout, story.engine.look(rollout.id), story.now)
    assert "is held at 10%" in told.summary
    assert f"probably that of payment 2.1.0 ({newest(story, 'payment').id})" in told.summary
    assert "evidence 226 of 'errors'" in told.summary
    assert "for 5m at most" in told.summary


def test_a_dependency_that_somebody_else_drives_is_a_suspect_like_any_other() -> None:
    """Without a router the guardian orders the abort; its own rollout is over at once, and its users drain."""
    watched = of("payment", router=None)
    story = play(watched, of("checkout", "payment"), harm={"payment": bad, "checkout": bad})
    explained(story, "checkout")
    story.tell(deploy("checkout"))
    story.tell(deploy("payment", driver=Driver.OTHER))
    story.until(200)
    assert newest(story, "payment").phase is Phase.ROLLED_BACK
    assert newest(story, "checkout").phase is Phase.PROGRESSING


def test_a_dependency_found_healthy_after_all_excuses_no_longer() -> None:
    """Suspicion follows the suspect's evidence: when that falls, the dependent's own decides, before the limit."""
    story = play(
        of("payment"),
        of("checkout", "payment"),
        harm={"payment": lambda at: 20.0 if at < 100 else FINE, "checkout": lambda at: BAD},  # noqa: ARG005
    )
    story.tell(deploy("payment"))
    story.tell(deploy("checkout"))
    story.until(95)
    assert newest(story, "checkout").phase is Phase.PROGRESSING
    story.until(125)
    assert newest(story, "checkout").phase is Phase.ROLLED_BACK
