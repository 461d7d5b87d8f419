"""Which connections, requests, replies or pushes a fault is for, and when it acts on them."""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal

import attrs

from ..._checks import member, or_none
from ...errors import ProtocolError
from ...wire.headers import RequestHeader
from ...wire.schema import SC_APIS, SPU_APIS, Api, Message, Request
from . import damage
from .answers import named

ServerId = int | Literal["SC"]
"""The id of an SPU, or the SC."""

CALLS = {api.name: api for apis in (SC_APIS, SPU_APIS) for api in apis.values()}
"""All calls by their names."""


def call_of(server: int | str, header: RequestHeader) -> Api | None:
    """The call that a request to a server makes; ``None`` where the server knows no such key."""
    return (SC_APIS if server == "SC" else SPU_APIS).get(header.api_key)


def decoded(kind: type[Message], header: RequestHeader, data: bytes, start: int) -> Message | None:
    """A request, or what answers it, at the request's version; ``None`` if that is not possible."""
    if header.api_version < 0:
        return None
    try:
        return kind.decode(data, header.api_version, start)
    except ProtocolError:
        return None


class Moment(enum.Enum):
    """When a fault acts."""

    CONNECTION = "connection"
    """A connection has come about; nothing was read from it."""

    REQUEST = "request"
    """A request has come in; nothing was done for it."""

    REPLY = "reply"
    """The work is done, and its answer is about to leave."""

    PUSH = "push"
    """One of the many answers of a stream or a watch is about to leave."""


LEAVING = frozenset({Moment.REPLY, Moment.PUSH})
AT_CONNECTION = frozenset({Moment.CONNECTION})


@attrs.define(slots=False)
class Occasion:
    """Something that happens on a connection, and that a fault may be meant for.

    :ivar connection: the number of the connection.
    :ivar header: of the request, also for what answers it.
    :ivar payload: the frame of the request, whose body begins at ``body``.
    :ivar frame: what is about to leave.
    """

    moment: Moment
    server: ServerId
    connection: int
    header: RequestHeader | None = None
    payload: bytes = b""
    body: int = 0
    frame: bytes = b""

    @property
    def api(self) -> Api | None:
        """The call, ``None`` where the server knows no such key, or nothing was called."""
        return None if self.header is None else call_of(self.server, self.header)

    @property
    def call(self) -> str:
        """The name of the call, or what else there is to say."""
        if self.header is None:
            return self.moment.value
        return str(self.header.api_key) if self.api is None else self.api.name

    @property
    def called(self) -> tuple[Api, Message]:
        """The call and the request, where it is known that there are both.

        :raises LookupError: there are not.
        """
        if self.api is None or self.message is None:
            raise LookupError(f"the request of {self.call} can not be decoded")
        return self.api, self.message

    @cached_property
    def message(self) -> Message | None:
        """The request, decoded; ``None`` where that is not possible."""
        if self.header is None or self.api is None:
            return None
        return decoded(self.api.request, self.header, self.payload, self.body)

    @cached_property
    def reply(self) -> Message | None:
        """What is about to leave, decoded; ``None`` where that is not possible."""
        return self.read(self.frame)

    def read(self, frame: bytes) -> Message | None:
        """An answer to the request, decoded; ``None`` where that is not possible."""
        if self.header is None or self.api is None:
            return None
        return decoded(self.api.reply, self.header, frame, damage.BODY)


def no_call(name: str) -> str:
    """What is said of a name that no call has."""
    return f"there is no call {name!r}; there are: {', '.join(sorted(CALLS))}"


def _call_name(call: type[Request[Any]] | str | None) -> str | None:
    return call.api.name if isinstance(call, type) else call


@attrs.frozen
class Match:
    """Selects what a fault is for: every part that is given has to hold.

    :ivar api: the call: its request class, or its name, such as ``"Produce"``.
    :ivar server: the id of an SPU, or ``"SC"``.
    :ivar topic: a topic that the request names. UpdateOffsets and UpdateConsumerOffset name none.
    :ivar partition: a partition that it names, of that topic if both are given.
    :ivar client_id: what the client calls itself in its requests.
    :ivar connection: the number of the connection, counted over the whole cluster from 1.
    :ivar nth: act from this one on, of those that fit in all other parts; the first is 1.
    :ivar where: a predicate on the decoded request; one that can not be decoded does not fit.
    :ivar moment: when; ``None``: when the action usually acts.
    """

    api: str | None = attrs.field(default=None, converter=_call_name)
    server: ServerId | None = attrs.field(default=None, kw_only=True)
    topic: str | None = attrs.field(default=None, kw_only=True)
    partition: int | None = attrs.field(default=None, kw_only=True)
    client_id: str | None = attrs.field(default=None, kw_only=True)
    connection: int | None = attrs.field(default=None, kw_only=True)
    nth: int = attrs.field(default=1, kw_only=True)
    where: Callable[[Any], bool] | None = attrs.field(default=None, kw_only=True)
    moment: Moment | None = attrs.field(
        default=None, kw_only=True, validator=or_none(member(Moment))
    )

    def selects(self, topic: str, partition: int | None) -> bool:
        """Whether a topic and a partition are meant."""
        return self.topic in (None, topic) and self.partition in (None, partition)

    def holds(self, occasion: Occasion) -> bool:
        """Whether all parts hold, those aside that say when and how often."""
        header = occasion.header
        return (
            self.server in (None, occasion.server)
            and self.connection in (None, occasion.connection)
            and self.api in (None, occasion.call)
            and (self.client_id is None or (header is not None and self._client(header)))
            and self._holds_inside(occasion)
        )

    def _client(self, header: RequestHeader) -> bool:
        return header.client_id == self.client_id

    def _holds_inside(self, occasion: Occasion) -> bool:
        """Whether the parts hold for which a request has to be decoded."""
        if self.topic is None and self.partition is None and self.where is None:
            return True
        message = occasion.message
        if message is None:
            return False
        if (self.topic, self.partition) != (None, None) and not self._names(message):
            return False
        return self.where is None or self.where(message)

    def _names(self, message: Message) -> bool:
        return any(self.selects(*one) for one in named(message))
