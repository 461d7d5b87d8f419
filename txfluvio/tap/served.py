"""The console on the air, for the commands that serve it. Imported only then: it needs an extra."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import IListeningPort

from ..config import join_endpoint
from ..console.address import Address
from ..console.console import CLIENT_ID, Console
from ..console.fake import Fake
from ..console.web import Web, console_site
from ..testing import FakeBroker
from ..testing.control.calls import Control
from ..transport.dialer import MemoryDialer
from ..transport.memory import MemoryNetwork

__all__ = ["CLIENT_ID", "Console", "ServedConsole", "console_of_fake"]


def console_of_fake(
    reactor: Any, broker: FakeBroker, control: Control, aside: MemoryNetwork
) -> Console:
    """A console of a fake cluster, which it does not disturb by looking.

    :param aside: where the fake listens for those who only look.
    """
    config = broker.client_config(client_id=CLIENT_ID, tls=None)
    dialer = MemoryDialer(aside, config, reactor)
    return Console(reactor, config, writes=True, dialer=dialer, fake=Fake(broker, control))


class ServedConsole:
    """A console and its page, from :meth:`start` to :meth:`stop`.

    :param address: where to listen.
    :ivar url: of the page; known once started.
    """

    def __init__(self, reactor: Any, console: Console, address: Address) -> None:
        self._reactor = reactor
        self._console = console
        self._address = address
        self._web = Web(console, self._address.callers, reactor)
        self._listening: IListeningPort | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen, and begin to look at the cluster.

        :raises CannotListenError: the port can not be had.
        """
        host, reactor = self._address.host, self._reactor
        kind = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
        endpoint = kind(reactor, self._address.port, interface=host)
        site = console_site(self._web, self._address.callers, reactor)
        self._listening = await endpoint.listen(site)
        self._console.start()
        where: Any = self._listening.getHost()
        self.url = f"http://{join_endpoint(host, where.port)}/"

    async def stop(self) -> None:
        """End it all."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await maybeDeferred(listening.stopListening)
            self._web.close()
            await self._console.stop()
