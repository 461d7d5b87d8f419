"""What an administrator lists is what was asked for, or an error."""

from __future__ import annotations

from txfluvio.errors import ProtocolError
from txfluvio.wire.sc import SPU, ListResponse

from .kit import ScriptedAdminCase


class Listing(ScriptedAdminCase):
    def test_other_objects_than_asked_for_are_a_named_error(self) -> None:
        listing = self.admin.list_topics()
        self.advance()
        self.sc.one().reply(ListResponse(kind=SPU, objects=()))
        self.advance()
        error = self.failureResultOf(listing, ProtocolError).value
        self.assertIn("SPU objects where Topic ones were asked for", str(error))
        self.stopped()
