"""An SPU with SmartModules, and what they make of records."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.testing.spu_kit import SPU_ID, SpuClient, StreamCall
from tests.testing.spu_kit import Kit as SpuKit
from txfluvio.testing.releases import FLUVIO_0_18
from txfluvio.testing.sc.store import Item
from txfluvio.testing.smartmodules import Limits, Registrable
from txfluvio.testing.smartmodules.registry import SmartModules, StoredModule
from txfluvio.testing.spu.spu import Spu
from txfluvio.testing.timers import Timers
from txfluvio.wire.records import Batch, encode_batch
from txfluvio.wire.sc import SmartModuleSpec, SmartModuleStatus, Wasm
from txfluvio.wire.spu import PartitionResponse, SmartModuleInvocation

TIME = 1_700_000_000_000

Pair = tuple[bytes | None, bytes]

Modules = Mapping[str, Registrable | bytes]
"""By name: what is registered, or the WASM that is created."""


class Kit(SpuKit):
    """An SPU under a clock that knows some SmartModules, and leads ``orders``.

    :param modules: by name: callables that are registered, or WASM that is stored.
    """

    def __init__(self, modules: Modules | None = None, *, limits: Limits | None = None) -> None:
        super().__init__(host=False)
        self.stored: list[StoredModule] = []
        self.modules = SmartModules(lambda: self.stored, limits)
        self.use(
            Spu(
                SPU_ID,
                timers=Timers(self.clock),
                now=self.clock.seconds,
                release=FLUVIO_0_18,
                modules=self.modules,
            )
        )
        for name, module in (modules or {}).items():
            if isinstance(module, bytes):
                self.store(name, gzip.compress(module, mtime=0))
            else:
                self.register(name, module)
        self.host()

    def register(self, name_or_sha256: str, module: Registrable) -> None:
        self.modules.register(name_or_sha256, module, self.stored.append)

    def store(self, name: str, payload: bytes) -> None:
        """Have the SC know a module with these bytes."""
        spec = SmartModuleSpec(wasm=Wasm(payload=payload))
        self.stored.append(Item(name, spec, SmartModuleStatus()))

    def put(
        self, *batches: Iterable[bytes | tuple[bytes | None, bytes]], topic: str = "orders"
    ) -> None:
        """Append batches of records."""
        for records in batches:
            batch = Batch(encode_batch(list(records), timestamp=TIME), 0)
            self.spu.replicas[topic, 0].append([batch], self.clock.seconds())

    def stream(
        self, *modules: SmartModuleInvocation, client: SpuClient | None = None, **settings: Any
    ) -> StreamCall:
        """Open a stream through modules."""
        client = self.client() if client is None else client
        return client.stream(smartmodules=modules, **settings)


def only(partition: PartitionResponse) -> Batch:
    """The only batch of a push."""
    (batch,) = partition.records.batches()
    return batch


def values(partition: PartitionResponse) -> list[bytes]:
    """The values of what was pushed."""
    return [record.value for batch in partition.records.batches() for record in batch.raw_records()]


def text_of(partition: PartitionResponse) -> str:
    """What the error of a push says."""
    text: str = partition.error_code.fields["text"]
    return text


def deltas(partition: PartitionResponse) -> Sequence[int]:
    """The offset deltas of what was pushed."""
    return [record.offset_delta for record in only(partition).raw_records()]
