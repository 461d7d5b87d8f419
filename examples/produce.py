"""Send each line of the standard input to a topic: ``python examples/produce.py orders``.

A line ``key=value`` has a key, so that lines of one key keep their order in one partition. The
cluster is the current one of your profile; without one, serve a fake one in another terminal::

    twist fluvio-broker --profile /tmp/fake --topic orders:2
    FLV_PROFILE_PATH=/tmp/fake python examples/produce.py orders < lines
"""

import sys

from twisted.internet import task
from twisted.internet.defer import Deferred

from txfluvio import ClientConfig, FluvioClient


def key_and_value(line):
    key, equals, value = line.rstrip(b"\n").partition(b"=")
    return (key, value) if equals else (None, key)


async def main(reactor, topic):
    async with FluvioClient(reactor, ClientConfig.from_profile()) as client:
        async with client.producer(topic) as producer:
            # Sent in a row they leave together; each Deferred tells where its own was stored.
            sent = []
            for line in sys.stdin.buffer:
                key, value = key_and_value(line)
                sent.append((value, producer.send(value, key=key)))
            for value, stored in sent:
                place = await stored
                print(f"{value.decode()} -> partition {place.partition}, offset {place.offset}")


if __name__ == "__main__":
    task.react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
