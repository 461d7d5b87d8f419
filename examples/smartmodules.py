"""Let the cluster filter and change records, when they are read and when they are written.

The SmartModules here are Python, which only the fake cluster runs. On a real one they are
WebAssembly: ``client.admin.create_smartmodule("only-errors", "only_errors.wasm")`` uploads one,
and ``SmartModuleInvocation.from_file("only_errors.wasm")`` sends one along with the request. All
that the client does below stays the same.
"""

from twisted.internet import task
from twisted.internet.defer import Deferred

from txfluvio import FluvioClient, Offset, SmartModuleInvocation
from txfluvio.errors import SmartModuleRuntimeError
from txfluvio.testing import FakeBroker
from txfluvio.testing.smartmodules import filter, map


@filter
class AtLeast:
    """Keeps the records whose level, a number in front, is high enough."""

    def init(self, params):
        self.least = int(params["level"])

    def __call__(self, record):
        return int(record.value.split()[0]) >= self.least


@map
def upper(record):
    return record.key, record.value.upper()


async def main(reactor):
    async with FakeBroker(reactor, smartmodules={"at-least": AtLeast, "upper": upper}) as broker:
        async with FluvioClient(reactor, broker.client_config()) as client:
            await client.admin.create_topic("log")
            async with client.producer("log") as producer:
                for line in (b"1 hello", b"5 fire", b"3 smoke", b"no level at all"):
                    await producer.send(line)

            chain = [
                SmartModuleInvocation("at-least", params={"level": "3"}),
                SmartModuleInvocation("upper"),
            ]
            async with client.consumer(
                "log", start=Offset.beginning(), stop=Offset.end(), smartmodules=chain
            ) as records:
                try:
                    async for record in records:
                        print(f"read {record.value.decode()}")
                except SmartModuleRuntimeError as error:
                    print(f"a module failed on {error.record_value!r} at offset {error.offset}")

            async with client.producer("log", smartmodules=chain) as producer:
                stored = await producer.send(b"4 sparks")
                print(f"accepted, at an offset that is not told: {stored.offset}")
            async with client.consumer("log", start=Offset.from_end(1)) as records:
                print(f"stored {(await records.next()).value.decode()}")


if __name__ == "__main__":
    task.react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
