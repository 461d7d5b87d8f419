"""Where one frame ends and the next begins.

A frame is a 32-bit big-endian size, which does not count itself, and that many bytes. The
platform sets no limit and lets a bad size hang or crash it; here a size is checked when its prefix
is read, before anything is kept.
"""

from __future__ import annotations

import struct

from ..errors import ProtocolError

DEFAULT_MAX_FRAME_SIZE = 64 * 1024 * 1024
"""Bytes; above the largest legal batch (32 MiB) and above what a reader asks for."""

_SMALL = 4096
_SIZE = struct.Struct(">i")
_PREFIX = _SIZE.size


def frame(*parts: bytes | memoryview) -> bytes:
    """The parts as one frame, its size in front."""
    payload = b"".join(parts)
    return _SIZE.pack(len(payload)) + payload


class Frames:
    """Cuts a stream of bytes into frames, in a time that grows with the bytes and not the pieces.

    A size is taken off as soon as it is there. What arrives of an unfinished frame is kept as the
    pieces it came in and joined when the last one is there; small pieces are gathered into larger
    ones, so that a frame that drips in byte by byte takes no more memory than its size.

    :param max_frame_size: the largest frame accepted, in bytes without the prefix.
    :param first: the largest that the first one may be, if that is less.
    """

    def __init__(
        self, max_frame_size: int = DEFAULT_MAX_FRAME_SIZE, first: int | None = None
    ) -> None:
        self._later = max_frame_size
        self._limit = max_frame_size if first is None else min(first, max_frame_size)
        self._pieces: list[bytes | bytearray] = []
        self._held = 0
        self._size = 0
        self._broken: ProtocolError | None = None

    @property
    def pending(self) -> int:
        """Bytes held of a frame that is not complete; 0 between frames."""
        return self._held + (_PREFIX if self._size else 0)

    @property
    def broken(self) -> ProtocolError | None:
        """Why nothing more can be read, once a bad size was met."""
        return self._broken

    @property
    def rest(self) -> bytes:
        """The bytes that came and belong to no frame: those of one that is not complete or, once a
        bad size was met, all that was fed from there on until the call that met it.
        """
        prefix = _SIZE.pack(self._size) if self._size else b""
        return prefix + b"".join(self._pieces)

    @property
    def too_large(self) -> bytes:
        """What came of a frame over the limit, without its size, if that was the bad size."""
        rest = self.rest
        if self._broken is None or _SIZE.unpack_from(rest)[0] <= self._limit:
            return b""
        return rest[_PREFIX:]

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that ``data`` completes, without their sizes.

        Frames ahead of a bad size are returned: whoever has dealt with them looks at
        :attr:`broken`.

        :raises ProtocolError: a size is not positive, or over the limit, and no frame stands
            before it. Nothing can be read after that: every further call raises the same.
        """
        if self._broken is not None:
            raise self._broken
        if not self._pieces and not self._size and len(data) > _PREFIX:
            (size,) = _SIZE.unpack_from(data)
            if size == len(data) - _PREFIX and size <= self._limit:
                # Nearly always there is one frame and nothing else.
                self._limit = self._later
                return [data[_PREFIX:]]
        frames: list[bytes] = []
        pos = 0
        size = self._size
        if self._pieces:
            missing = (size or _PREFIX) - self._held
            if len(data) < missing:
                self._keep(data)
                self._held += len(data)
                return []
            # What follows stays out of it, or a large frame would be copied twice.
            whole = b"".join([*self._pieces, memoryview(data)[:missing]])
            self._pieces = []
            if size:
                self._limit = self._later
                frames.append(whole)
                pos = missing
                size = 0
            else:
                data = whole + data[missing:]
        end = len(data)
        while True:
            if not size:
                if end - pos < _PREFIX:
                    break
                (size,) = _SIZE.unpack_from(data, pos)
                if not 0 < size <= self._limit:
                    self._broken = self._refusal(size)
                    self._held = self._size = 0
                    self._pieces.append(data[pos:])
                    if frames:
                        return frames
                    raise self._broken
                pos += _PREFIX
            stop = pos + size
            if stop > end:
                break
            self._limit = self._later
            # Where this is all there is, it is no copy.
            frames.append(data[pos:stop])
            pos = stop
            size = 0
        self._size = size
        self._held = end - pos
        if pos < end:
            self._pieces.append(data[pos:] if pos else data)
        return frames

    def _keep(self, data: bytes) -> None:
        last = self._pieces[-1]
        if len(data) >= _SMALL:
            self._pieces.append(data)
        elif isinstance(last, bytearray) and len(last) < _SMALL:
            last += data
        else:
            self._pieces.append(bytearray(data))

    def _refusal(self, size: int) -> ProtocolError:
        if size > self._limit:
            reason = f"a frame of {size} bytes is over the limit of {self._limit}"
            if self._limit == self._later:
                reason += ": raise max_frame_size if it is an honest one"
            else:
                reason += " for the first one"
        else:
            reason = f"a frame of {size} bytes"
        return ProtocolError(reason, message="frame", field="size", position=0)
