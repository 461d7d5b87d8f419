"""From pushes to records of one partition: nothing lost, nothing twice, wherever a reply ends."""

from __future__ import annotations

import gc
import struct
import tracemalloc
from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txfluvio.consumer.backlog import CHUNK_RECORDS, CHUNK_SIZE, Backlog, Chunk
from txfluvio.errors import ProtocolError
from txfluvio.wire.compression import Compression
from txfluvio.wire.records import Batch, BatchLimits, Record, RecordSet, encode_batch, renumber

LAST_OFFSET_DELTA = 23
TIME = 1_700_000_000_000


def batch(base: int, count: int, *, size: int = 1, codec: Compression = Compression.NONE) -> bytes:
    """A batch of ``count`` records, each with its offset as its value, padded to ``size``."""
    values = [str(base + n).encode().ljust(size) for n in range(count)]
    return renumber(encode_batch(values, compression=codec, timestamp=TIME), base)


def with_deltas(deltas: list[int], **header: int) -> bytes:
    """A batch whose records have these offset deltas, however many offsets they make."""
    found = Batch(batch(0, len(deltas)), 0)
    records = found.raw_records()
    for record, delta in zip(records, deltas, strict=True):
        record.offset_delta = delta
    for name, value in header.items():
        setattr(found, name, value)
    return found.encode(records)


def with_gap(base: int, count: int, gap: int) -> bytes:
    """A batch that claims ``gap`` more offsets than it has records, its checksum right."""
    from crc32c import crc32c

    data = bytearray(batch(base, count))
    struct.pack_into(">i", data, LAST_OFFSET_DELTA, count - 1 + gap)
    struct.pack_into(">I", data, 17, crc32c(data[21:]))
    return bytes(data)


def log(*counts: int, size: int = 1) -> list[bytes]:
    """Batches of so many records, one after another from offset 0."""
    found, base = [], 0
    for count in counts:
        found.append(batch(base, count, size=size))
        base += count
    return found


def drain(backlog: Backlog) -> list[Record]:
    found: list[Record] = []
    while (chunk := backlog.take()) is not None:
        found += chunk.records
    return found


def taken(backlog: Backlog) -> Chunk:
    chunk = backlog.take()
    assert chunk is not None
    return chunk


def offsets(records: Sequence[Record]) -> list[int | None]:
    return [record.offset for record in records]


def backlog(start: int = 0, *, stop: int | None = None, filtered: bool = False) -> Backlog:
    found = Backlog("orders", 3, filtered=filtered)
    found.place(start)
    found.stop = stop
    return found


def test_records_say_where_they_come_from() -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, 1)))
    (record,) = drain(mine)
    assert (record.topic, record.partition, record.offset, record.value) == ("orders", 3, 0, b"0")


def test_what_is_received_ends_with_the_last_complete_batch() -> None:
    whole = b"".join(log(3, 4, 5))
    mine = backlog()
    assert mine.add(RecordSet(whole[:-1]))
    assert mine.received == 7
    assert offsets(drain(mine)) == list(range(7))


def test_a_reply_without_a_complete_batch_changes_nothing() -> None:
    mine = backlog()
    whole = batch(0, 3)
    assert not any(mine.add(RecordSet(whole[:size])) for size in range(len(whole)))
    assert mine.received == 0
    assert not mine


def test_a_reply_without_anything_changes_nothing() -> None:
    mine = backlog(5)
    assert not mine.add(RecordSet.EMPTY)
    assert (mine.received, mine.held) == (5, 0)


@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    cuts=st.lists(st.integers(1, 900), min_size=1),
    start=st.integers(0, 40),
)
def test_wherever_replies_are_cut_every_record_comes_once_and_in_order(
    counts: list[int], cuts: list[int], start: int
) -> None:
    batches = log(*counts)
    total = sum(counts)
    start = min(start, total)
    mine = backlog(start)
    found: list[Record] = []
    turn = 0
    while mine.received < total:
        first = next(n for n in range(len(batches)) if sum(counts[: n + 1]) > mine.received)
        reply = b"".join(batches[first:])
        size = cuts[turn % len(cuts)]
        if not mine.add(RecordSet(reply[:size])):
            mine.add(RecordSet(reply[: max(size, len(batches[first]))]))
        found += drain(mine)
        turn += 1
    assert offsets(found) == list(range(start, total))


def test_records_below_the_start_are_left_out() -> None:
    mine = backlog(5)
    mine.add(RecordSet.of(*log(3, 4, 2)[1:]))
    assert offsets(drain(mine)) == [5, 6, 7, 8]


def test_a_gap_at_the_end_of_a_batch_is_stepped_over() -> None:
    mine = backlog()
    mine.add(RecordSet.of(with_gap(0, 2, gap=5)))
    assert mine.received == 7
    chunk = taken(mine)
    assert offsets(chunk.records) == [0, 1]
    assert chunk.end == mine.position == 7


def test_a_batch_of_offsets_without_records_moves_the_position() -> None:
    mine = backlog(3)
    mine.add(RecordSet.of(with_gap(0, 2, gap=5)))
    chunk = taken(mine)
    assert chunk.records == []
    assert mine.position == 7


def test_batches_that_lead_nowhere_are_the_peers_mistake() -> None:
    mine = backlog(3)
    with pytest.raises(ProtocolError, match="end at 3"):
        mine.add(RecordSet.of(batch(0, 3)))
    assert mine.received == 3


def test_of_committed_records_none_above_the_high_watermark_are_taken() -> None:
    first, second = log(3, 2)
    mine = backlog()
    mine.add(RecordSet.of(first), committed=3)
    with pytest.raises(ProtocolError, match="up to 5, where those below 3 are committed"):
        mine.add(RecordSet.of(second), committed=3)
    assert offsets(drain(mine)) == [0, 1, 2]
    assert mine.received == 3


def test_a_batch_that_was_received_before_is_not_delivered_again() -> None:
    first, second = log(3, 2)
    mine = backlog()
    mine.add(RecordSet.of(first))
    mine.add(RecordSet.of(first, second))
    assert offsets(drain(mine)) == [0, 1, 2, 3, 4]


def test_nothing_at_or_behind_the_stop_is_delivered() -> None:
    mine = backlog(stop=4)
    mine.add(RecordSet.of(*log(3, 3, 3)))
    assert mine.complete
    assert offsets(drain(mine)) == [0, 1, 2, 3]
    assert mine.position == 4


def test_before_the_stop_it_is_not_complete() -> None:
    mine = backlog(stop=4)
    mine.add(RecordSet.of(batch(0, 3)))
    assert not mine.complete


def test_a_damaged_batch_is_told_after_the_records_before_it() -> None:
    good, bad = log(2, 2)
    mine = backlog()
    mine.add(RecordSet.of(good, bad[:-1] + bytes([bad[-1] ^ 1])))
    assert offsets(taken(mine).records) == [0, 1]
    for _ in range(2):
        with pytest.raises(ProtocolError, match="CRC"):
            mine.take()
    assert mine.position == 2


def test_checksums_are_left_alone_where_asked_for() -> None:
    data = batch(0, 1)
    mine = Backlog("orders", 3, check_crc=False)
    mine.add(RecordSet.of(data[:17] + b"\0\0\0\0" + data[21:]))
    assert offsets(drain(mine)) == [0]


def test_a_batch_that_decompresses_to_too_much_is_refused() -> None:
    mine = Backlog("orders", 3, limits=BatchLimits(size=1000))
    mine.add(RecordSet.of(batch(0, 1, size=2000, codec=Compression.GZIP)))
    with pytest.raises(ProtocolError, match="max_decompressed_size"):
        mine.take()


def test_a_batch_that_becomes_too_many_times_its_size_is_refused() -> None:
    mine = Backlog("orders", 3, limits=BatchLimits(ratio=2))
    mine.add(RecordSet.of(batch(0, 1, size=2000, codec=Compression.GZIP)))
    with pytest.raises(ProtocolError, match="max_decompression_ratio"):
        mine.take()


def test_a_batch_of_too_many_records_is_refused() -> None:
    mine = Backlog("orders", 3, limits=BatchLimits(records=2))
    mine.add(RecordSet.of(batch(0, 2), batch(2, 3)))
    with pytest.raises(ProtocolError, match="3 records is over the limit of 2"):
        drain(mine)
    assert mine.position == 2


def test_compressed_batches_are_delivered() -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, 3, codec=Compression.ZSTD)))
    assert offsets(drain(mine)) == [0, 1, 2]


def test_chunks_are_of_a_moderate_size_and_small_batches_share_one() -> None:
    mine = backlog()
    mine.add(RecordSet.of(*log(*[1] * 100, size=2000)))
    sizes = []
    while (chunk := mine.take()) is not None:
        sizes.append(len(chunk.records))
    assert sum(sizes) == 100
    assert max(sizes) <= CHUNK_SIZE // 2000 + 1
    assert len(sizes) < 5


def test_a_chunk_of_several_batches_has_fewer_records_than_wake_the_garbage_collector() -> None:
    mine = backlog()
    mine.add(RecordSet.of(*log(200, 200, 200, 200, 600, 90, 1)))
    sizes = []
    while (chunk := mine.take()) is not None:
        sizes.append(len(chunk.records))
    assert sizes == [600, 200, 600, 91]
    assert gc.get_threshold()[0] > CHUNK_RECORDS


def test_a_chunk_of_batches_of_one_record_is_shorter_than_one_of_many_records_each() -> None:
    mine = backlog()
    mine.add(RecordSet.of(*log(*[1] * CHUNK_RECORDS)))
    chunk = mine.take()
    assert chunk is not None
    assert 50 < len(chunk.records) < CHUNK_RECORDS / 5


def test_a_large_batch_is_handed_out_in_equal_parts() -> None:
    mine = backlog()
    mine.add(RecordSet.of(*log(3, 3 * CHUNK_RECORDS - 6, 3)))
    chunks = []
    while (chunk := mine.take()) is not None:
        chunks.append((len(chunk.records), chunk.start, chunk.end))
    part = CHUNK_RECORDS - 2
    ends = [3, 3 + part, 3 + 2 * part, 3 + 3 * part, 6 + 3 * part]
    assert chunks == [
        (3, 0, ends[0]),
        (part, ends[0], ends[1]),
        (part, ends[1], ends[2]),
        (part, ends[2], ends[3]),
        (3, ends[3], ends[4]),
    ]


@pytest.mark.parametrize("codec", [Compression.NONE, Compression.LZ4])
def test_of_a_large_batch_is_handed_out_what_is_wanted(codec: Compression) -> None:
    whole, part = batch(0, 5000, codec=codec), 625
    ends = [0, 1, part - 1, part, part + 1, 2 * part, 4999, 5000]
    for start, stop in combinations(ends, 2):
        mine = backlog(start, stop=stop)
        mine.add(RecordSet.of(whole))
        found = drain(mine)
        assert offsets(found) == list(range(start, stop))
        assert [int(record.value) for record in found] == list(range(start, stop))
        assert (mine.position, mine.held) == (stop, 0)


def test_a_large_batch_counts_until_its_last_part_is_taken() -> None:
    data = batch(0, 3 * CHUNK_RECORDS)
    mine = backlog()
    mine.add(RecordSet(data))
    held = []
    while mine:
        held.append(mine.held)
        taken(mine)
    assert held == [len(data)] * 3
    assert mine.held == 0


def test_a_part_that_was_given_back_comes_before_the_next() -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, 2 * CHUNK_RECORDS)))
    mine.give_back(taken(mine))
    assert mine.position == 0
    assert offsets(drain(mine)) == list(range(2 * CHUNK_RECORDS))


def test_what_is_left_of_a_large_batch_can_be_received_again() -> None:
    whole = batch(0, 2 * CHUNK_RECORDS)
    mine = backlog()
    mine.add(RecordSet.of(whole))
    first = taken(mine)
    mine.shed()
    assert not mine
    assert mine.received == first.end
    mine.add(RecordSet.of(whole))
    assert offsets([*first.records, *drain(mine)]) == list(range(2 * CHUNK_RECORDS))


def test_a_large_batch_may_have_fewer_records_than_offsets() -> None:
    mine = backlog()
    mine.add(RecordSet.of(with_gap(0, 3, 5000), batch(5003, 1)))
    assert offsets(drain(mine)) == [0, 1, 2, 5003]


def test_what_is_damaged_in_a_large_batch_is_told_behind_the_parts_before_it() -> None:
    data = bytearray(batch(0, 2 * CHUNK_RECORDS))
    data[-4:] = b"\xff" * 4
    mine = Backlog("orders", 3, check_crc=False)
    mine.add(RecordSet(bytes(data)))
    assert len(taken(mine).records) == CHUNK_RECORDS
    for _ in range(2):
        with pytest.raises(ProtocolError):
            mine.take()
        assert mine.position == CHUNK_RECORDS


def test_a_large_batch_without_positions_that_is_damaged_further_on_is_not_half_read() -> None:
    part = CHUNK_RECORDS
    deltas = [0] * part + [*range(part)] + [0] * part
    data = bytearray(with_deltas(deltas, last_offset_delta=3 * part - 1))
    data[-4:] = b"\xff" * 4
    mine = Backlog("orders", 3, check_crc=False)
    mine.add(RecordSet(bytes(data)))
    for _ in range(2):
        with pytest.raises(ProtocolError):
            mine.take()
        assert mine.position == 0


def test_a_batch_with_more_records_than_its_header_tells_ends_a_chunk() -> None:
    mine = backlog()
    mine.add(
        RecordSet.of(
            *(renumber(with_deltas([0] * 500, last_offset_delta=0), base) for base in range(20))
        )
    )
    assert [len(taken(mine).records) for _ in range(20)] == [500] * 20
    assert mine.take() is None


def test_batches_that_lead_beyond_the_last_offset_are_refused() -> None:
    mine = backlog()
    with pytest.raises(ProtocolError):
        mine.add(RecordSet.of(renumber(encode_batch([b"a", b"b"]), 2**63 - 2)))
    assert not mine


NO_TIME = {"first_timestamp": -1, "max_timestamp": -1}


@pytest.mark.parametrize(
    "stored",
    [
        with_deltas([0, 0, 1, 1], **NO_TIME, last_offset_delta=1),
        with_deltas([0, 1, 2, 0, 1, 2], **NO_TIME, last_offset_delta=2),
        with_deltas([0, 0, 2], **NO_TIME),
        with_deltas([0, 1, 2], last_offset_delta=0),
        with_deltas([0] * 5),
    ],
    ids=["each-twice", "begin-anew", "as-if-none-repeated", "beyond-the-header", "all-first"],
)
def test_wherever_reading_is_left_all_records_not_handed_out_come_afterwards(
    stored: bytes,
) -> None:
    """Where an SPU ran a SmartModule on what was produced, several records have one offset."""
    after = Batch(stored, 0).next_offset
    log = [batch(0, 3), renumber(stored, 3), batch(3 + after, 3)]
    count = sum(len(Batch(data, 0).records()) for data in log)
    for done in range(count):
        first = backlog()
        first.add(RecordSet.of(*log))
        seen: list[tuple[int | None, bytes]] = []
        position = 0
        while len(seen) < done:
            chunk = taken(first)
            used = min(done - len(seen), len(chunk.records))
            seen += [(record.offset, record.value) for record in chunk.records[:used]]
            position = chunk.before(used)
            head, rest = chunk.split(used)
            assert (head.end, rest.start) == (position, position)
            assert all(head.before(n) == chunk.before(n) for n in range(used))
        second = backlog(position)
        second.add(RecordSet.of(*log))
        seen += [(record.offset, record.value) for record in drain(second)]
        assert len(set(seen)) == count


def test_what_was_given_back_of_a_batch_with_repeated_offsets_is_not_shed() -> None:
    mine = backlog()
    mine.add(RecordSet.of(with_deltas([0, 0, 1, 1], **NO_TIME, last_offset_delta=1)))
    handed_out, rest = taken(mine).split(1)
    mine.give_back(rest)
    mine.shed()
    assert offsets(handed_out.records) + offsets(drain(mine)) == [0, 0, 1, 1]
    assert (mine.position, mine.received) == (2, 2)


LONG = 3 * CHUNK_RECORDS


@pytest.mark.parametrize(
    "stored",
    [
        with_deltas([0] * LONG, last_offset_delta=0),
        with_deltas([0] * LONG),
        with_deltas([*range(CHUNK_RECORDS), *[CHUNK_RECORDS] * 2 * CHUNK_RECORDS]),
        with_deltas([*range(LONG // 2)] * 2, max_timestamp=-1, first_timestamp=-1),
        with_deltas(list(range(0, 2 * LONG, 2)), last_offset_delta=2 * LONG - 2),
        batch(0, LONG, codec=Compression.ZSTD),
    ],
    ids=["one-offset", "all-first", "ends-early", "two-inputs", "filtered", "compressed"],
)
def test_where_no_position_inside_means_anything_nothing_is_lost_by_stopping_there(
    stored: bytes,
) -> None:
    mine = backlog()
    seen = 0
    while seen < LONG:
        mine.add(RecordSet.of(stored))
        while not (records := taken(mine).records):
            pass
        seen += len(records)
        mine.shed()
    assert seen == LONG
    assert mine.position == Batch(stored, 0).next_offset


def test_a_compressed_batch_is_not_kept_decompressed_between_two_turns() -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, 5000, codec=Compression.ZSTD)))
    assert len(taken(mine).records) == 5000


def test_a_large_batch_that_smartmodules_made_is_handed_out_as_a_whole() -> None:
    mine = backlog(filtered=True)
    mine.add(RecordSet.of(batch(0, 2 * CHUNK_RECORDS)), 5000)
    assert len(taken(mine).records) == 2 * CHUNK_RECORDS
    assert (mine.position, mine.take()) == (5000, None)


def test_what_batches_become_by_decompression_counts_too() -> None:
    mine = backlog()
    batches = [batch(n, 1, size=CHUNK_SIZE, codec=Compression.ZSTD) for n in range(20)]
    assert len(b"".join(batches)) < CHUNK_SIZE
    mine.add(RecordSet.of(*batches))
    for _ in batches:
        assert len(taken(mine).records) == 1


def test_what_their_keys_become_by_decompression_counts_as_well() -> None:
    found = Batch(batch(0, 1, codec=Compression.ZSTD), 0)
    records = found.raw_records()
    records[0].key = bytes(CHUNK_SIZE)
    keyed = found.encode(records)
    mine = backlog()
    mine.add(RecordSet.of(*(renumber(keyed, base) for base in range(20))))
    for _ in range(20):
        assert len(taken(mine).records) == 1


def test_a_push_counts_until_its_last_batch_is_taken() -> None:
    data = b"".join(log(*[1] * 3, size=CHUNK_SIZE))
    mine = backlog()
    mine.add(RecordSet(data + b"cut!"))
    held = []
    while mine:
        held.append(mine.held)
        mine.take()
    assert held == [len(data) + 4] * 3
    assert mine.held == 0


def test_what_stands_around_the_records_of_a_reply_is_not_kept_with_them() -> None:
    one = batch(0, 1)
    tracemalloc.start()
    try:
        mine = backlog()
        mine.add(RecordSet(one + bytes(10**6), 0, len(one)))
        assert mine.held == len(one)
        assert tracemalloc.get_traced_memory()[0] < 10**5
    finally:
        tracemalloc.stop()
    assert offsets(drain(mine)) == [0]


def test_batches_of_a_record_each_take_no_more_memory_than_their_bytes() -> None:
    """An object for each took five times as much."""
    together = b"".join(log(*[1] * 5000))
    tracemalloc.start()
    try:
        mine = backlog()
        mine.add(RecordSet(together))
        # Python keeps what it has freed of small tuples.
        assert tracemalloc.get_traced_memory()[0] < len(together) / 2
    finally:
        tracemalloc.stop()
    assert offsets(drain(mine)) == list(range(5000))


def test_what_comes_again_in_the_middle_of_a_push_is_not_even_looked_at() -> None:
    first, second = log(3, 3)
    mine = backlog()
    mine.add(RecordSet.of(first, first[:-1] + b"?", second))
    assert offsets(drain(mine)) == list(range(6))


def test_placing_it_forgets_what_was_received() -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, 3)))
    mine.place(50)
    assert not mine
    assert (mine.position, mine.received, mine.held) == (50, 50, 0)


@pytest.mark.parametrize("target", [1, 50])
def test_after_a_jump_what_was_received_comes_first(target: int) -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, 3)))
    mine.jump(target)
    assert mine.received == target
    mine.add(RecordSet.of(batch(target, 2)))
    assert offsets(drain(mine)) == [0, 1, 2, target, target + 1]


def test_a_jump_with_nothing_received_moves_the_position_at_once() -> None:
    mine = backlog(10)
    mine.jump(4)
    assert mine.position == mine.origin == 4
    assert not mine


def test_a_jump_is_where_the_position_was_put_when_what_was_received_is_handed_out() -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, 3)))
    mine.jump(50)
    taken(mine)
    assert (mine.position, mine.origin) == (3, 0)
    drain(mine)
    assert (mine.position, mine.origin) == (50, 50)


def test_behind_a_jump_the_next_records_come_at_once() -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, 3)))
    taken(mine)
    mine.jump(50)
    mine.add(RecordSet.of(batch(50, 2)))
    assert offsets(taken(mine).records) == [50, 51]


def test_of_jumps_one_after_another_the_last_counts() -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, 3)))
    for target in (50, 0, 60):
        mine.jump(target)
    mine.add(RecordSet.of(batch(60, 2)))
    assert offsets(taken(mine).records) == [0, 1, 2]
    assert offsets(taken(mine).records) == [60, 61]
    assert not mine


def test_what_was_handed_out_before_a_jump_is_known_behind_it() -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, 3)))
    taken(mine)
    mine.jump(50)
    assert (mine.position, mine.origin, mine.reached) == (3, 0, None)
    drain(mine)
    assert (mine.position, mine.origin, mine.reached) == (50, 50, 3)
    mine.place(7)
    assert mine.reached is None


def test_what_is_to_be_received_again_is_so_from_where_it_jumped_to() -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, 3)))
    chunk = taken(mine)
    mine.jump(50)
    mine.give_back(chunk.split(1)[1])
    mine.add(RecordSet.of(batch(50, 2)))
    mine.shed()
    assert (mine.position, mine.received, mine.held) == (1, 50, 0)
    mine.add(RecordSet.of(batch(50, 2)))
    assert offsets(drain(mine)) == [1, 2, 50, 51]


@pytest.mark.parametrize("received", [0, 3])
def test_where_nothing_comes_the_position_goes_on(received: int) -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, received)) if received else RecordSet.EMPTY)
    mine.skip(50)
    assert len(offsets(drain(mine))) == received
    assert (mine.position, mine.received, mine.origin) == (50, 50, 0)


def test_what_is_to_be_received_again_does_not_put_the_position_anywhere() -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, 3)))
    mine.add(RecordSet.of(batch(3, 3)))
    taken(mine)
    mine.shed()
    assert (mine.position, mine.origin) == (3, 0)


def test_what_is_given_back_comes_again_first() -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, 3)))
    mine.add(RecordSet.of(batch(3, 1)))
    chunk = taken(mine)
    mine.give_back(chunk.split(1)[1])
    assert mine.position == 1
    assert offsets(drain(mine)) == [1, 2, 3]


@pytest.mark.parametrize("target", [1, 50])
def test_what_is_given_back_after_a_jump_comes_before_it(target: int) -> None:
    mine = backlog()
    mine.add(RecordSet.of(batch(0, 3)))
    chunk = taken(mine)
    mine.jump(target)
    mine.give_back(chunk.split(1)[1])
    mine.add(RecordSet.of(batch(target, 2)))
    assert offsets(drain(mine)) == [1, 2, target, target + 1]
    assert mine.origin == target


def test_the_position_within_a_chunk_follows_the_last_record_done_with() -> None:
    mine = backlog()
    mine.add(RecordSet.of(with_gap(0, 3, gap=4)))
    chunk = taken(mine)
    assert [chunk.before(n) for n in range(4)] == [0, 1, 2, 7]


# SmartModules


def test_a_filtered_push_moves_to_where_the_spu_says() -> None:
    mine = backlog(filtered=True)
    assert mine.add(RecordSet.of(with_gap(2, 4, gap=4)), 10)
    assert mine.received == 10
    chunk = taken(mine)
    assert (chunk.start, chunk.end) == (0, 10)


def test_filtered_records_have_no_offset_rather_than_a_wrong_one() -> None:
    mine = backlog(3, filtered=True)
    mine.add(RecordSet.of(batch(2, 4)), 10)
    assert offsets(drain(mine)) == [None] * 4


def test_the_position_stays_until_all_of_a_filtered_push_is_done_with() -> None:
    mine = backlog(filtered=True)
    mine.add(RecordSet.of(batch(2, 3)), 10)
    chunk = taken(mine)
    assert [chunk.before(n) for n in range(4)] == [0, 0, 0, 10]


def test_what_can_be_received_again_is_shed_and_a_part_of_a_filtered_push_is_not() -> None:
    for filtered, position, received in ((False, 1, 1), (True, 0, 10)):
        mine = backlog(filtered=filtered)
        mine.add(RecordSet.of(batch(0, 3)), 10)
        mine.give_back(taken(mine).split(1)[1])
        mine.add(RecordSet.of(batch(10, 3)), 20)
        mine.shed()
        assert (mine.position, mine.received, mine.held) == (position, received, 0)
        assert len(drain(mine)) == (2 if filtered else 0)
        assert mine.position == received


def test_a_filtered_push_without_records_moves_the_position() -> None:
    mine = backlog(filtered=True)
    assert mine.add(RecordSet.EMPTY, 10)
    assert drain(mine) == []
    assert mine.position == 10


def test_a_filtered_push_that_leads_back_is_the_peers_mistake() -> None:
    mine = backlog(10, filtered=True)
    with pytest.raises(ProtocolError, match="next_filter_offset"):
        mine.add(RecordSet.EMPTY, 9)


def test_a_filtered_push_with_records_that_leads_nowhere_is_the_peers_mistake() -> None:
    """It is the last one, a second time: its records would be handed out twice."""
    mine = backlog(filtered=True)
    mine.add(RecordSet.of(batch(2, 3)), 10)
    with pytest.raises(ProtocolError, match="next_filter_offset: 10 is not behind 10"):
        mine.add(RecordSet.of(batch(2, 3)), 10)
    assert len(drain(mine)) == 3
