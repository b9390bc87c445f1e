"""Loading of trained models, and prediction: `load_model`, `load_predictor`."""

from newnet_tf.utils.lazy import exports

PUBLIC = {
    "LoadedModel": "newnet_tf.inference.loaded",
    "Predictor": "newnet_tf.inference.predictor",
    "load_model": "newnet_tf.inference.model",
    "load_predictor": "newnet_tf.inference.loading",
}
__getattr__, __dir__ = exports(__name__, PUBLIC)
