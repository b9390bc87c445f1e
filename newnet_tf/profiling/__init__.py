"""What networks cost: parameters and multiply-adds by counting, latency by running files.

Importing this package loads nothing.
"""

from newnet_tf.lazy import exports

PUBLIC = {
    "Cost": "newnet_tf.profiling.cost",
    "Latency": "newnet_tf.profiling.latency",
    "PEERS": "newnet_tf.profiling.peers",
    "measure": "newnet_tf.profiling.latency",
    "peer": "newnet_tf.profiling.peers",
    "record": "newnet_tf.profiling.latency",
}

__all__ = sorted(PUBLIC)  # noqa: PLE0605
__getattr__, __dir__ = exports(__name__, PUBLIC)
