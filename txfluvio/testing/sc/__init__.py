"""The fake's SC: what it knows of topics, partitions and SPUs, and its public port.

From the ground up: ``store`` keeps the objects of one type and what has become of them;
``placement`` and ``policies`` decide where replicas go and who may do what;
``lifecycle`` has the steps that topics and partitions go through, ``metadata`` all objects and
the controllers that take those steps; ``admission`` what is refused, ``operations`` what is
done for a request, ``mirroring`` what a remote cluster is told; and ``port`` speaks to clients.
"""
