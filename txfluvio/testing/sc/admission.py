"""What the SC refuses to create, and in which words.

Pure checks, each in the order of the real SC: the first that fails is the answer
(``fluvio-sc/src/services/public_api/topic/create.rs``). Many strange things pass: an empty topic
name, four thousand million partitions, more replicas than SPUs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Sequence

import attrs

from ...wire.codes import Code, ErrorCode, error
from ...wire.sc import Assigned, Computed, PackageMeta, PartitionMap, TopicSpec
from ...wire.schema import MAX_STRING
from ...wire.semver import LenientError, lenient

MAX_NAME_BYTES = 63
MAX_FILE_NAME_BYTES = 255
MIN_RETENTION = 10
MIN_SEGMENT_SIZE = 1024
MIN_PARTITION_SIZE = 2048
DEFAULT_SEGMENT_SIZE = 1_073_741_824

_NAME = re.compile(r"(?!-)[a-z0-9-]*(?<!-)")


@attrs.frozen
class Refusal:
    """Why something is not created.

    :ivar message: the text beside the code, which humans are shown.
    :ivar name: the name in the answer, where it is not the one that was asked for.
    """

    error: ErrorCode
    message: str | None = None
    name: str | None = None


def clipped(text: str) -> str:
    """As much of a text as can be sent."""
    return text.encode()[:MAX_STRING].decode(errors="ignore")


def names_a_file(name: str) -> bool:
    """Whether the SC can write an object of this name to its directory, as ``NAME.yaml``.

    What is no directory there can not be part of the name: only ``.`` is one.
    """
    *directories, file = f"{name}.yaml".split("/")
    return (
        name[:1] != "/"
        and all(one in ("", ".") for one in directories)
        and len(file.encode()) <= MAX_FILE_NAME_BYTES
        and "\0" not in name
    )


class ModuleNameError(ValueError):
    """A qualified SmartModule name whose version can not be read."""


@attrs.frozen
class ModuleName:
    """A SmartModule by its qualified name: ``name``, ``group/name`` or ``group/name@version``."""

    name: str
    group: str | None = None
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModuleName:
        """Take a qualified name apart; without a slash the whole text is the name.

        :raises ModuleNameError: the version can not be read.
        """
        group, *rest = text.split("/")
        if not rest:
            return cls(text)
        name, *version = rest[0].split("@")
        if not version:
            return cls(name, group)
        try:
            return cls(name, group, lenient(version[0]))
        except LenientError as reason:
            complaint = f"SmartModule version`{version[0]}` is not valid because {reason}"
            raise ModuleNameError(complaint) from reason

    @classmethod
    def of_package(cls, meta: PackageMeta) -> ModuleName:
        """The name of a module that comes with package metadata."""
        return cls(meta.package.name, meta.package.group, meta.package.version)

    @property
    def store_id(self) -> str:
        """The key under which the SC keeps the module."""
        return "-".join(part for part in (self.name, self.group, self.version) if part is not None)

    def matches(self, key: str, meta: PackageMeta | None) -> bool:
        """Whether a list filter of this name selects a stored module."""
        if meta is None:
            return self.name == key
        package = meta.package
        return (
            self.version in (None, package.version)
            and self.group in (None, package.group)
            and self.name == package.name
        )


def refuse_topic(
    name: str,
    spec: TopicSpec,
    *,
    topics: Container[str],
    modules: Container[str],
    spu_ids: Collection[int],
) -> Refusal | None:
    """Why this topic is not created, or ``None``.

    :param topics: the names in use.
    :param modules: the store ids of the SmartModules.
    :param spu_ids: the ids of the registered SPUs, running or not.
    """
    return (
        _refuse_name(name)
        or _refuse_duplicate(name, topics)
        or _refuse_settings(spec)
        or _refuse_deduplication(spec, modules)
        or _refuse_replicas(spec, spu_ids)
    )


def _refuse_name(name: str) -> Refusal | None:
    if len(name.encode()) > MAX_NAME_BYTES:
        complaint = f"Name exceeds max characters allowed {MAX_NAME_BYTES}"
    elif _NAME.fullmatch(name) is None:
        complaint = "Contain only lowercase alphanumeric characters or '-'"
    else:
        return None
    message = f"Invalid topic name: '{name}'. {complaint}"
    return Refusal(error(Code.TOPIC_INVALID_NAME), message)


def _refuse_duplicate(name: str, topics: Container[str]) -> Refusal | None:
    if name not in topics:
        return None
    return Refusal(error(Code.TOPIC_ALREADY_EXISTS), f"Topic '{name}' already exists")


def _refuse_settings(spec: TopicSpec) -> Refusal | None:
    complaint = _settings_complaint(spec)
    if complaint is None:
        return None
    return Refusal(error(Code.TOPIC_INVALID_CONFIGURATION), complaint)


def _settings_complaint(spec: TopicSpec) -> str | None:
    if spec.cleanup_policy is not None:
        retention = spec.cleanup_policy.time_in_seconds
        if retention < MIN_RETENTION:
            return f"retention_secs {retention} is less than minimum {MIN_RETENTION}"
    if spec.storage is None:
        return None
    segment, partition = spec.storage.segment_size, spec.storage.max_partition_size
    if segment is not None and segment < MIN_SEGMENT_SIZE:
        return f"segment_size {segment} is less than minimum {MIN_SEGMENT_SIZE}"
    if partition is None:
        return None
    if partition < MIN_PARTITION_SIZE:
        return f"max_partition_size {partition} is less than minimum {MIN_PARTITION_SIZE}"
    segment = DEFAULT_SEGMENT_SIZE if segment is None else segment
    if partition < segment:
        return f"max_partition_size {partition} is less than segment size {segment}"
    return None


def _refuse_deduplication(spec: TopicSpec, modules: Container[str]) -> Refusal | None:
    if spec.deduplication is None:
        return None
    uses = spec.deduplication.uses
    try:
        store_id = ModuleName.parse(uses).store_id
    except ModuleNameError as reason:
        text = clipped(str(reason))
        code = error(Code.DEDUPLICATION_SMART_MODULE_NAME_INVALID, text=text)
        return Refusal(code, text, name=uses)
    if store_id in modules:
        return None
    message = (
        "Deduplication SmartModule is not loaded into the cluster\n"
        f"Hint: try `fluvio hub sm download {uses}` and repeat this operation"
    )
    return Refusal(error(Code.DEDUPLICATION_SMART_MODULE_NOT_LOADED), message, name=uses)


def _refuse_replicas(spec: TopicSpec, spu_ids: Collection[int]) -> Refusal | None:
    complaint: str | None = None
    if isinstance(spec.replicas, Computed):
        if spec.replicas.partitions < 1:
            complaint = "partition must be greater than 0"
        elif spec.replicas.replication_factor < 1:
            complaint = "replication factor must be greater than 0"
    elif isinstance(spec.replicas, Assigned):
        complaint = _maps_complaint(spec.replicas.partitions) or _unknown_spu(
            spec.replicas.partitions, spu_ids
        )
    if complaint is None:
        return None
    return Refusal(error(Code.TOPIC_ERROR), complaint)


def _maps_complaint(maps: Sequence[PartitionMap]) -> str | None:
    if not maps:
        return "no assigned partitions found"
    replication = len(maps[0].replicas)
    for number, row in enumerate(maps):
        if number == 0:
            if row.id != 0:
                return "assigned partitions must start with id 0"
            if replication == 0:
                return "assigned replicas must have at least one spu id"
        elif row.id != number:
            return "assigned partition ids must be in sequence and without gaps"
        elif len(row.replicas) != replication:
            return f"all assigned replicas must have the same number of spu ids: {replication}"
        if len(dict.fromkeys(row.replicas)) != replication:
            return f"duplicate spu ids found in assigned partition with id: {number}"
        for spu in row.replicas:
            if spu < 0:
                return f"invalid spu id: {spu} in assigned partition with id: {number}"
    return None


def _unknown_spu(maps: Sequence[PartitionMap], spu_ids: Collection[int]) -> str | None:
    for row in maps:
        for spu in row.replicas:
            if spu not in spu_ids:
                return f"invalid spu id: {spu}"
    return None
