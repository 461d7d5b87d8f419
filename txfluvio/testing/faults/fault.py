"""A fault: which, what, and how many times; and whether that makes sense."""

from __future__ import annotations

from collections.abc import Iterator, Set
from functools import cached_property

import attrs

from ..._checks import Must
from ...errors import UsageError
from .actions import Action, no_count
from .answers import NAMING_PARTITIONS, NAMING_TOPICS
from .matching import AT_CONNECTION, CALLS, Match, Moment, Occasion, no_call

_MATCH = Must("a Match(...)", lambda value: isinstance(value, Match))
_ACTION = Must(
    "an object that is an action, such as Close()", lambda value: isinstance(value, Action)
)
_FAULT = Must("a Fault(match, action)", lambda value: isinstance(value, Fault))


@attrs.frozen(slots=False)
class Fault:
    """Something that goes wrong: which, what, and how many times.

    :ivar times: the budget; ``None``: for ever.
    """

    match: Match = attrs.field(validator=_MATCH)
    action: Action = attrs.field(validator=_ACTION)
    times: int | None = 1

    @cached_property
    def moments(self) -> Set[Moment]:
        """When it acts; empty if that is never."""
        wanted = self.action.usual if self.match.moment is None else {self.match.moment}
        possible = wanted & self.action.possible
        api = CALLS.get(self.match.api or "")
        if api is None:
            return possible
        return possible - {Moment.REPLY if api.streams else Moment.PUSH}

    def concerns(self, occasion: Occasion) -> bool:
        """Whether it is meant for this, apart from how many times."""
        return (
            occasion.moment in self.moments
            and self.match.holds(occasion)
            and self.action.knows(occasion)
            and self.action.fits(occasion, self.match)
        )


@attrs.define(slots=False)
class ContradictoryFault(UsageError):
    """A fault that can never act.

    :ivar reason: why not.
    """

    fault: Fault
    reason: str
    says = "{0.fault} can never act: {0.reason}"


def check(fault: Fault) -> None:
    """Find out whether a fault makes sense.

    :raises ContradictoryFault: it can never act.
    :raises InvalidConfig: it is none.
    """
    _FAULT.check("fault", fault)
    for reason in _contradictions(fault):
        raise ContradictoryFault(fault, reason)


def _contradictions(fault: Fault) -> Iterator[str]:
    match, action = fault.match, fault.action
    name = type(action).__name__
    numbers = no_count(1, times=fault.times, nth=match.nth)
    if numbers is not None:
        yield numbers
    own = action.contradiction()
    if own is not None:
        yield own
    yield from _contradictions_of_call(match)
    if match.api is not None and action.calls is not None and match.api not in action.calls:
        yield f"{name} can not be done to {match.api}"
    if action.server is not None and not _can_be(match, action.server):
        yield f"only the SC does {name}"
    if not fault.moments:
        subject = "anything" if match.api is None else match.api
        moment = "then" if match.moment is None else f"at the moment of a {match.moment.value}"
        yield f"{name} can not be done to {subject} {moment}"
    if fault.moments == AT_CONNECTION:
        for part in ("api", "topic", "partition", "client_id", "where"):
            if getattr(match, part) is not None:
                yield f"at the moment of a connection there is no {part} yet"


def _contradictions_of_call(match: Match) -> Iterator[str]:
    if match.api is not None:
        api = CALLS.get(match.api)
        if api is None:
            yield no_call(match.api)
        elif api.server and match.server is not None and not _can_be(match, api.server):
            yield f"{match.api} is a call of the {'SC' if api.server == 'SC' else 'SPUs'}"
        elif match.topic is not None and match.api not in NAMING_TOPICS:
            yield f"{match.api} names no topic"
        elif match.partition is not None and match.api not in NAMING_PARTITIONS:
            yield f"{match.api} names no partition"
    elif match.partition is not None and match.server == "SC":
        yield "no call of the SC names a partition"


def _can_be(match: Match, server: str) -> bool:
    """Whether a match can hold on the SC, or on an SPU."""
    if match.server is not None:
        return (match.server == "SC") == (server == "SC")
    api = CALLS.get(match.api or "")
    return api is None or api.server in ("", server)
