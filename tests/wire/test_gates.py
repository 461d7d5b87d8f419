"""The versions that carry a field: those that upstream wrote on it, and no others.

Round trips can not tell a wrong version from a right one, and the recordings hold few versions.
"""

from __future__ import annotations

from txfluvio.wire import codes, headers, sc, spu, versions
from txfluvio.wire.schema import StructType

GATES = {
    "ApiVersionsRequest.client_version": (1, None),
    "ApiVersionsRequest.client_os": (1, None),
    "ApiVersionsRequest.client_arch": (1, None),
    "PartitionProduceResponse.log_append_time_ms": (2, None),
    "PartitionProduceResponse.log_start_offset": (5, None),
    "ProduceResponse.throttle_time_ms": (1, None),
    "PartitionResponse.next_filter_offset": (11, None),
    "FetchRequest.max_bytes": (3, None),
    "FetchRequest.isolation_level": (4, None),
    "FetchRequest.forgotten": (7, None),
    "FetchPartition.current_leader_epoch": (9, None),
    "FetchPartition.log_start_offset": (5, None),
    "ForgottenTopic.name": (7, None),
    "ForgottenTopic.forgotten_partition_indexes": (7, None),
    "StreamFetchRequest.wasm_module": (11, 18),
    "StreamFetchRequest.smartmodule": (16, 18),
    "StreamFetchRequest.derivedstream": (16, 18),
    "StreamFetchRequest.smartmodules": (18, None),
    "StreamFetchRequest.consumer_id": (23, None),
    "SmartModuleInvocation.name": (25, None),
    "ExtraParams.lookback": (20, None),
    "Lookback.age": (21, None),
    "FetchOffsetsRequest.consumer_id": (23, 23),
    "FetchConsumerOffsetsRequest.filter_opts": (24, None),
    "TopicSpec.cleanup_policy": (3, None),
    "TopicSpec.storage": (4, None),
    "TopicSpec.compression_type": (6, None),
    "TopicSpec.deduplication": (12, None),
    "TopicSpec.system": (13, None),
    "TopicStatus.mirror_map": (14, None),
    "PartitionMap.mirror": (14, None),
    "RemoteMirror.target": (18, None),
    "HomeMirror.source": (18, None),
    "RemotePartition.target": (18, None),
    "HomePartition.source": (18, None),
    "PartitionSpec.cleanup_policy": (4, None),
    "PartitionSpec.storage": (4, None),
    "PartitionSpec.compression_type": (6, None),
    "PartitionSpec.deduplication": (12, None),
    "PartitionSpec.system": (13, None),
    "PartitionSpec.mirror": (14, None),
    "PartitionStatus.size": (5, None),
    "PartitionStatus.base_offset": (16, None),
    "SpuSpec.public_endpoint_local": (1, None),
    "Package.visibility": (19, None),
    "SmartModuleSpec.input_kind": (0, 9),
    "SmartModuleSpec.output_kind": (0, 9),
    "SmartModuleSpec.source_code": (0, 9),
    "SmartModuleSpec.parameters": (0, 9),
    "SmartModuleSpec.meta": (10, None),
    "SmartModuleSpec.summary": (10, None),
    "CreateRequest.timeout": (7, None),
    "DeleteRequest.force": (13, None),
    "ListRequest.summary": (10, None),
    "ListRequest.system": (13, None),
    "WatchRequest.summary": (10, None),
}


def test_every_gated_field_has_the_versions_of_upstream() -> None:
    found = {}
    for module in (codes, headers, sc, spu, versions):
        for name, cls in vars(module).items():
            declared = getattr(cls, "__wire__", None)
            inner = getattr(declared, "_inner", declared)
            if isinstance(inner, StructType):
                for field in inner.fields:
                    if field.since or field.until is not None:
                        found[f"{name}.{field.name}"] = (field.since, field.until)
    assert found == GATES
