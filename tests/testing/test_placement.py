"""Where replicas go and who leads, by the examples of the SC's own unit tests and by its rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from txfluvio.testing.sc import placement
from txfluvio.testing.sc.placement import Weights, elect
from txfluvio.wire.sc import ReplicaStatus


def place(
    partitions: int,
    replication: int,
    *,
    online: Sequence[int] = (5001, 5002, 5003),
    registered: int | None = None,
    placed: Sequence[tuple[int, Sequence[int]]] = (),
    keep: Mapping[int, Sequence[int]] | None = None,
) -> dict[int, tuple[int, ...]]:
    return placement.place(
        partitions,
        replication,
        registered=len(online) if registered is None else registered,
        online=online,
        placed=Weights(placed),
        keep=keep or {},
    )


class TestPlacing:
    def test_leaders_go_round(self) -> None:
        assert place(4, 1, online=(0, 1)) == {0: (0,), 1: (1,), 2: (0,), 3: (1,)}

    def test_the_lowest_id_wins_whatever_the_order_given(self) -> None:
        assert place(2, 1, online=(10, 4, 0, 2, 1)) == {0: (0,), 1: (1,)}

    def test_what_is_placed_already_counts(self) -> None:
        placed = [(0, (0, 1, 2)), (1, (1, 2)), (0, (0, 3))]
        assert place(5, 3, online=(0, 1, 2, 3), placed=placed) == {
            0: (2, 0, 1),
            1: (3, 0, 1),
            2: (1, 3, 0),
            3: (2, 3, 0),
            4: (3, 2, 1),
        }

    def test_a_leader_that_moved_counts_where_it_leads_now(self) -> None:
        assert place(1, 1, online=(1, 2), placed=[(2, (1, 2))]) == {0: (1,)}

    def test_more_replicas_than_registered_spus_are_not_placed(self) -> None:
        assert place(4, 3, online=(0, 1)) == {}

    def test_registered_spus_that_are_down_are_not_used(self) -> None:
        assert place(2, 1, online=(5002,), registered=2) == {0: (5002,), 1: (5002,)}

    def test_more_replicas_than_running_spus_leave_the_whole_topic_unplaced(self) -> None:
        assert place(2, 2, online=(5002,), registered=2) == {}

    def test_rows_that_are_there_stay(self) -> None:
        keep = {0: (5003,), 1: (5003,)}
        assert place(3, 1, placed=[(5003, (5003,))] * 2, keep=keep) == {
            0: (5003,),
            1: (5003,),
            2: (5001,),
        }

    def test_a_row_of_another_length_is_placed_anew(self) -> None:
        assert place(1, 1, keep={0: (5003, 5002)}) == {0: (5001,)}

    def test_a_topic_that_is_not_placed_counts_for_nothing(self) -> None:
        weights = Weights()
        for replication in (2, 1):
            rows = placement.place(
                1, replication, registered=2, online=(5001,), placed=weights, keep={}
            )
        assert rows == {0: (5001,)}
        assert weights.choose((5001, 5002), 1) == (5001,)


def replica(spu: int, leo: int) -> ReplicaStatus:
    return ReplicaStatus(spu=spu, hw=leo, leo=leo)


class TestElecting:
    def test_the_smallest_lag_wins(self) -> None:
        followers = [replica(2, 8), replica(3, 10), replica(4, 9)]
        assert elect(replica(1, 10), followers, {2, 3, 4}) == 3

    def test_the_first_of_equals_wins(self) -> None:
        assert elect(replica(1, 10), [replica(3, 9), replica(2, 9)], {2, 3}) == 3

    def test_a_lag_of_3_will_do_and_one_of_4_will_not(self) -> None:
        assert elect(replica(1, 10), [replica(2, 7)], {2}) == 2
        assert elect(replica(1, 10), [replica(2, 6)], {2}) is None

    def test_who_is_down_is_no_candidate(self) -> None:
        assert elect(replica(1, 10), [replica(2, 10), replica(3, 9)], {3}) == 3

    def test_a_partition_without_followers_has_no_candidate(self) -> None:
        assert elect(replica(1, 10), [], {1}) is None

    def test_a_follower_ahead_of_the_report_comes_last(self) -> None:
        assert elect(replica(1, 10), [replica(2, 11), replica(3, 7)], {2, 3}) == 3
