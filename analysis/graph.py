"""Who calls whom: what lies beneath a service, and which services make a circle. Names only; blames nobody.

In a circle nothing can be said to lie beneath the rest, so its members are beneath none of each other: `beneath` is a
strict partial order whatever is declared, and among any services one is deepest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Calls = Callable[[str], Iterable[str]]
"""Gives the services that a service calls; nothing for one that is not known."""


def reach(calls: Calls, service: str) -> frozenset[str]:
    """Return all that a service calls, directly or not; itself too where it is in a circle.

    >>> shop = {"web": ["cart"], "cart": ["db"]}
    >>> sorted(reach(lambda name: shop.get(name, ()), "web"))
    ['cart', 'db']
    """
    found: set[str] = set()
    waiting = list(calls(service))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(calls(name))
    return frozenset(found)


def beneath(calls: Calls, service: str) -> frozenset[str]:
    """Return what a service calls, directly or not, and that does not call it in turn.

    >>> shop = {"web": ["cart"], "cart": ["web", "db"]}
    >>> sorted(beneath(lambda name: shop.get(name, ()), "web"))
    ['db']
    """
    return frozenset(name for name in reach(calls, service) if name != service and service not in reach(calls, name))


def circle(calls: Calls, service: str) -> tuple[str, ...]:
    """Return a shortest way from a service back to itself, both ends named; empty where there is none.

    >>> shop = {"web": ["cart"], "cart": ["db", "web"]}
    >>> circle(lambda name: shop.get(name, ()), "cart")
    ('cart', 'web', 'cart')
    """
    ways: list[tuple[str, ...]] = [(service,)]
    seen: set[str] = set()
    while ways:
        longer: list[tuple[str, ...]] = []
        for way in ways:
            for name in calls(way[-1]):
                if name == service:
                    return (*way, name)
                if name not in seen:
                    seen.add(name)
                    longer.append((*way, name))
        ways = longer
    return ()
