"""``fluvio-tail`` in a terminal, driven through tmux."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..commands import DEADLINE, TAIL, RunningBroker, broker, run
from ..program import program

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

PRODUCE = program(
    """
    async with client.producer("screen") as producer:
        await producer.send(sys.argv[2].encode(), key=b"k")
    """
)


class Screen:
    """A terminal of 80 by 24 with one program in it.

    :param socket: names a tmux server of its own.
    """

    def __init__(self, socket: Path, command: str) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self._do("new-session", "-d", "-x", "80", "-y", "24", "bash --norc --noprofile")
        self.type(f"PS1='ready ' && clear && {command}", "Enter")

    def _do(self, *arguments: str) -> str:
        ended = subprocess.run(
            [*self._tmux, *arguments], capture_output=True, text=True, timeout=DEADLINE, check=True
        )
        return ended.stdout

    def type(self, *keys: str) -> None:
        """Press keys."""
        self._do("send-keys", *keys)

    def show(self, *, colours: bool = False) -> str:
        """What is on it."""
        return self._do("capture-pane", "-p", *(["-e"] if colours else []))

    def wait(self, holds: Callable[[str], bool]) -> str:
        """What is on it as soon as it is as wanted."""
        end = time.monotonic() + DEADLINE
        while not holds(shown := self.show()):
            assert time.monotonic() < end, shown
            time.sleep(0.05)
        return shown

    def end(self) -> None:
        """Away with it."""
        self._do("kill-server")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with broker(tmp_path_factory.mktemp("terminal"), "--topic=screen") as running:
        yield running


def test_records_scroll_past_a_line_of_progress_and_control_c_ends_it(
    ready: RunningBroker, tmp_path: Path
) -> None:
    command = f"{shlex.join(TAIL)} --cluster {ready.sc} -B -k screen; echo status $?"
    screen = Screen(tmp_path / "tmux", command)
    try:
        screen.wait(lambda shown: "Reading screen from the beginning" in shown)
        screen.wait(lambda shown: "0 records" in shown)
        assert run(*PRODUCE, ready.sc, "hello").returncode == 0
        shown = screen.wait(lambda shown: "1 records" in shown)
        assert "\n[k] hello\n" in shown
        assert re.search(r"\x1b\[36m(\x1b\[\d+m)*\[k\]", screen.show(colours=True))
        screen.type("C-c")
        shown = screen.wait(lambda shown: "status" in shown)
        assert "[k] hello" in shown
        assert "status 0" in shown
        assert "records" not in shown
    finally:
        screen.end()
