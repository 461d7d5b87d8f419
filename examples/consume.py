"""Print all that is in a topic, oldest first: ``python examples/consume.py orders``.

Without ``stop`` it would go on for ever, and print what comes. The cluster is the current one of
your profile; see ``produce.py`` for a fake one.
"""

import sys

from twisted.internet import task
from twisted.internet.defer import Deferred

from txfluvio import ClientConfig, FluvioClient, Offset


async def main(reactor, topic):
    async with FluvioClient(reactor, ClientConfig.from_profile()) as client:
        async with client.consumer(topic, start=Offset.beginning(), stop=Offset.end()) as records:
            async for record in records:
                key = "" if record.key is None else f"{record.key.decode()}="
                print(f"{record.partition}/{record.offset}: {key}{record.value.decode()}")


if __name__ == "__main__":
    task.react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
