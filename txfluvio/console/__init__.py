"""The console: a web page that shows a cluster, real or fake.

It stands on the client, as an application does, and for a fake cluster on the fake's handle as
well, which has what no cluster tells: the frames, the connections, and what is to go wrong. The
commands that serve it are in :mod:`txfluvio.tap`.

What is shown is made of sections (:mod:`.sections`): each knows what it has told a page, and says
what is new when asked. They are asked four times a second and by nobody else, so that neither a
fast topic nor a slow browser makes anything pile up.
"""
