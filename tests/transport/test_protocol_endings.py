"""However a connection ends, whoever waits is told exactly once, and why."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost

from tests.transport.peer import ANSWER, ASK, OPEN, SPU_VERSIONS, PeerTestCase
from txfluvio.errors import Disconnected, Effect, FluvioError, ProtocolError, RequestTimedOut
from txfluvio.transport.memory import Direction
from txfluvio.transport.protocol import CLOSE_GRACE, MAX_GREETING
from txfluvio.wire.headers import encode_reply
from txfluvio.wire.sc import TOPIC, WatchRequest
from txfluvio.wire.schema import evolve
from txfluvio.wire.spu import FetchConsumerOffsetsRequest
from txfluvio.wire.versions import ApiVersionRange


class EndingTestCase(PeerTestCase):
    """A connection with one request and one stream under way."""

    def setUp(self) -> None:
        super().setUp()
        self.protocol = self.connected(frame_timeout=10, idle_probe=30, max_frame_size=1000)
        self.asking = self.protocol.request(ASK)
        self.addCleanup(self.asking.addErrback, lambda failure: failure.trap(FluvioError))
        self.ends: list[FluvioError] = []
        self.stream = self.protocol.open_stream(OPEN, on_closed=self.ends.append)
        self.closed = self.protocol.when_closed()
        self.network.pump()

    def assert_ended(self, reason: str) -> Disconnected:
        """The connection is gone; request, stream and observer were told this reason."""
        self.network.pump()
        lost = self.failureResultOf(self.asking, Disconnected).value
        assert isinstance(lost, Disconnected)
        (end,) = self.ends
        ended = self.successResultOf(self.closed)
        for error in (lost, end, ended):
            assert isinstance(error, Disconnected)
            self.assertEqual(error.address, "spu:9005")
            self.assertIn(reason, error.reason)
        self.assertIs(lost.effect, Effect.UNKNOWN)
        self.assertEqual(len(self.peer.lost), 1)
        self.assertEqual(self.network.links, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(self.protocol.usable)
        return lost


class LosingTests(EndingTestCase):
    def test_who_is_told_may_give_up_for_those_who_are_told_next(self) -> None:
        others = [self.protocol.request(ASK), self.protocol.request(ASK)]
        ends = [self.protocol.when_closed(), self.protocol.when_closed()]
        others[0].addErrback(lambda _: others[1].cancel())
        ends[0].addCallback(lambda _: ends[1].cancel())
        self.network.pump()
        self.peer.transport.loseConnection()
        self.assert_ended("the peer closed it")
        self.successResultOf(others[0])
        self.failureResultOf(others[1], CancelledError)
        self.successResultOf(ends[0])
        self.failureResultOf(ends[1], CancelledError)

    def test_the_peer_closes(self) -> None:
        self.peer.transport.loseConnection()
        self.assert_ended("the peer closed it")

    def test_the_peer_closes_within_a_frame(self) -> None:
        self.peer.transport.write(b"\0\0\0\x10half")
        self.peer.transport.loseConnection()
        self.assert_ended("the peer closed it, 8 bytes into a frame")

    def test_the_connection_is_reset(self) -> None:
        self.link.reset()
        lost = self.assert_ended("reset")
        self.assertIsInstance(lost.__cause__, ConnectionLost)

    def test_replies_that_came_before_the_end_count(self) -> None:
        self.peer.reply(ANSWER, 2)
        self.peer.transport.loseConnection()
        self.network.pump()
        self.assertEqual(self.successResultOf(self.asking), ANSWER)

    def test_a_request_after_the_end_has_done_nothing(self) -> None:
        self.peer.transport.loseConnection()
        self.assert_ended("the peer closed it")
        failed = self.failureResultOf(self.protocol.request(ASK), Disconnected).value
        self.assertIs(failed.effect, Effect.NONE)
        with self.assertRaises(Disconnected):
            self.protocol.open_stream(OPEN)
        with self.assertRaises(Disconnected):
            self.protocol.send(ASK, lambda _: None, self.ends.append)

    def test_a_connection_that_has_ended_is_not_ready_again(self) -> None:
        self.successResultOf(self.protocol.when_ready())
        self.peer.transport.loseConnection()
        self.network.pump()
        self.failureResultOf(self.protocol.when_ready(), Disconnected)

    def test_a_request_made_when_told_of_the_end_fails_at_once(self) -> None:
        again: list[Deferred[Any]] = []
        self.asking.addErrback(lambda _: again.append(self.protocol.request(ASK)))
        self.peer.transport.loseConnection()
        self.network.pump()
        failed = self.failureResultOf(again[0], Disconnected).value
        self.assertIs(failed.effect, Effect.NONE)

    def test_one_who_raises_when_told_does_not_keep_the_others_from_it(self) -> None:
        def broken(error: FluvioError) -> None:
            raise ZeroDivisionError

        self.stream.on_closed = broken
        last = self.protocol.request(ASK)
        self.link.reset()
        self.network.pump()
        self.failureResultOf(self.asking, Disconnected)
        self.failureResultOf(last, Disconnected)
        self.successResultOf(self.closed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class ClosedTests(EndingTestCase):
    def test_everybody_gets_a_deferred_of_their_own(self) -> None:
        cancelled, other = self.protocol.when_closed(), self.protocol.when_closed()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.assertNoResult(other)
        self.peer.transport.loseConnection()
        self.network.pump()
        self.successResultOf(other)

    def test_one_who_asks_afterwards_is_told_as_well(self) -> None:
        self.peer.transport.loseConnection()
        self.network.pump()
        self.assertIn("the peer closed it", str(self.successResultOf(self.protocol.when_closed())))

    def test_one_who_asks_while_others_are_told_is_told_after_them(self) -> None:
        order: list[str] = []

        def ask(_: object) -> None:
            order.append("request")
            self.protocol.when_closed().addCallback(lambda _: order.append("closed"))

        self.asking.addErrback(ask)
        self.protocol.request(ASK).addErrback(lambda _: order.append("another request"))
        self.peer.transport.loseConnection()
        self.network.pump()
        self.assertEqual(order, ["request", "another request", "closed"])

    def test_it_comes_after_those_who_waited_for_replies(self) -> None:
        order: list[str] = []
        self.asking.addErrback(lambda _: order.append("request"))
        self.stream.on_closed = lambda _: order.append("stream")
        self.closed.addCallback(lambda _: order.append("closed"))
        self.peer.transport.loseConnection()
        self.network.pump()
        self.assertEqual(order, ["request", "stream", "closed"])


class ClosingTests(EndingTestCase):
    def test_closing_sends_what_was_written(self) -> None:
        self.protocol.request(ASK).addErrback(lambda failure: failure.trap(Disconnected))
        self.protocol.close()
        self.assertNoResult(self.closed)
        self.assert_ended("closed by this client")
        self.assertEqual(len(self.peer.bodies), 4)

    def test_nothing_can_be_asked_from_then_on(self) -> None:
        self.protocol.close()
        failed = self.failureResultOf(self.protocol.request(ASK), Disconnected).value
        self.assertEqual(
            str(failed),
            "the connection to spu:9005 was lost: closed by this client (nothing happened)",
        )

    def test_replies_no_longer_count(self) -> None:
        self.peer.reply(ANSWER, 2)
        self.protocol.close()
        self.assert_ended("closed by this client")

    def test_a_peer_that_does_not_read_is_left_after_a_while(self) -> None:
        self.peer.transport.pauseProducing()
        for _ in range(3000):
            self.protocol.request(ASK).addErrback(lambda failure: failure.trap(Disconnected))
        self.protocol.close()
        self.protocol.close()
        self.clock.advance(CLOSE_GRACE - 0.1)
        self.assertNoResult(self.closed)
        self.clock.advance(0.1)
        self.assert_ended("closed by this client")

    def test_aborting_does_not_wait(self) -> None:
        self.peer.transport.pauseProducing()
        self.protocol.abort()
        self.assertNoResult(self.closed)
        self.assert_ended("aborted by this client")

    def test_aborting_may_follow_closing(self) -> None:
        self.link.stall(Direction.TO_SERVER)
        for _ in range(3000):
            self.protocol.request(ASK).addErrback(lambda failure: failure.trap(Disconnected))
        self.protocol.close()
        self.protocol.abort()
        self.network.pump()
        self.successResultOf(self.closed)

    def test_both_may_follow_the_end(self) -> None:
        self.peer.transport.loseConnection()
        self.assert_ended("the peer closed it")
        self.protocol.close()
        self.protocol.abort()
        self.assertIn("the peer closed it", str(self.successResultOf(self.protocol.when_closed())))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_reply_may_close_the_connection_it_came_on(self) -> None:
        second = self.protocol.request(ASK)
        self.asking.addCallback(lambda _: self.protocol.close())
        self.network.pump()
        self.peer.reply(ANSWER, 2)
        self.peer.reply(ANSWER, 4)
        self.network.pump()
        self.successResultOf(self.asking)
        self.failureResultOf(second, Disconnected)


class BadBytesTests(EndingTestCase):
    def assert_protocol_error(self, reason: str) -> None:
        lost = self.assert_ended(reason)
        self.assertIsInstance(lost.__cause__, ProtocolError)

    def test_a_reply_to_an_id_that_was_never_given_out(self) -> None:
        for correlation_id in (4, 0, -1):
            with self.subTest(correlation_id):
                self.setUp()
                self.peer.reply_bytes(correlation_id, b"")
                self.assert_protocol_error(f"a reply to {correlation_id}, which was never asked")

    def test_a_frame_over_the_limit(self) -> None:
        self.peer.transport.write((1001).to_bytes(4, "big"))
        self.assert_protocol_error("a frame of 1001 bytes is over the limit of 1000")

    def test_a_frame_of_negative_size(self) -> None:
        self.peer.transport.write(b"\xff\xff\xff\xff")
        self.assert_protocol_error("a frame of -1 bytes")

    def test_a_reply_ahead_of_a_bad_size_still_counts(self) -> None:
        whole = encode_reply(ANSWER, version=25, correlation_id=2)
        self.peer.transport.write(whole + b"\xff\xff\xff\xff")
        self.network.pump()
        self.assertEqual(self.successResultOf(self.asking), ANSWER)
        self.assertIn("a frame of -1 bytes", str(self.successResultOf(self.closed)))

    def test_a_frame_too_short_for_a_correlation_id(self) -> None:
        self.peer.transport.write(b"\0\0\0\x02\0\0")
        self.assert_protocol_error("a reply of 2 bytes has no correlation id")

    def test_what_follows_bad_bytes_is_not_looked_at(self) -> None:
        self.peer.reply_bytes(99, b"")
        self.peer.reply(ANSWER, 2)
        self.assert_protocol_error("a reply to 99")

    def test_what_looks_like_another_protocol_later_on_is_not_taken_for_it(self) -> None:
        self.peer.transport.write(b"HTTP/1.1 400 Bad Request")
        self.assert_protocol_error("a frame of 1213486160 bytes is over the limit")

    def test_a_reply_that_can_not_be_read_is_an_error_of_its_own_request(self) -> None:
        other = self.protocol.request(ASK)
        self.network.pump()
        self.peer.reply_bytes(2, b"\x7f\xff\xff\xff")
        self.network.pump()
        error = self.failureResultOf(self.asking, ProtocolError).value
        self.assertIn("FetchOffsetsResponse.topics", str(error))
        lost = self.failureResultOf(other, Disconnected).value
        self.assertIs(lost.__cause__, error)
        self.assertIs(self.successResultOf(self.closed).__cause__, error)

    def test_a_reply_over_the_limit_that_is_never_so_long_is_a_bad_connection(self) -> None:
        for correlation_id in (2, self.stream.correlation_id, 99):
            with self.subTest(correlation_id):
                self.setUp()
                self.peer.reply_bytes(correlation_id, bytes(997))
                self.assert_protocol_error("a frame of 1001 bytes is over the limit of 1000")

    def test_a_push_that_can_not_be_read_is_an_error_of_its_own_stream(self) -> None:
        self.peer.reply_bytes(self.stream.correlation_id, b"\0")
        self.network.pump()
        (error,) = self.ends
        self.assertIsInstance(error, ProtocolError)
        lost = self.failureResultOf(self.asking, Disconnected).value
        self.assertIs(lost.__cause__, error)


class LongRepliesTests(PeerTestCase):
    """Replies that are as long as there are objects, and one over the limit is as likely honest."""

    LIST = FetchConsumerOffsetsRequest()
    WATCH = WatchRequest(kind=TOPIC)

    def setUp(self) -> None:
        super().setUp()
        added = tuple(
            ApiVersionRange(api_key=request.api.key, min_version=low, max_version=low)
            for request, low in ((self.LIST, 25), (self.WATCH, 19))
        )
        self.peers.greeting = evolve(SPU_VERSIONS, api_keys=(*SPU_VERSIONS.api_keys, *added))
        self.protocol = self.connected(max_frame_size=1000)
        self.listing = self.protocol.request(self.LIST)
        self.other = self.protocol.request(ASK)
        for asking in (self.listing, self.other):
            self.addCleanup(asking.addErrback, lambda failure: failure.trap(FluvioError))
        self.ends: list[FluvioError] = []
        self.stream = self.protocol.open_stream(self.WATCH, on_closed=self.ends.append)
        self.network.pump()

    def assert_too_long(self, error: BaseException) -> None:
        """It says what to do, and everybody else is told that the connection is lost by it."""
        assert isinstance(error, ProtocolError)
        self.assertFalse(error.retriable)
        self.assertIn("over the limit of 1000: raise max_frame_size", str(error))
        self.network.pump()
        lost = self.failureResultOf(self.other, Disconnected).value
        self.assertTrue(lost.retriable)
        self.assertIs(lost.__cause__, error)

    def test_one_over_the_limit_is_an_error_of_its_own_request(self) -> None:
        self.peer.reply_bytes(2, bytes(997))
        self.network.pump()
        self.assert_too_long(self.failureResultOf(self.listing).value)
        self.assertIsInstance(self.ends[0], Disconnected)

    def test_a_push_over_the_limit_is_an_error_of_its_own_stream(self) -> None:
        self.peer.reply_bytes(self.stream.correlation_id, bytes(997))
        self.network.pump()
        self.assert_too_long(self.ends[0])
        self.failureResultOf(self.listing, Disconnected)

    def test_one_behind_another_reply_is_told_as_well(self) -> None:
        whole = encode_reply(ANSWER, version=25, correlation_id=3)
        size, correlation_id = (1001).to_bytes(4, "big"), (2).to_bytes(4, "big")
        self.peer.transport.write(whole + size + correlation_id)
        self.network.pump()
        self.assertEqual(self.successResultOf(self.other), ANSWER)
        self.failureResultOf(self.listing, ProtocolError)

    def test_one_that_does_not_say_whose_it_is_yet_is_nobodys(self) -> None:
        self.peer.transport.write((1001).to_bytes(4, "big") + b"\0\0\0")
        self.network.pump()
        self.failureResultOf(self.listing, Disconnected)

    def test_what_stands_behind_a_size_that_is_not_positive_is_nobodys(self) -> None:
        self.peer.transport.write(bytes(4) + (2).to_bytes(4, "big"))
        self.network.pump()
        self.failureResultOf(self.listing, Disconnected)


class UnfinishedFrameTests(EndingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.reply = encode_reply(ANSWER, version=25, correlation_id=2)

    def arrive(self, data: bytes) -> None:
        self.peer.transport.write(data)
        self.network.pump()

    def test_a_frame_that_is_not_finished_in_time(self) -> None:
        self.arrive(self.reply[:5])
        self.clock.advance(9.9)
        self.assertNoResult(self.closed)
        self.clock.advance(0.1)
        self.assert_ended("a frame was begun and not finished within 10 s: 5 bytes came")

    def test_trickling_bytes_do_not_prolong_it(self) -> None:
        for position in range(5):
            self.arrive(self.reply[position : position + 1])
            self.clock.advance(2)
        self.assert_ended("a frame was begun and not finished within 10 s: 5 bytes came")

    def test_each_frame_has_its_own_time(self) -> None:
        self.arrive(self.reply[:5])
        self.clock.advance(6)
        self.arrive(self.reply[5:] + self.reply[:5])
        self.clock.advance(9.9)
        self.assertNoResult(self.closed)
        self.clock.advance(0.1)
        self.network.pump()
        self.successResultOf(self.closed)

    def test_a_finished_frame_starts_no_time(self) -> None:
        self.arrive(self.reply[:5])
        self.clock.advance(6)
        self.arrive(self.reply[5:])
        self.clock.advance(6)
        self.successResultOf(self.asking)
        self.assertTrue(self.protocol.usable)


class SilenceTests(PeerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.protocol = self.connected(idle_probe=30, request_timeout=500)
        self.closed = self.protocol.when_closed()

    def asked(self) -> list[int]:
        return [header.api_key for header in self.peer.headers]

    def test_a_silent_peer_is_asked_whether_it_is_alive(self) -> None:
        self.protocol.open_stream(OPEN)
        self.network.pump()
        self.clock.advance(29.9)
        self.assertEqual(self.asked(), [18, 1003])
        self.clock.advance(0.1)
        self.assertEqual(self.asked(), [18, 1003, 18])

    def test_one_that_answers_is_asked_again_after_as_long(self) -> None:
        for _ in range(3):
            self.clock.advance(30)
        self.assertEqual(self.asked(), [18, 18, 18, 18])
        self.assertNoResult(self.closed)

    def test_one_that_does_not_answer_is_dead(self) -> None:
        end = list[FluvioError]()
        self.protocol.open_stream(OPEN, on_closed=end.append)
        self.link.drop()
        self.clock.advance(30)
        self.clock.advance(29.9)
        self.assertNoResult(self.closed)
        self.clock.advance(0.1)
        closed = self.successResultOf(self.closed)
        self.assertIn("the peer was silent for 60 s, even when asked", str(closed))
        self.assertIsInstance(closed.__cause__, RequestTimedOut)
        self.assertEqual(len(end), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_whose_answer_is_far_too_long_is_no_peer(self) -> None:
        ranges = SPU_VERSIONS.api_keys * (MAX_GREETING // 6)
        self.peer.greeting = evolve(SPU_VERSIONS, api_keys=ranges[: MAX_GREETING // 6])
        self.clock.advance(30)
        self.network.pump()
        self.assertIn(f"over the limit of {MAX_GREETING}", str(self.successResultOf(self.closed)))

    def test_one_that_was_heard_is_not_asked(self) -> None:
        stream = self.protocol.open_stream(OPEN)
        stream.close()
        self.network.pump()
        for _ in range(10):
            self.clock.advance(29)
            self.peer.reply_bytes(stream.correlation_id, b"dropped")
            self.network.pump()
        self.assertEqual(self.asked(), [18, 1003])

    def test_one_that_pushes_is_alive_even_if_it_does_not_answer(self) -> None:
        self.peer.greeting = None
        stream = self.protocol.open_stream(OPEN)
        stream.close()
        self.clock.advance(30)
        for _ in range(3):
            self.clock.advance(10)
            self.peer.reply_bytes(stream.correlation_id, b"dropped")
        self.clock.advance(0)
        self.clock.advance(20)
        self.assertNoResult(self.closed)

    def test_one_with_a_request_before_it_is_not_asked(self) -> None:
        asking = self.protocol.request(ASK)
        for _ in range(5):
            self.clock.advance(30)
        self.assertEqual(self.asked(), [18, 1002])
        self.peer.reply(ANSWER, 2)
        self.network.pump()
        self.successResultOf(asking)
        self.clock.advance(30)
        self.assertEqual(self.asked(), [18, 1002, 18])


_STEPS = st.one_of(
    st.tuples(
        st.sampled_from(
            ["request", "stream", "cancel", "close stream", "reply", "push", "bad reply", "pump"]
        ),
        st.integers(0, 9),
    ),
    st.tuples(
        st.sampled_from(["split", "wait", "stall", "resume", "peer closes", "unknown", "garbage"]),
        st.integers(1, 9),
    ),
)


class _Course(PeerTestCase):
    """A connection that lives through any steps, and counts what everybody was told."""

    def runTest(self) -> None:
        """Needed to make one by hand."""

    def run_steps(self, steps: list[tuple[str, int]]) -> None:
        self.setUp()
        self.protocol = self.connected(request_timeout=20, frame_timeout=10, idle_probe=15)
        self.told: list[int] = []
        self.requests: list[Deferred[Any]] = []
        self.cancelled: set[int] = set()
        self.pushed: list[list[str]] = []
        self.open: set[int] = set()
        for step, number in steps:
            getattr(self, "do_" + step.replace(" ", "_"))(number)
        self.link_resume()
        self.protocol.close()
        self.clock.advance(CLOSE_GRACE)
        self.network.pump()
        self.successResultOf(self.protocol.when_closed())
        assert self.told == [1] * len(self.told)
        for number, events in enumerate(self.pushed):
            assert events.count("end") == (number in self.open)
        assert self.network.links == []
        assert self.clock.getDelayedCalls() == []

    def link_resume(self) -> None:
        for link in self.network.links:
            link.resume()

    def do_request(self, _: int) -> None:
        number = len(self.told)
        self.told.append(0)

        def tell(_: object) -> None:
            self.told[number] += 1

        self.requests.append(self.protocol.request(ASK).addBoth(tell))

    def do_stream(self, _: int) -> None:
        number = len(self.pushed)
        events: list[str] = []
        try:
            stream = self.protocol.open_stream(
                OPEN, lambda _: events.append("push"), lambda _: events.append("end")
            )
        except Disconnected:
            return
        self.pushed.append(events)
        self.open.add(number)
        self.streams = [*getattr(self, "streams", ()), stream]

    def do_cancel(self, number: int) -> None:
        if self.requests:
            self.requests[number % len(self.requests)].cancel()

    def do_close_stream(self, number: int) -> None:
        if self.pushed:
            number %= len(self.pushed)
            if "end" not in self.pushed[number]:
                self.streams[number].close()
                self.open.discard(number)

    def do_reply(self, number: int) -> None:
        self.answer(1002, number, b"\0\0\0\0")

    def do_push(self, number: int) -> None:
        self.answer(1003, number, b"\0\0" + bytes(8) + bytes(40))

    def do_bad_reply(self, number: int) -> None:
        self.answer(1002 + number % 2, number, b"\0")

    def answer(self, api_key: int, number: int, body: bytes) -> None:
        asked = [h.correlation_id for h in self.peer.headers if h.api_key == api_key]
        if asked:
            self.peer.reply_bytes(asked[number % len(asked)], body)

    def do_unknown(self, number: int) -> None:
        self.peer.reply_bytes(1000 + number, b"")

    def do_garbage(self, number: int) -> None:
        self.peer.transport.write(bytes(number))

    def do_peer_closes(self, _: int) -> None:
        self.peer.transport.loseConnection()

    def do_pump(self, _: int) -> None:
        self.network.pump()

    def do_split(self, number: int) -> None:
        for link in self.network.links:
            link.split(number)

    def do_wait(self, number: int) -> None:
        self.clock.advance(number)

    def do_stall(self, _: int) -> None:
        for link in self.network.links:
            link.stall()

    def do_resume(self, _: int) -> None:
        self.link_resume()


@settings(max_examples=200)
@given(st.lists(_STEPS, max_size=40))
def test_whatever_happens_everybody_is_told_once(steps: list[tuple[str, int]]) -> None:
    _Course().run_steps(steps)
