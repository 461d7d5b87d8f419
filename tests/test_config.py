"""The settings: what they are by default, what they refuse, and what they never show."""

from __future__ import annotations

import enum
import math
import os
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from txfluvio.config import (
    ClientConfig,
    ConsumerConfig,
    Delivery,
    Isolation,
    OffsetReset,
    OffsetStrategy,
    ProducerConfig,
    RetryPolicy,
    TlsConfig,
    TlsVersion,
    join_endpoint,
    parse_endpoint,
)
from txfluvio.errors import InvalidConfig
from txfluvio.smartmodule import SmartModuleInvocation

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"


def client(**settings: Any) -> ClientConfig:
    return ClientConfig(**{"endpoint": "sc.test:9003", **settings})


class Codec(enum.IntEnum):
    LZ4 = 3


class TestDefaults:
    """Users rely on these, so a change of one is a change of the interface."""

    def test_of_a_client(self) -> None:
        config = client()
        assert config.tls is None
        assert config.client_id == "txfluvio"
        assert not config.use_spu_local_address
        assert (config.connect_timeout, config.handshake_timeout) == (10, 5)
        assert (config.request_timeout, config.frame_timeout) == (60, 30)
        assert config.max_frame_size == config.max_decompressed_size == 64 * 2**20
        assert config.write_budget == 2**20
        assert config.buffer_memory == 64 * 2**20

    def test_creating_waits_longer_than_the_sc_does(self) -> None:
        assert client().create_timeout > 90

    def test_of_a_producer(self) -> None:
        config = ProducerConfig()
        assert config.linger == 0
        assert (config.batch_size, config.max_request_size) == (16_384, 1_048_576)
        assert config.compression is None
        assert config.partitioner is None
        assert config.isolation is Isolation.READ_UNCOMMITTED
        assert config.delivery is Delivery.AT_LEAST_ONCE
        assert config.replication_timeout == 1.5

    def test_of_a_consumer(self) -> None:
        config = ConsumerConfig()
        assert config.push_size == 1_048_890
        assert config.smartmodules == ()
        assert config.isolation is Isolation.READ_UNCOMMITTED
        assert config.check_crc
        assert config.consumer_id is None
        assert config.offsets is OffsetStrategy.NONE
        assert config.reset is OffsetReset.ERROR

    def test_a_consumer_s_buffer_holds_several_pushes(self) -> None:
        assert ConsumerConfig().buffer_memory >= 4 * ConsumerConfig().push_size

    def test_what_comes_out_of_smartmodules_may_be_as_large_as_any_batch(self) -> None:
        config = attrs.evolve(ConsumerConfig(), smartmodules=[SmartModuleInvocation("upper")])
        assert config.push_size == 32 * 2**20
        assert attrs.evolve(config, max_bytes=1000).push_size == 1000

    def test_the_isolation_is_the_number_of_a_fetch(self) -> None:
        assert [int(member) for member in Isolation] == [0, 1]


@pytest.mark.parametrize(
    "cls", [ClientConfig, ProducerConfig, ConsumerConfig, TlsConfig, RetryPolicy]
)
def test_every_setting_is_explained(cls: type[Any]) -> None:
    for field in attrs.fields(cls):
        assert f":ivar {field.name}:" in (cls.__doc__ or "")


@pytest.mark.parametrize("cls", [ProducerConfig, ConsumerConfig, TlsConfig, RetryPolicy])
def test_settings_are_values(cls: type[Any]) -> None:
    assert cls() == cls()
    assert hash(cls()) == hash(cls())
    with pytest.raises(TypeError):
        cls(1)


def test_settings_can_not_be_changed_in_place() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        client().connect_timeout = 3  # type: ignore[misc]


def test_a_changed_copy_is_checked_again() -> None:
    config = client()
    assert attrs.evolve(config, connect_timeout=3).connect_timeout == 3
    with pytest.raises(InvalidConfig):
        attrs.evolve(config, connect_timeout=-3)


def test_an_error_names_the_setting_the_value_and_what_it_can_be() -> None:
    with pytest.raises(InvalidConfig) as caught:
        ProducerConfig(linger=-1)
    assert caught.value.setting == "ProducerConfig.linger"
    assert str(caught.value) == "ProducerConfig.linger is -1: expected seconds, a number, 0 or more"


POSITIVE_SECONDS = [
    (ClientConfig, "connect_timeout"),
    (ClientConfig, "handshake_timeout"),
    (ClientConfig, "request_timeout"),
    (ClientConfig, "create_timeout"),
    (ClientConfig, "frame_timeout"),
    (ClientConfig, "keepalive"),
    (ClientConfig, "idle_probe"),
    (ProducerConfig, "delivery_timeout"),
    (ProducerConfig, "close_timeout"),
    (ConsumerConfig, "flush_interval"),
    (ConsumerConfig, "quiet_time"),
    (RetryPolicy, "deadline"),
]
SIZES = [
    (ClientConfig, "max_connections"),
    (ClientConfig, "max_frame_size"),
    (ClientConfig, "max_decompressed_size"),
    (ClientConfig, "max_decompression_ratio"),
    (ClientConfig, "max_batch_records"),
    (ClientConfig, "write_budget"),
    (ClientConfig, "buffer_memory"),
    (ProducerConfig, "batch_size"),
    (ProducerConfig, "max_request_size"),
    (ProducerConfig, "buffer_memory"),
    (ConsumerConfig, "max_bytes"),
    (ConsumerConfig, "buffer_memory"),
]


def make(cls: type[Any], **settings: Any) -> Any:
    return client(**settings) if cls is ClientConfig else cls(**settings)


@pytest.mark.parametrize(("cls", "name"), POSITIVE_SECONDS)
def test_times_are_positive_numbers(cls: type[Any], name: str) -> None:
    assert getattr(make(cls, **{name: 0.25}), name) == 0.25
    for wrong in (0, -1, math.nan, math.inf, 10**400, "1", True):
        with pytest.raises(InvalidConfig, match=name):
            make(cls, **{name: wrong})


@pytest.mark.parametrize(("cls", "name"), SIZES)
def test_sizes_and_counts_are_positive_whole_numbers(cls: type[Any], name: str) -> None:
    for wrong in (0, -1, 1.5, "1", True):
        with pytest.raises(InvalidConfig, match=name):
            make(cls, **{name: wrong})


@pytest.mark.parametrize(
    ("cls", "name", "wrong"),
    [
        (ClientConfig, "tls", True),
        (ClientConfig, "client_id", "x" * 32_768),
        (ClientConfig, "client_id", "\ud800"),
        (ClientConfig, "client_id", b"me"),
        (ClientConfig, "use_spu_local_address", "yes"),
        (ClientConfig, "retry", None),
        (ClientConfig, "max_frame_size", 2**31),
        (ProducerConfig, "linger", math.nan),
        (ProducerConfig, "linger", True),
        (ProducerConfig, "max_request_size", 32 * 2**20 + 1),
        (ProducerConfig, "isolation", 1),
        (ProducerConfig, "delivery", "at-least-once"),
        (ProducerConfig, "replication_timeout", -0.1),
        (ProducerConfig, "replication_timeout", 1e9),
        (ProducerConfig, "partitioner", "murmur"),
        (ConsumerConfig, "max_bytes", 2**31),
        (ConsumerConfig, "isolation", Delivery.AT_LEAST_ONCE),
        (ConsumerConfig, "check_crc", 1),
        (ConsumerConfig, "consumer_id", ""),
        (ConsumerConfig, "consumer_id", "x" * 32_768),
        (ConsumerConfig, "offsets", "auto"),
        (ConsumerConfig, "reset", "earliest"),
        (ConsumerConfig, "offset_store", {}),
        (ConsumerConfig, "smartmodules", "only-errors"),
        (ConsumerConfig, "smartmodules", ["only-errors"]),
        (ConsumerConfig, "smartmodules", SmartModuleInvocation("only-errors")),
        (ProducerConfig, "smartmodules", [None]),
        (RetryPolicy, "initial", 0),
        (RetryPolicy, "factor", 0.9),
        (RetryPolicy, "jitter", 1.1),
        (RetryPolicy, "jitter", -0.1),
        (TlsConfig, "server_name", ""),
        (TlsConfig, "server_name", "a.test:9003"),
        (TlsConfig, "server_name", "x" * 254),
        (TlsConfig, "ca_file", ""),
        (TlsConfig, "ca_pem", "/etc/ca.crt"),
        (TlsConfig, "ca_pem", "\ud800"),
        (TlsConfig, "cert_pem", "\ud800"),
        (TlsConfig, "key_pem", "\ud800"),
        (TlsConfig, "insecure_anonymous", "yes"),
        (TlsConfig, "minimum_version", "1.2"),
    ],
)
def test_what_makes_no_sense_is_refused(cls: type[Any], name: str, wrong: object) -> None:
    with pytest.raises(InvalidConfig, match=f"{cls.__name__}.{name}"):
        make(cls, **{name: wrong})


class TestEndpoint:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("127.0.0.1:9003", "127.0.0.1", 9003),
            ("sc.example.net:1", "sc.example.net", 1),
            ("[::1]:65535", "::1", 65535),
        ],
    )
    def test_is_host_and_port(self, text: str, host: str, port: int) -> None:
        assert parse_endpoint(text) == (host, port)
        assert join_endpoint(host, port) == text
        assert ClientConfig(endpoint=text).address == (host, port)

    def test_to_listen_at_may_be_any_free_port(self) -> None:
        assert parse_endpoint("[::1]:0", lowest_port=0) == ("::1", 0)
        with pytest.raises(ValueError, match="host:port, with a port from 0 to 65535"):
            parse_endpoint("localhost", lowest_port=0)

    def test_with_a_port_of_thousands_of_digits_is_said_to_be_none_in_the_same_words(self) -> None:
        with pytest.raises(ValueError, match="host:port, with a port from 1 to 65535"):
            parse_endpoint("localhost:" + "9" * 5000)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "localhost",
            "localhost:",
            ":9003",
            "localhost:0",
            "localhost:65536",
            "localhost:-1",
            "localhost:+1",
            "localhost:9003 ",
            "local\ud800host:9003",
            "local\x07host:9003",
            "localhost:٣",
            "::1:9003",
            "[]:9003",
            "[::1]",
            "http://localhost:9003",
            "me@localhost:9003",
            "local host:9003",
            None,
            ("localhost", 9003),
        ],
    )
    def test_no_other_text_is_one_and_no_port_is_assumed(self, text: Any) -> None:
        with pytest.raises(InvalidConfig, match=r"ClientConfig\.endpoint.*host:port"):
            ClientConfig(endpoint=text)


class TestProducer:
    def test_a_codec_is_a_name_or_a_member_of_that_name(self) -> None:
        assert ProducerConfig(compression="LZ4").compression == "lz4"
        assert ProducerConfig(compression=Codec.LZ4).compression == "lz4"

    def test_uncompressed_is_not_the_same_as_whatever_the_topic_wants(self) -> None:
        assert ProducerConfig(compression="none") != ProducerConfig()

    @pytest.mark.parametrize("codec", ["brotli", "", 3, b"lz4"])
    def test_another_codec_is_refused(self, codec: Any) -> None:
        with pytest.raises(InvalidConfig, match="gzip, snappy, lz4, zstd"):
            ProducerConfig(compression=codec)

    def test_a_batch_fits_into_a_request(self) -> None:
        with pytest.raises(InvalidConfig, match="at most max_request_size, 1000"):
            ProducerConfig(batch_size=1001, max_request_size=1000)

    def test_a_request_fits_into_the_buffer(self) -> None:
        with pytest.raises(InvalidConfig, match="at most buffer_memory, 65536"):
            ProducerConfig(buffer_memory=65_536)

    @pytest.mark.parametrize("linger", [5.0, 5.1])
    def test_what_lingers_leaves_before_it_is_given_up(self, linger: float) -> None:
        with pytest.raises(InvalidConfig, match=r"linger.*less than delivery_timeout, 5"):
            ProducerConfig(linger=linger, delivery_timeout=5.0)
        assert ProducerConfig(linger=linger, delivery_timeout=5.2).linger == linger

    def test_waiting_for_replicas_may_be_no_waiting(self) -> None:
        assert ProducerConfig(replication_timeout=0).replication_timeout == 0


class TestConsumer:
    @pytest.mark.parametrize("strategy", [OffsetStrategy.MANUAL, OffsetStrategy.AUTO])
    def test_storing_offsets_needs_a_name(self, strategy: OffsetStrategy) -> None:
        with pytest.raises(InvalidConfig, match=r"ConsumerConfig\.consumer_id"):
            ConsumerConfig(offsets=strategy)
        assert ConsumerConfig(offsets=strategy, consumer_id="me").offsets is strategy

    def test_a_name_without_storing_is_fine(self) -> None:
        assert ConsumerConfig(consumer_id="me").offsets is OffsetStrategy.NONE


class TestRetry:
    def test_waits_grow_by_the_factor_up_to_the_maximum(self) -> None:
        policy = RetryPolicy(initial=1, factor=3, maximum=20, jitter=0)
        assert [policy.delay(n, Random(0)) for n in range(5)] == [1, 3, 9, 20, 20]

    def test_no_attempt_is_too_many(self) -> None:
        assert RetryPolicy(jitter=0).delay(10**6, Random(0)) == RetryPolicy().maximum

    def test_the_same_seed_gives_the_same_waits(self) -> None:
        def first(seed: int) -> list[float]:
            waits = RetryPolicy().delays(Random(seed))
            return [next(waits) for _ in range(10)]

        assert first(7) == first(7)
        assert first(7) != first(8)

    @given(st.integers(0, 10**6), st.integers(0, 2**32), st.floats(0, 1))
    def test_jitter_shortens_a_wait_by_no_more_than_its_part(
        self, attempt: int, seed: int, jitter: float
    ) -> None:
        longest = RetryPolicy(jitter=0).delay(attempt, Random(0))
        wait = RetryPolicy(jitter=jitter).delay(attempt, Random(seed))
        assert longest * (1 - jitter) * (1 - 1e-9) <= wait <= longest

    def test_the_longest_wait_is_no_shorter_than_the_first(self) -> None:
        with pytest.raises(InvalidConfig, match=r"RetryPolicy\.maximum"):
            RetryPolicy(initial=2, maximum=1)


class TestTls:
    def test_verifies_by_default(self) -> None:
        config = TlsConfig()
        assert not config.anonymous
        assert (config.ca_file, config.ca_pem) == (None, None)
        assert config.minimum_version is TlsVersion.TLS_1_2

    def test_not_verifying_is_asked_for_by_a_name_that_says_so(self) -> None:
        assert TlsConfig.insecure_anonymous().anonymous
        with pytest.raises(TypeError):
            TlsConfig(anonymous=True)  # type: ignore[call-arg]

    def test_not_verifying_survives_a_changed_copy(self) -> None:
        config = attrs.evolve(TlsConfig.insecure_anonymous(), server_name="a.test")
        assert config.anonymous

    def test_authorities_and_not_verifying_contradict_each_other(self) -> None:
        with pytest.raises(InvalidConfig, match=r"TlsConfig\.insecure_anonymous"):
            TlsConfig(ca_pem=CERTIFICATE, insecure_anonymous=True)

    def test_a_certificate_comes_with_its_key(self) -> None:
        assert TlsConfig(cert_pem=CERTIFICATE, key_file="client.key").has_certificate
        assert not TlsConfig(ca_file="ca.crt").has_certificate
        expected = "is None: expected both a certificate and its key, or neither"
        with pytest.raises(InvalidConfig, match=f"^TlsConfig.key_file {expected}"):
            TlsConfig(cert_pem=CERTIFICATE)
        with pytest.raises(InvalidConfig, match=f"^TlsConfig.cert_file {expected}"):
            TlsConfig(key_pem=KEY)

    @pytest.mark.parametrize("part", ["ca", "cert", "key"])
    def test_each_part_has_one_source(self, part: str) -> None:
        sources: dict[str, Any] = {f"{part}_file": "x", f"{part}_pem": CERTIFICATE}
        with pytest.raises(InvalidConfig, match=f"no {part}_pem beside it"):
            TlsConfig(**sources)

    def test_paths_and_texts_are_taken_in_either_form(self) -> None:
        assert TlsConfig(ca_file=Path("ca.crt")) == TlsConfig(ca_file="ca.crt")
        assert TlsConfig(ca_pem=CERTIFICATE) == TlsConfig(ca_pem=CERTIFICATE.encode())

    def test_secrets_are_never_shown(self) -> None:
        config = client(tls=TlsConfig(cert_pem=CERTIFICATE, key_pem=KEY))
        assert "hunter2" not in repr(config)
        with pytest.raises(InvalidConfig) as caught:
            TlsConfig(cert_pem=CERTIFICATE, key_pem="hunter2")
        assert "hunter2" not in f"{caught.value} {caught.value!r} {caught.value.args}"

    @pytest.mark.parametrize("part", ["ca", "cert", "key"])
    @pytest.mark.parametrize("text", [KEY, KEY.encode(), "hunter2\n", "hunter2\0", "hunter2\ud800"])
    def test_what_is_no_path_is_refused_and_not_shown(self, part: str, text: Any) -> None:
        files: dict[str, Any] = {"cert_file": "c", "key_file": "k", f"{part}_file": text}
        expected = rf"TlsConfig\.{part}_file .*the path of a file; PEM text goes into {part}_pem"
        with pytest.raises(InvalidConfig, match=expected) as caught:
            TlsConfig(**files)
        assert "hunter2" not in f"{caught.value} {caught.value!r} {caught.value.args}"

    def test_a_key_given_twice_is_not_shown(self) -> None:
        with pytest.raises(InvalidConfig) as caught:
            TlsConfig(cert_pem=CERTIFICATE, key_file=KEY, key_pem=KEY)
        assert "hunter2" not in f"{caught.value} {caught.value!r} {caught.value.args}"

    def test_a_path_may_have_bytes_that_are_no_text(self) -> None:
        path = os.fsdecode(b"ca-\xff.crt")
        assert TlsConfig(ca_file=path).ca_file == path

    def test_of_what_stands_in_its_place_only_the_type_is_shown(self) -> None:
        with pytest.raises(
            InvalidConfig, match=r"ClientConfig\.tls .*of type dict.*a TlsConfig"
        ) as e:
            client(tls={"key_pem": "hunter2"})
        assert "hunter2" not in f"{e.value} {e.value!r} {e.value.args}"

    def test_inline_reads_the_files(self, tmp_path: Path) -> None:
        for name in ("ca", "cert"):
            (tmp_path / name).write_text(CERTIFICATE)
        (tmp_path / "key").write_text(KEY)
        config = TlsConfig(
            server_name="a.test",
            ca_file=tmp_path / "ca",
            cert_file=tmp_path / "cert",
            key_file=tmp_path / "key",
        )
        assert config.inline() == TlsConfig(
            server_name="a.test", ca_pem=CERTIFICATE, cert_pem=CERTIFICATE, key_pem=KEY
        )

    def test_inline_of_what_has_no_files_is_itself(self) -> None:
        assert TlsConfig(ca_pem=CERTIFICATE).inline() == TlsConfig(ca_pem=CERTIFICATE)

    def test_inline_names_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        missing = tmp_path / "gone.crt"
        with pytest.raises(InvalidConfig, match=r"TlsConfig\.ca_file .*gone\.crt.*No such file"):
            TlsConfig(ca_file=missing).inline()

    def test_inline_names_a_file_without_pem_and_does_not_show_it(self, tmp_path: Path) -> None:
        path = tmp_path / "ca.der"
        path.write_bytes(b"hunter2")
        with pytest.raises(InvalidConfig, match=r"ca\.der.*PEM") as caught:
            TlsConfig(ca_file=path).inline()
        assert "hunter2" not in str(caught.value)
