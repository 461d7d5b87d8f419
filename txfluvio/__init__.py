"""Fluvio for Twisted: a client for the streaming platform, and a fake cluster to test against.

This is the front door. It exports names and nothing else, each loaded when first asked for, so
that ``import txfluvio.wire`` brings in no Twisted and installs no reactor.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors
    from .admin import ObjectKind
    from .client import FluvioClient
    from .cluster import ConnectionState
    from .config import (
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
    )
    from .consumer import Consumer, ConsumerService, LogEnds, OnFailure, Share
    from .errors import FluvioError
    from .offset import Offset
    from .producer import Producer, RecordMetadata
    from .smartmodule import Lookback, SmartModuleInvocation, SmartModuleKind
    from .transforms import load_transforms, parse_transforms
    from .wire.records import Record

_HOME = {
    "ClientConfig": "config",
    "ConnectionState": "cluster",
    "Consumer": "consumer",
    "ConsumerConfig": "config",
    "ConsumerService": "consumer",
    "Delivery": "config",
    "FluvioClient": "client",
    "FluvioError": "errors",
    "Isolation": "config",
    "LogEnds": "consumer",
    "Lookback": "smartmodule",
    "ObjectKind": "admin",
    "Offset": "offset",
    "OffsetReset": "config",
    "OffsetStrategy": "config",
    "OnFailure": "consumer",
    "Producer": "producer",
    "ProducerConfig": "config",
    "Record": "wire.records",
    "RecordMetadata": "producer",
    "RetryPolicy": "config",
    "Share": "consumer",
    "SmartModuleInvocation": "smartmodule",
    "SmartModuleKind": "smartmodule",
    "TlsConfig": "config",
    "TlsVersion": "config",
    "load_transforms": "transforms",
    "parse_transforms": "transforms",
}

__all__ = [
    "ClientConfig",
    "ConnectionState",
    "Consumer",
    "ConsumerConfig",
    "ConsumerService",
    "Delivery",
    "FluvioClient",
    "FluvioError",
    "Isolation",
    "LogEnds",
    "Lookback",
    "ObjectKind",
    "Offset",
    "OffsetReset",
    "OffsetStrategy",
    "OnFailure",
    "Producer",
    "ProducerConfig",
    "Record",
    "RecordMetadata",
    "RetryPolicy",
    "Share",
    "SmartModuleInvocation",
    "SmartModuleKind",
    "TlsConfig",
    "TlsVersion",
    "errors",
    "load_transforms",
    "parse_transforms",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module(".errors", __name__)
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
