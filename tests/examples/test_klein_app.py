"""The Klein application without a socket: how a user tests one, with the fake in memory."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from twisted.web.test.requesthelper import DummyRequest

from ..client_kit import ClientCase

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


class Health(ClientCase):
    TOPICS = {"greetings": 1}

    def setUp(self) -> None:
        super().setUp()
        gateway = runpy.run_path(str(EXAMPLES / "klein_app.py"))["Gateway"]
        self.result(self.client.start())
        self.gateway: Any = gateway(self.client, "greetings", metrics=None)

    def ask(self) -> tuple[int, str]:
        request: Any = DummyRequest([b"health"])
        text = self.gateway.health(request)
        return request.responseCode, text

    def test_is_bad_while_the_cluster_is_away_and_good_when_it_is_back(self) -> None:
        self.assertEqual(self.ask(), (200, "connected\n"))
        self.result(self.broker.sc_down())
        self.assertEqual(self.ask(), (503, "connecting again\n"))
        self.result(self.broker.sc_up())
        self.wait(10.0)
        self.assertEqual(self.ask(), (200, "connected\n"))
