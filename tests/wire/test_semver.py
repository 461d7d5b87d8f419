"""Versions: what a server takes from a client, and what it makes of those in names."""

from __future__ import annotations

import pytest

from txfluvio.wire.semver import LenientError, is_semver, lenient


@pytest.mark.parametrize(
    "text", ["0.50.2", "1.2.3-x+y", "0.18.2-dev-1", "1.0.0-0.a-b.1", "1.0.0+001.x"]
)
def test_a_client_version_is_strict_semver(text: str) -> None:
    assert is_semver(text)


@pytest.mark.parametrize(
    "text",
    ["", "abc", "1", "1.2", "v1.2.3", "01.2.3", "1.2.3-01", "1.2.3-", "1.2.3 ", "1.2.3\n",
     "18446744073709551616.0.0"],
)  # fmt: skip
def test_anything_else_is_no_client_version(text: str) -> None:
    assert not is_semver(text)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("0.1.0", "0.1.0"),
        ("0.1", "0.1.0"),
        ("10", "10.0.0"),
        (" v1.2.3 ", "1.2.3"),
        ("1.2.M1", "1.2.0-M1"),
        ("1.2.3.rc1", "1.2.3-rc1"),
        ("1.2.3.Final", "1.2.3+Final"),
        ("1.2.3.4.5", "1.2.3+4.5"),
        ("1.2.3-a.b-c+d.e-f", "1.2.3-a.b-c+d.e-f"),
        ("1.0.0-beta-2", "1.0.0-beta-2"),
        ("1.0.0-a--b", "1.0.0-a--b"),
        ("1.0.0-final.1", "1.0.0-final.1"),
        ("1.0.0-rc.release", "1.0.0-rc.release"),
        ("1.0.0-R", "1.0.0-R"),
        ("1.R", "1.0.0-R"),
        ("v1.0-beta-2 ", "1.0.0-beta-2"),
        ("1.2.3.a-b", "1.2.3-a-b"),
        ("1.2.3-a.-b", "1.2.3-a.-b"),
        ("1.a.final", "1.0.0-a.final"),
        ("1-01", "1.0.0-1"),
        ("1.2-a.", "1.2.0-a"),
        ("1.0.0-r", "1.0.0+r"),
        ("1.0.0-Release", "1.0.0+Release"),
        ("01.02", "1.2.0"),
        ("1.2.18446744073709551616", "1.2.0-18446744073709551616"),
        (5000 * "0" + "1." + 5000 * "0", "1.0.0"),
        ("1.2.3." + 5000 * "0" + "4", "1.2.3+4"),
        ("1-" + 5000 * "0" + "4", "1.0.0-4"),
    ],
)
def test_a_version_in_a_name_is_read_with_good_will(text: str, meaning: str) -> None:
    assert lenient(text) == meaning


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x", "Unexpected `x`"),
        ("", "Could not parse the major identifier: No input"),
        ("1.", "Could not parse the minor identifier: No input"),
        ("1.2.", "Could not parse the patch identifier: No input"),
        ("1-", "Could not parse the pre-release identifier: No input"),
        ("1+", "Could not parse the build identifier: No input"),
        ("1!", "Unexpected `!`"),
        ("1.0.0\u00a0", "Unexpected `\u00a0`"),
        ("1 x", "Unexpected `x`"),
        ("1.\u00e9", "Unexpected `\u00e9`"),
        ("1-\u00b2", "Unexpected `\u00b2`"),
        ("1.0.0+\u0661", "Unexpected `\u0661`"),
        ("1..2", "Unexpected `.`"),
        ("1.0.0--1", "Unexpected `-`"),
        ("1.0.0-a+-", "Unexpected `-`"),
        ("1.0.0-release+7", "Unexpected `+`"),
    ],
)
def test_what_can_not_be_read_is_complained_about_in_the_words_of_the_sc(
    text: str, complaint: str
) -> None:
    with pytest.raises(LenientError) as caught:
        lenient(text)
    assert str(caught.value) == complaint
