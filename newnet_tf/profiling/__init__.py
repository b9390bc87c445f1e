"""The cost of models: parameters and multiply-adds by counting, latency of files and operators.

Importing this package imports no other module.
"""

from newnet_tf.utils.lazy import exports

PUBLIC = {
    "Cost": "newnet_tf.profiling.cost",
    "KERAS_BASELINES": "newnet_tf.profiling.keras_baselines",
    "Latency": "newnet_tf.profiling.latency",
    "Profile": "newnet_tf.profiling.operators",
    "benchmark_files": "newnet_tf.profiling.latency",
    "export_untrained": "newnet_tf.profiling.untrained_models",
    "keras_baseline": "newnet_tf.profiling.keras_baselines",
    "profile_file": "newnet_tf.profiling.operators",
}

__all__ = sorted(PUBLIC)  # noqa: PLE0605
__getattr__, __dir__ = exports(__name__, PUBLIC)
