"""From a Keras model to files for servers and phones, each verified against the model.

Importing this package loads nothing. `Runner` and `verify` need NumPy and one LiteRT interpreter;
the exports need TensorFlow.
"""

from newnet_tf.utils.lazy import exports

PUBLIC = {
    "BundleError": "newnet_tf.deploy.bundle.check",
    "COMMON": "newnet_tf.deploy.quantization.precisions",
    "ExportError": "newnet_tf.deploy.tflite",
    "ExportResult": "newnet_tf.deploy.tflite",
    "ModelFileError": "newnet_tf.deploy.runtime",
    "PRECISIONS": "newnet_tf.deploy.quantization.precisions",
    "Provenance": "newnet_tf.deploy.bundle.build",
    "ExportConfig": "newnet_tf.deploy.export_config",
    "Runner": "newnet_tf.deploy.runtime",
    "DegenerateOutputsError": "newnet_tf.deploy.verification",
    "Verification": "newnet_tf.deploy.verification",
    "check_bundle": "newnet_tf.deploy.bundle.check",
    "export_onnx": "newnet_tf.deploy.onnx",
    "export_saved_model": "newnet_tf.deploy.saved_model",
    "export_tflite": "newnet_tf.deploy.tflite",
    "make_bundle": "newnet_tf.deploy.bundle.build",
    "verify_file": "newnet_tf.deploy.formats",
    "verify_tflite": "newnet_tf.deploy.tflite",
}

__all__ = sorted(PUBLIC)  # noqa: PLE0605
__getattr__, __dir__ = exports(__name__, PUBLIC)
