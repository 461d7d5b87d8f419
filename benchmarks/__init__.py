"""How fast txfluvio is, beside the official Python client: ``python -m benchmarks``.

Each measurement is a process of its own (:mod:`benchmarks.ours`, :mod:`benchmarks.official`) that
does one workload against the same server process and prints what it saw as JSON. The plan
(:mod:`benchmarks.plan`) says what is compared with what, the runner (:mod:`benchmarks.runner`)
takes the clients in turn, and the report (:mod:`benchmarks.report`) shows medians and ratios.
Nothing here is imported by the library.
"""
