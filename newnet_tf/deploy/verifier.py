"""Verification of new files during an export, and the images that it needs."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from newnet_tf.deploy import model_outputs, verification
from newnet_tf.deploy.converter import ExportError
from newnet_tf.deploy.export_config import ExportConfig
from newnet_tf.deploy.image_batch import ImageBatch
from newnet_tf.deploy.quantization.precisions import needs_calibration
from newnet_tf.deploy.source_model import SourceModel
from newnet_tf.deploy.verification import Verification
from newnet_tf.models.config.metadata import LOGITS, PROBABILITIES, SIGMOID
from newnet_tf.models.outputs import SUM_TOLERANCE
from newnet_tf.utils.math import sigmoid, softmax


class Verifier:
    """Compares files with a model's outputs for the same images.

    The reference is the user's own model as it is. One of mixed precision rounds by itself: it is
    compared with its float32 form, within the tolerance of a file of that kind, and files then with the
    float32 form.

    Args:
        source: `SourceModel`.

        images: `ImageBatch`, two or more images of different things.

    Raises:
        DegenerateOutputsError: where the model's outputs do not vary from image to image.

        ExportError: where the graph to convert does not give the model's outputs.
    """

    def __init__(self, source: SourceModel, images: ImageBatch):
        self.images, self._source = images, source
        self._reference = source.predict(images.inputs)
        own = source.metadata.output_type
        if isinstance(self._reference, np.ndarray) and own == PROBABILITIES:
            _check_probabilities(self._reference, source)
        verification.check_task_outputs(self._reference, source.task, own)
        if source.half_precision:
            given, self._reference = self._reference, _float32_outputs(source, images.inputs)
            compared = verification.compare_outputs(
                given, self._reference, source.half_precision, own, source.task, own
            )
            if not compared.passed:
                raise ExportError(
                    f"{source.given.name!r} must give its outputs in float32 too. "
                    f"Received: {'; '.join(compared.reasons)} ({compared})"
                )

    def __call__(self, runner: Any, config: ExportConfig) -> Verification:
        """Returns the `Verification` of a file.

        Args:
            runner: callable from inputs to outputs with an attribute `expects_uint8_pixels`.

            config: `ExportConfig` of the file.
        """
        inputs = self.images.pixels if runner.expects_uint8_pixels else self.images.inputs
        return verification.verify(
            self._reference,
            runner,
            inputs,
            config,
            self._source.task,
            self._source.metadata.output_type,
        )


def _float32_outputs(source: SourceModel, inputs: np.ndarray) -> Any:
    """Returns the outputs of a model's float32 form, in the kind of the model's own."""
    outputs = model_outputs.predict(source.graph, inputs)
    if source.head is None:
        return outputs
    return softmax(outputs) if source.head == "softmax" else sigmoid(outputs)


def _check_probabilities(outputs: np.ndarray, source: SourceModel) -> None:
    """Raises ValueError for outputs that are said to be probabilities, and are not."""
    sums = outputs.sum(1)
    if outputs.min() < 0 or np.abs(sums - 1).max() > SUM_TOLERANCE:
        raise ValueError(
            f"outputs of {source.given.name!r} must be probabilities, as its metadata say: pass "
            f"`outputs` (--outputs) {LOGITS!r} or {SIGMOID!r} if they are not. Received: values "
            f"from {outputs.min():.3g} to {outputs.max():.3g}, which add up to {sums.min():.3g} to "
            f"{sums.max():.3g}"
        )


def check_images(
    precisions: Sequence[str],
    calibration_images: Iterable | None,
    validation_images: Iterable | None,
    verify: bool,
) -> None:
    """Raises ValueError where images that are needed are missing."""
    if verify and validation_images is None:
        raise ValueError(
            "`validation_images` must be given unless `verify=False`. Received: validation_images=None"
        )
    calibrated = needs_calibration(precisions)
    if calibrated and calibration_images is None:
        raise ValueError(
            f"`calibration_images` must be given for {calibrated[0]!r}. "
            "Received: calibration_images=None"
        )
