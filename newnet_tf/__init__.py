"""newnet_tf: light-weight vision models for Keras 3 and for phones.

`create`, `list_models`, `card`, `preprocess`, `features` and `replace_activation` are loaded at first
use: importing the package does not import TensorFlow.
"""

import importlib

__version__ = "0.1.0"

PUBLIC = {
    "card": "newnet_tf.models.registry",
    "create": "newnet_tf.models.registry",
    "features": "newnet_tf.models.features",
    "list_models": "newnet_tf.models.registry",
    "preprocess": "newnet_tf.models.registry",
    "replace_activation": "newnet_tf.models.activations",
}
ROOMS = ("applications", "data", "deploy", "evaluation", "profiling", "weights")

__all__ = ["__version__", *PUBLIC, *ROOMS]  # noqa: PLE0604


def __getattr__(name):
    if name in PUBLIC:
        return getattr(importlib.import_module(PUBLIC[name]), name)
    if name in ROOMS:
        return importlib.import_module(f"newnet_tf.{name}")
    raise AttributeError(f"module 'newnet_tf' has no attribute {name!r}; it has {sorted(__all__)}")


def __dir__():
    return sorted(__all__)
