"""Watching the objects of one kind: each change once, whatever happens to connections."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.cluster.kit import Asked
from tests.cluster.objects import changed, deleted, everything, topic, updated
from txfluvio.admin import (
    Change,
    ChangeKind,
    ObjectKind,
    PartitionDescription,
    SmartModuleDescription,
    SpuDescription,
    SpuGroupDescription,
    TableFormatDescription,
    TopicDescription,
    Watch,
)
from txfluvio.errors import (
    AlreadyRunning,
    ClientClosed,
    InvalidConfig,
    ProtocolError,
    UnsupportedVersion,
)
from txfluvio.wire.sc import (
    SPU,
    TOPIC,
    Metadata,
    WatchRequest,
)

from .kit import AdminCase, ScriptedAdminCase


class Kinds(ScriptedAdminCase):
    def test_what_can_not_be_watched_is_refused(self) -> None:
        wrongs: tuple[Any, ...] = (3, "topic", None)
        for wrong in wrongs:
            with self.assertRaisesRegex(InvalidConfig, "kind .*ObjectKind: TOPIC, "):
                self.admin.watch(wrong)


class Watching(ScriptedAdminCase):
    def setUp(self) -> None:
        super().setUp()
        self.watch = self.admin.watch(ObjectKind.TOPIC)

    def step(self) -> Deferred[Change[Any]]:
        return Deferred.fromCoroutine(self.watch.__anext__())

    def begin(self, *objects: Metadata) -> Asked:
        """Let the watch begin, and the SC tell these topics."""
        first = self.step()
        self.advance()
        asked = self.sc.one()
        asked.reply(everything(TOPIC, *objects))
        self.advance()
        self.successResultOf(first)
        return asked

    def changes(self) -> list[tuple[ChangeKind, str]]:
        """The changes that come without waiting."""
        found: list[tuple[ChangeKind, str]] = []
        while True:
            step = self.step()
            if not step.called:
                step.cancel()
                self.failureResultOf(step, CancelledError)
                return found
            change = self.successResultOf(step)
            found.append((change.kind, change.name))

    def end(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.watch.aclose()))
        self.stopped()

    def test_nothing_is_asked_before_the_first_step(self) -> None:
        self.advance()
        self.assertEqual(self.sc.asked, [])
        self.end()

    def test_what_is_there_comes_first(self) -> None:
        first = self.step()
        self.advance()
        asked = self.sc.one()
        self.assertEqual(asked.message, WatchRequest(kind=TOPIC, summary=True))
        asked.reply(everything(TOPIC, topic("a"), topic("b")))
        self.advance()
        change = self.successResultOf(first)
        self.assertEqual((change.kind, change.name), (ChangeKind.ADDED, "a"))
        assert isinstance(change.object, TopicDescription)
        self.assertEqual(change.object.partition_count, 1)
        self.assertEqual(self.changes(), [(ChangeKind.ADDED, "b")])
        self.end()

    def test_then_what_changes(self) -> None:
        asked = self.begin(topic("a"), topic("b"))
        self.changes()
        asked.reply(changed(TOPIC, *updated(topic("a", 2), topic("c")), *deleted(topic("b"))))
        self.advance()
        self.assertCountEqual(
            self.changes(),
            [(ChangeKind.CHANGED, "a"), (ChangeKind.ADDED, "c"), (ChangeKind.DELETED, "b")],
        )
        self.end()

    def test_a_step_that_waits_is_told(self) -> None:
        asked = self.begin(topic("a"))
        step = self.step()
        self.assertNoResult(step)
        asked.reply(changed(TOPIC, *deleted(topic("a"))))
        self.advance()
        change = self.successResultOf(step)
        self.assertEqual((change.kind, change.name), (ChangeKind.DELETED, "a"))
        self.assertEqual(change.object.name, "a")
        self.end()

    def test_an_update_that_makes_no_difference_does_not_come(self) -> None:
        asked = self.begin(topic("a"))
        asked.reply(changed(TOPIC, *updated(topic("a"))))
        asked.reply(everything(TOPIC, topic("a")))
        asked.reply(everything(TOPIC))
        self.advance()
        self.assertEqual(self.changes(), [])
        self.end()

    def test_what_a_full_list_lacks_is_deleted(self) -> None:
        asked = self.begin(topic("a"), topic("b"))
        self.changes()
        asked.reply(everything(TOPIC, topic("b")))
        self.advance()
        self.assertEqual(self.changes(), [(ChangeKind.DELETED, "a")])
        self.end()

    def test_what_was_deleted_and_made_again_comes_twice(self) -> None:
        asked = self.begin(topic("a"))
        asked.reply(changed(TOPIC, *updated(topic("a")), *deleted(topic("a"))))
        self.advance()
        self.assertEqual(self.changes(), [(ChangeKind.DELETED, "a"), (ChangeKind.ADDED, "a")])
        self.end()

    def test_one_that_changes_often_before_it_is_asked_for_comes_once(self) -> None:
        asked = self.begin(topic("a"))
        for count in range(2, 10):
            asked.reply(changed(TOPIC, *updated(topic("a", count))))
        self.advance()
        change = self.successResultOf(self.step())
        self.assertEqual(change.object.partition_count, 9)
        self.assertEqual(self.changes(), [])
        self.end()

    def test_one_that_came_and_went_unasked_does_not_come(self) -> None:
        asked = self.begin(topic("a"))
        asked.reply(changed(TOPIC, *updated(topic("b"))))
        asked.reply(changed(TOPIC, *deleted(topic("b"))))
        self.advance()
        self.assertEqual(self.changes(), [])
        self.end()

    def test_many_that_came_and_went_unasked_are_not_remembered(self) -> None:
        asked = self.begin(topic("a"))
        for number in range(100):
            asked.reply(changed(TOPIC, *updated(topic(f"b{number}"))))
            asked.reply(changed(TOPIC, *deleted(topic(f"b{number}"))))
        self.advance()
        self.assertEqual(len(self.watch._open), 0)
        self.end()

    def test_one_that_was_given_and_went_and_came_unasked_is_remembered_as_both(self) -> None:
        asked = self.begin(topic("a"))
        asked.reply(changed(TOPIC, *deleted(topic("a"))))
        asked.reply(changed(TOPIC, *updated(topic("a"))))
        self.advance()
        self.assertEqual(self.changes(), [(ChangeKind.DELETED, "a"), (ChangeKind.ADDED, "a")])
        self.end()

    def test_a_cancelled_step_loses_nothing(self) -> None:
        asked = self.begin(topic("a"))
        step = self.step()
        step.cancel()
        self.failureResultOf(step, CancelledError)
        asked.reply(changed(TOPIC, *updated(topic("b"))))
        self.advance()
        self.assertEqual(self.changes(), [(ChangeKind.ADDED, "b")])
        self.end()

    def test_an_sc_that_has_not_loaded_yet_says_nothing(self) -> None:
        step = self.step()
        self.advance()
        asked = self.sc.one()
        asked.reply(everything(TOPIC, epoch=0))
        self.advance()
        asked.reply(everything(TOPIC, topic("a")))
        self.advance()
        self.assertEqual(self.successResultOf(step).name, "a")
        self.end()

    def test_it_goes_on_after_a_lost_connection_with_what_it_has_missed(self) -> None:
        asked = self.begin(topic("a"), topic("b"))
        self.changes()
        asked.connection.close()
        self.advance()
        step = self.step()
        self.advance(1.0)
        again = self.sc.one()
        again.reply(everything(TOPIC, topic("b"), topic("c"), epoch=1))
        self.advance()
        change = self.successResultOf(step)
        self.assertCountEqual(
            [(change.kind, change.name), *self.changes()],
            [(ChangeKind.DELETED, "a"), (ChangeKind.ADDED, "c")],
        )
        self.end()

    def test_an_sc_that_tells_everything_and_hangs_up_is_dialled_ever_more_seldom(self) -> None:
        asked = self.begin(topic("a"))
        for wait in (1.0, 2.0, 4.0, 4.0):
            asked.connection.close()
            self.advance()
            self.advance(wait - 0.1)
            self.assertEqual(self.sc.asked, [])
            self.advance(0.1)
            asked = self.sc.one()
            asked.reply(everything(TOPIC, topic("a")))
            self.advance()
        self.end()

    def test_after_a_connection_that_has_lasted_it_is_dialled_soon(self) -> None:
        asked = self.begin(topic("a"))
        for _ in range(3):
            self.advance(4.0)
            asked.connection.close()
            self.advance()
            self.advance(1.0)
            asked = self.sc.one()
            asked.reply(everything(TOPIC, topic("a")))
            self.advance()
        self.end()

    def test_after_a_loss_an_empty_first_answer_means_that_all_is_gone(self) -> None:
        asked = self.begin(topic("a"))
        asked.connection.close()
        self.advance()
        self.advance(1.0)
        self.sc.one().reply(everything(TOPIC))
        self.advance()
        self.assertEqual(self.changes(), [(ChangeKind.DELETED, "a")])
        self.end()

    def test_closing_ends_a_step_that_waits_and_the_connection(self) -> None:
        asked = self.begin(topic("a"))
        step = self.step()
        closing = Deferred.fromCoroutine(self.watch.aclose())
        self.successResultOf(closing)
        self.failureResultOf(step, StopAsyncIteration)
        self.advance()
        self.assertTrue(asked.connection.closed)
        self.failureResultOf(self.step(), StopAsyncIteration)
        self.stopped()

    def test_leaving_its_context_closes_it(self) -> None:
        async def use() -> str:
            async with self.watch as changes:
                async for change in changes:
                    return change.name
            return "none"

        using = Deferred.fromCoroutine(use())
        self.advance()
        asked = self.sc.one()
        asked.reply(everything(TOPIC, topic("a")))
        self.advance()
        self.assertEqual(self.successResultOf(using), "a")
        self.advance()
        self.assertTrue(asked.connection.closed)
        self.stopped()

    def test_two_steps_at_one_time_are_a_mistake(self) -> None:
        self.begin(topic("a"))
        step = self.step()
        error = self.failureResultOf(self.step(), AlreadyRunning).value
        self.assertEqual(str(error), "the wait for the next change is already running")
        step.cancel()
        self.failureResultOf(step, CancelledError)
        self.end()

    def test_an_sc_that_knows_no_watches_is_a_named_error(self) -> None:
        self.sc._apis = {key: api for key, api in self.sc._apis.items() if key != 1004}
        step = self.step()
        self.advance()
        self.failureResultOf(step, UnsupportedVersion)
        self.failureResultOf(self.step(), UnsupportedVersion)
        self.end()

    def test_other_objects_than_asked_for_are_a_named_error(self) -> None:
        step = self.step()
        self.advance()
        self.sc.one().reply(everything(SPU))
        self.advance()
        error = self.failureResultOf(step, ProtocolError).value
        self.assertIn("SPU objects where Topic ones were asked for", str(error))
        self.end()

    def test_stopping_the_client_ends_it_by_name(self) -> None:
        self.begin(topic("a"))
        step = self.step()
        self.stopped()
        self.failureResultOf(step, ClientClosed)


class WatchingACluster(AdminCase):
    def test_each_kind_can_be_watched(self) -> None:
        self.result(self.admin.create_topic("orders"))
        self.result(self.admin.create_spu_group("main", replicas=1))
        self.result(self.admin.create_smartmodule("upper", b"\0asm"))
        self.result(self.admin.create_table_format("orders-table"))

        async def told(kind: ObjectKind, name: str) -> Any:
            async with self.admin.watch(kind) as changes:
                change = await changes.__anext__()
                while change.name != name:
                    change = await changes.__anext__()
                return change.object

        expected: dict[ObjectKind, tuple[str, type]] = {
            ObjectKind.TOPIC: ("orders", TopicDescription),
            ObjectKind.PARTITION: ("orders-0", PartitionDescription),
            ObjectKind.SPU: ("custom-spu-5001", SpuDescription),
            ObjectKind.SPU_GROUP: ("main", SpuGroupDescription),
            ObjectKind.SMARTMODULE: ("upper", SmartModuleDescription),
            ObjectKind.TABLE_FORMAT: ("orders-table", TableFormatDescription),
        }
        for kind in ObjectKind:
            with self.subTest(kind):
                name, described = expected[kind]
                self.assertIsInstance(self.do(told(kind, name)), described)

    def test_what_an_administrator_does_is_seen(self) -> None:
        async def use() -> list[tuple[ChangeKind, str]]:
            async with self.admin.watch(ObjectKind.TABLE_FORMAT) as changes:
                await self.admin.create_table_format("a")
                seen = [await changes.__anext__()]
                await self.admin.delete_table_format("a")
                seen.append(await changes.__anext__())
                return [(change.kind, change.name) for change in seen]

        self.assertEqual(self.do(use()), [(ChangeKind.ADDED, "a"), (ChangeKind.DELETED, "a")])

    def test_it_survives_a_restart_of_the_sc(self) -> None:
        watch: Watch[TopicDescription] = self.admin.watch(ObjectKind.TOPIC)
        first = self.result(Deferred.fromCoroutine(watch.__anext__()))
        self.assertEqual(first.name, "consumer-offset")
        self.result(self.broker.sc_down())
        self.result(self.broker.sc_up())
        self.wait(5.0)
        self.result(self.admin.create_topic("orders"))
        change = self.result(Deferred.fromCoroutine(watch.__anext__()))
        self.assertEqual((change.kind, change.name), (ChangeKind.ADDED, "orders"))
        self.result(Deferred.fromCoroutine(watch.aclose()))
