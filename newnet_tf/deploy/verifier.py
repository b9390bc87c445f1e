"""Verification of new files during an export, and the images that it needs."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from newnet_tf.deploy import model_outputs, verification
from newnet_tf.deploy.export_config import ExportConfig
from newnet_tf.deploy.image_batch import ImageBatch
from newnet_tf.deploy.quantization.precisions import needs_calibration
from newnet_tf.deploy.verification import Verification

if TYPE_CHECKING:
    from newnet_tf.task import Task


class Verifier:
    """Compares files with a model's outputs for the same images.

    Args:
        model: Keras model, what `model_outputs.export_model` returned.

        images: `ImageBatch`, two or more images of different things.

        task: `Task`.

    Raises:
        DegenerateOutputsError: where the model's outputs do not vary from image to image.
    """

    def __init__(self, model: Any, images: ImageBatch, task: "Task"):
        self.images, self._task = images, task
        self._reference = model_outputs.predict(model, images.inputs)
        verification.check_task_outputs(self._reference, task)

    def __call__(self, runner: Any, config: ExportConfig) -> Verification:
        """Returns the `Verification` of a file.

        Args:
            runner: callable from inputs to outputs with an attribute `expects_uint8_pixels`.

            config: `ExportConfig` of the file.
        """
        inputs = self.images.pixels if runner.expects_uint8_pixels else self.images.inputs
        return verification.verify(self._reference, runner, inputs, config, self._task)


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
