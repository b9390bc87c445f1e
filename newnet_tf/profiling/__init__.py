"""What networks cost: parameters and multiply-adds by counting, latency by running files.

Importing this package loads nothing.
"""

import importlib

PUBLIC = {
    "Cost": "newnet_tf.profiling.cost",
    "Latency": "newnet_tf.profiling.latency",
    "PEERS": "newnet_tf.profiling.peers",
    "measure": "newnet_tf.profiling.latency",
    "peer": "newnet_tf.profiling.peers",
    "record": "newnet_tf.profiling.latency",
}

__all__ = sorted(PUBLIC)  # noqa: PLE0605


def __getattr__(name):
    if name in PUBLIC:
        return getattr(importlib.import_module(PUBLIC[name]), name)
    raise AttributeError(
        f"module 'newnet_tf.profiling' has no attribute {name!r}; it has {__all__}"
    )


def __dir__():
    return __all__
