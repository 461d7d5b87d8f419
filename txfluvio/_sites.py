"""How HTTP is served here, whatever is served: without a word in the log for each request."""

from __future__ import annotations

from twisted.web.server import Site


class QuietSite(Site):
    """Keeps no log of who has asked, and shows nobody a traceback."""

    noisy = False
    displayTracebacks = False

    def log(self, request: object) -> None:
        pass
