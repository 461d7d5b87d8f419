"""The watch engine: what somebody who knows an epoch is told has changed."""

from __future__ import annotations

import random

import pytest

from txfluvio.testing.sc import store as store_module
from txfluvio.testing.sc.store import Diff, Item, Store

Text = Store[str, str]


def item(name: str, spec: str = "spec", status: str = "") -> Item[str, str]:
    return Item(name, spec, status)


def loaded(*names: str, seed: int = 1) -> Text:
    store: Text = Store("Topic", random.Random(seed))
    store.load([item(name) for name in names])
    return store


def names(items: tuple[Item[str, str], ...]) -> list[str]:
    return sorted(one.name for one in items)


class TestFirstLook:
    def test_a_store_that_was_never_loaded_has_epoch_0_and_nothing_to_say(self) -> None:
        store: Text = Store("Topic", random.Random(1))
        assert store.diff(0) == Diff(0)

    def test_a_loaded_store_shows_everything(self) -> None:
        diff = loaded("a", "b").diff(0)
        assert (diff.epoch, diff.full, names(diff.everything)) == (1, True, ["a", "b"])

    def test_a_loaded_but_empty_store_has_epoch_1_and_both_lists_empty(self) -> None:
        diff = loaded().diff(0)
        assert (diff.epoch, diff.everything, diff.updates, diff.deletes) == (1, (), (), ())

    def test_an_epoch_from_the_future_gets_nothing(self) -> None:
        assert loaded("a").diff(10**9) == Diff(1)


class TestChanges:
    def test_who_is_up_to_date_gets_both_lists_empty(self) -> None:
        store = loaded("a")
        assert store.diff(store.epoch) == Diff(1)

    def test_an_added_object_is_an_update(self) -> None:
        store = loaded("a")
        store.put(item("b"))
        assert store.diff(1) == Diff(2, updates=(item("b"),))

    def test_several_changes_of_one_object_show_its_last_state_only(self) -> None:
        store = loaded("a")
        store.put(item("a", status="one"))
        store.put(item("a", status="two"))
        assert store.diff(1) == Diff(3, updates=(item("a", status="two"),))

    def test_changes_before_the_epoch_are_not_told_again(self) -> None:
        store = loaded("a", "b")
        store.put(item("a", "new"))
        store.put(item("b", "new"))
        assert store.diff(2) == Diff(3, updates=(item("b", "new"),))

    def test_one_call_is_one_epoch(self) -> None:
        store = loaded()
        store.put(item("a"), item("b"))
        assert store.epoch == 2

    def test_putting_an_equal_object_is_an_update_without_visible_difference(self) -> None:
        store = loaded("a")
        store.put(item("a"))
        assert store.diff(1) == Diff(2, updates=(item("a"),))

    def test_touching_is_an_update_without_visible_difference(self) -> None:
        store = loaded("a")
        store.touch("a")
        assert store.diff(1) == Diff(2, updates=(item("a"),))

    def test_touching_what_is_not_there_is_nothing(self) -> None:
        store = loaded("a")
        store.touch("b")
        assert store.epoch == 1

    def test_an_equal_status_is_no_change(self) -> None:
        store = loaded("a")
        assert not store.set_status(("a", ""), ("gone", "x"))
        assert store.epoch == 1

    def test_new_statuses_are_one_epoch(self) -> None:
        store = loaded("a", "b")
        assert store.set_status(("a", "up"), ("b", "up"))
        diff = store.diff(1)
        assert (diff.epoch, names(diff.updates)) == (2, ["a", "b"])


class TestRemoval:
    def test_a_removed_object_is_told_with_its_last_state(self) -> None:
        store = loaded("a")
        store.delete("a")
        assert store.diff(1) == Diff(2, deletes=(item("a"),))

    def test_removing_what_is_not_there_is_nothing(self) -> None:
        store = loaded("a")
        store.delete("b")
        assert store.epoch == 1

    def test_an_object_that_came_and_went_between_two_looks_is_a_delete(self) -> None:
        store = loaded()
        store.put(item("a"))
        store.delete("a")
        assert store.diff(1) == Diff(3, deletes=(item("a"),))

    def test_an_object_that_went_and_came_back_is_both_update_and_delete(self) -> None:
        store = loaded("a")
        store.delete("a")
        store.put(item("a", "new"))
        assert store.diff(1) == Diff(3, updates=(item("a", "new"),), deletes=(item("a"),))

    def test_a_name_removed_many_times_is_told_as_many_times(self) -> None:
        store = loaded()
        for spec in ("1", "2", "3"):
            store.put(item("a", spec))
            store.delete("a")
        deletes = store.diff(1).deletes
        assert deletes == (item("a", "1"), item("a", "2"), item("a", "3"))

    def test_too_many_removals_are_forgotten_by_a_full_load(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store_module, "MAX_REMOVED", 2)
        store = loaded("a", "b", "c", "d")
        for name in "abc":
            store.delete(name)
        assert store.diff(1) == Diff(4, full=True, everything=(item("d"),))


class TestReload:
    def test_a_reload_shows_everything_to_everybody(self) -> None:
        store = loaded("a")
        store.reload()
        assert store.diff(1) == Diff(2, full=True, everything=(item("a"),))

    def test_a_reload_forgets_the_removals(self) -> None:
        store = loaded("a", "b")
        store.delete("a")
        store.reload()
        assert store.diff(1) == Diff(3, full=True, everything=(item("b"),))

    def test_changes_after_a_reload_are_changes_again(self) -> None:
        store = loaded("a")
        store.reload()
        store.put(item("b"))
        assert store.diff(2) == Diff(3, updates=(item("b"),))


class TestOrder:
    def test_the_order_is_not_that_of_creation(self) -> None:
        many = [f"topic-{number:02}" for number in range(50)]
        assert [one.name for one in loaded(*many).listing()] != many

    def test_the_order_lasts_until_the_next_change(self) -> None:
        store = loaded(*"abcdefghij")
        before = store.listing()
        assert store.listing() == before
        store.touch("a")
        assert store.listing() != before

    def test_the_same_seed_gives_the_same_order_and_another_seed_another(self) -> None:
        many = [str(number) for number in range(50)]
        assert loaded(*many).listing() == loaded(*many).listing()
        assert loaded(*many).listing() != loaded(*many, seed=2).listing()


class TestHiding:
    def test_a_hidden_object_is_told_as_removed(self) -> None:
        store = loaded("a", "b")
        store.hide("a")
        assert store.diff(1) == Diff(2, deletes=(item("a"),))
        assert store.diff(0).everything == store.listing() == (item("b"),)

    def test_changes_of_a_hidden_object_are_not_told(self) -> None:
        store = loaded("a", "b")
        store.hide("a")
        store.put(item("a", "new"))
        store.delete("a")
        assert store.diff(2) == Diff(4)

    def test_the_cluster_itself_sees_hidden_objects(self) -> None:
        store = loaded("a")
        store.hide("a")
        store.put(item("a", "new"))
        assert store.get("a") == item("a", "new")
        assert store.diff(2, hidden=True).updates == (item("a", "new"),)
        assert store.diff(0, hidden=True).everything == (item("a", "new"),)

    def test_the_cluster_itself_sees_a_hidden_object_go_only_when_it_does(self) -> None:
        store = loaded("a")
        store.hide("a")
        assert store.diff(1, hidden=True).deletes == ()
        store.delete("a")
        assert store.diff(2, hidden=True).deletes == (item("a"),)
        assert store.diff(2).deletes == ()

    def test_an_object_shown_again_is_an_update(self) -> None:
        store = loaded("a")
        store.hide("a")
        store.show("a")
        assert store.diff(2) == Diff(3, updates=(item("a"),))


class TestListeners:
    def test_who_fails_keeps_the_change_from_nobody_else(self) -> None:
        def fail() -> None:
            raise OSError("no space left")

        store = loaded()
        seen: list[str] = []
        for listener in (lambda: seen.append("first"), fail, lambda: seen.append("last")):
            store.subscribe(listener)
        with pytest.raises(OSError, match="no space left"):
            store.put(item("a"))
        assert seen == ["first", "last"]

    def test_every_change_is_told_after_it_happened(self) -> None:
        store = loaded("a")
        seen: list[int] = []
        store.subscribe(lambda: seen.append(store.epoch))
        store.put(item("b"))
        store.set_status(("b", "up"))
        store.delete("b")
        store.reload()
        assert seen == [2, 3, 4, 5]

    def test_nothing_is_told_where_nothing_changed(self) -> None:
        store = loaded("a")
        seen: list[int] = []
        store.subscribe(lambda: seen.append(store.epoch))
        store.delete("b")
        store.set_status(("a", ""))
        assert seen == []

    def test_a_listener_may_leave_while_it_is_being_told(self) -> None:
        store = loaded("a")
        seen: list[str] = []

        def once() -> None:
            seen.append("once")
            leave()

        leave = store.subscribe(once)
        store.subscribe(lambda: seen.append("always"))
        store.touch("a")
        store.touch("a")
        assert seen == ["once", "always", "always"]
