"""Which policy a deploy event gets, and what it is told when there is none."""

from __future__ import annotations

import pytest

from guardian.core.model import Place
from guardian.core.policies import Policies
from guardian.core.policy import Match
from guardian.errors import PolicyError
from tests.builders import policy

BOTH = Policies(
    policy(name=f"{service}-{environment}", match=Match(service=service, environment=environment))
    for service, environment in (("payments", "production"), ("payments", "staging"), ("search", "production"))
)


@pytest.mark.parametrize(
    ("service", "environment", "remedy"),
    [
        ("payments", "prod", "its policies are for 'production', 'staging'; use one of these, or write a policy"),
        ("paymnts", "production", "did you mean 'payments'? Else write a policy whose spec.match names them"),
        ("lunch", "production", "write a policy whose spec.match names them"),
    ],
)
def test_a_place_without_policy_is_told_what_could_have_been_meant(service: str, environment: str, remedy: str) -> None:
    """Most of them are misspelt."""
    for _ in range(2):  # the second answer is remembered
        with pytest.raises(PolicyError) as caught:
            BOTH.find(Place(service=service, environment=environment))
        assert caught.value.what == f"no policy matches service '{service}' in environment '{environment}'"
        assert caught.value.remedy.startswith(remedy)


def test_what_is_remembered_of_misspelt_names_is_bounded() -> None:
    """Whoever sends events with ever new names fills no memory, and gets right answers still."""
    for number in range(1000):
        BOTH.nearest(f"unheard-of-{number}")
    assert BOTH.nearest("serch") == "search"
    assert len(BOTH._nearest) <= 256
