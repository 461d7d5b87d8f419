"""The commands ``fluvio-tail`` and ``fluvio-broker``: options, output, and when to end.

Each module has ``Options`` and ``makeService`` for ``twist`` and ``twistd``. What they do stands on
the public API of the client and of the fake; nothing here knows the protocol.
"""
