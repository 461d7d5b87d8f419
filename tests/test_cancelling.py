"""What it means to cancel a call is said where the call is described."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from txfluvio import Consumer, ConsumerService, FluvioClient, Producer
from txfluvio.admin import Admin

ELSEWHERE = {(FluvioClient, "stopService")}
"""Calls whose description refers to another's."""


def calls() -> Iterator[tuple[type, str]]:
    """The public calls that return a Deferred."""
    for owner in (FluvioClient, Producer, Consumer, ConsumerService, Admin):
        for name, call in inspect.getmembers(owner, inspect.isfunction):
            returned = str(call.__annotations__.get("return", ""))
            if not name.startswith("_") and returned.startswith("Deferred"):
                yield owner, name


@pytest.mark.parametrize(
    ("owner", "name"), [call for call in calls() if call not in ELSEWHERE], ids=str
)
def test_a_call_says_what_cancelling_it_means(owner: type, name: str) -> None:
    assert "ancel" in (inspect.getdoc(getattr(owner, name)) or "")
