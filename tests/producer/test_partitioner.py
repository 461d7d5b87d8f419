"""Records go where every other Fluvio client would send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from txfluvio.interfaces import IPartitioner
from txfluvio.producer.partitioner import (
    SiphashRoundRobinPartitioner,
    SpecificPartitioner,
    key_hash,
    siphash24,
)

COUNTS = (2, 3, 4, 6, 10, 16)

VECTORS = [
    (b"", 0xE849E8BB6FFE2567, (1, 2, 3, 5, 9, 7)),
    (b"a", 0xFEB15081B68CA86B, (1, 1, 3, 1, 7, 11)),
    (b"abc", 0xBEB547A1E52E0770, (0, 1, 0, 4, 2, 0)),
    (b"key", 0x1BF94D5174027FCA, (0, 2, 2, 2, 6, 10)),
    (b"1", 0x61580903E47368E6, (0, 1, 2, 4, 4, 6)),
    (b"hello", 0xD17F96BD0852CE12, (0, 2, 2, 2, 4, 2)),
    (b"12345678", 0xBA89BF5BEA67CEA9, (1, 0, 1, 3, 7, 9)),
    (b"alice", 0x00413784F5EC3D75, (1, 2, 1, 5, 1, 5)),
    (b"bob", 0x1E46DB6990B12CBE, (0, 1, 2, 4, 4, 14)),
    (b"user-42", 0xF6E2DFFF2B9C3615, (1, 0, 1, 3, 9, 5)),
    (b"user-42a1", 0x95A8614281316209, (1, 0, 1, 3, 5, 9)),
    ("žluťoučký kůň".encode(), 0xA645293677135E1A, (0, 0, 2, 0, 8, 10)),
    (b"\x00", 0xB20DBE42DF95B57E, (0, 1, 2, 4, 6, 14)),
    (b"\xff" * 8, 0x9EC80BFA9EE0C955, (1, 0, 1, 3, 7, 5)),
    (bytes(range(256)), 0x5B713D0A9FD1D8E0, (0, 0, 0, 0, 8, 0)),
]


def test_siphash_gives_the_vector_its_authors_published() -> None:
    k0, k1 = 0x0706050403020100, 0x0F0E0D0C0B0A0908
    assert siphash24(k0, k1, bytes(range(15))) == 0xA129CA6149BE45E5


@pytest.mark.parametrize(("key", "digest", "places"), VECTORS)
def test_keys_hash_and_are_placed_as_the_reference_does(
    key: bytes, digest: int, places: tuple[int, ...]
) -> None:
    assert key_hash(key) == digest
    chooser = SiphashRoundRobinPartitioner()
    for _ in range(2):
        assert tuple(chooser.choose(key, b"", count, (0,)) for count in COUNTS) == places


def test_a_key_goes_to_its_partition_even_if_that_is_offline() -> None:
    assert SiphashRoundRobinPartitioner().choose(b"hello", b"", 3, (0, 1)) == 2


def test_records_without_a_key_take_turns_from_the_first_partition_on() -> None:
    chooser = SiphashRoundRobinPartitioner()
    assert [chooser.choose(None, b"", 3, (0, 1, 2)) for _ in range(4)] == [0, 1, 2, 0]


def test_only_online_partitions_get_a_turn() -> None:
    chooser = SiphashRoundRobinPartitioner()
    assert [chooser.choose(None, b"", 4, (1, 3)) for _ in range(4)] == [1, 3, 1, 3]


def test_while_no_partition_is_online_all_get_their_turn() -> None:
    chooser = SiphashRoundRobinPartitioner()
    assert [chooser.choose(None, b"", 2, ()) for _ in range(3)] == [0, 1, 0]


def test_a_record_with_a_key_takes_nobodys_turn() -> None:
    chooser = SiphashRoundRobinPartitioner()
    assert chooser.choose(None, b"", 2, (0, 1)) == 0
    chooser.choose(b"key", b"", 2, (0, 1))
    assert chooser.choose(None, b"", 2, (0, 1)) == 1


@given(st.lists(st.integers(0, 30), max_size=8), st.sampled_from([(), (0,), (1, 3), (0, 1, 2, 3)]))
def test_many_at_once_are_placed_as_one_at_a_time(
    numbers: list[int], online: tuple[int, ...]
) -> None:
    many, single = SiphashRoundRobinPartitioner(), SiphashRoundRobinPartitioner()
    for number in numbers:
        placed = {
            position: place
            for place, positions in many.choose_turns(number, 4, online)
            for position in positions
        }
        assert [placed[position] for position in range(number)] == [
            single.choose(None, b"", 4, online) for _ in range(number)
        ]


def test_many_with_and_without_keys_are_placed_as_one_at_a_time() -> None:
    keys = [None, b"a", None, b"", b"x" * 1000, None, b"a", b"hello"]
    many, single = SiphashRoundRobinPartitioner(), SiphashRoundRobinPartitioner()
    assert many.choose_all(keys, 5, (1, 2)) == [single.choose(key, b"", 5, (1, 2)) for key in keys]


def test_the_turns_go_on_after_32_bits_and_each_partition_is_named_once() -> None:
    one, many = SiphashRoundRobinPartitioner(), SiphashRoundRobinPartitioner()
    for chooser in (one, many):
        chooser.choose_turns(2**32 - 2, 1, (0,))
    places = [one.choose(None, b"", 3, (0, 1, 2)) for _ in range(5)]
    assert places == [2, 0, 1, 2, 0]
    found = many.choose_turns(5, 3, (0, 1, 2))
    assert [place for place, _ in found] == [2, 0, 1]
    assert sorted((p, place) for place, ps in found for p in ps) == list(enumerate(places))


def test_a_specific_partition_gets_every_record() -> None:
    chooser = SpecificPartitioner(2)
    assert [chooser.choose(key, b"", 3, (0,)) for key in (None, b"a", b"hello")] == [2, 2, 2]


@pytest.mark.parametrize("chooser", [SiphashRoundRobinPartitioner(), SpecificPartitioner(0)])
def test_both_keep_the_contract_of_a_partitioner(chooser: object) -> None:
    assert verifyObject(IPartitioner, chooser)
