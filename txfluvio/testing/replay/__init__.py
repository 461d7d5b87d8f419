"""Recorded conversations, replayed against the fake: how like the real one is it?

``python -m txfluvio.testing replay FILE...`` takes recordings in the format of
:mod:`txfluvio.wire.recordings`. The state in which a conversation began is read off the recording
(:mod:`.beginning`), its requests go to a fresh fake, and everything that comes back is compared
with what was recorded (:mod:`.player`, :mod:`.comparison`). Requests like the recorded ones, but
other, are held against what always holds (:mod:`.mutation`).
"""

from __future__ import annotations

from .mutation import replay_mutated
from .player import Difference, Outcome, replay

__all__ = ["Difference", "Outcome", "replay", "replay_mutated"]
