"""Schemes of litert-quantizer (formerly ai-edge-quantizer), which reads a float32 TFLite file.

The package is an extra, `pip install 'newnet_tf[quantizer]'`. Its ranges are taken from the least to
the largest value here, as TensorFlow's converter does; its own choice, a running mean of the images'
extremes, clips.
"""

from newnet_tf.deploy.image_batch import Samples
from newnet_tf.utils.lazy import LazyModule

calibrators = LazyModule("litert_quantizer.calibrator")
managers = LazyModule("litert_quantizer.recipe_manager")
updates = LazyModule("litert_quantizer.utils.qsv_utils")
litert_quantizer = LazyModule("litert_quantizer")

ALL = "*"
BITS = 8


def dynamic(data: bytes) -> bytes:
    """Returns a float32 TFLite file with int8 weights, its activations quantized while running."""
    manager = managers.RecipeManager()
    manager.add_dynamic_config(regex=".*", operation_name=ALL, num_bits=BITS)
    return _quantized(data, manager, None)


def static(data: bytes, ranges: Samples) -> bytes:
    """Returns a file with int8 weights and activations; input and output stay float32.

    Args:
        data: bytes, a float32 TFLite file with an input `image`. ranges: calibration images.
    """
    manager = managers.RecipeManager()
    manager.add_static_config(
        regex=".*", operation_name=ALL, activation_num_bits=BITS, weight_num_bits=BITS
    )
    for end in ("INPUT", "OUTPUT"):
        manager.add_quantization_config(".*", end, algorithm_key="no_quantize")
    calibrator = calibrators.Calibrator(data, num_threads=1, qsv_update_func=updates.min_max_update)
    images = ({"image": image[None]} for image in ranges.inputs)
    calibrator.calibrate({"serving_default": list(images)}, manager)
    return _quantized(data, manager, calibrator.get_model_qsvs())


def _quantized(data: bytes, manager, found) -> bytes:
    quantizer = litert_quantizer.Quantizer(data, manager.get_quantization_recipe())
    return bytes(quantizer.quantize(found, enable_progress_report=False).quantized_model)
