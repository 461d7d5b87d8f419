"""What the servers of a recorded conversation refused by right, and what they said they are."""

from collections.abc import Iterator, Mapping

import attrs

from ...wire.codes import Code
from ...wire.sc import (
    SPU,
    TOPIC,
    CreateRequest,
    DeleteRequest,
    Kind,
    ListRequest,
    ListResponse,
    Metadata,
    StatusResponse,
    UpdateRequest,
    WatchResponse,
)
from ...wire.versions import ApiVersionsResponse
from ..releases import FLUVIO_0_18, RELEASES, Release
from ..sc.policies import Action
from .conversation import Conversation, Event
from .objects import Objects, selects


@attrs.frozen
class ObservedPolicy:
    """Refuses what was refused.

    :ivar refused: the kinds, as policy files name them, and what is not allowed on them.
    """

    refused: frozenset[tuple[str, Action]]
    read_only: bool
    wants_names: bool = False

    def allows(self, principal: str, kind: str, action: Action) -> bool:
        return (kind, action) not in self.refused


def policy_of(conversation: Conversation, objects: Mapping[str, Objects]) -> ObservedPolicy:
    """What was refused for the lack of a right, or because the SC takes no changes."""
    refused = set()
    read_only = False
    for event in conversation.replies():
        message, asked = event.message, event.asked
        if isinstance(message, StatusResponse):
            code, text = message.error_code.code, message.error_message or ""
            if isinstance(asked, CreateRequest) and code == Code.PERMISSION_DENIED:
                refused.add((_policy_name(asked.kind), Action.CREATE))
            read_only = read_only or text == "read-only error"
            if isinstance(asked, DeleteRequest) and "store timed out" in text:
                read_only = True
            if isinstance(asked, UpdateRequest) and not code:
                read_only = read_only or not _seen_to_change(conversation, event, asked.key)
        elif (
            isinstance(message, ListResponse)
            and isinstance(asked, ListRequest)
            and not message.objects
            and any(_selected(asked, objects))
        ):
            refused.add((_policy_name(asked.kind), Action.READ))
    return ObservedPolicy(frozenset(refused), read_only)


def _policy_name(kind: Kind) -> str:
    return "Spu" if kind is SPU else kind.label


def _selected(asked: ListRequest, objects: Mapping[str, Objects]) -> Iterator[Metadata]:
    return (one for one in objects.get(asked.kind.label, {}).values() if selects(asked, one))


def _seen_to_change(conversation: Conversation, answer: Event, topic: str) -> bool:
    """Whether a watch told of a topic's change after it was acknowledged, or could not tell."""
    watched = False
    last = answer.time
    for event in conversation.events:
        message = event.message
        last = max(last, event.time)
        if isinstance(message, WatchResponse) and message.kind is TOPIC:
            watched = True
            if event.line > answer.call.line and any(
                one.content.name == topic for one in message.changes
            ):
                return True
    return not watched or last - answer.time < _PATIENCE


_PATIENCE = 1.0
"""Seconds in which an acknowledged change shows, unless it never does."""


def release_of(conversation: Conversation) -> Release:
    """The preset that says what the SC and the SPUs said, or what they said."""
    observed = FLUVIO_0_18
    for event in conversation.replies():
        message = event.message
        if not isinstance(message, ApiVersionsResponse):
            continue
        if event.server == "SC":
            platform = message.platform_version
            for release in RELEASES.values():
                if release.platform_version == platform:
                    return release
            observed = attrs.evolve(observed, platform_version=platform, sc=message.api_keys)
        else:
            observed = attrs.evolve(observed, spu=message.api_keys)
    return observed
