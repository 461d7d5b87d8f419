"""What an administrator lists is what was asked for, or an error."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txfluvio.admin import ObjectKind
from txfluvio.errors import ProtocolError
from txfluvio.wire.sc import SPU, ListResponse

from .kit import AdminCase, ScriptedAdminCase


class Listing(ScriptedAdminCase):
    def test_other_objects_than_asked_for_are_a_named_error(self) -> None:
        listing = self.admin.list_topics()
        self.advance()
        self.sc.one().reply(ListResponse(kind=SPU, objects=()))
        self.advance()
        error = self.failureResultOf(listing, ProtocolError).value
        self.assertIn("SPU objects where Topic ones were asked for", str(error))
        self.stopped()


class MoreThanAFrameMayHold(AdminCase):
    """What is longer than ``max_frame_size`` is that again however often it is asked for."""

    def setUp(self) -> None:
        super().setUp()
        for number in range(200):
            self.result(self.admin.create_table_format(f"table-{number}"))
        self.result(self.client.close())
        self.client = self.make_client(max_frame_size=3000)
        self.connect()

    def test_a_list_fails_at_once_and_says_what_to_do(self) -> None:
        began = self.clock.seconds()
        error = self.failure(self.admin.list_table_formats(), ProtocolError)
        self.assertIn("over the limit of 3000: raise max_frame_size", str(error))
        self.assertEqual(self.clock.seconds(), began)

    def test_a_watch_fails_at_once_and_says_what_to_do(self) -> None:
        watch = self.admin.watch(ObjectKind.TABLE_FORMAT)
        error = self.failure(Deferred.fromCoroutine(watch.__anext__()), ProtocolError)
        self.assertIn("over the limit of 3000: raise max_frame_size", str(error))
        self.result(Deferred.fromCoroutine(watch.aclose()))

    def test_a_client_that_can_not_be_told_the_cluster_does_not_start(self) -> None:
        self.result(self.admin.create_topic("orders", partitions=30))
        client = self.make_client(max_frame_size=1000)
        self.addCleanup(lambda: self.result(client.close()))
        error = self.failure(client.start(), ProtocolError)
        self.assertIn("over the limit of 1000: raise max_frame_size", str(error))
