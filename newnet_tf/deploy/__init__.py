"""Deployment: from a Keras model to files for servers and phones, each verified against the model.

Importing this package loads nothing. `Runner` needs NumPy and one TFLite interpreter; exports need
TensorFlow.
"""

from newnet_tf.utils.lazy import exports

PUBLIC = {
    "BundleError": "newnet_tf.deploy.bundle.check",
    "DEFAULT_PRECISIONS": "newnet_tf.deploy.quantization.precisions",
    "DegenerateOutputsError": "newnet_tf.deploy.verification",
    "Delegation": "newnet_tf.deploy.interpreter",
    "ExportConfig": "newnet_tf.deploy.export_config",
    "ExportError": "newnet_tf.deploy.converter",
    "ExportResult": "newnet_tf.deploy.export_result",
    "ModelFileError": "newnet_tf.deploy.runtime",
    "OnnxRunner": "newnet_tf.deploy.onnx_runner",
    "PRECISIONS": "newnet_tf.deploy.quantization.precisions",
    "Runner": "newnet_tf.deploy.runtime",
    "SandboxedRunner": "newnet_tf.deploy.sandbox",
    "SavedModelRunner": "newnet_tf.deploy.saved_model",
    "TensorSpec": "newnet_tf.deploy.tensor_spec",
    "Verification": "newnet_tf.deploy.verification",
    "bundle_files": "newnet_tf.deploy.bundle.build",
    "check_bundle": "newnet_tf.deploy.bundle.check",
    "export_onnx": "newnet_tf.deploy.onnx",
    "export_saved_model": "newnet_tf.deploy.saved_model",
    "export_tflite": "newnet_tf.deploy.tflite",
    "make_bundle": "newnet_tf.deploy.bundle.build",
    "random_inputs": "newnet_tf.deploy.runtime",
    "verify_file": "newnet_tf.deploy.formats",
}

__all__ = sorted(PUBLIC)  # noqa: PLE0605
__getattr__, __dir__ = exports(__name__, PUBLIC)
