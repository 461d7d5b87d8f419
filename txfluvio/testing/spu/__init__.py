"""The fake's SPU: the logs of its replicas, and its public port.

From the ground up: ``log`` keeps the batches of one partition; ``replica`` is a copy of a
partition in its role, ``stored_offsets`` what consumers have stored; ``spu`` has these, and is told
by the cluster what to lead. ``stream`` is what one consumer is pushed, and ``session`` what is kept
for a connection; ``produce``, ``fetch``, ``stream_calls`` and ``offset_calls`` are the calls; and
``port`` knows which is which.
"""
