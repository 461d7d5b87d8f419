"""The objects that a cluster had before a recorded conversation.

They come from the first full syncs of the watches, and from lists where nothing was watched; what
was created in the conversation itself is left out of them. What is never shown in full can still be
proved to be there by an answer: what could be deleted existed, and who answers for a partition
leads it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import UsageError
from ...wire.codes import NO_ERROR, Code
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
    Computed,
    CreateRequest,
    CustomSpuSpec,
    Deduplication,
    DeleteRequest,
    IngressPort,
    Kind,
    ListRequest,
    ListResponse,
    Metadata,
    MirrorStatus,
    PartitionSpec,
    RemoteCluster,
    SmartModuleSpec,
    SmartModuleStatus,
    SpuGroupSpec,
    SpuGroupStatus,
    SpuResolution,
    SpuSpec,
    SpuStatus,
    StatusResponse,
    TableFormatSpec,
    TableFormatStatus,
    TopicResolution,
    TopicSpec,
    UpdateRequest,
    Wasm,
    WatchResponse,
)
from ...wire.sc import Endpoint as SpuEndpoint
from ...wire.schema import evolve
from ...wire.spu import (
    DeleteConsumerOffsetRequest,
    FetchConsumerOffsetsRequest,
    FetchConsumerOffsetsResponse,
    FetchOffsetsResponse,
    ProduceResponse,
)
from ..sc import lifecycle
from ..sc.admission import ModuleName, ModuleNameError
from ..sc.metadata import SYSTEM_TOPIC, SYSTEM_TOPIC_SPEC
from ..sc.placement import MAX_PARTITIONS
from ..sc.store import Item
from ..spu.replica import Key
from ..spu.stored_offsets import STORED_OFFSETS
from ..spu_names import FIRST_SPU_ID, spu_name
from .conversation import Conversation, Event
from .served import affordable, responses

_PARTITION_NAME = re.compile(r".*-(0|[1-9][0-9]{0,8})", re.DOTALL)

_EXISTED = frozenset(
    {
        Code.TOPIC_ALREADY_EXISTS,
        Code.SPU_ALREADY_EXISTS,
        Code.TABLE_FORMAT_ALREADY_EXISTS,
        Code.MIRROR_ALREADY_EXISTS,
    }
)
_MISSING = frozenset(
    {
        Code.TOPIC_NOT_FOUND,
        Code.SPU_NOT_FOUND,
        Code.SMART_MODULE_NOT_FOUND,
        Code.TABLE_FORMAT_NOT_FOUND,
        Code.MIRROR_NOT_FOUND,
    }
)

_NO_MODULE = frozenset(
    {
        Code.DEDUPLICATION_SMART_MODULE_NOT_LOADED,
        Code.DEDUPLICATION_SMART_MODULE_NAME_INVALID,
        Code.TOPIC_INVALID_NAME,
        Code.TOPIC_ALREADY_EXISTS,
        Code.TOPIC_INVALID_CONFIGURATION,
        Code.PERMISSION_DENIED,
    }
)

Objects = dict[str, Metadata]


def objects_of(conversation: Conversation) -> dict[str, Objects]:
    """The objects of each kind, by label and name.

    :raises UsageError: there is something that no cluster has.
    """
    _look_at_names(conversation)
    objects = _told(conversation)
    modules = objects.get(SMART_MODULE.label, {})
    affordable(sum(map(_hidden, modules.values())), "SmartModules")
    for name, one in modules.items():
        modules[name] = whole(one)
    if PARTITION.label not in objects:
        _add_partitions(objects, conversation)
    if TOPIC.label not in objects:
        objects[TOPIC.label] = _topics_of(objects[PARTITION.label])
    return objects


def _look_at_names(conversation: Conversation) -> None:
    """A partition is called by its topic and its number."""
    for event in conversation.replies():
        message = event.message
        told: tuple[Metadata, ...] = ()
        if isinstance(message, WatchResponse):
            told = (*message.all, *(change.content for change in message.changes))
        elif isinstance(message, ListResponse):
            told = message.objects
        else:
            continue
        for one in told if message.kind is PARTITION else ():
            if not _PARTITION_NAME.fullmatch(one.name):
                raise UsageError(f"line {event.line}: {one.name!r} is no name of a partition")


def _told(conversation: Conversation) -> dict[str, Objects]:
    found: dict[str, Objects] = {}
    listed: dict[str, Objects] = {}
    lists: list[tuple[ListRequest, Objects]] = []
    touched: set[tuple[str, str]] = set()
    for event in conversation.events:
        message, asked = event.message, event.asked
        if event.by_client:
            if isinstance(message, CreateRequest) and _may_have_created(conversation, event):
                touched |= _touched(message.kind, message.name, message)
        elif isinstance(message, WatchResponse) and not message.changes:
            if message.kind.label not in found:
                found[message.kind.label] = _untouched(message.kind, message.all, touched)
        elif isinstance(message, ListResponse) and isinstance(asked, ListRequest):
            whole = listed.setdefault(message.kind.label, {})
            shown = _untouched(message.kind, message.objects, touched)
            for name, one in shown.items():
                if not any(
                    before.kind is asked.kind and selects(before, one) and name not in had
                    for before, had in lists
                ):
                    whole.setdefault(name, one)
            lists.append((asked, shown))
        elif isinstance(message, StatusResponse):
            _learn(listed, touched, message, asked)
    custom = listed.pop(CUSTOM_SPU.label, {})
    for label, objects in listed.items():
        if label not in found:
            found[label] = objects
    _add_custom_spus(found, {**listed.get(SPU.label, {}), **_as_spus(custom)})
    return found


def selects(asked: ListRequest, one: Metadata) -> bool:
    """Whether a list shows an object of its kind."""
    if asked.kind in (TOPIC, PARTITION) and one.spec.system != asked.system:
        return False
    filters = () if asked.kind in (PARTITION, MIRROR) else asked.filters
    if asked.kind is SMART_MODULE:
        return not filters or any(_named(text, one) for text in filters)
    return not filters or any(text in one.name for text in filters)


def _named(text: str, module: Metadata) -> bool:
    try:
        return ModuleName.parse(text).matches(module.name, module.spec.meta)
    except ModuleNameError:
        return False


def _touched(kind: Kind, name: str, message: CreateRequest) -> set[tuple[str, str]]:
    """The names under which something created can show."""
    label = SPU.label if kind is CUSTOM_SPU else kind.label
    names = {name}
    if kind is SMART_MODULE and message.spec.meta is not None:
        package = message.spec.meta.package
        names.add(f"{package.name}-{package.group}-{package.version}")
    return {(label, one) for one in names}


def _untouched(kind: Kind, objects: tuple[Metadata, ...], touched: set[tuple[str, str]]) -> Objects:
    label = SPU.label if kind is CUSTOM_SPU else kind.label

    def ours(name: str) -> bool:
        if kind is PARTITION:
            topic, _ = lifecycle.partition_key(name)
            return (TOPIC.label, topic) in touched
        return (label, name) in touched

    return {one.name: one for one in objects if not ours(one.name)}


def whole(one: Metadata) -> Metadata:
    """A SmartModule of which only the size was told gets a payload of that size.

    :raises UsageError: that is too large.
    """
    size = _hidden(one)
    if not size:
        return one
    affordable(size, f"the SmartModule {one.name!r}")
    return evolve(one, spec=evolve(one.spec, summary=None, wasm=Wasm(payload=bytes(size))))


def _hidden(one: Metadata) -> int:
    """The size of a SmartModule that was not shown."""
    spec = one.spec
    if isinstance(spec, SmartModuleSpec) and spec.summary is not None and not spec.wasm.payload:
        return spec.summary.wasm_length
    return 0


def _may_have_created(conversation: Conversation, request: Event) -> bool:
    """Whether a Create may have had an effect, whatever was said in the end."""
    for event in conversation.answers(request):
        if isinstance(event.message, StatusResponse):
            text = event.message.error_message or ""
            return not event.message.error_code or "provisioned" in text or "timed out" in text
    return True


def _learn(
    listed: dict[str, Objects],
    touched: set[tuple[str, str]],
    answer: StatusResponse,
    asked: object,
) -> None:
    """What an answer proves to have been there."""
    code = answer.error_code.code
    if isinstance(asked, CreateRequest) and code in _EXISTED:
        _prove(listed, touched, asked.kind, asked.name, asked.spec)
    elif isinstance(asked, DeleteRequest) and code not in _MISSING:
        spec = None
        if code == Code.SYSTEM_SPEC_DELETION_ATTEMPT:
            spec = SYSTEM_TOPIC_SPEC
        _prove(listed, touched, asked.kind, asked.key, spec)
    elif (
        isinstance(asked, UpdateRequest)
        and isinstance(asked.action, AddMirror)
        and code not in _MISSING
    ):
        _prove(listed, touched, MIRROR, asked.action.remote_cluster, None)


def _prove(
    listed: dict[str, Objects], touched: set[tuple[str, str]], kind: Kind, key: Any, spec: Any
) -> None:
    label = SPU.label if kind is CUSTOM_SPU else kind.label
    name = key if isinstance(key, str) else spu_name(key)
    objects = listed.setdefault(label, {})
    if (label, name) in touched or name in objects:
        return
    made = _made_up(kind, name, spec, key)
    if made is not None:
        objects[name] = made


def _made_up(kind: Kind, name: str, spec: Any, key: Any) -> Metadata | None:
    """An object of which little more than the name is known."""
    if kind is CUSTOM_SPU:
        spec = spec or CustomSpuSpec(
            id=key if isinstance(key, int) else -1,
            public_endpoint=IngressPort(port=0, ingress=()),
            private_endpoint=SpuEndpoint(port=0, host=""),
        )
        whole = SpuSpec(
            id=spec.id,
            public_endpoint=spec.public_endpoint,
            private_endpoint=spec.private_endpoint,
            rack=spec.rack,
            public_endpoint_local=spec.public_endpoint_local,
        )
        return Metadata(name=name, spec=whole, status=SpuStatus())
    if kind is SMART_MODULE:
        spec = spec or SmartModuleSpec(wasm=Wasm(payload=b""))
        return Metadata(name=name, spec=spec, status=SmartModuleStatus())
    if kind is TABLE_FORMAT:
        spec = spec or TableFormatSpec(name=name)
        return Metadata(name=name, spec=spec, status=TableFormatStatus())
    if kind is SPU_GROUP:
        spec = spec or SpuGroupSpec(replicas=1)
        return Metadata(name=name, spec=spec, status=SpuGroupStatus())
    if kind is MIRROR:
        spec = spec or RemoteCluster(id=name)
        return Metadata(name=name, spec=spec, status=MirrorStatus())
    if kind is TOPIC:
        spec = spec or TopicSpec(replicas=Computed(partitions=1))
        return Metadata(name=name, spec=spec, status=lifecycle.NEW_TOPIC)
    return None


def _as_spus(custom: Objects) -> Objects:
    return {
        name: evolve(
            one,
            spec=SpuSpec(
                id=one.spec.id,
                public_endpoint=one.spec.public_endpoint,
                private_endpoint=one.spec.private_endpoint,
                rack=one.spec.rack,
                public_endpoint_local=one.spec.public_endpoint_local,
            ),
        )
        for name, one in custom.items()
    }


def _add_custom_spus(found: dict[str, Objects], told: Objects) -> None:
    """SPUs that only answers about custom SPUs told of."""
    if not told:
        return
    spus = found.setdefault(SPU.label, {})
    ids = {one.spec.id for one in spus.values()}
    for name, one in told.items():
        if name not in spus and one.spec.id not in ids:
            spus[name] = one


def _add_partitions(objects: dict[str, Objects], conversation: Conversation) -> None:
    """Where the SC told of no partitions: those of its topics, and those that SPUs answered for."""
    topics, partitions = _led(conversation)
    topics |= objects.get(TOPIC.label, {})
    for topic in topics.values():
        item = Item(topic.name, topic.spec, topic.status)
        for made in lifecycle.missing_partitions(item, partitions):
            partitions[made.name] = Metadata(name=made.name, spec=made.spec, status=made.status)
    objects[TOPIC.label], objects[PARTITION.label] = topics, partitions


def _topics_of(partitions: Objects) -> Objects:
    """The topics that partitions belong to, as far as they tell."""
    rows: dict[str, dict[int, tuple[int, ...]]] = {}
    for name, one in partitions.items():
        topic, number = lifecycle.partition_key(name)
        rows.setdefault(topic, {})[number] = one.spec.replicas
    topics = {}
    for topic, placed in rows.items():
        number, replicas = next(iter(placed.items()))
        part: PartitionSpec = partitions[lifecycle.partition_name(topic, number)].spec
        spec = TopicSpec(
            replicas=Computed(partitions=len(placed), replication_factor=len(replicas)),
            cleanup_policy=part.cleanup_policy,
            storage=part.storage,
            compression_type=part.compression_type,
            deduplication=part.deduplication,
            system=part.system,
        )
        status = evolve(
            lifecycle.NEW_TOPIC, resolution=TopicResolution.PROVISIONED, replica_map=placed
        )
        topics[topic] = Metadata(name=topic, spec=spec, status=status)
    return topics


def _led(conversation: Conversation) -> tuple[Objects, Objects]:
    """Topics and partitions as SPUs proved to lead them."""
    leaders: dict[Key, int] = {}
    unknown: dict[Key, int] = {}
    for event in conversation.replies():
        if isinstance(event.server, int):
            for key in _answered_for(event):
                leaders.setdefault(key, event.server)
            if isinstance(event.message, FetchConsumerOffsetsResponse):
                for one in event.message.consumers:
                    key = (one.replica_id.topic, one.replica_id.partition)
                    unknown.setdefault(key, event.server)
    leaders = {**unknown, **leaders}
    topics: Objects = {}
    partitions: Objects = {}
    for topic in sorted({topic for topic, _ in leaders}):
        count = max(number for name, number in leaders if name == topic) + 1
        if count > MAX_PARTITIONS:
            raise UsageError(
                f"the recording tells of partition {count - 1} of {topic!r}, where a cluster has"
                f" {MAX_PARTITIONS} at the most"
            )
        first = next(spu for (name, _), spu in leaders.items() if name == topic)
        rows = {number: (leaders.get((topic, number), first),) for number in range(count)}
        spec = SYSTEM_TOPIC_SPEC
        if topic != SYSTEM_TOPIC:
            spec = TopicSpec(replicas=Computed(partitions=count))
        status = evolve(
            lifecycle.NEW_TOPIC, resolution=TopicResolution.PROVISIONED, replica_map=rows
        )
        topics[topic] = Metadata(name=topic, spec=spec, status=status)
        for item in lifecycle.missing_partitions(Item(topic, spec, status), ()):
            partitions[item.name] = Metadata(name=item.name, spec=item.spec, status=item.status)
    return topics, partitions


def _answered_for(event: Event) -> Iterator[Key]:
    """The partitions that whoever answered so leads."""
    message, asked = event.message, event.asked
    if isinstance(message, ProduceResponse):
        for topic in message.responses:
            for entry in topic.partitions:
                if entry.error_code.code != Code.NOT_LEADER_FOR_PARTITION:
                    yield topic.name, entry.partition_index
    elif isinstance(message, FetchOffsetsResponse):
        for ends in message.topics:
            for end in ends.partitions:
                if end.error_code.code != Code.PARTITION_NOT_LEADER:
                    yield ends.name, end.partition_index
    elif isinstance(asked, (FetchConsumerOffsetsRequest, DeleteConsumerOffsetRequest)):
        if getattr(message, "error_code", NO_ERROR).code != Code.PARTITION_NOT_LEADER:
            yield STORED_OFFSETS
    else:
        for key, look in responses(event):
            if look.error_code.code != Code.NOT_LEADER_FOR_PARTITION:
                yield key


def spus_of(
    conversation: Conversation, objects: Mapping[str, Objects]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The SPUs that ran at some time, and those of them that did not at first."""
    first = {one.spec.id: one.status for one in objects.get(SPU.label, {}).values()}
    running = {event.server for event in conversation.replies() if event.server != "SC"}
    for event in conversation.replies():
        message = event.message
        if isinstance(message, WatchResponse) and message.kind is SPU:
            told = (*message.all, *(change.content for change in message.changes))
            running |= {
                one.spec.id for one in told if one.status.resolution is SpuResolution.ONLINE
            }
    if SPU.label not in objects:
        partitions = objects.get(PARTITION.label, {}).values()
        running |= {spu for one in partitions for spu in one.spec.replicas}
        running = running or {FIRST_SPU_ID}
    ids = tuple(sorted(one for one in running if isinstance(one, int)))
    online = SpuStatus(resolution=SpuResolution.ONLINE)
    down = tuple(
        one for one in ids if first.get(one, online).resolution is not SpuResolution.ONLINE
    )
    return ids, down


def deduplications(
    conversation: Conversation, objects: Mapping[str, Objects]
) -> Iterator[tuple[Deduplication, tuple[Metadata, ...]]]:
    """The deduplication of each topic that was there, or was created.

    With each come the modules that were there, and those that the conversation had created by then.
    """
    modules = tuple(objects.get(SMART_MODULE.label, {}).values())
    specs = [
        (one.spec, modules)
        for label in (TOPIC.label, PARTITION.label)
        for one in objects.get(label, {}).values()
    ]
    for event in conversation.events:
        message, asked = event.message, event.asked
        if isinstance(message, CreateRequest) and message.kind is SMART_MODULE:
            made = Metadata(name=message.name, spec=message.spec, status=SmartModuleStatus())
            modules = (*modules, made)
        elif (
            isinstance(message, StatusResponse)
            and isinstance(asked, CreateRequest)
            and asked.kind is TOPIC
            and message.error_code.code not in _NO_MODULE
        ):
            specs.append((asked.spec, modules))
        elif isinstance(message, WatchResponse) and message.kind is TOPIC:
            specs += [(change.content.spec, modules) for change in message.changes]
    for spec, there in specs:
        if spec.deduplication is not None:
            yield spec.deduplication, there
