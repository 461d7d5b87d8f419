"""Do something with each record, and remember how far that has come.

``python examples/worker.py orders invoices`` reads orders, writes an invoice for each, and commits
under the name ``invoicing`` what is done. Stop it, and the next run goes on behind the last commit;
a batch that it was stopped or killed in is done again, so each order gets its invoice at least
once.

Several workers share a topic by its partitions: give each ``partitions=Share(index, of)``. The
cluster is the current one of your profile; see ``produce.py`` for a fake one.
"""

import sys

from twisted.internet import task
from twisted.internet.defer import Deferred

from txfluvio import ClientConfig, FluvioClient, Offset, OffsetStrategy
from txfluvio.errors import ConsumerClosed


def invoice(record):
    return record.key, b"invoice for " + record.value


async def work(worker, producer):
    async for batch in worker.batches():
        await producer.send_many([invoice(record) for record in batch])
        await worker.commit()
        print(f"partition {batch[-1].partition}: up to offset {batch[-1].offset}", flush=True)


async def main(reactor, orders, invoices):
    async with FluvioClient(reactor, ClientConfig.from_profile()) as client:
        # A signal ends the reactor. Before that, what was sent is stored and all is closed.
        reactor.addSystemEventTrigger("before", "shutdown", client.close)
        worker = client.consumer(
            orders,
            start=Offset.stored(),  # where nothing is stored yet: at the beginning
            consumer_id="invoicing",
            offsets=OffsetStrategy.MANUAL,
        )
        async with client.producer(invoices) as producer, worker:
            try:
                await work(worker, producer)
            except ConsumerClosed:
                print("stopped inside a batch: it will be done again")


if __name__ == "__main__":
    task.react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
