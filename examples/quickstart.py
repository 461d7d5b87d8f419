"""Produce into a cluster and read it back: the whole client on one page.

The cluster here is the fake one, served in this very process. For a real one leave out the two
lines with ``FakeBroker``, and give ``FluvioClient`` a ``ClientConfig`` of your own, such as
``ClientConfig.from_profile()``.
"""

from twisted.internet import task
from twisted.internet.defer import Deferred

from txfluvio import FluvioClient, Offset
from txfluvio.testing import FakeBroker


async def main(reactor):
    async with FakeBroker(reactor) as broker:  # loopback TCP, free ports
        async with FluvioClient(reactor, broker.client_config()) as client:
            await client.admin.create_topic("greetings", partitions=2)
            async with client.producer("greetings") as producer:
                stored = await producer.send(b"hello", key=b"k")
                print(f"stored in partition {stored.partition} at offset {stored.offset}")
                await producer.send_many([b"a", (b"key", b"value"), b"b"])
            async with client.consumer(
                "greetings", start=Offset.beginning(), stop=Offset.end()
            ) as records:
                async for record in records:
                    print(record)


if __name__ == "__main__":
    task.react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
