"""A running fake cluster in the hands of a program in any language: HTTP and JSON.

``calls`` are the calls, ``routes`` how they travel, ``plain`` how values look.
"""
