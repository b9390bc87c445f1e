"""Quantization sensitivity: which layers lose most by int8.

Each layer is quantized alone, and the model's logits are compared with those of the float model. The
error of a layer by itself says little: other layers may amplify or dampen it. Errors of different
layers add up nearly as independent noise does, so that each has a share of the total.
"""

import tempfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from newnet_tf.deploy import converter, export_options, image_batch, model_outputs
from newnet_tf.deploy.export_options import DEFAULT_CALIBRATION_METHOD
from newnet_tf.deploy.flatbuffer.xnnpack_rewrites import apply_xnnpack_rewrites
from newnet_tf.deploy.quantization.precisions import PRECISIONS
from newnet_tf.deploy.quantization.quantizer import CORRECTIONS
from newnet_tf.deploy.runtime import Runner
from newnet_tf.deploy.source_model import source_model
from newnet_tf.deploy.verification import Verification, check_task_outputs, compare
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.utils.progress import progress_bar

PRECISION = "int8-full"
EXCLUDED_SHARE = 0.5  # of the error, that the layers proposed for exclusion have together
MAX_EXCLUDED = 5  # such layers


@dataclass(frozen=True, kw_only=True)
class LayerSensitivity:
    """What int8 in one layer alone does to the model's logits.

    Args:
        name: str, the layer.

        verification: `Verification`, of the file against the float model.

        share: float, its part of the sum of all layers' squared errors.

        top1_gain: int or None, images newly right less those newly wrong, where classes are known.
    """

    name: str
    verification: Verification
    share: float
    top1_gain: int | None


class SensitivityAnalysis:
    """A classifier calibrated once, evaluated with any of its layers in int8.

    Args:
        model: Keras model as `export_tflite` takes it.

        preprocess: `PreprocessConfig`.

        calibration_images: images to measure activation ranges on, see `image_batch.read`.

        validation_images: images to compare on.

        labels: a class for each validation image, None where they are unknown. Default: None.

        calibration_method: str, how activation ranges are chosen, one of `CALIBRATION_METHODS`.
            Default: `"mse"`.

        log: callable that prints a line. Default: `print`.

    Attributes:
        layers: tuple of str, those that can be quantized, in order.

        excluded_images: list of str, calibration images with outlier activations.

        image_count: int, the number of validation images.

    Raises:
        DegenerateOutputsError: where the model's own outputs do not vary from image to image.

        ExportError: where the model cannot be calibrated.

    Example:
        >>> analysis = SensitivityAnalysis(model, preprocess, calibration, images)
        >>> layers = most_sensitive(analysis.measure_layers(), 3)
        >>> analysis.evaluate(exclude_layers=[layer.name for layer in layers])
    """

    def __init__(
        self,
        model: Any,
        metadata: ModelMetadata | PreprocessConfig,
        calibration_images: Iterable,
        validation_images: Iterable,
        labels: Collection[int] | None = None,
        calibration_method: str = DEFAULT_CALIBRATION_METHOD,
        log: Callable[[str], None] = print,
    ):
        export_options.check_calibration_method([PRECISION], calibration_method)
        source = source_model(model, metadata)
        logits, preprocess = source.graph, source.metadata.preprocess
        self._output_type = source.graph_output_type
        calibration = image_batch.with_extremes(
            image_batch.read(calibration_images, preprocess, "calibration_images")
        )
        self._inputs = image_batch.read(validation_images, preprocess, "validation_images").inputs
        self._labels = None if labels is None else np.asarray(labels)
        self._reference = model_outputs.predict(logits, self._inputs)
        check_task_outputs(self._reference, source.task, self._output_type)
        with tempfile.TemporaryDirectory(prefix="newnet-") as folder:
            saved_model = Path(folder) / "saved_model"
            converter.save(logits, preprocess, saved_model)
            factory = converter.GraphFactory(saved_model, calibration, model.name, log)
            self._graph = factory.calibrated
        self.layers, self.excluded_images = self._graph.layers, self._graph.excluded_images
        self.image_count = len(self._inputs)
        self._calibration_method = calibration_method

    def measure_layers(self, max_images: int | None = None) -> list[LayerSensitivity]:
        """Quantizes each layer alone; shows progress on stderr.

        Args:
            max_images: int, how many of the images, evenly chosen, to compare on. Default: all.

        Returns:
            List of `LayerSensitivity`, one for each of `layers`, in order.
        """
        last, count = self.image_count - 1, max_images or self.image_count
        chosen = np.unique(np.linspace(0, last, count).astype(int))
        results = []
        for name in progress_bar(self.layers, "Quantizing each layer alone"):
            others = [other for other in self.layers if other != name]
            results.append(self._evaluate(others, chosen, self._calibration_method, CORRECTIONS))
        errors = np.array([10 ** (-verification.sqnr / 10) for verification, _ in results])
        return [
            LayerSensitivity(
                name=name,
                verification=verification,
                share=float(error / errors.sum()),
                top1_gain=top1_gain,
            )
            for name, (verification, top1_gain), error in zip(
                self.layers, results, errors, strict=True
            )
        ]

    def evaluate(
        self,
        exclude_layers: Collection[str] = (),
        calibration_method: str | None = None,
        corrections: Collection[str] = CORRECTIONS,
    ) -> tuple[Verification, int | None]:
        """Compares an int8 file with the float model on all images.

        Args:
            exclude_layers: names of layers that stay float32. Default: none.

            calibration_method: str, how activation ranges are chosen. Default: as in the constructor.

            corrections: some of `quantizer.CORRECTIONS`. Default: all.

        Returns:
            A `Verification`, and images newly right less those newly wrong, None without labels.
        """
        method = calibration_method or self._calibration_method
        return self._evaluate(exclude_layers, np.arange(self.image_count), method, corrections)

    def accuracy_drop(self, exclude_layers: Collection[str] = ()) -> float:
        """Returns the percentage points of top-1 that a file loses on all images; needs labels.

        Args:
            exclude_layers: names of layers that stay float32. Default: none.

        Raises:
            ValueError: where the analysis has no labels.
        """
        top1_gain = self.evaluate(exclude_layers)[1]
        if top1_gain is None:
            raise ValueError("`labels` must be given to count top-1. Received: labels=None")
        return -100 * top1_gain / self.image_count

    def _evaluate(
        self,
        exclude_layers: Collection[str],
        chosen: np.ndarray,
        calibration_method: str,
        corrections: Collection[str],
    ) -> tuple[Verification, int | None]:
        with converter.silence():
            graph = self._graph.quantize(exclude_layers, calibration_method, corrections)
        apply_xnnpack_rewrites(graph)
        graph.rename(model_outputs.IMAGE, self._output_type)
        with tempfile.TemporaryDirectory(prefix="newnet-") as folder:
            file = Path(folder) / "model.tflite"
            file.write_bytes(graph.to_bytes())
            outputs = Runner(file)(self._inputs[chosen])
        reference = self._reference[chosen]
        own = self._output_type
        tolerance = PRECISIONS[PRECISION].tolerance
        verification = compare(reference, outputs, tolerance, own, reference_type=own)
        if self._labels is None:
            return verification, None
        right = [scores.argmax(1) == self._labels[chosen] for scores in (outputs, reference)]
        return verification, int(right[0].sum()) - int(right[1].sum())


def most_sensitive(
    layers: Collection[LayerSensitivity], count: int | None = None
) -> list[LayerSensitivity]:
    """Returns the layers with the largest errors, the largest first.

    Args:
        layers: what `SensitivityAnalysis.measure_layers` returned.

        count: int, how many. Default: as many as have half of the error together, at most 5.
    """
    ranked = sorted(layers, key=lambda layer: -layer.share)
    if count is None:
        sums = np.cumsum([layer.share for layer in ranked])
        count = min(MAX_EXCLUDED, int(np.searchsorted(sums, EXCLUDED_SHARE)) + 1)
    return ranked[:count]
