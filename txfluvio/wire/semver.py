"""Semantic versions as servers read them: strictly from clients and packages, leniently in names.

They use the Rust crates ``semver`` and ``lenient_semver``; what these accept and how they complain
shows in the answers.
"""

from __future__ import annotations

import re

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_STRICT = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})"
    rf"(?:-{_PRE}(?:\.{_PRE})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_BLANK = "\t\n\v\f\r "
_PLAIN = re.compile(r"[0-9A-Za-z]+|.", re.DOTALL)
_WORD = re.compile(r"[0-9A-Za-z-]+")
_LAST_WORD = re.compile(r"r|(?i:final|release)")
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
    return _Lenient(text.strip(_BLANK)).version()


class _Lenient:
    def __init__(self, text: str) -> None:
        self._text = text
        self._pos = 0
        self._numbers: list[int] = []
        self._pre: list[str] = []
        self._build: list[str] = []

    def version(self) -> str:
        first = self._plain()
        if not first:
            raise LenientError("Could not parse the major identifier: No input")
        digits = first[1:] if first[0] in "vV" else first
        if not _is_number(digits):
            raise LenientError(f"Unexpected `{first}`")
        self._numbers.append(_value(digits))
        self._pos = len(first)
        where = "number"
        while separator := self._text[self._pos : self._pos + 1]:
            self._pos += 1
            where = self._take(self._behind(where, separator), separator)
        text = ".".join(map(str, [*self._numbers, 0, 0][:3]))
        if self._pre:
            text += "-" + ".".join(self._pre)
        if self._build:
            text += "+" + ".".join(self._build)
        return text

    def _behind(self, where: str, separator: str) -> str:
        """What a separator lets follow."""
        if separator == "-" and where != "build":
            return "pre-release"
        if separator == "+" and where != "build":
            return "build"
        if separator == ".":
            return where
        while separator and separator in _BLANK:
            separator = self._plain()
            self._pos += 1
        raise LenientError(f"Unexpected `{separator}`")

    def _take(self, where: str, separator: str) -> str:
        """Take what follows a separator; what that was a part of."""
        plain = self._plain()
        words = {"pre-release": self._pre, "build": self._build}.get(where)
        if not plain:
            if words and separator == ".":
                return where
            part = _PARTS[len(self._numbers)] if where == "number" else where
            raise LenientError(f"Could not parse the {part} identifier: No input")
        if words is None and _is_number(plain):
            self._pos += len(plain)
            return self._number(plain)
        # Hyphens belong to a word, but one begins with them only behind a dot.
        letters = plain.isascii() and plain.isalnum()
        if not letters and not (words and separator == "." and plain == "-"):
            raise LenientError(f"Unexpected `{plain}`")
        word = _WORD.match(self._text, self._pos)
        assert word is not None
        self._pos = word.end()
        return self._word(where, word[0])

    def _number(self, digits: str) -> str:
        if len(self._numbers) < len(_PARTS):
            self._numbers.append(_value(digits))
        else:
            self._build.append(str(_value(digits)))
        return "number" if len(self._numbers) < len(_PARTS) else "additional"

    def _word(self, where: str, word: str) -> str:
        follows = self._text[self._pos : self._pos + 1]
        if where == "build":
            self._build.append(word)
        elif not self._pre and _LAST_WORD.fullmatch(word) and follows in ("", "+"):
            if follows:
                raise LenientError(f"Unexpected `{follows}`")
            self._build.append(word)
        else:
            self._pre.append(str(_value(word)) if _is_number(word) else word)
            return "pre-release"
        return where

    def _plain(self) -> str:
        """The letters and digits that come next, or the one character that is neither."""
        found = _PLAIN.match(self._text, self._pos)
        return found[0] if found else ""


def _is_number(token: str) -> bool:
    if not (token.isascii() and token.isdigit()):
        return False
    return len(token.lstrip("0")) <= len(str(_MAX_NUMBER)) and _value(token) <= _MAX_NUMBER


def _value(digits: str) -> int:
    """The number; Python counts zeros in front where it limits how long one may be."""
    return int(digits.lstrip("0") or "0")
