"""Names the commands of txfluvio to Twisted; imports nothing of ours."""

from twisted.application.service import ServiceMaker

fluvio_tail = ServiceMaker(
    "fluvio-tail",
    "txfluvio.tap.tail",
    "Print the records of a Fluvio topic.",
    "fluvio-tail",
)

fluvio_broker = ServiceMaker(
    "fluvio-broker",
    "txfluvio.tap.broker",
    "Serve a fake Fluvio cluster, for tests.",
    "fluvio-broker",
)

fluvio_console = ServiceMaker(
    "fluvio-console",
    "txfluvio.tap.console",
    "Show a Fluvio cluster on a web page.",
    "fluvio-console",
)
