"""Fluvio for Twisted: a client for the streaming platform, and a fake cluster to test against.

This is the front door. It exports names and nothing else, each loaded when first asked for, so
that ``import txfluvio.wire`` brings in no Twisted and installs no reactor.
"""

from __future__ import annotations
