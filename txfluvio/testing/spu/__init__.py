"""The fake's SPU: the logs of its replicas, and its public port.

From the ground up: ``log`` keeps the batches of one partition; ``replica`` is a copy of a
partition in its role, ``stored_offsets`` what consumers have stored; ``produce``,
``fetch``, ``offset_calls`` and ``stream`` are the calls; and ``port`` speaks to clients.
"""
