"""Keeping the topology up to date: loading, losing the SC, finding it again, and waiting."""

from __future__ import annotations

import gc

from twisted.internet.defer import CancelledError, Deferred, fail

from txfluvio.cluster import ConnectionState, Topology
from txfluvio.cluster.cluster import TELLING
from txfluvio.config import TlsConfig
from txfluvio.errors import (
    ClientClosed,
    ConnectFailed,
    HandshakeFailed,
    InvalidConfig,
    NotStarted,
    ProtocolError,
    TopicNotFound,
    UnsupportedVersion,
    WaitTimedOut,
)
from txfluvio.transport import dialer as dialing
from txfluvio.transport.protocol import FluvioProtocol
from txfluvio.wire.sc import PARTITION, SMART_MODULE, SPU, TOPIC

from .kit import SC, ClusterCase, MemoryDialer
from .objects import changed, deleted, everything, partition, spu, topic, updated


class Securing(MemoryDialer):
    """Sets up TLS as a client does."""

    def dial(
        self, host: str, port: int, *, server_name: str | None = None
    ) -> Deferred[FluvioProtocol]:
        dialer = dialing.MemoryDialer(self.network, self.config, self.network.clock)
        return dialer.dial(host, port, server_name=server_name)


class Late(MemoryDialer):
    """Keeps to no time."""

    def dial(self, *_: object, **__: object) -> Deferred[FluvioProtocol]:
        return Deferred()


class Loading(ClusterCase):
    def test_it_is_started_when_every_kind_of_object_has_been_told(self) -> None:
        starting = self.cluster.start()
        self.advance()
        watches = self.watches()
        self.tell(watches, everything(SPU, spu(5001)), everything(TOPIC, topic("orders")))
        self.assertNoResult(starting)
        self.assertIs(self.cluster.state, ConnectionState.CONNECTING)
        self.tell(watches, everything(PARTITION, partition("orders-0")))
        self.successResultOf(starting)
        self.assertIs(self.cluster.state, ConnectionState.CONNECTED)
        self.assertEqual(self.cluster.topology.leader_of("orders", 0), 5001)
        self.stopped()

    def test_an_empty_cluster_is_a_known_one(self) -> None:
        self.started((), (), ())
        self.assertEqual(self.cluster.topology.topics, {})
        self.stopped()

    def test_an_sc_that_has_not_loaded_its_objects_is_waited_for(self) -> None:
        starting = self.cluster.start()
        self.advance()
        watches = self.watches()
        self.tell(watches, *(everything(kind, epoch=0) for kind in (SPU, PARTITION, TOPIC)))
        self.assertNoResult(starting)
        self.tell(watches, *(everything(kind, epoch=1) for kind in (SPU, PARTITION, TOPIC)))
        self.successResultOf(starting)
        self.stopped()

    def test_the_release_of_the_cluster_is_known(self) -> None:
        self.assertEqual(self.cluster.version, "")
        self.started()
        self.assertEqual(self.cluster.version, "0.18.1")
        self.stopped()

    def test_changes_are_taken_up(self) -> None:
        watches = self.started()
        self.tell(watches, changed(TOPIC, *updated(topic("payments"))))
        self.assertIn("payments", self.cluster.topology.topics)
        self.stopped()


class NotThere(ClusterCase):
    def test_starting_fails_with_the_address_and_the_reason_within_the_deadline(self) -> None:
        self.network.refuse(*SC)
        starting = self.cluster.start()
        self.advance(9.9)
        self.assertNoResult(starting)
        self.advance(0.1)
        error = self.failureResultOf(starting, ConnectFailed).value
        self.assertRegex(str(error), r"sc\.test:9003.*refused")
        self.stopped()

    def test_an_address_that_swallows_everything_is_given_up_in_time(self) -> None:
        self.network.hang(*SC)
        starting = self.cluster.start()
        self.advance(10.0)
        error = self.failureResultOf(starting, ConnectFailed).value
        self.assertRegex(str(error), r"sc\.test:9003")
        self.stopped()

    def test_an_sc_that_tells_nothing_is_given_up_in_time(self) -> None:
        starting = self.cluster.start()
        self.advance()
        self.watches()
        self.advance(10.0)
        error = self.failureResultOf(starting, ConnectFailed).value
        self.assertIn("within 10 s", str(error))
        self.stopped()

    def test_one_that_accepts_and_says_nothing_is_told_from_one_that_is_not_there(self) -> None:
        self.sc.mute = True
        for seconds in (2.0, 3.0, 5.0):
            with self.subTest(handshake_timeout=seconds):
                self.use(connect_timeout=3.0, handshake_timeout=seconds)
                starting = self.cluster.start()
                self.advance(2.0)
                self.advance(1.0)
                self.advance()
                self.failureResultOf(starting, HandshakeFailed)
                self.stopped()

    def test_an_attempt_that_takes_longer_than_it_may_is_not_waited_for(self) -> None:
        self.use(dialer=Late)
        starting = self.cluster.start()
        self.advance(10.0)
        self.advance(TELLING)
        error = self.failureResultOf(starting, ConnectFailed).value
        self.assertIn("no answer within 10 s", str(error))
        self.stopped()

    def test_stopping_ends_the_waiting_for_the_reason_of_an_attempt(self) -> None:
        self.use(dialer=Late)
        starting = self.cluster.start()
        self.advance(10.0)
        self.assertNoResult(starting)
        self.stopped()
        self.failureResultOf(starting, ClientClosed)

    def test_an_sc_without_watches_is_not_asked_again(self) -> None:
        self.sc._apis = {key: api for key, api in self.sc._apis.items() if key != 1004}
        starting = self.cluster.start()
        self.advance()
        self.failureResultOf(starting, UnsupportedVersion)
        self.stopped()

    def test_what_stops_the_very_first_attempt_before_it_begins_is_told_at_once(self) -> None:
        self.use(tls=TlsConfig(server_name="sc.test", ca_file="not-there.pem"), dialer=Securing)
        starting = self.cluster.start()
        self.failureResultOf(starting, InvalidConfig)
        self.stopped()

    def test_started_for_ever_it_tries_again_even_what_was_set_wrongly(self) -> None:
        self.use(tls=TlsConfig(server_name="sc.test", ca_file="not-there.pem"), dialer=Securing)
        starting = self.cluster.start(for_ever=True)
        self.advance(10.0)
        self.assertNoResult(starting)
        self.stopped()
        self.failureResultOf(starting, ClientClosed)

    def test_an_sc_that_tells_of_other_objects_than_asked_for_is_not_believed(self) -> None:
        starting = self.cluster.start()
        self.advance()
        self.watches()[TOPIC].reply(everything(SMART_MODULE))
        self.advance()
        error = self.failureResultOf(starting, ProtocolError).value
        self.assertIn("SmartModule objects where Topic ones were asked for", str(error))
        self.stopped()

    def test_whoever_is_told_that_it_is_hopeless_may_stop_it(self) -> None:
        self.sc._apis = {key: api for key, api in self.sc._apis.items() if key != 1004}
        starting = self.cluster.start()
        starting.addErrback(lambda _: self.cluster.stop())
        self.advance()
        self.successResultOf(starting)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.network.links, [])

    def test_started_for_ever_it_goes_on_trying(self) -> None:
        self.network.refuse(*SC)
        starting = self.cluster.start(for_ever=True)
        for _ in range(100):
            self.advance(4.0)
        self.assertNoResult(starting)
        self.network.accept(*SC)
        self.advance(4.0)
        watches = self.watches()
        self.tell(watches, *(everything(kind) for kind in (SPU, PARTITION, TOPIC)))
        self.successResultOf(starting)
        self.stopped()

    def test_the_waits_between_attempts_are_those_of_the_policy(self) -> None:
        refused: list[float] = []

        class Refusing(MemoryDialer):
            def dial(
                self, host: str, port: int, *, server_name: str | None = None
            ) -> Deferred[FluvioProtocol]:
                refused.append(self.network.clock.seconds())
                return super().dial(host, port, server_name=server_name)

        self.network.refuse(*SC)
        self.use(dialer=Refusing)
        starting = self.cluster.start(for_ever=True)
        self.advance()
        for _ in range(15):
            self.advance(1.0)
        self.assertEqual(refused, [0.0, 1.0, 3.0, 7.0, 11.0, 15.0])
        self.stopped()
        self.failureResultOf(starting, ClientClosed)

    def test_whatever_a_dialer_fails_with_is_named_and_tried_again(self) -> None:
        failing: list[bool] = []

        class Other(MemoryDialer):
            def dial(
                self, host: str, port: int, *, server_name: str | None = None
            ) -> Deferred[FluvioProtocol]:
                if not failing:
                    return super().dial(host, port, server_name=server_name)
                if failing.pop():
                    raise OSError("no route")
                return fail(OSError("no route"))

        for failing[:] in ([True], [False]):
            self.use(dialer=Other)
            starting = self.cluster.start()
            self.advance()
            self.assertNoResult(starting)
            error = self.cluster._watcher.last_error
            assert isinstance(error, ConnectFailed)
            self.assertIsInstance(error.__cause__, OSError)
            self.assertIn("sc.test:9003: OSError('no route')", str(error))
            self.advance(1.0)
            self.tell(self.watches(), *(everything(kind) for kind in (SPU, PARTITION, TOPIC)))
            self.successResultOf(starting)
            self.stopped()

    def test_an_attempt_that_somebody_else_has_cancelled_is_made_again(self) -> None:
        attempts: list[Deferred[FluvioProtocol]] = []

        class Noting(MemoryDialer):
            def dial(
                self, host: str, port: int, *, server_name: str | None = None
            ) -> Deferred[FluvioProtocol]:
                attempts.append(super().dial(host, port, server_name=server_name))
                return attempts[-1]

        self.use(dialer=Noting)
        starting = self.cluster.start()
        attempts[0].cancel()
        error = self.cluster._watcher.last_error
        assert isinstance(error, ConnectFailed)
        self.assertIn("sc.test:9003: the attempt was cancelled", str(error))
        self.advance(1.0)
        self.tell(self.watches(), *(everything(kind) for kind in (SPU, PARTITION, TOPIC)))
        self.successResultOf(starting)
        self.stopped()


class LostAndFound(ClusterCase):
    def lose(self) -> None:
        self.sc.server.close_all()
        self.advance()

    def test_the_topology_stays_while_the_sc_is_away(self) -> None:
        self.started()
        self.lose()
        self.assertIs(self.cluster.state, ConnectionState.RECONNECTING)
        self.assertEqual(self.cluster.topology.leader_of("orders", 0), 5001)
        self.stopped()

    def test_it_stays_until_every_kind_has_been_told_again(self) -> None:
        self.started()
        self.lose()
        self.advance(1.0)
        watches = self.watches()
        self.tell(watches, everything(TOPIC), everything(SPU))
        self.assertEqual(self.cluster.topology.leader_of("orders", 0), 5001)
        self.tell(watches, everything(PARTITION))
        self.assertEqual(self.cluster.topology.topics, {})
        self.assertIs(self.cluster.state, ConnectionState.CONNECTED)
        self.stopped()

    def test_the_first_answer_of_a_restarted_sc_is_the_whole_truth_for_all_its_low_epoch(
        self,
    ) -> None:
        watches = self.started()
        self.tell(watches, changed(TOPIC, *updated(topic("payments")), epoch=900))
        self.lose()
        self.advance(1.0)
        self.tell(
            self.watches(),
            everything(SPU, spu(5001), epoch=1),
            everything(PARTITION, epoch=1),
            everything(TOPIC, topic("orders"), epoch=1),
        )
        self.assertEqual(list(self.cluster.topology.topics), ["orders"])
        self.assertEqual(self.cluster.topology.leader_of("orders", 0), None)
        self.stopped()

    def test_a_restarted_sc_that_has_not_loaded_yet_takes_nothing_away(self) -> None:
        self.started()
        self.lose()
        self.advance(1.0)
        watches = self.watches()
        self.tell(watches, *(everything(kind, epoch=0) for kind in (SPU, PARTITION, TOPIC)))
        self.assertEqual(self.cluster.topology.leader_of("orders", 0), 5001)
        self.stopped()

    def test_it_connects_again_for_ever(self) -> None:
        self.started()
        self.network.refuse(*SC)
        self.lose()
        for _ in range(100):
            self.advance(4.0)
        self.network.accept(*SC)
        self.advance(4.0)
        self.watches()
        self.stopped()

    def test_an_sc_that_accepts_and_tells_nothing_is_tried_again(self) -> None:
        self.started()
        self.lose()
        self.advance(1.0)
        self.watches()
        self.advance(10.0)
        self.advance(2.0)
        self.watches()
        self.stopped()

    def test_an_sc_that_tells_everything_and_hangs_up_is_dialled_ever_more_seldom(self) -> None:
        self.started()
        for wait in (1.0, 2.0, 4.0, 4.0):
            self.lose()
            self.advance(wait - 0.1)
            self.assertEqual(self.sc.asked, [])
            self.advance(0.1)
            self.tell(self.watches(), *(everything(kind) for kind in (SPU, PARTITION, TOPIC)))
        self.stopped()

    def test_after_a_connection_that_has_lasted_it_is_dialled_soon(self) -> None:
        self.started()
        for _ in range(3):
            self.advance(4.0)
            self.lose()
            self.advance(1.0)
            self.tell(self.watches(), *(everything(kind) for kind in (SPU, PARTITION, TOPIC)))
        self.stopped()

    def test_when_connected_waits_for_the_sc_to_be_back(self) -> None:
        self.started()
        self.successResultOf(self.cluster.when_connected())
        self.lose()
        waiting = self.cluster.when_connected()
        self.assertNoResult(waiting)
        self.advance(1.0)
        self.tell(self.watches(), *(everything(kind) for kind in (SPU, PARTITION, TOPIC)))
        self.successResultOf(waiting)
        self.stopped()


class Waiting(ClusterCase):
    def leader(self, timeout: float | None = None) -> Deferred[int]:
        return self.cluster.wait_for(
            lambda topology: topology.leader_of("orders", 0),
            missing="partition 0 of orders has no online leader",
            timeout=timeout,
        )

    def test_a_condition_that_holds_is_not_waited_for(self) -> None:
        self.started()
        self.assertEqual(self.successResultOf(self.leader()), 5001)
        self.stopped()

    def test_a_condition_is_asked_for_each_new_topology(self) -> None:
        watches = self.started(partitions=())
        waiting = self.leader(5.0)
        self.assertNoResult(waiting)
        self.tell(watches, changed(PARTITION, *updated(partition("orders-0"))))
        self.assertEqual(self.successResultOf(waiting), 5001)
        self.stopped()

    def test_one_about_a_partition_is_asked_when_something_of_it_has_changed(self) -> None:
        watches = self.started()
        asked = 0

        def never(_: Topology) -> None:
            nonlocal asked
            asked += 1

        waiting: Deferred[None] = self.cluster.wait_for(never, missing="", about=("orders", 0))
        for message, times in [
            (changed(TOPIC, *updated(topic("payments"))), 1),
            (changed(PARTITION, *updated(partition("payments-0"))), 1),
            (changed(PARTITION, *updated(partition("orders-0", 5002))), 2),
            (changed(SPU, *updated(spu(5002))), 3),
            (changed(TOPIC, *updated(topic("orders", 2))), 4),
            (changed(PARTITION, *updated(partition("orders-1"))), 4),
            (changed(TOPIC, *deleted(topic("orders", 2))), 5),
        ]:
            self.tell(watches, message)
            self.assertEqual(asked, times)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.stopped()

    def test_one_about_a_partition_is_asked_once_the_cluster_is_known(self) -> None:
        starting = self.cluster.start()
        waiting = self.cluster.wait_for(
            lambda topology: topology.partition("orders", 0), missing="", about=("orders", 0)
        )
        self.advance()
        self.tell(self.watches(), *(everything(kind) for kind in (SPU, PARTITION, TOPIC)))
        self.successResultOf(starting)
        self.failureResultOf(waiting, TopicNotFound)
        self.stopped()

    def test_nothing_is_concluded_from_a_cluster_that_is_not_known_yet(self) -> None:
        starting = self.cluster.start()
        waiting = self.cluster.wait_for(lambda topology: topology.topic("orders"), missing="")
        self.assertNoResult(waiting)
        self.stopped()
        self.failureResultOf(starting, ClientClosed)
        self.failureResultOf(waiting, ClientClosed)

    def test_what_a_condition_raises_is_what_its_waiter_gets(self) -> None:
        watches = self.started()
        waiting = self.cluster.wait_for(
            lambda topology: None if topology.topic("orders") else 1, missing=""
        )
        self.tell(watches, everything(TOPIC, topic("payments")))
        self.failureResultOf(waiting, TopicNotFound)
        self.stopped()

    def test_after_its_deadline_it_says_what_is_missing(self) -> None:
        self.started(partitions=())
        waiting = self.leader(5.0)
        self.advance(5.0)
        error = self.failureResultOf(waiting, WaitTimedOut).value
        self.assertEqual(str(error), "partition 0 of orders has no online leader, after 5 s")
        self.stopped()

    def test_after_its_deadline_it_says_why_there_is_no_connection(self) -> None:
        self.network.refuse(*SC)
        starting = self.cluster.start(for_ever=True)
        waiting = self.leader(5.0)
        self.advance(5.0)
        cause = self.failureResultOf(waiting, WaitTimedOut).value.__cause__
        self.assertIsInstance(cause, ConnectFailed)
        self.stopped()
        self.failureResultOf(starting, ClientClosed)

    def test_what_was_wrong_before_it_was_connected_is_no_reason(self) -> None:
        self.network.refuse(*SC)
        self.cluster.start(for_ever=True)
        waiting = self.leader(5.0)
        self.advance()
        self.network.accept(*SC)
        self.advance(1.0)
        nobody_leads = (everything(SPU), everything(PARTITION), everything(TOPIC))
        self.tell(self.watches(), *nobody_leads)
        self.advance(4.0)
        self.assertIsNone(self.failureResultOf(waiting, WaitTimedOut).value.__cause__)
        self.stopped()

    def test_when_the_deadline_has_passed_it_says_so_at_once(self) -> None:
        self.started(partitions=())
        waiting = self.leader(-3.0)
        # What a reactor refuses is a call in the past.
        times = [call.getTime() for call in self.clock.getDelayedCalls()]
        self.assertEqual(min(times), self.clock.seconds())
        self.advance()
        error = self.failureResultOf(waiting, WaitTimedOut).value
        self.assertEqual(error.seconds, 0.0)
        self.stopped()

    def test_what_is_missing_may_be_told_from_the_topology_of_that_moment(self) -> None:
        watches = self.started(partitions=())

        def missing(topology: Topology) -> str:
            return f"orders lacks {topology.leaderless('orders')}"

        waiting: Deferred[None] = self.cluster.wait_for(
            lambda _: None, missing=missing, timeout=5.0
        )
        self.tell(watches, everything(TOPIC, topic("orders", 2)))
        self.advance(5.0)
        error = self.failureResultOf(waiting, WaitTimedOut).value
        self.assertEqual(error.missing, "orders lacks [0, 1]")
        self.stopped()

    def test_cancelling_ends_only_that_waiting(self) -> None:
        watches = self.started(partitions=())
        first, second = self.leader(5.0), self.leader(5.0)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.tell(watches, changed(PARTITION, *updated(partition("orders-0"))))
        self.assertEqual(self.successResultOf(second), 5001)
        self.stopped()

    def test_stopping_tells_everybody_who_waits(self) -> None:
        self.started(partitions=())
        waiting = self.leader()
        self.stopped()
        self.failureResultOf(waiting, ClientClosed)
        self.failureResultOf(self.leader(), ClientClosed)

    def test_one_who_is_told_of_the_stop_may_cancel_another(self) -> None:
        self.started(partitions=())
        first, second, third = self.leader(), self.leader(5.0), self.leader(5.0)
        first.addErrback(lambda _: second.cancel())
        self.stopped()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.failureResultOf(third, ClientClosed)

    def test_one_who_is_told_may_stop_the_cluster(self) -> None:
        watches = self.started(partitions=())
        first = self.leader().addCallback(lambda _: self.cluster.stop())
        second = self.leader()
        self.tell(watches, changed(PARTITION, *updated(partition("orders-0"))))
        self.successResultOf(first)
        self.failureResultOf(second, ClientClosed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_waiting_on_a_cluster_that_was_not_started_is_a_mistake(self) -> None:
        self.failureResultOf(self.leader(), NotStarted)


class Subscribing(ClusterCase):
    def test_a_subscriber_gets_each_new_topology(self) -> None:
        watches = self.started()
        seen: list[Topology] = []
        self.cluster.subscribe(seen.append)
        self.tell(watches, changed(TOPIC, *updated(topic("payments"))))
        self.assertEqual(seen, [self.cluster.topology])
        self.stopped()

    def test_whoever_waited_for_a_change_finds_the_subscribers_knowing_it(self) -> None:
        watches = self.started(partitions=())
        seen: list[Topology] = []
        self.cluster.subscribe(seen.append)
        known = self.cluster.wait_for(
            lambda topology: topology.leader_of("orders", 0), missing="a leader"
        ).addCallback(lambda _: list(seen))
        self.tell(watches, changed(PARTITION, *updated(partition("orders-0"))))
        self.assertEqual(self.successResultOf(known), [self.cluster.topology])
        self.stopped()

    def test_a_message_that_says_nothing_is_not_passed_on(self) -> None:
        watches = self.started()
        seen: list[Topology] = []
        self.cluster.subscribe(seen.append)
        self.tell(watches, everything(TOPIC, epoch=5))
        self.assertEqual(seen, [])
        self.stopped()

    def test_one_who_has_left_gets_nothing(self) -> None:
        watches = self.started()
        seen: list[Topology] = []
        leave = self.cluster.subscribe(seen.append)
        leave()
        leave()
        self.tell(watches, changed(TOPIC, *updated(topic("payments"))))
        self.assertEqual(seen, [])
        self.stopped()

    def test_one_may_leave_while_others_are_told(self) -> None:
        watches = self.started()
        seen: list[Topology] = []
        leaving: list[object] = []
        self.cluster.subscribe(lambda _: leaving.append(leave()))
        leave = self.cluster.subscribe(seen.append)
        self.tell(watches, changed(TOPIC, *updated(topic("payments"))))
        self.assertEqual(seen, [])
        self.stopped()

    def test_a_subscriber_that_fails_is_logged_and_concerns_nobody_else(self) -> None:
        watches = self.started()
        seen: list[Topology] = []
        self.cluster.subscribe(lambda _: 1 // 0)  # type: ignore[arg-type]
        self.cluster.subscribe(seen.append)
        self.tell(watches, changed(TOPIC, *updated(topic("payments"))))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(seen), 1)
        self.stopped()


class Stopping(ClusterCase):
    def test_before_it_was_started(self) -> None:
        self.stopped()

    def test_while_it_connects(self) -> None:
        self.network.hang(*SC)
        starting = self.cluster.start()
        self.stopped()
        self.failureResultOf(starting, ClientClosed)

    def test_while_versions_are_exchanged(self) -> None:
        self.network.latency = 1.0
        starting = self.cluster.start()
        self.advance(1.5)
        self.network.latency = 0.0
        stopping = self.cluster.stop()
        self.failureResultOf(starting, ClientClosed)
        self.advance(5.0)
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_while_it_loads(self) -> None:
        starting = self.cluster.start()
        self.advance()
        self.stopped()
        self.failureResultOf(starting, ClientClosed)

    def test_between_two_attempts(self) -> None:
        self.network.refuse(*SC)
        starting = self.cluster.start()
        self.advance()
        self.stopped()
        self.failureResultOf(starting, ClientClosed)

    def test_while_it_is_connected(self) -> None:
        self.started()
        self.stopped()
        self.assertIs(self.cluster.state, ConnectionState.STOPPED)

    def test_no_deferred_is_left_with_an_error(self) -> None:
        self.started()
        self.stopped()
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])
