"""A stream of bytes is cut into the same frames however it arrives."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txfluvio.errors import ProtocolError
from txfluvio.wire.framing import DEFAULT_MAX_FRAME_SIZE, Frames, frame

payloads = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


def feed_in_pieces(frames: Frames, stream: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cuts), len(stream)]
    found = []
    for start, stop in itertools.pairwise(bounds):
        found += frames.feed(stream[start:stop])
    return found


@given(payloads, st.data())
def test_every_split_gives_the_same_frames(wanted: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frame(payload) for payload in wanted)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    frames = Frames()
    assert feed_in_pieces(frames, stream, cuts) == wanted
    assert frames.pending == 0


@given(payloads)
def test_byte_by_byte_gives_the_same_frames(wanted: list[bytes]) -> None:
    stream = b"".join(frame(payload) for payload in wanted)
    assert feed_in_pieces(Frames(), stream, list(range(len(stream)))) == wanted


@pytest.mark.parametrize("ahead", [b"", b"x"])
def test_what_looks_like_a_frame_in_the_middle_of_one_is_none(ahead: bytes) -> None:
    payload = ahead + frame(b"not a frame")
    stream = frame(payload)
    cut = len(stream) - len(payload) + len(ahead)
    frames = Frames()
    assert frames.feed(stream[:cut]) == []
    assert frames.feed(stream[cut:]) == [payload]


@pytest.mark.parametrize("piece", [1, 1000, 4095, 4096, 5000, 70_000])
def test_a_large_frame_comes_whole_from_pieces_of_any_size(piece: int) -> None:
    wanted = [bytes(range(256)) * 300, b"next"]
    stream = b"".join(frame(payload) for payload in wanted)
    frames = Frames()
    assert feed_in_pieces(frames, stream, list(range(0, len(stream), piece))) == wanted


def test_frames_are_bytes() -> None:
    frames = Frames()
    (found,) = feed_in_pieces(frames, frame(b"abc"), [1, 2, 3, 5])
    assert type(found) is bytes


def test_pending_counts_the_bytes_of_a_frame_not_complete() -> None:
    frames = Frames()
    stream = frame(b"abcdef") + frame(b"x")
    seen = []
    for index in range(len(stream)):
        frames.feed(stream[index : index + 1])
        seen.append(frames.pending)
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 0]


def test_a_frame_s_size_does_not_count_itself() -> None:
    assert frame(b"ab", memoryview(b"c")) == b"\x00\x00\x00\x03abc"


@pytest.mark.parametrize("size", [0, -1, -4, -5, -(2**31)])
def test_a_size_that_is_not_positive_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        Frames().feed(size.to_bytes(4, "big", signed=True))
    error = caught.value
    assert (error.message, error.field, error.position) == ("frame", "size", 0)


def test_a_size_over_the_limit_is_refused_when_its_prefix_is_there() -> None:
    frames = Frames(max_frame_size=100)
    assert frames.feed(b"\x00\x00\x00") == []
    with pytest.raises(ProtocolError, match="max_frame_size"):
        frames.feed(b"\x65")


def test_what_came_of_a_frame_over_the_limit_is_there_to_see_whose_it_is() -> None:
    frames = Frames(max_frame_size=5)
    assert frames.feed(frame(b"first") + b"\0\0\0") == [b"first"]
    assert frames.too_large == b""
    with pytest.raises(ProtocolError):
        frames.feed(b"\x06second")
    assert frames.too_large == b"second"


@pytest.mark.parametrize("size", [0, -1])
def test_nothing_came_of_a_frame_whose_size_is_not_positive(size: int) -> None:
    frames = Frames()
    with pytest.raises(ProtocolError):
        frames.feed(size.to_bytes(4, "big", signed=True) + b"second")
    assert frames.too_large == b""


def test_a_frame_of_exactly_the_limit_is_taken() -> None:
    assert Frames(max_frame_size=3).feed(frame(b"abc")) == [b"abc"]
    with pytest.raises(ProtocolError):
        Frames(max_frame_size=2).feed(frame(b"abc"))


@pytest.mark.parametrize("cut", range(13))
def test_the_first_frame_may_have_a_limit_of_its_own(cut: int) -> None:
    stream = frame(b"abc") + frame(b"abcd")
    frames = Frames(max_frame_size=4, first=3)
    assert frames.feed(stream[:cut]) + frames.feed(stream[cut:]) == [b"abc", b"abcd"]
    with pytest.raises(ProtocolError, match="4 bytes is over the limit of 3 for the first one"):
        Frames(max_frame_size=4, first=3).feed(frame(b"abcd"))


def test_the_limit_for_the_first_frame_raises_no_other() -> None:
    with pytest.raises(ProtocolError, match="over the limit of 2: raise max_frame_size"):
        Frames(max_frame_size=2, first=3).feed(frame(b"abc"))


def test_the_default_limit_is_above_the_largest_batch() -> None:
    assert DEFAULT_MAX_FRAME_SIZE > 32 * 1024 * 1024
    with pytest.raises(ProtocolError):
        Frames().feed((DEFAULT_MAX_FRAME_SIZE + 1).to_bytes(4, "big"))


def test_nothing_is_read_behind_a_bad_size() -> None:
    frames = Frames()
    with pytest.raises(ProtocolError) as first:
        frames.feed(b"\xff\xff\xff\xff")
    with pytest.raises(ProtocolError) as second:
        frames.feed(frame(b"good"))
    assert second.value is first.value


def test_frames_ahead_of_a_bad_size_are_not_lost() -> None:
    frames = Frames()
    assert frames.feed(frame(b"good") + frame(b"too") + b"\xff\xff\xff\xff" + b"rest") == [
        b"good",
        b"too",
    ]
    assert frames.broken is not None
    assert frames.pending == 0
    with pytest.raises(ProtocolError) as caught:
        frames.feed(frame(b"good"))
    assert caught.value is frames.broken


@given(payloads, st.binary(max_size=12), st.data())
def test_frames_and_rest_are_all_that_came(
    good: list[bytes], other: bytes, data: st.DataObject
) -> None:
    ahead = b"".join(frame(payload) for payload in good)
    stream = ahead + b"\xff\xff\xff\xff" + other
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    frames = Frames()
    came, fed = b"", 0
    for stop in [*sorted(cuts), len(stream)]:
        try:
            came += b"".join(frame(payload) for payload in frames.feed(stream[fed:stop]))
        except ProtocolError:
            assert frames.broken
        fed = stop
        if frames.broken:
            break
        assert came + frames.rest == stream[:fed]
    assert came == ahead
    assert came + frames.rest == stream[:fed]


def test_what_is_fed_behind_a_bad_size_later_is_not_kept() -> None:
    frames = Frames()
    frames.feed(frame(b"good") + b"\xff\xff\xff\xffraw")
    with pytest.raises(ProtocolError):
        frames.feed(b"more")
    assert frames.rest == b"\xff\xff\xff\xffraw"


def test_good_frames_leave_nothing_broken() -> None:
    frames = Frames()
    frames.feed(frame(b"good") + b"\0\0")
    assert frames.broken is None


def test_nothing_is_allocated_for_bytes_that_are_only_announced() -> None:
    frames = Frames()
    tracemalloc.start()
    try:
        frames.feed(DEFAULT_MAX_FRAME_SIZE.to_bytes(4, "big") + b"x")
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_frame_that_drips_in_takes_no_more_than_its_size() -> None:
    size = 200_000
    frames = Frames()
    frames.feed(size.to_bytes(4, "big"))
    tracemalloc.start()
    try:
        for _ in range(size // 2 - 1):
            frames.feed(b"ab")
        assert tracemalloc.get_traced_memory()[0] < 2 * size
    finally:
        tracemalloc.stop()
    assert frames.pending == 4 + size - 2


def test_a_large_frame_with_the_beginning_of_the_next_behind_it_is_copied_once() -> None:
    size = 1_000_000
    stream = frame(bytes(size)) + frame(b"next")[:5]
    frames = Frames()
    assert frames.feed(stream[:-1000]) == []
    tracemalloc.start()
    try:
        found = frames.feed(stream[-1000:])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [len(one) for one in found] == [size]
    assert frames.rest == frame(b"next")[:5]
    assert most < 1.5 * size
