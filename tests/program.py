"""Small programs of a user, run in a process of their own."""

from __future__ import annotations

import sys
import textwrap

_FRAME = """
import sys
from twisted.internet import task
from twisted.internet.defer import Deferred
from txfluvio import ClientConfig, FluvioClient, Offset

async def main(reactor):
    async with FluvioClient(reactor, {config}) as client:
{body}

task.react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
"""


OF_SC = "ClientConfig(endpoint=sys.argv[1])"
OF_PROFILE = "ClientConfig.from_profile(path=sys.argv[1])"


def program(body: str, config: str = OF_SC) -> tuple[str, str, str]:
    """The command that runs ``body`` with a connected ``client``.

    :param config: whether ``sys.argv[1]`` is the SC or a profile file.
    """
    inside = textwrap.indent(textwrap.dedent(body).strip("\n"), " " * 8)
    return (sys.executable, "-c", _FRAME.format(body=inside, config=config))
