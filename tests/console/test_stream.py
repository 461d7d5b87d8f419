"""Server-sent events: sections are asked while a browser listens, and not while it is full."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txfluvio.console.sections import Event
from txfluvio.console.stream import OPENING, SILENCE, TICK, Room, stream


class Counter:
    """A section that has something new whenever it is asked, until it is told to be quiet."""

    def __init__(self) -> None:
        self.asked = 0
        self.quiet = False
        self.closed = False

    def news(self) -> Iterator[Event]:
        self.asked += 1
        if not self.quiet:
            yield Event("n", {"n": self.asked})

    def close(self) -> None:
        self.closed = True


class TheStream(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.room = Room()
        self.counter = Counter()
        self.written: list[bytes] = []
        work = stream(self.written.append, self.room, [self.counter], self.clock)
        self.running = Deferred.fromCoroutine(work)

    def tearDown(self) -> None:
        self.running.cancel()
        self.failureResultOf(self.running, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_begins_with_what_there_is(self) -> None:
        self.assertEqual(self.written, [OPENING, b'event: n\ndata: {"n":1}\n\n'])

    def test_asks_at_every_tick(self) -> None:
        self.clock.advance(TICK)
        self.clock.advance(TICK)
        self.assertEqual(self.written[-1], b'event: n\ndata: {"n":3}\n\n')

    def test_asks_nothing_while_the_browser_takes_nothing(self) -> None:
        self.room.pauseProducing()
        for _ in range(100):
            self.clock.advance(TICK)
        self.assertEqual((self.counter.asked, len(self.written)), (1, 2))
        self.room.resumeProducing()
        self.clock.advance(TICK)
        self.assertEqual(self.written[-1], b'event: n\ndata: {"n":2}\n\n')

    def test_gives_a_sign_of_life_where_there_is_nothing_to_say(self) -> None:
        self.counter.quiet = True
        for _ in range(int(SILENCE / TICK) - 1):
            self.clock.advance(TICK)
        self.assertEqual(len(self.written), 2)
        self.clock.advance(TICK)
        self.assertEqual(self.written[-1], b":\n\n")

    def test_closes_its_sections_at_the_end(self) -> None:
        self.running.cancel()
        self.assertTrue(self.counter.closed)
