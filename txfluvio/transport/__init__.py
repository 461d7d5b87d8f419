"""Frames in and out of one connection, and how a connection comes about.

Here live the protocol that keeps the one table of correlation ids, the factory and the dialers
that make connections which are ready for use, over TCP, TLS or a network in memory. Which server
to talk to, what to ask it, and whether to try again is decided above; the bytes of a message come
from :mod:`txfluvio.wire`.
"""
