"""Create, Delete, Update and List: what the SC does for a request, and in which words it answers.

One method for each call, values in and values out. Whoever asks is known by the common name of a
certificate, empty for everybody without one; ``None`` is the cluster itself, which may do all. The
answers, their order and their oddities are those of ``fluvio-sc/src/services/public_api/``: some
kinds are overwritten without a word, dry runs are honoured by two kinds only, and deletes and
updates need no permission.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from unicodedata import category

from ...wire.codes import NO_ERROR, Code, ErrorCode, error
from ...wire.sc import (
    CUSTOM_SPU,
    MIRROR,
    PARTITION,
    SMART_MODULE,
    SPU,
    SPU_GROUP,
    TABLE_FORMAT,
    TOPIC,
    AddMirror,
    AddPartition,
    Computed,
    CreateRequest,
    CustomSpuSpec,
    DeleteRequest,
    Endpoint,
    HomeMirror,
    HomePartition,
    Kind,
    ListRequest,
    ListResponse,
    Metadata,
    MirrorStatus,
    MirrorTopic,
    RemoteCluster,
    RemoteMirror,
    SmartModuleSpec,
    SmartModuleStatus,
    SpuGroupStatus,
    SpuSpec,
    SpuStatus,
    SpuType,
    StatusResponse,
    TableFormatStatus,
    TopicSpec,
    UpdateRequest,
    Wasm,
    WasmSummary,
)
from ...wire.schema import evolve
from ..timers import Timers
from . import lifecycle
from .admission import ModuleName, ModuleNameError, clipped, names_a_file, refuse_topic
from .metadata import Stores, Timing, until
from .policies import Action, Policy
from .store import Item, Store

COUNTS = 2**32
"""Partitions are counted in 32 bits: the SC adds without looking, and wraps."""

GROUP_TIMEOUT = 120_000
"""How long the creation of an SPU group may take, in milliseconds, unless its client says."""

DEFAULT_HOST = "127.0.0.1"
"""Where an SPU is that gives an empty host for its own endpoints."""

NOT_FOUND = "not found"

_ESCAPES = {"\0": r"\0", "\t": r"\t", "\r": r"\r", "\n": r"\n", '"': r"\"", "\\": r"\\"}

_JOINING = ("Mn", "Me")
"""The categories of characters that are shown on top of others."""

_Creator = Callable[[CreateRequest, str | None], Awaitable[StatusResponse]]
_Deleter = Callable[[DeleteRequest], Awaitable[StatusResponse]]


class Hangup(Exception):
    """A request for which the SC has no answer but to stop serving its connection."""


def status(name: str, code: ErrorCode = NO_ERROR, message: str | None = None) -> StatusResponse:
    """An answer to Create, Delete or Update."""
    message = None if message is None else clipped(message)
    return StatusResponse(name=name, error_code=code, error_message=message)


def shown(item: Item[Any, Any]) -> Metadata:
    """An object as the SC sends it."""
    return Metadata(name=item.name, spec=item.spec, status=item.status)


def summary(item: Item[Any, Any]) -> Metadata:
    """A SmartModule without its bytes, but with their number."""
    spec: SmartModuleSpec = item.spec
    length = WasmSummary(wasm_length=len(spec.wasm.payload))
    brief = SmartModuleSpec(meta=spec.meta, summary=length, wasm=Wasm(payload=b""))
    return Metadata(name=item.name, spec=brief, status=item.status)


def custom(item: Item[SpuSpec, SpuStatus]) -> Metadata:
    """An SPU as a custom SPU."""
    spec = item.spec
    return Metadata(
        name=item.name,
        spec=CustomSpuSpec(
            id=spec.id,
            public_endpoint=spec.public_endpoint,
            private_endpoint=spec.private_endpoint,
            rack=spec.rack,
            public_endpoint_local=spec.public_endpoint_local,
        ),
        status=item.status,
    )


class Operations:
    """What can be done to the objects of a cluster.

    :ivar policy: who may do what.
    """

    def __init__(self, stores: Stores, *, timers: Timers, timing: Timing, policy: Policy) -> None:
        self.policy = policy
        self._stores = stores
        self._timers = timers
        self._timing = timing
        self._creators: Mapping[str, _Creator] = {
            TOPIC.label: self._create_topic,
            CUSTOM_SPU.label: self._create_spu,
            SPU_GROUP.label: self._create_group,
            SMART_MODULE.label: self._create_module,
            TABLE_FORMAT.label: self._create_format,
            MIRROR.label: self._create_mirror,
        }
        self._deleters: Mapping[str, _Deleter] = {
            TOPIC.label: self._delete_topic,
            CUSTOM_SPU.label: self._delete_spu,
            SPU_GROUP.label: self._delete_group,
            SMART_MODULE.label: self._delete_module,
            TABLE_FORMAT.label: self._delete_format,
            MIRROR.label: self._delete_mirror,
        }

    def creates(self, label: str) -> bool:
        """Whether objects of this kind are created and deleted by request."""
        return label in self._creators

    async def create(self, request: CreateRequest, principal: str | None) -> StatusResponse:
        """Create an object, and wait until it is there; a topic until all of it is online.

        :raises Hangup: a SmartModule's key would be longer than any text that can be sent, or a
            mirror can not be stored.
        """
        return await self._creators[request.kind.label](request, principal)

    async def delete(self, request: DeleteRequest) -> StatusResponse:
        """Delete an object and wait until it is gone from the metadata.

        :raises Hangup: a SmartModule's name can not be read.
        """
        return await self._deleters[request.kind.label](request)

    async def update(self, request: UpdateRequest) -> StatusResponse:
        """Change a topic; what follows from the change is not waited for."""
        name = request.key
        topic = self._stores.topics.get(name)
        if topic is None:
            return status(name, error(Code.TOPIC_NOT_FOUND), NOT_FOUND)
        if isinstance(request.action, AddPartition):
            changed = self._more_partitions(topic, request.action)
        else:
            changed = self._more_mirrors(topic, request.action)
        if isinstance(changed, StatusResponse):
            return changed
        if not self.policy.read_only:
            self._stores.topics.put(Item(name, changed, topic.status))
            await self._turn(self._stores.topics)
        return status(name)

    def find(self, request: ListRequest, principal: str | None) -> ListResponse:
        """The objects of a kind that the filters select: none at all without permission.

        :raises Hangup: a filter is no SmartModule's name.
        """
        kind = request.kind
        if kind is MIRROR:
            objects = tuple(shown(item) for item in self._stores.mirrors.listing())
        elif not self._may(principal, Action.READ, kind):
            objects = ()
        else:
            objects = tuple(self._selected(request))
        return ListResponse(kind=kind, objects=objects)

    # Topics

    async def _create_topic(self, request: CreateRequest, principal: str | None) -> StatusResponse:
        name, spec = request.name, request.spec
        denied = self._denied(request, principal)
        if denied is not None:
            return denied
        stores = self._stores
        refusal = refuse_topic(
            name,
            spec,
            topics=stores.topics,
            modules=stores.modules,
            spu_ids=stores.spu_ids(),
        )
        if refusal is not None:
            shown_name = name if refusal.name is None else refusal.name
            return status(shown_name, refusal.error, refusal.message)
        if request.dry_run:
            return status(name)
        stores.topics.put(Item(name, spec, lifecycle.NEW_TOPIC))
        if isinstance(spec.replicas, MirrorTopic):
            await self._turn(stores.topics)
            return status(name)
        wanted = lifecycle.partition_count(spec)
        provisioned = await until(
            lambda: stores.online_partitions(name) >= wanted,
            stores.partitions,
            timers=self._timers,
            timeout=self._timing.topic_wait,
        )
        if provisioned:
            return status(name)
        complaint = f"only {stores.online_partitions(name)} out of {wanted} provisioned"
        return status(name, error(Code.TOPIC_NOT_PROVISIONED), complaint)

    async def _delete_topic(self, request: DeleteRequest) -> StatusResponse:
        name = request.key
        stores = self._stores
        topic = stores.topics.get(name)
        if topic is None:
            return status(name, error(Code.TOPIC_NOT_FOUND), NOT_FOUND)
        if _is_remote(topic.spec):
            complaint = "cannot delete mirrored topic from remote"
            return status(name, error(Code.MIRROR_DELETE_FROM_REMOTE), complaint)
        if topic.spec.system and not request.force:
            return status(name, error(Code.SYSTEM_SPEC_DELETION_ATTEMPT, kind="topic", name=name))
        if self.policy.read_only:
            return await self._never_deleted(TOPIC, name, error(Code.TOPIC_ERROR))
        stores.delete_topic(name)
        await self._turn(stores.topics)
        return status(name)

    def _more_partitions(
        self, topic: lifecycle.TopicItem, action: AddPartition
    ) -> TopicSpec | StatusResponse:
        name, spec = topic.name, topic.spec
        if spec.system:
            return status(name, error(Code.SYSTEM_SPEC_UPDATING_ATTEMPT, kind="topic", name=name))
        replicas = spec.replicas
        if not isinstance(replicas, Computed):
            code = error(Code.TOPIC_INVALID_REPLICA_TYPE)
            return status(name, code, "invalid replica type")
        count = (replicas.partitions + action.count) % COUNTS
        return evolve(spec, replicas=evolve(replicas, partitions=count))

    def _more_mirrors(
        self, topic: lifecycle.TopicItem, action: AddMirror
    ) -> TopicSpec | StatusResponse:
        name, spec = topic.name, topic.spec
        remote = action.remote_cluster
        mirror = self._stores.mirrors.get(remote)
        if mirror is None:
            return status(name, error(Code.MIRROR_NOT_FOUND), NOT_FOUND)
        if not isinstance(mirror.spec, RemoteCluster):
            complaint = "remote cluster is not a remote mirror"
            return status(name, error(Code.MIRROR_INVALID_TYPE), complaint)
        replicas = spec.replicas
        if not isinstance(replicas, MirrorTopic):
            return status(name, error(Code.TOPIC_ERROR), "invalid replica type")
        home = replicas.config if isinstance(replicas.config, HomeMirror) else None
        for number, partition in enumerate(home.partitions if home is not None else ()):
            if partition.remote_cluster == remote:
                complaint = f'remote "{remote}" is already assigned to partition: "{number}"'
                return status(name, error(Code.MIRROR_ALREADY_EXISTS), complaint)
        if spec.system:
            return status(name, error(Code.SYSTEM_SPEC_UPDATING_ATTEMPT, kind="topic", name=name))
        if home is None:
            code = error(Code.TOPIC_INVALID_REPLICA_TYPE)
            return status(name, code, "invalid replica type")
        added = HomePartition(remote_cluster=remote, remote_replica=f"{name}-0", source=home.source)
        config = evolve(home, partitions=(*home.partitions, added))
        return evolve(spec, replicas=evolve(replicas, config=config))

    # SPUs and their groups

    async def _create_spu(self, request: CreateRequest, principal: str | None) -> StatusResponse:
        name, spec = request.name, request.spec
        denied = self._denied(request, principal)
        if denied is not None:
            return denied
        spus = self._stores.spus
        if name in spus or spec.id in self._stores.spu_ids():
            complaint = f"spu '{name}({spec.id})' already defined"
            return status(name, error(Code.SPU_ALREADY_EXISTS), complaint)
        if request.dry_run:
            return status("")
        local = spec.public_endpoint_local
        registered = SpuSpec(
            id=spec.id,
            spu_type=SpuType.CUSTOM,
            public_endpoint=spec.public_endpoint,
            private_endpoint=_with_host(spec.private_endpoint),
            rack=spec.rack,
            public_endpoint_local=None if local is None else _with_host(local),
        )
        refused = await self._put(SPU, Item(name, registered, SpuStatus()))
        if refused is not None:
            return status(name, error(Code.SPU_ERROR), refused)
        return status(name)

    async def _delete_spu(self, request: DeleteRequest) -> StatusResponse:
        key = request.key
        spus = self._stores.spus
        if isinstance(key, int):
            found = next((item for item in spus if item.spec.id == key), None)
            name = f"spu-{key}" if found is None else found.name
        else:
            found, name = spus.get(key), key
        if found is None:
            return status(name, error(Code.SPU_NOT_FOUND), NOT_FOUND)
        if found.spec.spu_type is not SpuType.CUSTOM:
            complaint = "expected 'Custom' spu, found 'Managed' spu"
            return status(name, error(Code.SPU_ERROR), complaint)
        return await self._deleted(spus, name)

    async def _create_group(self, request: CreateRequest, principal: str | None) -> StatusResponse:
        name = request.name
        denied = self._denied(request, principal)
        if denied is not None:
            return denied
        timeout = GROUP_TIMEOUT if request.timeout is None else request.timeout
        refused = await self._put(
            SPU_GROUP, Item(name, request.spec, SpuGroupStatus()), timeout / 1000
        )
        if refused is not None:
            return status(name, error(Code.SPU_ERROR), refused)
        return status(name)

    async def _delete_group(self, request: DeleteRequest) -> StatusResponse:
        groups = self._stores.groups
        if request.key not in groups:
            return status(request.key, error(Code.SPU_NOT_FOUND), NOT_FOUND)
        return await self._deleted(groups, request.key)

    # SmartModules and table formats

    async def _create_module(self, request: CreateRequest, principal: str | None) -> StatusResponse:
        denied = self._denied(request, principal)
        if denied is not None:
            return denied
        name, spec = request.name, request.spec
        if spec.meta is not None:
            package = spec.meta.package
            if not package.name or not package.group:
                complaint = "invalid SmartModule package"
                return status(name, error(Code.SMART_MODULE_ERROR), complaint)
            name = ModuleName.of_package(spec.meta).store_id
            if clipped(name) != name:
                raise Hangup("a package whose names are too long together")
        refused = await self._put(SMART_MODULE, Item(name, spec, SmartModuleStatus()))
        if refused is not None:
            return status(name, error(Code.SMART_MODULE_ERROR), refused)
        return status(name)

    async def _delete_module(self, request: DeleteRequest) -> StatusResponse:
        name = request.key
        modules = self._stores.modules
        key = _module_name(name).store_id
        if key not in modules:
            return status(name, error(Code.SMART_MODULE_NOT_FOUND, name=name), NOT_FOUND)
        return await self._deleted(modules, key, name)

    async def _create_format(self, request: CreateRequest, principal: str | None) -> StatusResponse:
        name = request.name
        formats = self._stores.formats
        if name in formats:
            complaint = f"tableformat '{name}' already defined"
            return status(name, error(Code.TABLE_FORMAT_ALREADY_EXISTS), complaint)
        denied = self._denied(request, principal)
        if denied is not None:
            return denied
        refused = await self._put(TABLE_FORMAT, Item(name, request.spec, TableFormatStatus()))
        if refused is not None:
            return status(name, error(Code.TABLE_FORMAT_ERROR), refused)
        return status(name)

    async def _delete_format(self, request: DeleteRequest) -> StatusResponse:
        formats = self._stores.formats
        if request.key not in formats:
            return status(request.key, error(Code.TABLE_FORMAT_NOT_FOUND), NOT_FOUND)
        return await self._deleted(formats, request.key)

    # Mirrors

    async def _create_mirror(self, request: CreateRequest, principal: str | None) -> StatusResponse:
        name = request.name
        if self.policy.read_only:
            return _unchangeable(name)
        mirrors = self._stores.mirrors
        known = mirrors.get(name)
        if known is not None and isinstance(known.spec, RemoteCluster):
            complaint = f"remote cluster {_quoted(name)} already exists"
            return status(name, error(Code.MIRROR_ALREADY_EXISTS), complaint)
        refused = await self._put(MIRROR, Item(name, request.spec, MirrorStatus()))
        if refused is not None:
            raise Hangup(refused)
        return status(name)

    async def _delete_mirror(self, request: DeleteRequest) -> StatusResponse:
        name = request.key
        if self.policy.read_only:
            return _unchangeable(name)
        mirrors = self._stores.mirrors
        if name not in mirrors:
            complaint = f"remote cluster {_quoted(name)} not found"
            return status(name, error(Code.MIRROR_NOT_FOUND), complaint)
        return await self._deleted(mirrors, name)

    # Lists

    def _selected(self, request: ListRequest) -> list[Metadata]:
        kind, filters = request.kind, request.filters
        stores = self._stores
        if kind is SMART_MODULE:
            names = [_module_name(text) for text in filters]
            return [
                summary(item) if request.summary else shown(item)
                for item in stores.modules.listing()
                if not names or any(one.matches(item.name, item.spec.meta) for one in names)
            ]
        if kind is PARTITION:
            partitions = stores.partitions.listing()
            return [shown(item) for item in partitions if item.spec.system == request.system]

        def selects(item: Item[Any, Any]) -> bool:
            return not filters or any(text in item.name for text in filters)

        if kind is TOPIC:
            topics = filter(selects, stores.topics.listing())
            return [shown(item) for item in topics if item.spec.system == request.system]
        if kind is CUSTOM_SPU:
            spus = filter(selects, stores.spus.listing())
            return [custom(item) for item in spus if item.spec.spu_type is SpuType.CUSTOM]
        return [shown(item) for item in filter(selects, stores.of(kind).listing())]

    # What they have in common

    def _may(self, principal: str | None, action: Action, kind: Kind) -> bool:
        name = "Spu" if kind is SPU else kind.label
        return principal is None or self.policy.allows(principal, name, action)

    def _denied(self, request: CreateRequest, principal: str | None) -> StatusResponse | None:
        if self._may(principal, Action.CREATE, request.kind):
            return None
        return status(request.name, error(Code.PERMISSION_DENIED), "permission denied")

    async def _put(
        self, kind: Kind, item: Item[Any, Any], timeout: float | None = None
    ) -> str | None:
        """Store an object; why it is not there in the end, if so.

        The SC keeps each object in a file. One whose name no file can have it remembers, but does
        not hear of before it loads everything again.

        :param timeout: seconds to wait for it, and with 0 it is never there in time; as long as
            for every other request by default, which is in time however short that is.
        """
        store = self._stores.of(kind)
        wait = self._timing.store_wait if timeout is None else timeout
        if names_a_file(item.name):
            store.put(item)
            await self._turn(store)
            if timeout != 0:
                return None
        else:
            store.put_at_reload(item)
            await self._timers.pause(wait)
        return _not_stored(kind, item.name, round(wait * 1000))

    async def _deleted(
        self, store: Store[Any, Any], key: str, name: str | None = None
    ) -> StatusResponse:
        store.delete(key)
        await self._turn(store)
        return status(key if name is None else name)

    async def _never_deleted(self, kind: Kind, name: str, code: ErrorCode) -> StatusResponse:
        wait = self._timing.store_wait
        await self._timers.pause(wait)
        complaint = f"store timed out: {kind.label} for {_quoted(name)}, timer: {wait:g} secs"
        return status(name, code, complaint)

    async def _turn(self, store: Store[Any, Any]) -> None:
        """Let watchers be told of a change before whoever asked for it is."""
        await until(lambda: True, store, timers=self._timers, timeout=self._timing.store_wait)


def _with_host(endpoint: Endpoint) -> Endpoint:
    """An endpoint as the SC reads it: an empty text leaves the host that is there by default."""
    if endpoint.host:
        return endpoint
    found: Endpoint = evolve(endpoint, host=DEFAULT_HOST)
    return found


def _is_remote(spec: TopicSpec) -> bool:
    replicas = spec.replicas
    return isinstance(replicas, MirrorTopic) and isinstance(replicas.config, RemoteMirror)


def _module_name(text: str) -> ModuleName:
    try:
        return ModuleName.parse(text)
    except ModuleNameError as reason:
        raise Hangup(str(reason)) from reason


def _quoted(text: str) -> str:
    """A text as Rust shows it in ``{:?}``: nothing in it joins with what is before it."""
    shown = (
        _ESCAPES.get(one)
        or (one if one.isprintable() and category(one) not in _JOINING else f"\\u{{{ord(one):x}}}")
        for one in text
    )
    return f'"{"".join(shown)}"'


def _not_stored(kind: Kind, name: str, milliseconds: int) -> str:
    where = f"store timed out: {kind.label} Update Spec: {name}"
    return f"{where} loop: 1, timer: {milliseconds} ms"


def _unchangeable(name: str) -> StatusResponse:
    code = error(Code.OTHER, text="unable to change read-only configuration")
    return status(name, code, "read-only error")
