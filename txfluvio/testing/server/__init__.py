"""What the fake's SC and SPUs have in common: a server's end of a connection, plain or with TLS.

``protocol`` takes requests off frames and sees to whose turn it is, ``journal`` notes what was
asked and answered, and ``tls`` puts TLS before it, with ``certificates`` of its own.
"""
