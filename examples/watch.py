"""Tell of every change of the topics, until stopped: ``python examples/watch.py``.

What is there comes first, as added. It survives the SC's restarts, and misses nothing by them. The
cluster is the current one of your profile; see ``produce.py`` for a fake one.
"""

from twisted.internet import task
from twisted.internet.defer import Deferred

from txfluvio import ClientConfig, FluvioClient, ObjectKind


async def main(reactor):
    async with FluvioClient(reactor, ClientConfig.from_profile()) as client:
        async with client.admin.watch(ObjectKind.TOPIC) as changes:
            async for change in changes:
                topic = change.object
                print(
                    f"{change.kind.value}: {change.name},"
                    f" {topic.partition_count} partitions, {topic.resolution.name.lower()}",
                    flush=True,
                )


if __name__ == "__main__":
    task.react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
