"""Connections by purpose: which are shared, which are made anew, which are given up, and when."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail

from tests.costs import calls_of
from txfluvio.cluster import ConnectionState
from txfluvio.cluster.connections import COMMITTED_CONNECTIONS, SC_CALLS
from txfluvio.config import TlsConfig
from txfluvio.errors import (
    ClientClosed,
    ConnectFailed,
    Disconnected,
    Effect,
    FluvioError,
    LimitReached,
    NotStarted,
    RequestTimedOut,
    SpuNotFound,
    UnsupportedVersion,
)
from txfluvio.transport.protocol import FluvioProtocol
from txfluvio.wire.sc import (
    SPU,
    TOPIC,
    DeleteRequest,
    IngressAddr,
    ListRequest,
    ListResponse,
    StatusResponse,
    WatchResponse,
)
from txfluvio.wire.spu import (
    FetchOffsetsRequest,
    FetchOffsetsResponse,
    ProduceRequest,
    ProduceResponse,
)
from txfluvio.wire.versions import ApiVersionsRequest

from .kit import SC, SPU_1, ClusterCase, MemoryDialer, Script
from .objects import changed, deleted, everything, spu, topic, updated

LIST = ListRequest(kind=TOPIC)
LISTED = ListResponse(kind=TOPIC, objects=())
DELETE = DeleteRequest(kind=TOPIC, key="orders")
DELETED = StatusResponse(name="orders")
OFFSETS = FetchOffsetsRequest(topics=())
ENDS = FetchOffsetsResponse(topics=())


class Started(ClusterCase):
    def setUp(self) -> None:
        super().setUp()
        self.watching = self.started()

    def now(self, waiting: Deferred[FluvioProtocol]) -> FluvioProtocol:
        """The connection that comes about without any time going by."""
        self.advance()
        return self.successResultOf(waiting)

    def move_spu(self, host: str) -> Script:
        """The SPU is another process, at another address."""
        script = Script("SPU", self.spu._apis)
        self.network.listen(host, 9010, script.server)
        moved = spu(5001, ingress=(IngressAddr(hostname=host),))
        self.tell(self.watching, changed(SPU, *updated(moved)))
        return script


class Producing(Started):
    def test_the_connection_is_shared(self) -> None:
        first = self.now(self.cluster.produce_connection(5001))
        second = self.now(self.cluster.produce_connection(5001))
        self.assertIs(first, second)
        self.stopped()

    def test_those_who_come_while_it_is_made_share_it_too(self) -> None:
        first = self.cluster.produce_connection(5001)
        second = self.cluster.produce_connection(5001)
        self.assertIs(self.now(first), self.now(second))
        self.assertEqual(len(self.spu.server.connections), 1)
        self.stopped()

    def test_cancelling_concerns_nobody_else(self) -> None:
        first = self.cluster.produce_connection(5001)
        second = self.cluster.produce_connection(5001)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertTrue(self.now(second).usable)
        self.stopped()

    def test_a_lost_connection_is_made_anew_where_the_spu_is_by_then(self) -> None:
        lost = self.now(self.cluster.produce_connection(5001))
        self.spu.server.close_all()
        self.advance()
        moved = self.move_spu("moved.test")
        found = self.now(self.cluster.produce_connection(5001))
        self.assertEqual((lost.usable, found.address), (False, "moved.test:9010"))
        self.assertEqual(len(moved.server.connections), 1)
        self.stopped()

    def test_a_connection_to_an_address_the_spu_has_left_is_not_used_any_more(self) -> None:
        self.now(self.cluster.produce_connection(5001))
        self.move_spu("moved.test")
        self.assertEqual(self.now(self.cluster.produce_connection(5001)).address, "moved.test:9010")
        self.stopped()

    def test_a_connection_to_an_address_the_spu_has_left_is_closed_when_nothing_is_on_it(
        self,
    ) -> None:
        left = self.now(self.cluster.produce_connection(5001))
        reply = left.request(ProduceRequest(topics=()))
        self.move_spu("moved.test")
        self.now(self.cluster.produce_connection(5001))
        self.assertTrue(left.usable)
        (request,) = self.spu.take(1)
        request.reply(ProduceResponse(responses=()))
        self.advance()
        self.successResultOf(reply)
        self.now(self.cluster.produce_connection(5001))
        self.advance()
        self.assertEqual(self.spu.server.connections, ())
        self.stopped()

    def test_connections_to_an_spu_that_was_removed_are_closed_when_nothing_is_on_them(
        self,
    ) -> None:
        self.now(self.cluster.produce_connection(5001, committed=True))
        busy = self.now(self.cluster.produce_connection(5001))
        reply = busy.request(ProduceRequest(topics=()))
        self.tell(self.watching, changed(SPU, *deleted(spu(5001))))
        self.failureResultOf(self.cluster.produce_connection(5001), SpuNotFound)
        self.advance()
        self.assertEqual(len(self.spu.server.connections), 1)
        self.spu.one().reply(ProduceResponse(responses=()))
        self.advance()
        self.successResultOf(reply)
        self.failureResultOf(self.cluster.produce_connection(5001), SpuNotFound)
        self.advance()
        self.assertEqual(self.spu.server.connections, ())
        self.stopped()

    def test_one_that_is_being_made_to_an_spu_that_is_removed_is_closed_later(self) -> None:
        waiting = self.cluster.produce_connection(5001)
        self.tell(self.watching, changed(SPU, *deleted(spu(5001))))
        self.failureResultOf(self.cluster.produce_connection(5001), SpuNotFound)
        self.now(waiting)
        self.failureResultOf(self.cluster.produce_connection(5001), SpuNotFound)
        self.advance()
        self.assertEqual(self.spu.server.connections, ())
        self.stopped()

    def test_a_produce_that_waits_for_replicas_holds_up_no_other(self) -> None:
        plain = self.now(self.cluster.produce_connection(5001))
        asked: list[FluvioProtocol] = []
        replies = []
        for _ in range(COMMITTED_CONNECTIONS + 1):
            connection = self.now(self.cluster.produce_connection(5001, committed=True))
            replies.append(connection.request(ProduceRequest(topics=())))
            asked.append(connection)
        self.assertEqual(len({plain, *asked}), 1 + COMMITTED_CONNECTIONS)
        self.advance()
        for request in self.spu.take(COMMITTED_CONNECTIONS + 1):
            request.reply(ProduceResponse(responses=()))
        self.advance()
        for reply in replies:
            self.successResultOf(reply)
        self.stopped()

    def test_produces_for_replicas_one_after_another_share_one_connection(self) -> None:
        first = self.now(self.cluster.produce_connection(5001, committed=True))
        second = self.now(self.cluster.produce_connection(5001, committed=True))
        self.assertIs(first, second)
        self.stopped()

    def test_everybody_gets_an_error_of_their_own(self) -> None:
        self.network.refuse(*SPU_1)
        first = self.cluster.produce_connection(5001)
        second = self.cluster.produce_connection(5001)
        self.advance()
        errors = [self.failureResultOf(waiting, ConnectFailed).value for waiting in (first, second)]
        self.assertEqual(str(errors[0]), str(errors[1]))
        self.assertIsNot(errors[0], errors[1])
        self.assertIsNotNone(errors[1].__cause__)
        self.stopped()

    def test_after_a_failure_the_next_one_to_ask_is_served(self) -> None:
        self.network.refuse(*SPU_1)
        failing = self.cluster.produce_connection(5001)
        self.advance()
        self.failureResultOf(failing, ConnectFailed)
        self.network.accept(*SPU_1)
        self.assertTrue(self.now(self.cluster.produce_connection(5001)).usable)
        self.stopped()

    def test_an_spu_nobody_knows_is_a_named_error(self) -> None:
        self.failureResultOf(self.cluster.produce_connection(5009), SpuNotFound)
        self.stopped()

    def test_an_spu_without_an_address_is_a_named_error(self) -> None:
        self.tell(self.watching, changed(SPU, *updated(spu(5001, ingress=()))))
        error = self.failureResultOf(self.cluster.produce_connection(5001), ConnectFailed).value
        self.assertIn("SPU 5001", str(error))
        self.stopped()

    def test_stopping_tells_those_who_wait_for_it(self) -> None:
        self.network.hang(*SPU_1)
        waiting = self.cluster.produce_connection(5001)
        self.stopped()
        self.failureResultOf(waiting, ClientClosed)
        self.failureResultOf(self.cluster.produce_connection(5001), ClientClosed)


class OfTheirOwn(Started):
    def test_each_open_connection_is_a_new_one(self) -> None:
        first = self.now(self.cluster.open_connection(5001))
        second = self.now(self.cluster.open_connection(5001))
        shared = self.now(self.cluster.produce_connection(5001))
        self.assertEqual(len({first, second, shared}), 3)
        self.stopped()

    def test_giving_up_leaves_nothing(self) -> None:
        before = len(self.network.links)
        self.network.latency = 1.0
        waiting = self.cluster.open_connection(5001)
        self.advance(1.5)
        waiting.cancel()
        self.advance()
        self.failureResultOf(waiting, CancelledError)
        for _ in range(3):
            self.advance(1.0)
        self.assertEqual(len(self.network.links), before)
        self.network.latency = 0.0
        self.stopped()

    def test_there_are_no_more_than_the_configuration_allows(self) -> None:
        self.stopped()
        self.use(max_connections=2)
        self.started()
        self.now(self.cluster.open_connection(5001))
        refused = self.cluster.open_connection(5001)
        error = self.failureResultOf(refused, LimitReached).value
        self.assertEqual((error.setting, error.limit), ("ClientConfig.max_connections", 2))
        self.stopped()

    def test_one_more_costs_the_same_however_many_there_are(self) -> None:
        costs = []
        for _ in range(2):
            costs.append(calls_of(lambda: self.cluster.open_connection(5001)))
            for _ in range(50):
                self.now(self.cluster.open_connection(5001))
        few, many = costs
        self.assertLess(many, few + 10)
        self.stopped()

    def test_one_that_has_ended_does_not_count(self) -> None:
        self.stopped()
        self.use(max_connections=2)
        self.started()
        self.now(self.cluster.open_connection(5001)).close()
        self.advance()
        self.assertTrue(self.now(self.cluster.open_connection(5001)).usable)
        self.stopped()

    def test_one_that_was_just_aborted_does_not_count(self) -> None:
        self.stopped()
        self.use(max_connections=2)
        self.started()
        self.now(self.cluster.open_connection(5001)).abort()
        self.assertTrue(self.now(self.cluster.open_connection(5001)).usable)
        self.stopped()

    def test_one_does_not_count_for_those_who_are_told_of_its_loss(self) -> None:
        self.stopped()
        self.use(max_connections=2)
        self.started()
        lost = self.now(self.cluster.open_connection(5001))
        again = lost.request(ProduceRequest(topics=())).addErrback(
            lambda _: self.cluster.open_connection(5001)
        )
        self.advance()
        self.spu.one().connection.close()
        self.advance()
        self.advance()
        self.assertIsInstance(self.successResultOf(again), FluvioProtocol)
        self.stopped()

    def test_one_that_is_closing_counts_until_its_socket_is_gone(self) -> None:
        self.stopped()
        self.use(max_connections=2)
        self.started()
        self.now(self.cluster.open_connection(5001)).close()
        self.failureResultOf(self.cluster.open_connection(5001), LimitReached)
        self.advance()
        self.now(self.cluster.open_connection(5001))
        self.stopped()

    def test_one_that_is_left_since_its_server_knew_not_what_it_was_asked_does_not(self) -> None:
        self.stopped()
        self.use(max_connections=2)
        self.started()
        produce = ProduceRequest(topics=())
        versions = ApiVersionsRequest.api
        self.spu._apis = {versions.key: versions}
        connection = self.now(self.cluster.produce_connection(5001))
        self.failureResultOf(connection.request(produce), UnsupportedVersion)
        self.assertIsNot(self.now(self.cluster.produce_connection(5001)), connection)
        self.stopped()

    def test_one_that_failed_does_not_count(self) -> None:
        self.stopped()
        self.use(max_connections=2)
        self.started()
        self.network.refuse(*SPU_1)
        failing = self.cluster.open_connection(5001)
        self.advance()
        self.failureResultOf(failing, ConnectFailed)
        self.network.accept(*SPU_1)
        self.assertTrue(self.now(self.cluster.open_connection(5001)).usable)
        self.stopped()


class AskingAnSpu(Started):
    def test_the_reply_comes_over_a_shared_connection(self) -> None:
        for _ in range(2):
            asking = self.cluster.spu_request(5001, OFFSETS)
            self.advance()
            self.spu.one().reply(ENDS)
            self.advance()
            self.assertEqual(self.successResultOf(asking), ENDS)
        self.assertEqual(len(self.spu.server.connections), 1)
        self.stopped()

    def test_a_silent_spu_is_given_up_after_the_deadline_and_its_connection_too(self) -> None:
        asking = self.cluster.spu_request(5001, OFFSETS, timeout=3.0)
        self.advance()
        silent = self.spu.one().connection
        self.advance(3.0)
        error = self.failureResultOf(asking, RequestTimedOut).value
        self.assertIs(error.effect, Effect.UNKNOWN)
        again = self.cluster.spu_request(5001, OFFSETS)
        self.advance()
        self.assertIsNot(self.spu.one().connection, silent)
        self.assertTrue(silent.closed)
        self.stopped()
        self.failureResultOf(again, ClientClosed)

    def test_connecting_counts_towards_the_deadline(self) -> None:
        self.network.hang(*SPU_1)
        asking = self.cluster.spu_request(5001, OFFSETS, timeout=3.0)
        self.advance(3.0)
        error = self.failureResultOf(asking, RequestTimedOut).value
        self.assertIs(error.effect, Effect.NONE)
        self.stopped()

    def test_a_cancelled_call_leaves_the_connection_to_the_others(self) -> None:
        first = self.cluster.spu_request(5001, OFFSETS)
        second = self.cluster.spu_request(5001, OFFSETS)
        self.advance()
        asked = self.spu.take(2)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        for one in asked:
            one.reply(ENDS)
        self.advance()
        self.successResultOf(second)
        self.stopped()


class AskingTheSc(Started):
    def test_calls_one_after_another_use_one_connection_without_a_watch(self) -> None:
        for _ in range(3):
            asking = self.cluster.sc_request(LIST)
            self.advance()
            self.sc.one().reply(LISTED)
            self.advance()
            self.assertEqual(self.successResultOf(asking), LISTED)
        self.assertEqual(len(self.sc.server.connections), 2)
        self.stopped()

    def test_calls_at_the_same_time_do_not_wait_for_each_other(self) -> None:
        slow = self.cluster.sc_request(DELETE)
        quick = self.cluster.sc_request(LIST)
        self.advance()
        first, second = self.sc.take(2)
        self.assertIsNot(first.connection, second.connection)
        second.reply(LISTED)
        self.advance()
        self.successResultOf(quick)
        self.assertNoResult(slow)
        first.reply(DELETED)
        self.advance()
        self.assertEqual(self.successResultOf(slow), DELETED)
        self.stopped()

    def test_there_are_only_so_many_at_one_time(self) -> None:
        calls = [self.cluster.sc_request(LIST) for _ in range(SC_CALLS + 1)]
        self.advance()
        asked = self.sc.take(SC_CALLS)
        asked[0].reply(LISTED)
        self.advance()
        last = self.sc.one()
        self.assertIs(last.connection, asked[0].connection)
        for one in (*asked[1:], last):
            one.reply(LISTED)
        self.advance()
        for call in calls:
            self.successResultOf(call)
        self.stopped()

    def test_however_many_wait_for_a_turn_each_one_is_told_that_it_can_not_be_sent(self) -> None:
        self.sc._apis = {key: api for key, api in self.sc._apis.items() if key != LIST.api.key}
        calls = [self.cluster.sc_request(LIST) for _ in range(400)]
        self.advance()
        for call in calls:
            self.failureResultOf(call, UnsupportedVersion)
        self.stopped()

    def test_a_server_that_does_not_know_a_call_may_be_another_next_time(self) -> None:
        apis = self.sc._apis
        self.sc._apis = {key: api for key, api in apis.items() if key != LIST.api.key}
        asking = self.cluster.sc_request(LIST)
        self.advance()
        self.failureResultOf(asking, UnsupportedVersion)
        self.sc._apis = apis
        asking = self.cluster.sc_request(LIST)
        self.advance()
        self.sc.one().reply(LISTED)
        self.advance()
        self.successResultOf(asking)
        self.stopped()

    def test_past_its_deadline_the_connection_is_closed(self) -> None:
        asking = self.cluster.sc_request(DELETE, timeout=3.0)
        self.advance()
        silent = self.sc.one().connection
        self.advance(3.0)
        error = self.failureResultOf(asking, RequestTimedOut).value
        self.assertIs(error.effect, Effect.UNKNOWN)
        self.advance()
        self.assertTrue(silent.closed)
        again = self.cluster.sc_request(LIST)
        self.advance()
        self.assertIsNot(self.sc.one().connection, silent)
        self.stopped()
        self.failureResultOf(again, ClientClosed)

    def test_cancelled_the_connection_is_closed(self) -> None:
        asking = self.cluster.sc_request(DELETE)
        self.advance()
        asked = self.sc.one()
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.advance()
        self.assertTrue(asked.connection.closed)
        self.stopped()

    def test_cancelled_while_a_name_is_resolved_it_is_not_made_again(self) -> None:
        class Resolving(MemoryDialer):
            """As it is with Twisted: of a name that is no longer resolved it says the same as of
            one that is not known."""

            def dial(
                self, host: str, port: int, *, server_name: str | None = None
            ) -> Deferred[FluvioProtocol]:
                if cluster.state is not ConnectionState.CONNECTED:
                    return super().dial(host, port, server_name=server_name)
                unknown = ConnectFailed(f"{host}:{port}", "no address is known")
                return Deferred(lambda resolving: resolving.errback(unknown))

        self.stopped()
        self.use(dialer=Resolving)
        cluster = self.cluster
        self.started()
        asking = self.cluster.sc_request(DELETE)
        self.advance()
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.stopped()

    def test_cancelled_while_it_waits_its_turn_it_is_never_sent(self) -> None:
        calls = [self.cluster.sc_request(LIST) for _ in range(SC_CALLS)]
        waiting = self.cluster.sc_request(DELETE)
        self.advance()
        asked = self.sc.take(SC_CALLS)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        for one in asked:
            one.reply(LISTED)
        self.advance()
        self.assertEqual(self.sc.asked, [])
        for call in calls:
            self.successResultOf(call)
        self.stopped()

    def test_one_of_many_that_wait_their_turn_is_cancelled_without_a_search(self) -> None:
        compared: list[object] = []

        def compare(one: object, other: object) -> bool:
            compared.append(other)
            return one is other

        self.patch(Deferred, "__eq__", compare)
        calls = [self.cluster.sc_request(LIST) for _ in range(SC_CALLS + 100)]
        for call in reversed(calls):
            call.cancel()
            self.failureResultOf(call, CancelledError)
        self.assertLess(len(compared), 100)
        self.stopped()

    def test_turns_come_in_the_order_in_which_they_were_asked_for(self) -> None:
        first = [self.cluster.sc_request(LIST) for _ in range(SC_CALLS)]
        self.advance()
        asked = self.sc.take(SC_CALLS)
        messages = [DeleteRequest(kind=TOPIC, key=name) for name in ("a", "b", "c")]
        others = [self.cluster.sc_request(message) for message in messages]
        for one in asked[:3]:
            one.reply(LISTED)
            self.advance()
        self.assertEqual([one.message for one in self.sc.take(3)], messages)
        self.stopped()
        for call in (*first[3:], *others):
            self.failureResultOf(call, ClientClosed)

    def test_waiting_for_ones_turn_counts_towards_the_deadline(self) -> None:
        calls = [self.cluster.sc_request(LIST) for _ in range(SC_CALLS)]
        waiting = self.cluster.sc_request(DELETE, timeout=3.0)
        self.advance(3.0)
        error = self.failureResultOf(waiting, RequestTimedOut).value
        self.assertIs(error.effect, Effect.NONE)
        self.stopped()
        for call in calls:
            self.failureResultOf(call, ClientClosed)

    def test_a_list_is_asked_for_again_after_a_lost_connection(self) -> None:
        asking = self.cluster.sc_request(LIST)
        self.advance()
        self.sc.one().connection.close()
        self.advance()
        self.advance(1.0)
        self.sc.one().reply(LISTED)
        self.advance()
        self.successResultOf(asking)
        self.stopped()

    def test_a_change_that_was_sent_is_not_made_again(self) -> None:
        asking = self.cluster.sc_request(DELETE)
        self.advance()
        self.sc.one().connection.close()
        self.advance()
        error = self.failureResultOf(asking, Disconnected).value
        self.assertIs(error.effect, Effect.UNKNOWN)
        self.stopped()

    def test_a_change_that_was_not_sent_is_tried_again(self) -> None:
        self.network.refuse(*SC)
        asking = self.cluster.sc_request(DELETE)
        self.advance()
        self.network.accept(*SC)
        self.advance(1.0)
        self.sc.one().reply(DELETED)
        self.advance()
        self.assertEqual(self.successResultOf(asking), DELETED)
        self.stopped()

    def test_trying_again_ends_with_the_deadline_and_the_last_error(self) -> None:
        self.network.refuse(*SC)
        asking = self.cluster.sc_request(LIST, timeout=5.0)
        for _ in range(5):
            self.advance(1.0)
        self.failureResultOf(asking, ConnectFailed)
        self.stopped()

    def test_stopping_between_two_attempts_leaves_nothing(self) -> None:
        self.network.refuse(*SC)
        asking = self.cluster.sc_request(LIST)
        self.advance()
        self.stopped()
        self.failureResultOf(asking, ClientClosed)

    def test_stopping_dials_for_none_of_those_that_wait_their_turn(self) -> None:
        dialled: list[str] = []

        class Noting(MemoryDialer):
            def dial(
                self, host: str, port: int, *, server_name: str | None = None
            ) -> Deferred[FluvioProtocol]:
                dialled.append(host)
                return super().dial(host, port, server_name=server_name)

        self.stopped()
        self.use(dialer=Noting)
        self.started()
        calls = [self.cluster.sc_request(LIST) for _ in range(3 * SC_CALLS)]
        self.advance()
        before = len(dialled)
        self.stopped()
        self.assertEqual(len(dialled), before)
        for call in calls:
            self.failureResultOf(call, ClientClosed)

    def test_stopping_says_that_what_was_sent_may_have_been_done(self) -> None:
        asking = self.cluster.sc_request(DELETE)
        self.advance()
        self.stopped()
        self.assertIs(self.failureResultOf(asking, ClientClosed).value.effect, Effect.UNKNOWN)

    def test_what_had_not_left_when_the_cluster_stops_did_nothing(self) -> None:
        self.network.hang(*SC)
        self.network.hang(*SPU_1)
        dialling = [self.cluster.sc_request(DELETE) for _ in range(SC_CALLS)]
        waiting = self.cluster.sc_request(DELETE)
        asking = self.cluster.spu_request(5001, OFFSETS)
        self.advance()
        self.stopped()
        for call in (*dialling, waiting, asking):
            self.assertIs(self.failureResultOf(call, ClientClosed).value.effect, Effect.NONE)
        self.failureResultOf(self.cluster.sc_request(LIST), ClientClosed)


class Watching(Started):
    def setUp(self) -> None:
        super().setUp()
        self.messages: list[WatchResponse] = []
        self.endings: list[FluvioError] = []

    def watch(self) -> Deferred[Any]:
        return self.cluster.open_watch(
            TOPIC, on_reply=self.messages.append, on_closed=self.endings.append
        )

    def test_each_watch_has_a_connection_of_its_own(self) -> None:
        first, second = self.watch(), self.watch()
        self.advance()
        asked = self.sc.take(2)
        self.assertIsNot(asked[0].connection, asked[1].connection)
        message = everything(TOPIC, topic("orders"))
        asked[0].reply(message)
        self.advance()
        self.assertEqual(self.messages, [message])
        self.successResultOf(first).close()
        self.advance()
        self.assertTrue(asked[0].connection.closed)
        self.assertFalse(asked[1].connection.closed)
        self.assertEqual(self.endings, [])
        self.successResultOf(second)
        self.stopped()

    def test_its_end_is_told(self) -> None:
        opening = self.watch()
        self.advance()
        self.sc.one().connection.close()
        self.advance()
        self.successResultOf(opening)
        self.assertEqual([type(error) for error in self.endings], [Disconnected])
        self.stopped()

    def test_a_watch_that_can_not_be_opened_leaves_no_connection(self) -> None:
        self.sc._apis = {key: api for key, api in self.sc._apis.items() if key != 1004}
        before = len(self.network.links)
        opening = self.watch()
        self.advance()
        self.failureResultOf(opening, FluvioError)
        self.advance()
        self.assertEqual(len(self.network.links), before)
        self.stopped()


class NotStartedYet(ClusterCase):
    def test_every_call_says_so(self) -> None:
        calls: list[Deferred[Any]] = [
            self.cluster.sc_request(LIST),
            self.cluster.spu_request(5001, OFFSETS),
            self.cluster.produce_connection(5001),
            self.cluster.open_connection(5001),
            self.cluster.open_watch(TOPIC, on_reply=lambda _: None, on_closed=lambda _: None),
        ]
        for call in calls:
            self.failureResultOf(call, NotStarted)


class Names(ClusterCase):
    """The name that a server's certificate has to be for."""

    def dialled(self, tls: TlsConfig | None) -> list[tuple[str, str | None]]:
        names: list[tuple[str, str | None]] = []

        class Noting(MemoryDialer):
            def dial(
                self, host: str, port: int, *, server_name: str | None = None
            ) -> Deferred[FluvioProtocol]:
                names.append((host, server_name))
                if host == "spu.test":
                    return fail(ConnectFailed(f"{host}:{port}", "noted"))
                return super().dial(host, port, server_name=server_name)

        self.use(dialer=Noting, tls=tls)
        self.started()
        self.failureResultOf(self.cluster.open_connection(5001), ConnectFailed)
        self.stopped()
        return names

    def test_without_tls_there_is_none(self) -> None:
        self.assertEqual(self.dialled(None), [("sc.test", None), ("spu.test", None)])

    def test_without_a_name_it_is_the_host_that_is_dialled(self) -> None:
        self.assertEqual(self.dialled(TlsConfig()), [("sc.test", None), ("spu.test", None)])

    def test_that_of_an_spu_is_its_own_name_under_the_clusters(self) -> None:
        self.assertEqual(
            self.dialled(TlsConfig(server_name="fluvio.test")),
            [("sc.test", "fluvio.test"), ("spu.test", "custom-spu-5001.fluvio.test")],
        )
