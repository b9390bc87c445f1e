"""What networks cost: parameters and multiply-adds by counting, latency of files and of
their operators by running them.

Importing this package loads nothing.
"""

from newnet_tf.utils.lazy import exports

PUBLIC = {
    "Cost": "newnet_tf.profiling.cost",
    "Latency": "newnet_tf.profiling.latency",
    "PEERS": "newnet_tf.profiling.keras_baselines",
    "Profile": "newnet_tf.profiling.operators",
    "measure": "newnet_tf.profiling.latency",
    "peer": "newnet_tf.profiling.keras_baselines",
    "profile": "newnet_tf.profiling.operators",
    "record": "newnet_tf.profiling.latency",
}

__all__ = sorted(PUBLIC)  # noqa: PLE0605
__getattr__, __dir__ = exports(__name__, PUBLIC)
