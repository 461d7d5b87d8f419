"""Make a topic, look at it, let it grow, delete it: ``python examples/admin.py payments``.

The cluster is the current one of your profile; see ``produce.py`` for a fake one.
"""

import sys

from twisted.internet import task
from twisted.internet.defer import Deferred

from txfluvio import ClientConfig, FluvioClient
from txfluvio.errors import TopicAlreadyExists


async def show(admin, name):
    topic = await admin.describe_topic(name)
    print(f"{topic.name}: {topic.resolution.name.lower()}, kept for {topic.retention} seconds")
    for partition in topic.partitions:
        print(f"  partition {partition.number}, led by SPU {partition.leader}")


async def main(reactor, name):
    async with FluvioClient(reactor, ClientConfig.from_profile()) as client:
        admin = client.admin
        for spu in await admin.list_spus():
            print(f"SPU {spu.id} at {spu.host}:{spu.port}, {'on' if spu.online else 'off'}line")
        try:
            await admin.create_topic(name, partitions=2, retention=3600, compression="zstd")
        except TopicAlreadyExists as error:
            print(error)
            return
        await show(admin, name)
        await admin.add_partitions(name, 1)
        await show(admin, name)
        await admin.delete_topic(name)
        print("topics:", ", ".join(topic.name for topic in await admin.list_topics()) or "none")


if __name__ == "__main__":
    task.react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
