"""Damaged frames into a client and into the fake: ``python -m txfluvio.testing.fuzz``.

Recorded frames are damaged in every way that bytes can be, and given to both ends. Nothing may come
of that but a ProtocolError (client) or a closed connection (broker), soon, and without keeping
memory. A seed and a number make a frame, so that whatever is found can be had again.

What frames there are to damage, and how, is :mod:`.corpus`'s business; what the two ends do with
them :mod:`.ends`'s; counting, timing and many at a time :mod:`.run`'s. It drives both ends, and so
stands on everything.
"""
