"""When a topic counts as created, as deleted, and as larger."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.cluster.kit import SC
from tests.cluster.objects import changed, deleted, everything, partition, spu, topic, updated
from tests.costs import calls_of
from txfluvio.admin import (
    Admin,
    PartitionResolution,
)
from txfluvio.admin.admin import SETTLING
from txfluvio.admin.topics import REUSE_PAUSE
from txfluvio.cluster import MAX_PARTITIONS
from txfluvio.cluster.connections import SC_CALLS
from txfluvio.errors import (
    ClientClosed,
    Disconnected,
    Effect,
    InvalidConfig,
    PermissionDenied,
    TopicAlreadyExists,
    TopicInvalidConfiguration,
    TopicNotFound,
    WaitTimedOut,
)
from txfluvio.wire.codes import Code, error
from txfluvio.wire.sc import (
    PARTITION,
    SPU,
    TOPIC,
    Computed,
    CreateRequest,
    ListResponse,
    StatusResponse,
    TopicSpec,
)
from txfluvio.wire.schema import evolve

from .kit import ScriptedAdminCase


class ANameThatWasJustDeleted(ScriptedAdminCase):
    def setUp(self) -> None:
        super().setUp()
        self.delete("orders")

    def delete(self, name: str) -> None:
        deleting = self.admin.delete_topic(name)
        self.advance()
        self.sc.one().reply(StatusResponse(name=name))
        self.advance()
        self.successResultOf(deleting)

    def test_it_is_created_again_after_the_pause(self) -> None:
        creating = self.admin.create_topic("orders")
        self.advance(REUSE_PAUSE - 0.1)
        self.assertEqual(self.sc.asked, [])
        self.advance(0.1)
        self.advance()
        self.sc.one()
        self.stopped()
        self.failureResultOf(creating, ClientClosed)

    def test_the_pause_is_made_also_where_the_deletion_got_no_answer(self) -> None:
        deleting = self.admin.delete_topic("payments")
        self.advance()
        self.sc.one()
        deleting.cancel()
        self.failureResultOf(deleting, CancelledError)
        creating = self.admin.create_topic("payments")
        self.advance(REUSE_PAUSE - 0.1)
        self.assertEqual(self.sc.asked, [])
        self.stopped()
        self.failureResultOf(creating, ClientClosed)

    def test_a_deletion_that_was_refused_makes_none(self) -> None:
        deleting = self.admin.delete_topic("payments")
        self.advance()
        refused = StatusResponse(name="payments", error_code=error(Code.TOPIC_NOT_FOUND))
        self.sc.one().reply(refused)
        self.advance()
        self.failureResultOf(deleting, TopicNotFound)
        creating = self.admin.create_topic("payments")
        self.advance()
        self.sc.one()
        self.stopped()
        self.failureResultOf(creating, ClientClosed)

    def test_in_less_time_than_the_pause_nothing_is_sent(self) -> None:
        creating = self.admin.create_topic("orders", timeout=REUSE_PAUSE / 2)
        self.advance(REUSE_PAUSE / 2)
        found = self.failureResultOf(creating, WaitTimedOut).value
        self.assertIs(found.effect, Effect.NONE)
        self.advance(REUSE_PAUSE)
        self.assertEqual(self.sc.asked, [])
        self.stopped()


class WhenATopicIsCreated(ScriptedAdminCase):
    """By the reply or by the metadata, whichever is first, and never by what was there before."""

    def test_the_request_says_what_was_asked_for(self) -> None:
        creating, asked = self.create()
        self.assertEqual(
            asked.message,
            CreateRequest(
                kind=TOPIC,
                name="orders",
                spec=TopicSpec(replicas=Computed(partitions=2, replication_factor=1)),
            ),
        )
        creating.cancel()
        self.failureResultOf(creating, CancelledError)
        self.stopped()

    def test_metadata_with_a_leader_for_each_partition_is_enough(self) -> None:
        creating, _ = self.create()
        self.show(topic("orders", 2), partition("orders-0"))
        self.assertNoResult(creating)
        self.show(topic("orders", 2), partition("orders-1"))
        self.successResultOf(creating)
        self.stopped()

    def test_what_the_sc_would_answer_after_that_is_not_waited_for(self) -> None:
        creating, asked = self.create()
        self.show(topic("orders", 2), partition("orders-0"), partition("orders-1"))
        self.successResultOf(creating)
        self.advance()
        self.assertTrue(asked.connection.closed)
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.stopped()

    def test_creates_that_the_sc_never_answers_hold_up_no_other_call(self) -> None:
        for number in range(SC_CALLS):
            creating = self.admin.create_topic(f"topic-{number}")
            self.advance()
            self.sc.one()
            self.show(topic(f"topic-{number}"), partition(f"topic-{number}-0"))
            self.successResultOf(creating)
        listing = self.admin.list_topics()
        self.advance()
        self.sc.one().reply(ListResponse(kind=TOPIC, objects=()))
        self.advance()
        self.assertEqual(self.successResultOf(listing), [])
        self.stopped()

    def test_of_one_that_was_sent_nobody_knows_when_the_client_closes(self) -> None:
        creating = self.admin.create_topic("orders")
        self.advance()
        self.sc.one()
        self.stopped()
        error = self.failureResultOf(creating, ClientClosed).value
        self.assertIs(error.effect, Effect.UNKNOWN)

    def test_one_that_was_not_sent_did_nothing_when_the_client_closes(self) -> None:
        self.network.hang(*SC)
        creating = [self.admin.create_topic(f"topic-{number}") for number in range(SC_CALLS + 1)]
        self.advance()
        self.stopped()
        for one in creating:
            self.assertIs(self.failureResultOf(one, ClientClosed).value.effect, Effect.NONE)

    def test_those_that_wait_for_their_turn_are_not_looked_for_in_the_metadata(self) -> None:
        creating = [self.admin.create_topic(f"topic-{number}") for number in range(SC_CALLS)]
        self.advance()
        message = changed(TOPIC, *updated(topic("another")))
        few = calls_of(lambda: self.tell(self.watching, message))
        creating += [self.admin.create_topic(f"more-{number}") for number in range(100)]
        self.advance()
        many = calls_of(lambda: self.tell(self.watching, message))
        self.assertLess(many, few + 100)
        self.stopped()
        for one in creating:
            self.failureResultOf(one, ClientClosed)

    def test_one_that_shows_while_it_waits_for_its_turn_is_created_when_that_comes(self) -> None:
        for number in range(SC_CALLS):
            self.addCleanup(self.admin.create_topic(f"topic-{number}").addErrback, lambda _: None)
        creating = self.admin.create_topic("orders")
        self.advance()
        asked = self.sc.take(SC_CALLS)
        self.show(topic("orders"), partition("orders-0"))
        self.assertNoResult(creating)
        code = error(Code.TOPIC_INVALID_CONFIGURATION)
        asked[0].reply(StatusResponse(name="topic-0", error_code=code))
        self.advance()
        self.advance()
        self.successResultOf(creating)
        self.assertTrue(asked[0].connection.closed)
        self.stopped()

    def test_a_reply_counts_when_the_metadata_shows_it(self) -> None:
        creating, asked = self.create()
        asked.reply(StatusResponse(name="orders"))
        self.advance()
        self.assertNoResult(creating)
        self.show(topic("orders", 2), partition("orders-0"), partition("orders-1"))
        self.successResultOf(creating)
        self.stopped()

    def test_a_reply_counts_by_itself_if_the_metadata_is_late(self) -> None:
        creating, asked = self.create()
        asked.reply(StatusResponse(name="orders"))
        self.advance()
        self.advance(SETTLING)
        self.successResultOf(creating)
        self.stopped()

    def test_a_topic_that_shows_without_its_partitions_is_waited_for(self) -> None:
        creating, asked = self.create(timeout=10.0)
        asked.reply(StatusResponse(name="orders"))
        self.tell(self.watching, changed(TOPIC, *updated(topic("orders", 2))))
        self.advance(9.0)
        self.assertNoResult(creating)
        self.show(topic("orders", 2), partition("orders-0"), partition("orders-1"))
        self.successResultOf(creating)
        self.stopped()

    def test_if_they_do_not_come_the_error_says_that_the_topic_is_there(self) -> None:
        creating, asked = self.create(timeout=10.0)
        asked.reply(StatusResponse(name="orders"))
        self.tell(self.watching, changed(TOPIC, *updated(topic("orders", 2))))
        self.advance(10.0)
        found = self.failureResultOf(creating, WaitTimedOut).value
        self.assertIs(found.effect, Effect.DONE)
        self.assertIn("no online leader for partitions 0, 1", str(found))
        self.stopped()

    def test_metadata_of_an_earlier_topic_of_the_name_says_nothing(self) -> None:
        self.show(topic("orders", 2), partition("orders-0"), partition("orders-1"))
        creating, _ = self.create()
        self.show(topic("orders", 2), partition("orders-0"), partition("orders-1"))
        self.assertNoResult(creating)
        old = (partition("orders-0"), partition("orders-1"))
        self.tell(self.watching, changed(TOPIC, *deleted(topic("orders", 2))))
        self.show(topic("orders", 2))
        self.assertNoResult(creating)
        self.tell(self.watching, changed(PARTITION, *updated(*old), *deleted(*old)))
        self.successResultOf(creating)
        self.stopped()

    def test_an_earlier_topic_that_is_told_again_by_a_restarted_sc_says_nothing(self) -> None:
        self.show(topic("orders", 2), partition("orders-0"), partition("orders-1"))
        creating, asked = self.create()
        self.watching[TOPIC].connection.close()
        self.advance()
        self.advance(1.0)
        self.tell(
            self.watches(),
            everything(SPU, spu(5001)),
            everything(PARTITION, partition("orders-0"), partition("orders-1")),
            everything(TOPIC, topic("orders", 2)),
        )
        self.assertNoResult(creating)
        asked.reply(StatusResponse(name="orders", error_code=error(Code.TOPIC_ALREADY_EXISTS)))
        self.advance()
        self.failureResultOf(creating, TopicAlreadyExists)
        self.stopped()

    def connected_again(self) -> None:
        """Connect again, to metadata that have the topic."""
        self.advance(1.0)
        self.watching = self.watches()
        self.tell(
            self.watching,
            everything(SPU, spu(5001)),
            everything(PARTITION, partition("orders-0"), partition("orders-1")),
            everything(TOPIC, topic("orders", 2)),
        )

    def test_one_that_came_while_nobody_watched_may_have_been_there_for_long(self) -> None:
        self.watching[TOPIC].connection.close()
        self.advance()
        creating, asked = self.create()
        self.connected_again()
        self.assertNoResult(creating)
        asked.reply(StatusResponse(name="orders", error_code=error(Code.TOPIC_ALREADY_EXISTS)))
        self.advance()
        self.failureResultOf(creating, TopicAlreadyExists)
        self.stopped()

    def test_one_that_was_seen_to_come_is_the_one_also_if_nobody_watched_since(self) -> None:
        creating, _ = self.create()
        self.show(topic("orders", 2), partition("orders-0"))
        self.assertNoResult(creating)
        self.watching[TOPIC].connection.close()
        self.advance()
        self.connected_again()
        self.successResultOf(creating)
        self.stopped()

    def test_that_is_the_one_if_the_sc_says_so(self) -> None:
        self.watching[TOPIC].connection.close()
        self.advance()
        creating, asked = self.create()
        self.connected_again()
        asked.reply(StatusResponse(name="orders"))
        self.advance()
        self.successResultOf(creating)
        self.stopped()

    def test_past_the_deadline_it_says_that_it_can_not_know(self) -> None:
        self.watching[TOPIC].connection.close()
        self.advance()
        creating, _ = self.create(timeout=5.0)
        self.connected_again()
        self.advance(4.0)
        found = self.failureResultOf(creating, WaitTimedOut).value
        self.assertIs(found.effect, Effect.UNKNOWN)
        self.assertIn("topic orders is there, perhaps from others", str(found))
        self.stopped()

    def test_metadata_of_another_topic_of_the_name_says_nothing(self) -> None:
        ours: dict[str, Any]
        for ours in (
            {"partitions": 1},
            {"partitions": 2, "replication": 2},
            {"assignment": [[5001], [5001]]},
            {"mirror_from": ["a", "b"]},
        ):
            with self.subTest(**ours):
                self.show(topic("orders", 2), partition("orders-0"), partition("orders-1"))
                self.tell(
                    self.watching,
                    changed(TOPIC, *deleted(topic("orders"))),
                    changed(PARTITION, *deleted(partition("orders-0"), partition("orders-1"))),
                )
                creating = self.admin.create_topic("orders", **ours)
                self.advance()
                asked = self.sc.one()
                self.show(topic("orders", 2), partition("orders-0"), partition("orders-1"))
                self.assertNoResult(creating)
                code = error(Code.TOPIC_ALREADY_EXISTS)
                asked.reply(StatusResponse(name="orders", error_code=code))
                self.advance()
                self.failureResultOf(creating, TopicAlreadyExists)
        self.stopped()

    def test_where_the_sc_says_that_it_was_created_it_may_have_been_changed_since(self) -> None:
        creating, asked = self.create()
        self.show(topic("orders", 3), *(partition(f"orders-{number}") for number in range(3)))
        self.assertNoResult(creating)
        asked.reply(StatusResponse(name="orders"))
        self.advance()
        self.successResultOf(creating)
        self.stopped()

    def test_past_the_deadline_it_says_that_another_has_come(self) -> None:
        creating, _ = self.create(timeout=5.0)
        self.show(topic("orders", 1), partition("orders-0"))
        self.advance(5.0)
        found = self.failureResultOf(creating, WaitTimedOut).value
        self.assertIn("topic orders has come otherwise than asked for", str(found))
        self.stopped()

    def test_assigned_replicas_show_as_they_were_asked_for(self) -> None:
        creating = self.admin.create_topic("orders", assignment=[[5001]])
        self.advance()
        request = self.sc.one().message
        assert isinstance(request, CreateRequest)
        self.show(evolve(topic("orders"), spec=request.spec), partition("orders-0"))
        self.successResultOf(creating)
        self.stopped()

    def test_an_earlier_topic_of_the_name_does_not_hide_that_it_exists(self) -> None:
        self.show(topic("orders", 2), partition("orders-0"), partition("orders-1"))
        creating, asked = self.create()
        asked.reply(StatusResponse(name="orders", error_code=error(Code.TOPIC_ALREADY_EXISTS)))
        self.advance()
        self.failureResultOf(creating, TopicAlreadyExists)
        self.stopped()

    def test_a_refusal_ends_it_at_once(self) -> None:
        creating, asked = self.create()
        code = error(Code.TOPIC_INVALID_CONFIGURATION)
        asked.reply(StatusResponse(name="orders", error_code=code, error_message="because"))
        self.advance()
        found = self.failureResultOf(creating, TopicInvalidConfiguration).value
        self.assertIn("because", str(found))
        self.stopped()

    def test_a_lost_connection_ends_it_with_an_unknown_effect(self) -> None:
        creating, asked = self.create()
        asked.connection.close()
        self.advance()
        found = self.failureResultOf(creating, Disconnected).value
        self.assertIs(found.effect, Effect.UNKNOWN)
        self.stopped()

    def test_past_the_deadline_it_says_what_is_missing_and_closes_the_connection(self) -> None:
        creating, asked = self.create(timeout=5.0)
        self.advance(5.0)
        found = self.failureResultOf(creating, WaitTimedOut).value
        self.assertEqual(str(found), "topic orders has not come, after 5 s")
        self.advance()
        self.assertTrue(asked.connection.closed)
        self.stopped()

    def test_what_is_missing_is_told_by_partition(self) -> None:
        creating, _ = self.create(timeout=5.0)
        self.show(
            topic("orders", 2),
            partition("orders-0"),
            partition("orders-1", resolution=PartitionResolution.OFFLINE),
        )
        self.advance(5.0)
        found = self.failureResultOf(creating, WaitTimedOut).value
        self.assertIn("no online leader for partitions 1,", str(found))
        self.stopped()

    def test_cancelled_it_leaves_nothing(self) -> None:
        creating, asked = self.create()
        creating.cancel()
        self.failureResultOf(creating, CancelledError)
        self.advance()
        self.assertTrue(asked.connection.closed)
        self.stopped()

    def test_cancelled_between_the_reply_and_the_metadata_it_leaves_nothing(self) -> None:
        creating, asked = self.create()
        asked.reply(StatusResponse(name="orders"))
        self.advance()
        creating.cancel()
        self.failureResultOf(creating, CancelledError)
        self.stopped()

    def test_one_that_is_confirmed_and_does_not_show_takes_no_longer_than_it_may(self) -> None:
        creating = self.admin.create_topic("orders", timeout=SETTLING)
        self.advance(SETTLING / 2)
        self.sc.one().reply(StatusResponse(name="orders"))
        self.advance()
        self.assertNoResult(creating)
        self.advance(SETTLING / 2)
        self.successResultOf(creating)
        self.stopped()


class WhatTheScHasConfirmed(ScriptedAdminCase):
    """It is done, also for who is still waiting for it to show when the client closes."""

    def confirmed(self, change: Deferred[None]) -> None:
        self.advance()
        self.sc.one().reply(StatusResponse(name="orders"))
        self.advance()
        self.assertNoResult(change)
        self.stopped()
        error = self.failureResultOf(change, ClientClosed).value
        self.assertIs(error.effect, Effect.DONE)

    def test_a_topic_that_does_not_show_yet(self) -> None:
        self.confirmed(self.admin.create_topic("orders"))

    def test_a_topic_whose_creator_cancels_while_the_client_closes(self) -> None:
        waiting: Deferred[None] = self.cluster.wait_for(lambda _: None, missing="what never comes")
        creating = self.admin.create_topic("orders")
        waiting.addErrback(lambda _: creating.cancel())
        self.confirmed(creating)

    def test_a_topic_without_leaders(self) -> None:
        creating = self.admin.create_topic("orders")
        self.show(topic("orders"))
        self.confirmed(creating)

    def test_a_topic_that_is_deleted(self) -> None:
        self.show(topic("orders"))
        self.confirmed(self.admin.delete_topic("orders"))

    def test_partitions_that_are_added(self) -> None:
        self.show(topic("orders"))
        self.confirmed(self.admin.add_partitions("orders", 1))

    def test_an_spu_that_is_registered(self) -> None:
        self.confirmed(self.admin.register_spu(7, "spu.test", 9010, private_port=9011))


class DeletingATopic(ScriptedAdminCase):
    def test_it_is_gone_when_the_metadata_shows_it_no_more(self) -> None:
        self.show(topic("orders"), partition("orders-0"))
        deleting = self.admin.delete_topic("orders")
        self.advance()
        self.sc.one().reply(StatusResponse(name="orders"))
        self.advance()
        self.assertNoResult(deleting)
        self.tell(self.watching, changed(TOPIC, *deleted(topic("orders"))))
        self.successResultOf(deleting)
        self.stopped()


class AddingPartitions(ScriptedAdminCase):
    def test_how_many_there_were_is_known_before_they_are_asked_for(self) -> None:
        self.stopped()
        self.use()
        admin = Admin(self.cluster)
        self.cluster.start()
        adding = admin.add_partitions("orders", 1)
        self.advance()
        self.watching = self.watches()
        self.tell(
            self.watching,
            everything(SPU, spu(5001)),
            everything(PARTITION, partition("orders-0")),
            everything(TOPIC, topic("orders", 1)),
        )
        self.advance()
        self.sc.one().reply(StatusResponse(name="orders"))
        self.advance()
        self.assertNoResult(adding)
        self.show(topic("orders", 2), partition("orders-1"))
        self.successResultOf(adding)
        self.stopped()

    def test_any_number_may_wait_and_fail_without_being_sent(self) -> None:
        self.show(topic("orders"))
        first = self.admin.add_partitions("orders", 1)
        too_many = [self.admin.add_partitions("orders", MAX_PARTITIONS) for _ in range(1000)]
        self.advance()
        refused = StatusResponse(name="orders", error_code=error(Code.PERMISSION_DENIED))
        self.sc.one().reply(refused)
        self.advance()
        self.failureResultOf(first, PermissionDenied)
        for one in too_many:
            self.failureResultOf(one, InvalidConfig)
        self.stopped()

    def test_where_that_does_not_come_nothing_is_asked_for(self) -> None:
        self.stopped()
        self.use()
        admin = Admin(self.cluster)
        self.cluster.start().addErrback(lambda _: None)
        adding = admin.add_partitions("orders", 1, timeout=3.0)
        self.advance()
        self.watches()
        self.advance(3.0)
        self.assertIs(self.failureResultOf(adding, WaitTimedOut).value.effect, Effect.NONE)
        self.assertEqual(self.sc.asked, [])
        self.stopped()

    def test_calls_take_turns(self) -> None:
        self.show(topic("orders", 1), partition("orders-0"))
        first = self.admin.add_partitions("orders", 1)
        second = self.admin.add_partitions("orders", 1)
        self.advance()
        self.sc.one().reply(StatusResponse(name="orders"))
        self.advance()
        self.assertEqual(self.sc.asked, [])
        self.show(topic("orders", 2), partition("orders-1"))
        self.successResultOf(first)
        self.advance()
        self.sc.one().reply(StatusResponse(name="orders"))
        self.show(topic("orders", 3), partition("orders-2"))
        self.advance()
        self.successResultOf(second)
        self.stopped()

    def test_they_are_there_when_the_metadata_shows_each_with_a_leader(self) -> None:
        self.show(topic("orders", 1), partition("orders-0"))
        adding = self.admin.add_partitions("orders", 1)
        self.advance()
        self.sc.one().reply(StatusResponse(name="orders"))
        self.advance()
        self.assertNoResult(adding)
        self.show(topic("orders", 2))
        self.assertNoResult(adding)
        self.show(topic("orders", 2), partition("orders-1"))
        self.successResultOf(adding)
        self.stopped()
