"""The five codecs of a batch, and the bound on what comes out of them.

The numbers are those of a batch's attribute bits; a topic's compression policy numbers them
differently (:class:`txfluvio.wire.sc.TopicCompression`). gzip is one RFC 1952 member, snappy the
framing format (not raw, not Kafka's), lz4 and zstd their standard frames, as
``fluvio-compression/src`` writes them. Output goes into a buffer that grows only as far as the
limit, so a small input can not ask for much memory.
"""

from __future__ import annotations

import enum
import zlib
from functools import cache

import cramjam

from ..errors import ProtocolError

DEFAULT_MAX_DECOMPRESSED_SIZE = 64 * 1024 * 1024
"""Bytes that one batch may decompress to."""

_FIRST_GUESS = 4
_MORE_THAN_ONE_BLOCK = 300_000
_SMALLEST_BUFFER = 4096
_GZIP_LEVEL = 6
_GZIP_WINDOW = 31
_LZ4_LEVEL = 1
_ZSTD_LEVEL = 1


class Compression(enum.IntEnum):
    """The codec of a batch, as its attributes number it."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


_MODULES = {
    Compression.SNAPPY: cramjam.snappy,
    Compression.LZ4: cramjam.lz4,
    Compression.ZSTD: cramjam.zstd,
}


def compress(codec: Compression, data: bytes) -> bytes:
    """``data`` compressed with ``codec``."""
    match codec:
        case Compression.NONE:
            return data
        case Compression.GZIP:
            return zlib.compress(data, _GZIP_LEVEL, wbits=_GZIP_WINDOW)
        case Compression.SNAPPY:
            return bytes(cramjam.snappy.compress(data))
        case Compression.LZ4:
            return bytes(cramjam.lz4.compress(data, level=_LZ4_LEVEL))
        case Compression.ZSTD:
            return bytes(cramjam.zstd.compress(data, level=_ZSTD_LEVEL))


def decompress(
    codec: Compression,
    data: bytes,
    limit: int = DEFAULT_MAX_DECOMPRESSED_SIZE,
    setting: str = "max_decompressed_size",
) -> bytes:
    """What ``data`` holds; for gzip its first member.

    :param limit: the most bytes that may come out.
    :param setting: what sets the limit, for the error.
    :raises ProtocolError: corrupt input, or more than ``limit`` bytes.
    """
    if codec is Compression.NONE:
        return data
    if codec is Compression.GZIP:
        return _gunzip(data, limit, setting)
    module = _MODULES[codec]
    size = min(limit, max(_SMALLEST_BUFFER, len(data) * _FIRST_GUESS))
    while True:
        buffer = bytearray(size)
        try:
            written = module.decompress_into(data, buffer)
        except cramjam.DecompressionError as error:
            # Where it is not known which of the two gave out, more room tells.
            no_room = _without_room(codec)
            if size >= limit or (no_room is not None and str(error) != no_room):
                raise _failure(codec, limit, setting, no_room, error) from error
            size = min(limit, size * _FIRST_GUESS)
            continue
        except BaseException as error:
            # A Rust panic (not an Exception) is how some corrupt inputs end.
            if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
                raise
            raise ProtocolError(f"{codec.name.lower()}: {error}", field="records") from error
        return bytes(memoryview(buffer)[:written])


def _gunzip(data: bytes, limit: int, setting: str) -> bytes:
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        out = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise ProtocolError(f"gzip: {error}", field="records") from error
    if len(out) > limit:
        reason = f"gzip: decompresses to more than {limit} bytes ({setting})"
        raise ProtocolError(reason, field="records")
    if not inflater.eof:
        raise ProtocolError("gzip: the stream ends early", field="records")
    return out


@cache
def _without_room(codec: Compression) -> str | None:
    """What the codec says where the room gives out; None: not always the same.

    Any other complaint is about the input then. It is tried, since each version of the library has
    words of its own.
    """
    data = compress(codec, bytes(_MORE_THAN_ONE_BLOCK))
    said = set()
    for size in (1, _MORE_THAN_ONE_BLOCK // 2, _MORE_THAN_ONE_BLOCK - 1):
        try:
            _MODULES[codec].decompress_into(data, bytearray(size))
        except cramjam.DecompressionError as error:
            said.add(str(error))
    return said.pop() if len(said) == 1 else None


def _failure(
    codec: Compression, limit: int, setting: str, no_room: str | None, error: Exception
) -> ProtocolError:
    if no_room is None:
        reason = f"corrupt, or more than {limit} bytes ({setting}): {error}"
    elif str(error) == no_room:
        reason = f"decompresses to more than {limit} bytes ({setting})"
    else:
        reason = str(error)
    return ProtocolError(f"{codec.name.lower()}: {reason}", field="records")
