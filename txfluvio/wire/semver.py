"""Semantic versions as servers read them: strictly from clients and packages, leniently in names.

They use the Rust crates ``semver`` and ``lenient_semver``; what these accept and how they complain
shows in the answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_STRICT = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})"
    rf"(?:-{_PRE}(?:\.{_PRE})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_LAST_WORD = "(?:r|(?i:final|release))"
_READ_OTHERWISE = re.compile(rf"[0-9.]+-(?:-|{_LAST_WORD}(?:\+|$))|[^+]*\+-")
"""Strict versions that the lenient crate does not take as they are."""
_TOKENS = re.compile(r"\s+|[0-9A-Za-z]+|.", re.DOTALL)
_PARTS = ("major", "minor", "patch")
_MAX_NUMBER = 2**64 - 1


def is_semver(text: str) -> bool:
    """Whether a server takes ``text`` for a semantic version, for example of a client."""
    match = _STRICT.fullmatch(text)
    return match is not None and all(_is_number(number) for number in match.groups())


class LenientError(ValueError):
    """A text that is no version even with the best will; ``str()`` is the crate's complaint."""


def lenient(text: str) -> str:
    """The version that ``text`` means, written properly: ``10`` is ``10.0.0``.

    Missing numbers are 0, a leading ``v`` is dropped, words may follow a dot, further numbers and
    words like ``Final`` are build metadata.

    :raises LenientError: nothing can be made of it.
    """
    if is_semver(text) and not _READ_OTHERWISE.match(text):
        return text
    return _Lenient(text).version()


class _Lenient:
    def __init__(self, text: str) -> None:
        self._tokens: Iterator[str] = iter(_TOKENS.findall(text))
        self._numbers: list[int] = []
        self._pre: list[str] = []
        self._build: list[str] = []

    def version(self) -> str:
        token = next(self._tokens, "")
        if token.isspace():
            token = next(self._tokens, "")
        if not token:
            raise LenientError("Could not parse the major identifier: No input")
        digits = token[1:] if token[0] in "vV" else token
        if not _is_number(digits):
            raise LenientError(f"Unexpected `{token}`")
        self._numbers.append(int(digits))
        self._rest()
        numbers = [*self._numbers, 0, 0][:3]
        text = ".".join(map(str, numbers))
        if self._pre:
            text += "-" + ".".join(self._pre)
        if self._build:
            text += "+" + ".".join(self._build)
        return text

    def _rest(self) -> None:
        """Read separators and what follows each; a separator says what may follow."""
        where = "number"
        for separator in self._tokens:
            if separator == "-" and where != "build":
                where = "pre-release"
            elif separator == "+" and where != "build":
                where = "build"
            elif separator != "." and not (separator == "-" and where == "build"):
                self._end(separator)
                return
            token = next(self._tokens, "")
            if not token or token.isspace():
                part = _PARTS[len(self._numbers)] if where == "number" else where
                raise LenientError(f"Could not parse the {part} identifier: No input")
            if not token.isalnum() or not token.isascii():
                raise LenientError(f"Unexpected `{token}`")
            if where != "build" and re.fullmatch(_LAST_WORD, token):
                self._build.append(token)
                self._end(next(self._tokens, ""))
                return
            where = self._take(where, token)

    def _take(self, where: str, token: str) -> str:
        if where == "build":
            self._build.append(token)
        elif where == "number" and _is_number(token) and len(self._numbers) < len(_PARTS):
            self._numbers.append(int(token))
            return "number" if len(self._numbers) < len(_PARTS) else "additional"
        elif where == "additional" and _is_number(token):
            self._build.append(str(int(token)))
            return "additional"
        else:
            self._pre.append(token)
            return "pre-release"
        return where

    def _end(self, token: str) -> None:
        while token:
            if not token.isspace():
                raise LenientError(f"Unexpected `{token}`")
            token = next(self._tokens, "")


def _is_number(token: str) -> bool:
    if not (token.isascii() and token.isdigit()):
        return False
    digits = token.lstrip("0")
    return len(digits) <= len(str(_MAX_NUMBER)) and int(digits or "0") <= _MAX_NUMBER
