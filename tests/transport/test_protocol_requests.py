"""Each request gets its own reply, or one error; each stream gets all of its replies."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IProtocol
from zope.interface.verify import verifyObject

from tests.transport.peer import ANSWER, ASK, OPEN, SPU_VERSIONS, PeerTestCase
from txfluvio.config import ClientConfig
from txfluvio.errors import (
    Disconnected,
    Effect,
    FluvioError,
    ProtocolError,
    RequestTimedOut,
    UnsupportedVersion,
    UsageError,
)
from txfluvio.transport import protocol as module
from txfluvio.transport.protocol import MAX_ABANDONED, FluvioProtocol
from txfluvio.wire.codes import Code, error
from txfluvio.wire.schema import evolve
from txfluvio.wire.spu import (
    DeleteConsumerOffsetRequest,
    FetchOffsetPartitionResponse,
    FetchOffsetsResponse,
    FetchOffsetTopicResponse,
    PartitionResponse,
    StreamFetchResponse,
)
from txfluvio.wire.versions import ApiVersionRange


def answer(last: int) -> FetchOffsetsResponse:
    """A reply that can be told from another."""
    partition = FetchOffsetPartitionResponse(
        error_code=error(Code.NONE), partition_index=0, start_offset=0, last_stable_offset=last
    )
    return FetchOffsetsResponse(
        topics=(FetchOffsetTopicResponse(name="orders", partitions=(partition,)),)
    )


def push(number: int) -> StreamFetchResponse:
    """A push that can be told from another."""
    partition = PartitionResponse(
        partition_index=0, error_code=error(Code.NONE), next_filter_offset=number
    )
    return StreamFetchResponse(topic="orders", stream_id=1, partition=partition)


class Somebody:
    """Waits for replies."""

    def hear(self, reply: object) -> None:
        pass


class RequestTests(PeerTestCase):
    def test_a_request_fires_with_its_reply(self) -> None:
        asking = self.connected().request(ASK)
        self.network.pump()
        self.assertEqual(self.peer.bodies[-1], ASK)
        self.peer.reply(answer(7), 2)
        self.assertNoResult(asking)
        self.network.pump()
        self.assertEqual(self.successResultOf(asking), answer(7))

    def test_it_is_sent_at_the_version_both_sides_know(self) -> None:
        self.peers.greeting = evolve(
            SPU_VERSIONS,
            api_keys=(ApiVersionRange(api_key=1003, min_version=0, max_version=24),),
        )
        protocol = self.connected()
        stream = protocol.open_stream(OPEN)
        self.network.pump()
        self.assertEqual(self.peer.headers[-1].api_version, 24)
        self.assertEqual((stream.version, protocol.version_of(OPEN.api)), (24, 24))

    def test_a_call_the_server_does_not_know_is_not_sent(self) -> None:
        self.peers.greeting = evolve(
            SPU_VERSIONS,
            api_keys=(ApiVersionRange(api_key=1003, min_version=0, max_version=15),),
        )
        protocol = self.connected()
        failed = self.failureResultOf(protocol.request(ASK), UnsupportedVersion).value
        self.assertIn("FetchOffsets to spu:9005: the server offers none", str(failed))
        with self.assertRaises(UnsupportedVersion) as old:
            protocol.open_stream(OPEN)
        self.assertIn("versions 0 to 15", str(old.exception))
        self.network.pump()
        self.assertEqual(len(self.peer.headers), 1)

    def test_calls_on_consumer_offsets_follow_the_version_of_streams(self) -> None:
        self.assertEqual(self.connected().version_of(DeleteConsumerOffsetRequest.api), 25)

    def test_replies_find_their_requests_in_any_order(self) -> None:
        protocol = self.connected()
        asking = [protocol.request(ASK) for _ in range(3)]
        self.network.pump()
        for correlation_id in (4, 2, 3):
            self.peer.reply(answer(correlation_id), correlation_id)
        self.network.pump()
        self.assertEqual(
            [self.successResultOf(deferred) for deferred in asking],
            [answer(2), answer(3), answer(4)],
        )

    def test_replies_may_come_in_pieces(self) -> None:
        self.network.split = 1
        asking = self.connected().request(ASK)
        self.network.pump()
        self.peer.reply(answer(7), 2)
        self.network.pump()
        self.assertEqual(self.successResultOf(asking), answer(7))

    def test_a_second_reply_to_one_request_ends_the_connection(self) -> None:
        # It may be meant for somebody else, a stream for example, who would wait for ever.
        protocol = self.connected()
        asking = protocol.request(ASK)
        self.network.pump()
        self.peer.reply(answer(1), 2)
        self.peer.reply(answer(2), 2)
        self.network.pump()
        self.assertEqual(self.successResultOf(asking), answer(1))
        self.assertFalse(protocol.usable)
        ended = self.successResultOf(protocol.when_closed())
        self.assertIn("a reply to 2, which was answered before", str(ended))

    def test_a_request_that_can_not_be_written_fails_and_uses_no_id(self) -> None:
        protocol = self.connected()
        self.failureResultOf(protocol.request(evolve(ASK, topics=(1,))), UsageError)
        protocol.request(ASK)
        self.network.pump()
        self.assertEqual(self.peer.headers[-1].correlation_id, 2)

    def test_nothing_can_be_asked_before_the_connection_is_ready(self) -> None:
        protocol = FluvioProtocol(
            ClientConfig(endpoint="spu:9005"),
            clock=self.clock,
            address="spu:9005",
            client_version="1.0.0",
        )
        self.failureResultOf(protocol.request(ASK), UsageError)
        self.assertEqual((protocol.usable, dict(protocol.versions)), (False, {}))

    def test_an_id_that_somebody_waits_for_is_not_given_out_again(self) -> None:
        self.patch(module, "_LAST_CORRELATION_ID", 4)
        protocol = self.connected()
        protocol.open_stream(OPEN)
        for _ in range(5):
            protocol.request(ASK)
            self.network.pump()
            self.peer.reply(ANSWER, self.peer.headers[-1].correlation_id)
            self.network.pump()
        self.assertEqual(
            [header.correlation_id for header in self.peer.headers], [1, 2, 3, 4, 1, 3, 4]
        )

    def test_what_is_wrong_in_a_callback_does_not_concern_the_others(self) -> None:
        def broken(reply: object) -> None:
            raise ZeroDivisionError

        protocol = self.connected()
        protocol.send(ASK, broken, broken)
        asking = protocol.request(ASK)
        self.network.pump()
        self.peer.reply(ANSWER, 2)
        self.peer.reply(ANSWER, 3)
        self.network.pump()
        self.successResultOf(asking)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_it_has_the_interface_of_a_protocol(self) -> None:
        verifyObject(IProtocol, self.connected())

    def test_it_knows_how_many_requests_wait_without_counting_them(self) -> None:
        class Uncounted(dict[int, Any]):
            def values(self) -> Any:
                raise AssertionError("counted")

        protocol = self.connected()
        protocol._table = Uncounted(protocol._table)
        for _ in range(3):
            protocol.request(ASK)
        self.assertEqual(protocol.in_flight, 3)

    def test_a_request_that_ends_in_any_way_waits_no_more(self) -> None:
        protocol = self.connected()
        protocol.open_stream(OPEN)
        self.assertEqual(protocol.in_flight, 0)
        answered, cancelled, late, lost = (protocol.request(ASK, timeout=t) for t in (9, 9, 1, 9))
        self.assertEqual(protocol.in_flight, 4)
        self.network.pump()
        self.peer.reply(ANSWER, 3)
        self.network.pump()
        self.successResultOf(answered)
        self.assertEqual(protocol.in_flight, 3)
        cancelled.cancel()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.assertEqual(protocol.in_flight, 2)
        self.clock.advance(1)
        self.failureResultOf(late, RequestTimedOut)
        self.assertEqual(protocol.in_flight, 1)
        self.peer.reply(ANSWER, 4)
        self.network.pump()
        self.assertEqual(protocol.in_flight, 1)
        protocol.abort()
        self.network.pump()
        self.failureResultOf(lost, Disconnected)
        self.assertEqual(protocol.in_flight, 0)

    def test_a_request_whose_reply_can_not_be_read_waits_no_more(self) -> None:
        protocol = self.connected()
        broken = protocol.request(ASK)
        self.network.pump()
        self.peer.reply_bytes(2, b"\x7f\xff\xff\xff")
        self.network.pump()
        self.failureResultOf(broken, ProtocolError)
        self.assertEqual(protocol.in_flight, 0)

    def test_its_repr_says_how_it_stands(self) -> None:
        protocol = self.connected()
        protocol.open_stream(OPEN)
        self.assertEqual(repr(protocol), "<FluvioProtocol spu:9005 ready, 1 waiting>")
        protocol.abort()
        self.network.pump()
        self.assertEqual(
            repr(protocol),
            "<FluvioProtocol spu:9005 ended: aborted by this client, 0 waiting>",
        )


class DeadlineTests(PeerTestCase):
    def test_a_request_without_a_reply_times_out(self) -> None:
        asking = self.connected(request_timeout=5).request(ASK)
        self.clock.advance(4.9)
        self.assertNoResult(asking)
        self.clock.advance(0.1)
        failed = self.failureResultOf(asking, RequestTimedOut).value
        self.assertEqual(
            str(failed).split(" (")[0], "FetchOffsets to spu:9005: no answer within 5 s"
        )
        self.assertEqual((failed.retriable, failed.effect), (True, Effect.UNKNOWN))

    def test_a_request_may_have_a_deadline_of_its_own(self) -> None:
        asking = self.connected(request_timeout=5).request(ASK, timeout=1)
        self.clock.advance(1)
        self.failureResultOf(asking, RequestTimedOut)

    def test_a_reply_that_comes_too_late_is_dropped(self) -> None:
        protocol = self.connected(request_timeout=5)
        late, asking = protocol.request(ASK, timeout=1), protocol.request(ASK)
        self.clock.advance(1)
        self.failureResultOf(late, RequestTimedOut)
        self.peer.reply(ANSWER, 2)
        self.peer.reply(ANSWER, 3)
        self.network.pump()
        self.successResultOf(asking)
        self.assertTrue(protocol.usable)

    def test_all_of_a_connection_need_one_delayed_call(self) -> None:
        protocol = self.connected()
        for seconds in range(1, 10):
            protocol.request(ASK, timeout=seconds)
            protocol.open_stream(OPEN)
        self.network.pump()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_a_closed_connection_leaves_no_delayed_call(self) -> None:
        protocol = self.connected()
        asking = protocol.request(ASK)
        protocol.abort()
        self.network.pump()
        self.failureResultOf(asking, Disconnected)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class CancellationTests(PeerTestCase):
    def test_a_second_late_reply_ends_the_connection(self) -> None:
        protocol = self.connected()
        cancelled = protocol.request(ASK)
        self.network.pump()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.peer.reply(ANSWER, 2)
        self.network.pump()
        self.assertTrue(protocol.usable)
        self.peer.reply(ANSWER, 2)
        self.network.pump()
        self.assertFalse(protocol.usable)

    def test_a_connection_on_which_too_much_is_abandoned_is_closed(self) -> None:
        protocol = self.connected(request_timeout=1e6)
        for _ in range(MAX_ABANDONED + 1):
            self.assertTrue(protocol.usable)
            protocol.send(ASK, lambda reply: None, lambda error: None).abandon()
        self.assertFalse(protocol.usable)
        self.assertFalse(protocol.ended_here)
        self.network.pump()
        why = self.successResultOf(protocol.when_closed())
        self.assertIn(f"more than {MAX_ABANDONED} abandoned requests", str(why))

    def test_the_late_reply_to_a_cancelled_request_is_dropped(self) -> None:
        protocol = self.connected()
        cancelled, asking = protocol.request(ASK), protocol.request(ASK)
        self.network.pump()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.peer.reply(ANSWER, 2)
        self.peer.reply(answer(9), 3)
        self.network.pump()
        self.assertEqual(self.successResultOf(asking), answer(9))

    def test_even_if_it_can_not_be_read(self) -> None:
        protocol = self.connected()
        cancelled = protocol.request(ASK)
        self.network.pump()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.peer.reply_bytes(2, b"garbage")
        self.network.pump()
        self.assertTrue(protocol.usable)

    def test_an_abandoned_call_hears_nothing_any_more(self) -> None:
        heard: list[object] = []
        protocol = self.connected(request_timeout=5)
        call = protocol.send(ASK, heard.append, heard.append)
        call.abandon()
        call.abandon()
        self.network.pump()
        self.peer.reply(ANSWER, call.correlation_id)
        self.clock.advance(5)
        protocol.abort()
        self.network.pump()
        self.assertEqual(heard, [])

    def test_whoever_waits_no_more_is_not_kept_until_the_late_reply(self) -> None:
        protocol = self.connected()
        for ended in ("abandoned", "expired", "a stream that was closed"):
            with self.subTest(ended):
                who = Somebody()
                gone = weakref.ref(who)
                if ended == "abandoned":
                    protocol.send(ASK, who.hear, who.hear).abandon()
                elif ended == "expired":
                    protocol.send(ASK, who.hear, who.hear, 5)
                    self.clock.advance(5)
                else:
                    protocol.open_stream(OPEN, who.hear, who.hear).close()
                del who
                gc.collect()
                self.assertIsNone(gone())

    def test_abandoning_after_the_reply_does_not_touch_who_has_the_id_now(self) -> None:
        self.patch(module, "_LAST_CORRELATION_ID", 2)
        protocol = self.connected()
        replies: list[object] = []
        first = protocol.send(ASK, replies.append, replies.append)
        self.network.pump()
        self.peer.reply(answer(1), 2)
        self.network.pump()
        protocol.request(ASK)
        second = protocol.send(ASK, replies.append, replies.append)
        self.assertEqual(first.correlation_id, second.correlation_id)
        first.abandon()
        self.network.pump()
        self.peer.reply(answer(2), 2)
        self.network.pump()
        self.assertEqual(replies, [answer(1), answer(2)])


class StreamTests(PeerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.protocol = self.connected()
        self.pushes: list[StreamFetchResponse] = []
        self.ends: list[FluvioError] = []
        self.stream = self.protocol.open_stream(OPEN, self.pushes.append, self.ends.append)
        self.network.pump()

    def test_a_stream_gets_all_its_replies(self) -> None:
        for number in (1, 2, 3):
            self.peer.reply(push(number), self.stream.correlation_id)
        self.network.pump()
        self.assertEqual(self.pushes, [push(1), push(2), push(3)])

    def test_pushes_may_come_between_replies(self) -> None:
        asking = self.protocol.request(ASK)
        self.network.pump()
        self.peer.reply(push(1), self.stream.correlation_id)
        self.peer.reply(answer(5), 3)
        self.peer.reply(push(2), self.stream.correlation_id)
        self.network.pump()
        self.assertEqual(self.successResultOf(asking), answer(5))
        self.assertEqual(self.pushes, [push(1), push(2)])

    def test_a_stream_has_no_deadline(self) -> None:
        for _ in range(100):
            self.clock.advance(30)
        self.assertEqual(self.ends, [])

    def test_the_callbacks_may_be_set_on_the_stream(self) -> None:
        stream = self.protocol.open_stream(OPEN)
        stream.on_reply, stream.on_closed = self.pushes.append, self.ends.append
        self.network.pump()
        self.peer.reply(push(1), stream.correlation_id)
        self.network.pump()
        self.assertEqual(self.pushes, [push(1)])

    def test_a_closed_stream_hears_nothing_any_more(self) -> None:
        self.stream.close()
        self.stream.close()
        self.peer.reply(push(1), self.stream.correlation_id)
        self.network.pump()
        self.assertTrue(self.protocol.usable)
        self.protocol.abort()
        self.network.pump()
        self.assertEqual((self.pushes, self.ends), ([], []))

    def test_a_stream_may_be_closed_from_its_own_reply(self) -> None:
        def once(reply: StreamFetchResponse) -> None:
            self.pushes.append(reply)
            self.stream.close()

        self.stream.on_reply = once
        self.peer.reply(push(1), self.stream.correlation_id)
        self.peer.reply(push(2), self.stream.correlation_id)
        self.network.pump()
        self.assertEqual(self.pushes, [push(1)])

    def test_a_stream_is_told_of_the_end_of_its_connection(self) -> None:
        self.peer.transport.loseConnection()
        self.network.pump()
        (end,) = self.ends
        assert isinstance(end, Disconnected)
        self.assertEqual((end.address, end.effect), ("spu:9005", Effect.NONE))

    def test_a_raising_stream_goes_on(self) -> None:
        def broken(reply: StreamFetchResponse) -> None:
            raise ZeroDivisionError

        self.stream.on_reply = broken
        self.peer.reply(push(1), self.stream.correlation_id)
        self.network.pump()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.stream.on_reply = self.pushes.append
        self.peer.reply(push(2), self.stream.correlation_id)
        self.network.pump()
        self.assertEqual(self.pushes, [push(2)])


class BudgetTests(PeerTestCase):
    """Above the transport's own mark, ``write_budget`` more bytes may be written."""

    def setUp(self) -> None:
        super().setUp()
        self.protocol = self.connected(write_budget=1000)
        self.peer.transport.pauseProducing()
        while not self.full():
            self.protocol.request(BIG).addErrback(lambda failure: failure.trap(FluvioError))

    def full(self) -> bool:
        waiting = self.protocol.when_writable()
        full = not waiting.called
        waiting.cancel()
        waiting.addErrback(lambda failure: failure.trap(CancelledError))
        return full

    def test_a_sender_waits_until_the_peer_has_read(self) -> None:
        waiting = self.protocol.when_writable()
        self.network.pump()
        self.assertNoResult(waiting)
        self.peer.transport.resumeProducing()
        self.network.pump()
        self.successResultOf(waiting)
        self.successResultOf(self.protocol.when_writable())

    def test_it_waits_in_vain_if_the_connection_ends(self) -> None:
        waiting = self.protocol.when_writable()
        self.protocol.abort()
        self.network.pump()
        for deferred in (waiting, self.protocol.when_writable()):
            failed = self.failureResultOf(deferred, Disconnected).value
            self.assertIs(failed.effect, Effect.NONE)

    def test_one_who_gives_up_does_not_concern_the_others(self) -> None:
        waiting, other = self.protocol.when_writable(), self.protocol.when_writable()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.peer.transport.resumeProducing()
        self.network.pump()
        self.successResultOf(other)

    def test_the_woken_may_fill_it_again(self) -> None:
        def fill(_: None) -> None:
            self.peer.transport.pauseProducing()
            while not self.full():
                self.protocol.request(BIG).addErrback(lambda failure: failure.trap(FluvioError))

        waiting = self.protocol.when_writable().addCallback(fill)
        self.peer.transport.resumeProducing()
        self.network.pump()
        self.successResultOf(waiting)
        self.assertNoResult(self.protocol.when_writable())

    def test_who_is_woken_and_fills_it_again_lets_the_next_one_wait(self) -> None:
        def fill(_: None) -> None:
            self.peer.transport.pauseProducing()
            while self.protocol.writable:
                self.protocol.request(BIG).addErrback(lambda failure: failure.trap(FluvioError))

        first, second, third = (self.protocol.when_writable().addCallback(fill) for _ in range(3))
        for woken, waiting in ((first, second), (second, third)):
            self.peer.transport.resumeProducing()
            self.network.pump()
            self.successResultOf(woken)
            self.assertNoResult(waiting)

    def test_however_many_wait_all_are_woken_where_none_fills_it(self) -> None:
        waiting = [self.protocol.when_writable() for _ in range(2_000)]
        self.peer.transport.resumeProducing()
        self.network.pump()
        for deferred in waiting:
            self.successResultOf(deferred)


BIG: Any = evolve(ASK, topics=(evolve(ASK.topics[0], name="o" * 30_000),))
