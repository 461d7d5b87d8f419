"""The tree of errors: what each promises, and which one a code from a server becomes."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, get_args, get_type_hints

import attrs
import pytest

from txfluvio import errors
from txfluvio.errors import (
    BROKER_ERRORS,
    BrokerError,
    ClientClosed,
    Closed,
    ConnectFailed,
    DeliveryTimedOut,
    Disconnected,
    Effect,
    FluvioError,
    InvalidConfig,
    InvalidProfile,
    NotAllStored,
    NotLeaderForPartition,
    OffsetEvicted,
    PermissionDenied,
    ProtocolError,
    RecordTooLarge,
    ReplicationTimedOut,
    RequestTimedOut,
    SmartModuleCrashed,
    SmartModuleError,
    SmartModuleRuntimeError,
    StorageError,
    TimedOut,
    TlsFailed,
    TopicError,
    TopicNotFound,
    UsageError,
    WaitTimedOut,
    broker_error,
)
from txfluvio.wire.codes import Code, details

ALL = sorted(
    (cls for cls in vars(errors).values() if inspect.isclass(cls) and issubclass(cls, FluvioError)),
    key=lambda cls: cls.__name__,
)

SAMPLES: dict[object, object] = {
    str: "text",
    int: 5,
    float: 1.5,
    bytes: b"raw",
    bool: True,
    Effect: Effect.UNKNOWN,
    tuple: ("a.test", "b.test"),
    Sequence[Any]: ("one outcome", "another"),
}


def sample(cls: type[FluvioError]) -> FluvioError:
    """One of ``cls`` with every field set."""
    make: Callable[..., FluvioError] = cls
    if not attrs.has(cls):
        return make() if cls.says else make("what is wrong")
    hints = get_type_hints(cls)
    given = {}
    for field in attrs.fields(cls):
        if not field.init:
            continue
        hint = hints[field.name]
        kind = next((arg for arg in get_args(hint) if arg in SAMPLES), hint)
        given[field.name] = ("a.test", "b.test") if hint == tuple[str, ...] else SAMPLES[kind]
    return make(**given)


every_class = pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)


@every_class
def test_every_error_says_what_it_is_in_one_line(cls: type[FluvioError]) -> None:
    text = str(sample(cls))
    assert text
    assert "\n" not in text
    assert "{" not in text


@every_class
def test_every_error_says_whether_to_try_again_and_what_it_did(cls: type[FluvioError]) -> None:
    error = sample(cls)
    assert isinstance(error.retriable, bool)
    assert isinstance(error.effect, Effect)


@every_class
@pytest.mark.parametrize(
    "again",
    [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy, errors.another],
    ids=["pickle", "copy", "deepcopy", "another"],
)
def test_every_error_survives_a_copy(cls: type[FluvioError], again: Any) -> None:
    error = sample(cls)
    error.effect = Effect.DONE
    twin = again(error)
    assert type(twin) is cls
    assert twin is not error
    assert vars(twin) == vars(error)
    assert (str(twin), twin.args) == (str(error), error.args)


@every_class
def test_whatever_is_named_so_is_timed_out(cls: type[FluvioError]) -> None:
    assert issubclass(cls, TimedOut) == cls.__name__.endswith("TimedOut")


def test_another_error_has_the_cause_and_changes_for_itself() -> None:
    error = errors.Disconnected("spu:9005", "lost")
    error.__cause__ = OSError("reset")
    own = errors.another(error)
    own.effect = Effect.DONE
    assert own.__cause__ is error.__cause__
    assert error.effect is not Effect.DONE


@every_class
def test_what_the_caller_did_wrong_is_not_to_be_tried_again(cls: type[FluvioError]) -> None:
    if issubclass(cls, UsageError):
        assert (cls.retriable, cls.effect) == (False, Effect.NONE)


def test_an_error_that_changed_something_for_certain_is_never_retriable() -> None:
    done = {cls.__name__ for cls in ALL if cls.effect is Effect.DONE}
    assert done == {"ReplicationTimedOut", "TopicNotProvisioned"}
    assert not any(cls.retriable for cls in ALL if cls.effect is Effect.DONE)


def test_what_is_worth_trying_again() -> None:
    assert {cls.__name__ for cls in ALL if cls.retriable} == {
        "ConnectFailed",
        "DeliveryTimedOut",
        "Disconnected",
        "HandshakeFailed",
        "NotLeaderForPartition",
        "PartitionPendingInitialization",
        "RequestTimedOut",
        "SpuOffline",
        "TopicPendingInitialization",
        "WaitTimedOut",
    }


def test_no_name_is_one_of_python_or_twisted() -> None:
    import builtins

    from twisted.internet import defer, error

    taken = {*vars(builtins), *vars(error), *vars(defer)}
    assert not taken & {cls.__name__ for cls in ALL}


def test_the_effect_is_a_fact_of_the_instance_where_someone_knows_better() -> None:
    error = NotLeaderForPartition()
    error.effect = Effect.UNKNOWN
    assert NotLeaderForPartition().effect is Effect.NONE


class TestUsage:
    def test_a_setting_is_named_with_its_value_and_what_it_can_be(self) -> None:
        error = InvalidConfig("ProducerConfig.linger", -1, "seconds, 0 or more")
        assert str(error) == "ProducerConfig.linger is -1: expected seconds, 0 or more"

    def test_a_huge_value_is_shortened(self) -> None:
        assert len(str(InvalidConfig("x", "y" * 10_000, "less"))) < 200

    def test_a_profile_error_names_file_and_key(self) -> None:
        assert str(InvalidProfile("/p", "cluster.a.tls", "no")) == "/p: cluster.a.tls: no"
        assert str(InvalidProfile("/p", "", "no")) == "/p: no"

    def test_a_record_too_large_names_both_sizes(self) -> None:
        text = str(RecordTooLarge(2_000_000, 1_048_576))
        assert "2000000" in text
        assert "1048576" in text

    def test_all_that_is_closed_can_be_caught_at_once(self) -> None:
        assert issubclass(ClientClosed, Closed)


class TestProtocolError:
    def test_says_where(self) -> None:
        error = ProtocolError("negative count", message="Reply", field="topics", position=7)
        assert str(error) == "Reply.topics at byte 7: negative count"

    def test_the_field_path_grows_while_unwinding(self) -> None:
        error = ProtocolError("bad", field="name").within("[2]").within("topics")
        assert error.field == "topics[2].name"

    def test_without_a_place_it_is_the_reason(self) -> None:
        assert str(ProtocolError("bad")) == "bad"


class TestConnection:
    def test_connect_failed_names_address_and_reason(self) -> None:
        error = ConnectFailed("127.0.0.1:9003", "connection refused")
        assert str(error) == "can not connect to 127.0.0.1:9003: connection refused"

    def test_a_sent_request_may_have_been_applied(self) -> None:
        assert Disconnected("sc:9003", "reset").effect is Effect.UNKNOWN

    def test_an_unsent_request_did_nothing(self) -> None:
        error = Disconnected("sc:9003", "reset", effect=Effect.NONE)
        assert error.effect is Effect.NONE
        assert "nothing happened" in str(error)

    def test_a_timed_out_request_may_have_been_applied(self) -> None:
        assert RequestTimedOut("Produce to spu:9010", 60).effect is Effect.UNKNOWN

    def test_a_wait_says_what_is_missing(self) -> None:
        error = WaitTimedOut("partition 2 of orders has no online leader", 10)
        assert str(error) == "partition 2 of orders has no online leader, after 10 s"

    def test_who_gives_up_a_record_must_say_what_became_of_it(self) -> None:
        with pytest.raises(TypeError):
            DeliveryTimedOut("orders/3", 120)  # type: ignore[call-arg]

    @pytest.mark.parametrize("cls", [cls for cls in ALL if issubclass(cls, TlsFailed)])
    def test_tls_problems_are_connect_failures_never_tried_again(
        self, cls: type[TlsFailed]
    ) -> None:
        assert issubclass(cls, ConnectFailed)
        assert not cls.retriable

    def test_a_name_mismatch_says_both_names(self) -> None:
        error = errors.CertificateNameMismatch(
            "10.0.0.1:9003", "hostname mismatch", server_name="a.test", names=("b.test", "*.b.test")
        )
        assert "is for b.test, *.b.test, not for a.test" in str(error)


class TestBrokerErrors:
    @pytest.mark.parametrize("code", [code for code in Code if code], ids=lambda code: code.name)
    def test_every_known_code_has_words_of_its_own(self, code: Code) -> None:
        detail = details().get(code)
        payload = {field.name: "x" for field in attrs.fields(detail)} if detail else {}
        error = broker_error(code, payload, what="orders/3")
        assert error.code == code
        assert type(error.code) is int
        assert str(error).startswith("orders/3: ")
        assert str(error).endswith(f"[code {int(code)}]")
        assert "does not know" not in str(error)

    @pytest.mark.parametrize("code", BROKER_ERRORS)
    def test_no_field_of_a_class_is_missing_on_the_wire(self, code: int) -> None:
        detail = details().get(code)
        sent = {field.name for field in attrs.fields(detail)} if detail else set()
        wanted = {field.name for field in attrs.fields(BROKER_ERRORS[code]) if field.init}
        assert wanted - {"what", "detail"} <= sent

    @pytest.mark.parametrize("cls", [cls for cls in ALL if issubclass(cls, BrokerError)])
    def test_a_class_made_by_hand_has_its_code(self, cls: type[BrokerError]) -> None:
        # What a SmartModule that breaks down has in common with others is the code alone.
        assert cls in (BrokerError, SmartModuleCrashed) or BROKER_ERRORS[cls.code] is cls

    def test_an_unknown_code_is_a_plain_broker_error_with_its_number(self) -> None:
        error = broker_error(31_000)
        assert type(error) is BrokerError
        assert error.code == 31_000
        assert str(error) == "an error this version does not know [code 31000]"
        assert (error.retriable, error.effect) == (False, Effect.UNKNOWN)

    def test_an_unspecific_code_keeps_the_server_s_words(self) -> None:
        error = broker_error(2, {"text": "start offset: 9 is greater than leo: 4"})
        assert type(error) is BrokerError
        assert error.detail == "start offset: 9 is greater than leo: 4"
        assert str(error) == "the server refused (start offset: 9 is greater than leo: 4) [code 2]"

    def test_words_beside_the_code_are_kept(self) -> None:
        error = broker_error(2002, None, "Topic 't1' already exists", what="topic t1")
        assert error.detail == "Topic 't1' already exists"

    def test_the_same_words_twice_are_said_once(self) -> None:
        assert broker_error(2, {"text": "boom"}, "boom").detail == "boom"

    @pytest.mark.parametrize("code", [6, 3001])
    def test_not_the_leader_is_one_error_whichever_code_says_it(self, code: int) -> None:
        error = broker_error(code)
        assert type(error) is NotLeaderForPartition
        assert error.code == code
        assert error.retriable
        assert error.effect is Effect.NONE

    def test_code_7_means_stored(self) -> None:
        error = broker_error(7, {"timeout_ms": 1500, "kind": 0})
        assert isinstance(error, ReplicationTimedOut)
        assert error.effect is Effect.DONE
        assert error.timeout_ms == 1500
        assert not error.retriable

    def test_code_56_may_have_stored_some(self) -> None:
        error = broker_error(56)
        assert type(error) is StorageError
        assert error.effect is Effect.UNKNOWN

    def test_eviction_says_where_to_go_on(self) -> None:
        error = broker_error(71, {"offset": 5, "next_available": 100}, what="orders/3")
        assert isinstance(error, OffsetEvicted)
        assert (error.offset, error.next_available) == (5, 100)
        assert "the log starts at 100" in str(error)

    def test_a_module_s_failure_carries_the_record_but_does_not_show_it(self) -> None:
        error = broker_error(
            6004,
            {"hint": "oops", "offset": 7, "kind": 1, "record_key": b"k", "record_value": b"ten"},
        )
        assert isinstance(error, SmartModuleRuntimeError)
        assert (error.hint, error.offset, error.kind) == ("oops", 7, 1)
        assert (error.record_key, error.record_value) == (b"k", b"ten")
        assert "ten" not in f"{error} {error!r}"

    def test_a_topic_not_found_is_the_same_error_when_the_metadata_says_so(self) -> None:
        known = TopicNotFound(what="topic orders")
        told = broker_error(2001, what="topic orders")
        assert type(told) is TopicNotFound
        assert str(known) == str(told)
        assert known.code == told.code == 2001

    def test_families_can_be_caught(self) -> None:
        assert issubclass(TopicNotFound, TopicError)
        assert issubclass(SmartModuleRuntimeError, SmartModuleError)
        assert not PermissionDenied.retriable


def test_the_vocabulary_loads_neither_twisted_nor_wire() -> None:
    program = (
        "import sys\n"
        "import txfluvio.errors, txfluvio.config, txfluvio.profile, txfluvio.offset\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'twisted', 'tomlkit', 'OpenSSL', 'zope'}))\n"
        "print('txfluvio.wire' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


def test_what_was_not_stored_of_several_is_told_by_a_copy_too() -> None:
    error = NotAllStored(1, 2, ["stored", ClientClosed()], effect=Effect.UNKNOWN, retriable=False)
    for again in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert str(again).endswith("the first error: the client is closed")
