"""The command line of ``fluvio-tail``, as a value; and what it says where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from txfluvio.config import Isolation, OffsetReset, OffsetStrategy, TlsConfig
from txfluvio.offset import Offset
from txfluvio.tap.options import Names, Options, Settings
from txfluvio.testing import FakeTls

CLUSTER = ("--cluster", "127.0.0.1:9003")


def parse(*arguments: str, cluster: tuple[str, ...] = CLUSTER) -> Settings:
    options = Options()
    options.parseOptions([*cluster, *arguments])
    return options.settings


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        ((), Offset.end()),
        (("-B",), Offset.beginning()),
        (("-H", "3"), Offset.from_beginning(3)),
        (("-T", "3"), Offset.from_end(3)),
        (("--start", "3"), Offset.absolute(3)),
        (("-c", "me"), Offset.stored(Offset.end())),
        (("-c", "me", "-B"), Offset.stored(Offset.beginning())),
    ],
)
def test_where_to_start(arguments: tuple[str, ...], start: Offset) -> None:
    assert parse(*arguments, "orders").start == start


@pytest.mark.parametrize(
    ("arguments", "stop"),
    [
        ((), None),
        (("-d",), Offset.end()),
        (("--end", "9"), Offset.absolute(10)),
        (("-d", "--end", "9"), Offset.nearest(10)),
        # What is stored may be below where it starts with nothing stored.
        (("-c", "me", "-H", "10", "--end", "9"), Offset.absolute(10)),
    ],
)
def test_where_to_stop(arguments: tuple[str, ...], stop: Offset | None) -> None:
    assert parse(*arguments, "orders").stop == stop


def test_several_topics_once_each_and_patterns() -> None:
    names = parse("orders", "logs-*", "orders", "pay?").topics
    assert names == Names(exact=("orders",), patterns=("logs-*", "pay?"))
    assert [names.match(topic) for topic in ("logs-1", "pays", "orders")] == [True, True, False]


def test_partitions_add_up() -> None:
    assert parse("-p", "2", "--partition", "0", "orders").partitions == (2, 0)
    assert parse("-A", "orders").partitions is None


def test_a_consumer_s_offsets_are_stored_by_themselves() -> None:
    consumer = parse("-c", "me", "orders").consumer
    assert (consumer.consumer_id, consumer.offsets) == ("me", OffsetStrategy.AUTO)


def test_a_smartmodule_with_its_parameters() -> None:
    (invocation,) = parse(
        *("--smartmodule", "filter", "-e", "a=1", "-e", "b=x=y", "--aggregate-initial", "0", "t")
    ).consumer.smartmodules
    assert (invocation.name, invocation.wasm) == ("filter", None)
    assert dict(invocation.params) == {"a": "1", "b": "x=y"}
    assert invocation.accumulator == b"0"


def test_an_aggregate_may_start_from_any_bytes() -> None:
    """What is no UTF-8 on a command line is in ``sys.argv`` as lone surrogates."""
    found = parse("--smartmodule", "sum", "--aggregate-initial", "\udcff", "t")
    assert found.consumer.smartmodules[0].accumulator == b"\xff"


def test_a_smartmodule_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "filter.wasm").write_bytes(b"\0asm")
    path = str(tmp_path / "filter.wasm")
    (invocation,) = parse("--smartmodule-path", path, "-e", "a=1", "t").consumer.smartmodules
    assert (invocation.name, dict(invocation.params)) == ("filter.wasm", {"a": "1"})
    assert invocation.wasm is not None


def test_a_chain_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "chain.yaml").write_text(
        "transforms:\n  - uses: one\n    with: {a: '1'}\n  - uses: two\n"
    )
    chain = parse("--transforms", str(tmp_path / "chain.yaml"), "t").consumer.smartmodules
    assert [step.name for step in chain] == ["one", "two"]


@pytest.mark.parametrize("spelling", ["read_committed", "ReadCommitted", "readCommitted"])
def test_isolation_has_the_spellings_of_fluvio(spelling: str) -> None:
    settings = parse("--isolation", spelling, "orders")
    assert settings.consumer.isolation is Isolation.READ_COMMITTED


def test_what_to_do_where_the_offset_is_gone() -> None:
    assert parse("orders").consumer.reset is OffsetReset.ERROR
    assert parse("--reset", "earliest", "orders").consumer.reset is OffsetReset.EARLIEST


def test_metrics_are_for_this_machine_unless_told() -> None:
    assert parse("--metrics", "9100", "orders").metrics == ("127.0.0.1", 9100)
    assert parse("--metrics", "0.0.0.0:9100", "orders").metrics == ("0.0.0.0", 9100)


def test_a_profile_by_name(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        'version = "2.0"\ncurrent_profile = "a"\n'
        '[profile.a]\ncluster = "a"\n[profile.b]\ncluster = "b"\n'
        '[cluster.a]\nendpoint = "a.example:1"\n[cluster.b]\nendpoint = "b.example:2"\n'
    )
    from_file = ("--profile-file", str(tmp_path / "config"))
    assert parse("orders", cluster=from_file).config.endpoint == "a.example:1"
    named = parse("--profile", "b", "orders", cluster=from_file)
    assert named.config.endpoint == "b.example:2"


def test_any_tls_option_means_tls() -> None:
    assert parse("orders").config.tls is None
    named = parse("--tls-server-name", "fluvio.example", "orders").config.tls
    assert named is not None
    assert (named.server_name, named.anonymous) == ("fluvio.example", False)
    insecure = parse("--tls-insecure", "orders").config.tls
    assert insecure is not None
    assert insecure.anonymous


def test_certificates_stay_files_so_that_renewed_ones_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named from the directory of now: ``twistd`` may go to another."""
    FakeTls().write(tmp_path)
    monkeypatch.chdir(tmp_path)
    files = ("--tls-ca", "ca.crt", "--tls-cert", "client.crt", "--tls-key", "client.key")
    assert parse(*files, "orders").config.tls == TlsConfig(
        ca_file=tmp_path / "ca.crt",
        cert_file=tmp_path / "client.crt",
        key_file=tmp_path / "client.key",
    )


def test_certificates_that_will_not_do_are_found_before_anything_begins(tmp_path: Path) -> None:
    files = FakeTls().write(tmp_path)
    other = ("--tls-cert", str(files.client_cert), "--tls-key", str(files.server_key))
    with pytest.raises(UsageError, match=r"server\.key.*the key that belongs to the certificate"):
        parse(*other, "orders")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "which topic"),
        (("",), "which topic"),
        (("-p", "x", "t"), "--partition takes a whole number, 0 to 4294967295, not 'x'"),
        (("-p", "4294967296", "t"), "--partition takes a whole number, 0 to 4294967295"),
        (("--end", "9223372036854775807", "t"), "--end takes a whole number, 0 to 92233"),
        (("-b", "99999999999", "t"), "--maxbytes takes a whole number, 1 to 2147483647"),
        (("--cluster", "foo", "t"), "--cluster takes host:port, with a port from 1 to 65535, not"),
        (("-p", "0", "-A", "t"), "exclude each other"),
        (("-H", "-1", "t"), "--head takes a whole number"),
        (("-n", "1" * 5000, "t"), "--lines takes a whole number, 1 or more"),
        (("-n", "0", "t"), "--lines takes a whole number, 1 or more, not '0'"),
        (("-B", "-T", "3", "t"), "--beginning and --tail exclude each other"),
        (("--start", "5", "--end", "4", "t"), "--end takes an offset from --start"),
        (("-H", "5", "--end", "4", "t"), "--end takes an offset from --head, 5, on, not 4"),
        (("-F", "{{nope}}", "t"), "not {{nope}}"),
        (("-F", "x", "-k", "t"), "--format and --key-value exclude each other"),
        (("-O", "table", "t"), "--output takes dynamic, text, binary, json, raw, not 'table'"),
        (("--isolation", "maybe", "t"), "--isolation takes read_committed"),
        (("--reset", "never", "t"), "--reset takes earliest, latest or error, not 'never'"),
        (("--stats", "0", "t"), "--stats takes seconds"),
        (("--stats", "nan", "t"), "--stats takes seconds"),
        (("--metrics", "x", "t"), "--metrics takes PORT or HOST:PORT"),
        (("--metrics", "1" * 5000, "t"), "--metrics takes PORT or HOST:PORT"),
        (("--metrics", ":80", "t"), "--metrics takes PORT or HOST:PORT"),
        (("--profile", "x", "t"), "--cluster and --profile exclude each other"),
        (("--tls-ca", "/nonexistent", "t"), "--tls-ca is '/nonexistent': expected a file"),
        (("--tls-insecure", "--tls-ca", "x", "t"), "--tls-insecure is True: expected no auth"),
        (("--tls-cert", "/nonexistent", "t"), "--tls-cert takes a --tls-key beside it"),
        (("--tls-key", "/nonexistent", "t"), "--tls-key takes a --tls-cert beside it"),
        (("--to", "", "t"), "--to takes the name of a file, not ''"),
        (("--tls-ca", "", "t"), "--tls-ca is (not shown, of type str)"),
        (("--tls-cert", "", "--tls-key", "", "t"), "--tls-cert is (not shown"),
        (("--tls-key", "", "t"), "--tls-key is (not shown, of type str)"),
        (("--tls-server-name", "", "t"), "--tls-server-name is '': expected a host name"),
        (("-c", "", "t"), "--consumer takes a name, not ''"),
        (("-e", "a=1", "t"), "--params takes a --smartmodule beside it"),
        (("-e", "a", "--smartmodule", "m", "t"), "--params takes KEY=VALUE, not 'a'"),
        (("--aggregate-initial", "1", "t"), "--aggregate-initial takes a --smartmodule"),
        (("--smartmodule", "m", "-t", "f", "t"), "--smartmodule and --transforms exclude"),
        (("--smartmodule-path", "/nonexistent", "t"), "--smartmodule-path is '/nonexistent'"),
        (("--transforms", "/nonexistent", "t"), "/nonexistent"),
        (("--nonsense", "t"), "nonsense"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(*arguments)
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_key_in_place_of_its_file_is_not_shown() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"
    with pytest.raises(UsageError, match="the path of a file") as raised:
        parse("--tls-cert", "client.crt", "--tls-key", key, "orders")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("orders", "-B", "-d", "-n", "3"),
        ("-B", "orders", "--disable-continuous", "--lines=3"),
        ("orders", "-Bdn3"),
        ("-B", "-d", "--lines", "3", "--", "orders"),
    ],
)
def test_options_may_stand_behind_the_topic(arguments: tuple[str, ...]) -> None:
    found = parse(*arguments)
    assert found.topics.exact == ("orders",)
    assert (found.start, found.lines, found.continuous) == (Offset.beginning(), 3, False)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--nonsense", "option --nonsense not recognized"),
        ("-Z", "option -Z not recognized"),
        ("--lines", "option --lines requires argument"),
    ],
)
def test_a_wrong_option_behind_the_topic_is_no_topic(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        parse("orders", "-d", argument)


def test_behind_two_dashes_nothing_is_an_option() -> None:
    found = parse("-B", "--", "-d")
    assert found.topics.exact == ("-d",)
    assert found.continuous
