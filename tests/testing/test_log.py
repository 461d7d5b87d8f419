"""The log of a partition: where reads begin and end, and what is evicted."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from txfluvio.testing.spu.log import INDEX_ENTRY, PartitionLog, ReadError, Slice
from txfluvio.wire.codes import Code, ErrorCode, error
from txfluvio.wire.records import Batch, encode_batch
from txfluvio.wire.spu import IsolationLevel

UNCOMMITTED = IsolationLevel.READ_UNCOMMITTED
COMMITTED = IsolationLevel.READ_COMMITTED
PLENTY = 1_000_000
ONE = len(encode_batch([b"x"]))


def batch(*values: bytes) -> Batch:
    return Batch(encode_batch(values), 0)


def log_of(*counts: int, segment_size: int = PLENTY, value: bytes = b"x") -> PartitionLog:
    """A log with a batch of as many records for each count, all committed."""
    log = PartitionLog(segment_size)
    for count in counts:
        log.append(batch(*[value] * count), now=0.0)
    log.hw = log.leo
    return log


def bases(found: Slice) -> list[int]:
    return [one.base_offset for one in found.records.batches()]


def refused(log: PartitionLog, start: int, isolation: IsolationLevel = UNCOMMITTED) -> ErrorCode:
    with pytest.raises(ReadError) as info:
        log.read(start, isolation, PLENTY)
    return info.value.error


def test_a_new_log_is_empty() -> None:
    log = PartitionLog()
    assert (log.log_start, log.hw, log.leo, log.size) == (0, 0, 0, 0)


def test_batches_are_numbered_one_after_another() -> None:
    log = log_of(2, 1, 3)
    assert [(one.base, one.end) for one in log] == [(0, 2), (2, 3), (3, 6)]


def test_a_batch_is_stored_as_it_came_but_for_its_base_offset() -> None:
    log = log_of(2)
    came = batch(b"a", b"b")
    stored = log.append(came, now=0.0)
    assert stored.data == b"\x00\x00\x00\x00\x00\x00\x00\x02" + came.data[8:]


def test_a_wrong_checksum_is_repaired_and_nothing_else_is_touched() -> None:
    good = encode_batch([b"a"])
    bad = good[:17] + b"\xde\xad\xbe\xef" + good[21:]
    assert PartitionLog().append(Batch(bad, 0), now=0.0).data == good


def test_the_checksum_covers_unused_attribute_bits_that_are_kept() -> None:
    good = encode_batch([b"a"])
    odd = good[:21] + b"\x80\x28" + good[23:]
    stored = PartitionLog().append(Batch(odd, 0), now=0.0).data
    assert stored[21:] == odd[21:]
    assert int.from_bytes(stored[17:21], "big") == crc32c(stored[21:])


def test_a_read_begins_with_the_batch_that_holds_the_offset() -> None:
    assert bases(log_of(2, 3, 1).read(3, UNCOMMITTED, PLENTY)) == [2, 5]


def test_a_read_at_the_end_is_empty() -> None:
    found = log_of(2).read(2, UNCOMMITTED, PLENTY)
    assert len(found.records) == 0
    assert (found.hw, found.leo, found.log_start) == (2, 2, 0)


def test_a_read_beyond_the_end_is_refused_with_both_numbers() -> None:
    assert refused(log_of(2), 3) == error(Code.OTHER, text="start offset: 3 is greater than leo: 2")


def test_a_negative_offset_is_evicted_whatever_the_log() -> None:
    assert refused(PartitionLog(), -1) == error(Code.OFFSET_EVICTED, offset=-1, next_available=0)


@pytest.mark.parametrize("limit", [1, 11, 57, 70, 100, 500])
def test_a_read_is_cut_anywhere(limit: int) -> None:
    log = log_of(1, 1, 1)
    everything = bytes(log.read(0, UNCOMMITTED, PLENTY).records)
    assert bytes(log.read(0, UNCOMMITTED, limit).records) == everything[:limit]


def test_no_bytes_at_all_may_be_asked_for() -> None:
    assert len(log_of(1).read(0, UNCOMMITTED, 0).records) == 0


def test_a_negative_limit_is_next_to_none() -> None:
    assert bases(log_of(1, 1).read(0, UNCOMMITTED, -1)) == [0, 1]


def test_a_new_segment_begins_when_a_batch_does_not_fit() -> None:
    size = len(encode_batch([b"x"]))
    assert log_of(1, 1, segment_size=2 * size).segments == 1
    assert log_of(1, 1, 1, segment_size=2 * size).segments == 2


def test_a_read_ends_with_the_segment() -> None:
    size = len(encode_batch([b"x"]))
    log = log_of(1, 1, 1, segment_size=2 * size)
    assert bases(log.read(0, UNCOMMITTED, PLENTY)) == [0, 1]
    assert bases(log.read(2, UNCOMMITTED, PLENTY)) == [2]


def test_committed_reads_end_before_the_batch_that_holds_the_high_watermark() -> None:
    log = log_of(2, 2, 2)
    log.hw = 3
    assert bases(log.read(0, COMMITTED, PLENTY)) == [0]
    assert bases(log.read(0, UNCOMMITTED, PLENTY)) == [0, 2, 4]


def test_committed_reads_take_whole_segments_that_are_committed() -> None:
    size = len(encode_batch([b"x"]))
    log = log_of(1, 1, 1, 1, segment_size=2 * size)
    log.hw = 2
    assert bases(log.read(0, COMMITTED, PLENTY)) == [0, 1]


def test_a_committed_read_in_the_batch_of_the_high_watermark_is_empty() -> None:
    log = log_of(2, 2)
    log.hw = 2
    found = log.read(3, COMMITTED, PLENTY)
    assert len(found.records) == 0
    assert not found.above_hw


def test_a_committed_read_above_the_high_watermark_is_empty_and_says_so() -> None:
    log = log_of(2, 1, 1)
    log.hw = 1
    found = log.read(2, COMMITTED, PLENTY)
    assert len(found.records) == 0
    assert found.above_hw


def test_a_committed_read_in_a_segment_above_the_high_watermark_is_refused() -> None:
    size = len(encode_batch([b"x"]))
    log = log_of(1, 1, 1, segment_size=2 * size)
    log.hw = 1
    assert refused(log, 2, COMMITTED) == error(Code.OTHER, text="max offset position: 1 not found")


def segmented(count: int) -> tuple[PartitionLog, int]:
    """A log of segments of one batch each, written a second apart, and the size of a batch."""
    size = len(encode_batch([b"x"]))
    log = PartitionLog(size)
    for second in range(count):
        log.append(batch(b"x"), now=float(second))
    log.hw = log.leo
    return log, size


def test_segments_expire_by_when_they_were_last_written() -> None:
    log, _ = segmented(4)
    assert log.expire(2.0)
    assert log.log_start == 2


def test_the_segment_being_written_never_expires() -> None:
    log, _ = segmented(3)
    log.expire(100.0)
    assert (log.log_start, log.leo) == (2, 3)


def test_nothing_expires_before_its_time() -> None:
    log, _ = segmented(3)
    assert not log.expire(0.0)


def test_a_log_that_is_too_large_loses_its_first_segments() -> None:
    log, size = segmented(5)
    assert log.shrink(3 * size + 2 * INDEX_ENTRY)
    assert log.log_start == 3


def test_a_log_within_its_size_loses_nothing() -> None:
    log, size = segmented(3)
    assert not log.shrink(3 * size + 2 * INDEX_ENTRY)


def test_the_indexes_of_segments_count_for_the_size_of_a_log() -> None:
    log, size = segmented(5)
    assert log.shrink(4 * size + 3 * INDEX_ENTRY)
    assert log.log_start == 2
    assert not log.shrink(3 * size + 2 * INDEX_ENTRY)


def test_the_batch_behind_4096_bytes_gets_8_bytes_in_the_index() -> None:
    big, small = b"x" * (2048 - ONE + 1), b"x"
    sizes = []
    log = PartitionLog()
    for value in (big, big, small, big, big, small):
        appended = log.append(batch(value), now=0.0)
        sizes.append(log.size - sum(len(one.data) for one in log))
        assert appended.end == log.leo
    assert sizes == [0, 0, 8, 8, 8, 16]


def test_a_segment_that_is_full_has_8_bytes_of_index_at_the_least() -> None:
    log, size = segmented(3)
    assert log.size == 3 * size + 2 * 8


def test_a_copy_is_as_large_and_grows_alike() -> None:
    log = log_of(*[1] * 10, value=b"x" * 930)
    twin = log.copy()
    assert twin.size == log.size
    for one in (log, twin):
        one.append(batch(b"x" * 930), now=0.0)
    assert twin.size == log.size


def test_a_log_that_is_truncated_is_as_large_as_it_was_at_that_end() -> None:
    log, sizes = PartitionLog(10_000), []
    for _ in range(25):
        sizes.append(log.size)
        log.append(batch(b"x" * 930), now=0.0)
    for end in reversed(range(25)):
        log.truncate(end)
        assert log.size == sizes[end]


def test_what_was_full_before_a_restart_counts_once_something_was_evicted() -> None:
    log, size = segmented(3)
    log.reopen()
    assert log.size == size
    log.append(batch(b"x"), now=3.0)
    assert log.size == 2 * size + 8
    assert not log.expire(0.0)
    assert log.size == 2 * size + 8
    assert log.expire(1.0)
    assert log.size == 3 * size + 2 * 8


def test_a_log_has_the_size_that_a_real_one_had_before_and_after_a_restart() -> None:
    log, sizes = PartitionLog(10_000), []

    def append(count: int) -> None:
        for _ in range(count):
            log.append(batch(b"x" * 930), now=0.0)
        sizes.append(log.size)

    append(26)
    log.reopen()
    append(0)
    append(1)
    append(10)
    assert sizes == [26_024, 6_008, 7_008, 17_016]


def test_an_index_counts_from_0_again_after_a_restart() -> None:
    log = log_of(*[1] * 5, value=b"x" * 930)
    log.reopen()
    for _ in range(5):
        log.append(batch(b"x" * 930), now=0.0)
    assert log.size == 10_000
    log.append(batch(b"x" * 930), now=0.0)
    assert log.size == 11_008


def test_the_segment_being_written_is_never_lost_to_size() -> None:
    log, _ = segmented(3)
    log.shrink(0)
    assert log.log_start == 2


def test_reads_below_the_log_start_say_what_is_next_available() -> None:
    log, size = segmented(5)
    log.shrink(3 * size + 4 * INDEX_ENTRY)
    assert refused(log, 1) == error(Code.OFFSET_EVICTED, offset=1, next_available=2)


def test_eviction_by_hand_divides_segments_but_not_batches() -> None:
    log = log_of(2, 2, 2)
    log.evict(3)
    assert log.log_start == 2
    assert bases(log.read(2, UNCOMMITTED, PLENTY)) == [2, 4]


def test_everything_can_be_evicted_and_the_offsets_go_on() -> None:
    log = log_of(2, 2)
    log.evict(4)
    assert (log.log_start, log.hw, log.leo, log.size) == (4, 4, 4, 0)
    assert log.append(batch(b"a"), now=0.0).base == 4


def test_a_truncated_log_loses_the_batches_beyond_its_new_end() -> None:
    log = log_of(2, 2, 2)
    assert log.truncate(3)
    assert (log.leo, log.hw) == (2, 2)


def test_a_log_is_not_truncated_beyond_its_end() -> None:
    log = log_of(2)
    assert not log.truncate(2)


def test_two_logs_agree_up_to_the_first_batch_that_differs() -> None:
    """Behind it they may be alike again: what was sent to both in vain has the same places."""
    one, other = PartitionLog(), PartitionLog()
    for log, values in ((one, (b"a", b"b", b"d")), (other, (b"a", b"c", b"d"))):
        for value in values:
            log.append(batch(value), now=0.0)
    assert one.agreement(other) == 1


def test_what_another_log_has_evicted_counts_as_alike_if_the_next_is() -> None:
    one, other = log_of(1, 1, 1), log_of(1, 1, 1)
    other.evict(2)
    assert one.agreement(other) == 3


def test_logs_without_a_batch_in_common_agree_on_nothing() -> None:
    one, other = PartitionLog(), PartitionLog()
    one.append(batch(b"a"), now=0.0)
    other.append(batch(b"b"), now=0.0)
    assert one.agreement(other) == 0


def test_a_copy_goes_its_own_way() -> None:
    log = log_of(2)
    copy = log.copy()
    log.append(batch(b"a"), now=0.0)
    assert (copy.leo, log.leo) == (2, 3)


@given(
    counts=st.lists(st.integers(1, 5), min_size=1, max_size=20),
    segment_size=st.integers(70, 400),
    limit=st.integers(1, 500),
    evicted=st.integers(0, 100),
)
def test_following_what_was_read_visits_every_batch_once(
    counts: list[int], segment_size: int, limit: int, evicted: int
) -> None:
    log = log_of(*counts, segment_size=segment_size)
    log.evict(min(evicted, log.leo))
    seen = []
    position = log.log_start
    while position < log.leo:
        found = log.read(position, UNCOMMITTED, limit).records
        complete = found.batches()
        if not complete:
            limit = max(limit + 1, found.needed() or 0)
            continue
        seen += [(one.base_offset, bytes(one.data[one.start : one.end])) for one in complete]
        position = complete[-1].next_offset
    assert seen == [(one.base, one.data) for one in log]
    full = log.segments - 1
    assert log.size == sum(len(data) for _, data in seen) + full * INDEX_ENTRY


@pytest.mark.parametrize("isolation", [UNCOMMITTED, COMMITTED])
@pytest.mark.parametrize("hw", range(2, 9))
@pytest.mark.parametrize("start", range(-1, 10))
def test_one_batch_after_another_is_what_a_read_without_a_limit_finds(
    isolation: IsolationLevel, hw: int, start: int
) -> None:
    def found(read: Callable[[], Iterable[Batch]]) -> list[bytes] | ErrorCode:
        try:
            return [one.data[one.start : one.end] for one in read()]
        except ReadError as reason:
            return reason.error

    log = log_of(2, 2, 2, 2, segment_size=2 * batch(b"x", b"x").size)
    log.hw = hw
    assert log.segments == 2
    whole = found(lambda: log.read(start, isolation, -1).records.batches())
    assert found(lambda: log.batches(start, isolation)) == whole
