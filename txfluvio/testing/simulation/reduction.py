"""A smaller plan that still fails: what is left of a failure when all that may go is gone."""

from __future__ import annotations

from collections.abc import Callable

from .plan import Plan


def reduced(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """The plan, less every trouble without which it fails as well.

    Large pieces are tried first, then smaller ones, until none can go; what is left need not be
    the smallest there is.

    :param fails: whether a plan fails; the one given does.
    """
    size = max(1, len(plan.numbers) // 2)
    while True:
        smaller = _without_pieces(plan, size, fails)
        if smaller is plan and size == 1:
            return plan
        size = max(1, min(size // 2, len(smaller.numbers) // 2))
        plan = smaller


def _without_pieces(plan: Plan, size: int, fails: Callable[[Plan], bool]) -> Plan:
    for start in range(0, len(plan.numbers), size):
        piece = [number for number in plan.numbers if number in plan.numbers[start : start + size]]
        candidate = plan.without(piece)
        if piece and fails(candidate):
            return _without_pieces(candidate, size, fails)
    return plan
