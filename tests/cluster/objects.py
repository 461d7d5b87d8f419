"""Objects of an SC as its watches tell them, in few words."""

from __future__ import annotations

from txfluvio.wire.sc import (
    Change,
    ChangeMessage,
    Computed,
    Endpoint,
    IngressAddr,
    IngressPort,
    Kind,
    Metadata,
    PartitionResolution,
    PartitionSpec,
    PartitionStatus,
    SpuResolution,
    SpuSpec,
    SpuStatus,
    TopicSpec,
    TopicStatus,
    WatchResponse,
)


def topic(name: str, partitions: int = 1) -> Metadata:
    spec = TopicSpec(replicas=Computed(partitions=partitions))
    return Metadata(name=name, spec=spec, status=TopicStatus())


def partition(
    key: str,
    leader: int = 5001,
    resolution: PartitionResolution = PartitionResolution.ONLINE,
    being_deleted: bool = False,
) -> Metadata:
    return Metadata(
        name=key,
        spec=PartitionSpec(leader=leader, replicas=(leader,)),
        status=PartitionStatus(resolution=resolution, is_being_deleted=being_deleted),
    )


def spu(
    id: int = 5001,
    online: bool = True,
    ingress: tuple[IngressAddr, ...] = (IngressAddr(hostname="spu.test"),),
    port: int = 9010,
    local: Endpoint | None = None,
) -> Metadata:
    resolution = SpuResolution.ONLINE if online else SpuResolution.OFFLINE
    return Metadata(
        name=f"custom-spu-{id}",
        spec=SpuSpec(
            id=id,
            public_endpoint=IngressPort(port=port, ingress=ingress),
            private_endpoint=Endpoint(port=9011, host="private.test"),
            public_endpoint_local=local,
        ),
        status=SpuStatus(resolution=resolution),
    )


def everything(kind: Kind, *objects: Metadata, epoch: int = 1) -> WatchResponse:
    """A message with all objects of a kind, or with nothing at all."""
    return WatchResponse(kind=kind, epoch=epoch, all=objects)


def updated(*objects: Metadata) -> tuple[ChangeMessage, ...]:
    return tuple(ChangeMessage(header=Change.UPDATE, content=object_) for object_ in objects)


def deleted(*objects: Metadata) -> tuple[ChangeMessage, ...]:
    return tuple(ChangeMessage(header=Change.DELETE, content=object_) for object_ in objects)


def changed(kind: Kind, *changes: ChangeMessage, epoch: int = 2) -> WatchResponse:
    """A message with changes."""
    return WatchResponse(kind=kind, epoch=epoch, changes=changes)
