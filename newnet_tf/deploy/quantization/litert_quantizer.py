"""Quantization by the package litert-quantizer (formerly ai-edge-quantizer).

The package is an extra, `pip install 'newnet_tf[quantizer]'`. Activation ranges are min-max here, as
those of TensorFlow's converter; the package's default, a moving average of the images' extremes, clips.
"""

from typing import Any

from newnet_tf.deploy.image_batch import ImageBatch
from newnet_tf.utils.lazy import LazyModule

calibrators = LazyModule("litert_quantizer.calibrator")
managers = LazyModule("litert_quantizer.recipe_manager")
updates = LazyModule("litert_quantizer.utils.qsv_utils")
litert_quantizer = LazyModule("litert_quantizer")

ALL = "*"
BITS = 8


def dynamic(data: bytes) -> bytes:
    """Returns a float32 TFLite file with int8 weights and activations quantized at run time."""
    manager = managers.RecipeManager()
    manager.add_dynamic_config(regex=".*", operation_name=ALL, num_bits=BITS)
    return _quantize(data, manager, None)


def static(data: bytes, calibration_images: ImageBatch) -> bytes:
    """Returns a file with int8 weights and activations; input and outputs stay float32.

    Args:
        data: bytes, a float32 TFLite file with an input `image`.

        calibration_images: `ImageBatch`.
    """
    manager = managers.RecipeManager()
    manager.add_static_config(
        regex=".*", operation_name=ALL, activation_num_bits=BITS, weight_num_bits=BITS
    )
    for end in ("INPUT", "OUTPUT"):
        manager.add_quantization_config(".*", end, algorithm_key="no_quantize")
    calibrator = calibrators.Calibrator(data, num_threads=1, qsv_update_func=updates.min_max_update)
    images = ({"image": image[None]} for image in calibration_images.inputs)
    calibrator.calibrate({"serving_default": list(images)}, manager)
    return _quantize(data, manager, calibrator.get_model_qsvs())


def _quantize(data: bytes, manager: Any, statistics: Any) -> bytes:
    quantizer = litert_quantizer.Quantizer(data, manager.get_quantization_recipe())
    result = quantizer.quantize(statistics, enable_progress_report=False)
    return bytes(result.quantized_model)
