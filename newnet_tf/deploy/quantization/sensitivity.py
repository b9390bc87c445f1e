"""Which layers lose most by int8: each is quantized alone, and the network's answers compared.

The error that a layer makes by itself says little: another may amplify or drown it. So the logits of a
network in which this layer alone is int8 are compared with those of the float network. Errors of
different layers add up nearly as independent noise does, so that each has a share of the whole.
"""

import tempfile
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.deploy import converter, export_config, fingerprint, image_batch
from newnet_tf.deploy.export_config import BEST
from newnet_tf.deploy.flatbuffer.xnnpack_rewrites import apply_xnnpack_rewrites
from newnet_tf.deploy.quantization.precisions import PRECISIONS
from newnet_tf.deploy.quantization.quantizer import CORRECTIONS
from newnet_tf.deploy.runtime import Runner
from newnet_tf.deploy.verification import Verification, check_outputs_vary, compare
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.lazy import keras

BATCH = 16
PROGRESS_SECONDS = 2.0
TAKEN = 0.5  # share of the error that layers worth keeping float take away together
MOST = 5  # such layers


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What int8 in one layer alone does to the network's logits.

    Args:
        name: str, the layer. found: `Verification`, its file against the float network.
        share: float, its part of all layers' squared errors.
        won: int or None, images newly right less those newly wrong, where classes are known.
    """

    name: str
    found: Verification
    share: float
    won: int | None


class Sensitivity:
    """A network calibrated once, judged with any of its layers in int8.

    Args:
        model: Keras model as `export_tflite` takes it. preprocess: `cards.Preprocess`.
        calibration_images: images to measure ranges on, see `samples.read`.
        validation_images: images to judge by. labels: a class for each, None where they are not known.
        calibration_method: how ranges of maps are chosen, one of `recipes.RANGES`.
        say: callable that shows a line of progress.

    Attributes:
        layers: tuple of str, those that can be quantized, in order.
        left_out: list of str, calibration images that the network blows up on.

    Raises:
        DegenerateOutputsError: where the model's own outputs do not vary from image to image.
        ExportError: where the network cannot be calibrated.

    Example:
        >>> study = Sensitivity(model, record, calibration, images)
        >>> worst = sorted(study.measure(), key=lambda layer: layer.found.sqnr)[:3]
        >>> study.judge(exclude_layers=[layer.name for layer in worst])
    """

    def __init__(
        self,
        model,
        preprocess: PreprocessConfig,
        calibration_images: Iterable,
        validation_images: Iterable,
        labels: Collection[int] | None = None,
        calibration_method: str = BEST,
        say: Callable[[str], None] = print,
    ):
        export_config.check_ranges(["int8-full"], calibration_method)
        fingerprint.check_side(model, preprocess)
        logits = fingerprint.logits_model(model)
        measured = image_batch.with_extremes(
            image_batch.read(calibration_images, preprocess, "calibration_images")
        )
        self._inputs = image_batch.read(validation_images, preprocess, "validation_images").inputs
        self._labels = None if labels is None else np.asarray(labels)
        parts = range(0, len(self._inputs), BATCH)
        batches = (self._inputs[i : i + BATCH] for i in parts)
        self._reference = np.concatenate(
            [keras.ops.convert_to_numpy(logits(batch, training=False)) for batch in batches]
        )
        check_outputs_vary(self._reference)
        with tempfile.TemporaryDirectory(prefix="newnet-") as folder:
            saved = Path(folder) / "saved_model"
            converter.save(logits, preprocess, saved)
            self._graph = converter.GraphFactory(saved, measured, model.name, say).calibrated
        self.layers, self.left_out = self._graph.layers, self._graph.left_out
        self._ranges, self._say = calibration_method, say

    @property
    def validation_images(self) -> int:
        """Number of images to judge by."""
        return len(self._inputs)

    def measure(self, limit: int | None = None) -> list[Layer]:
        """Quantizes each layer alone.

        Args:
            limit: int, how many of the images, evenly chosen, judge. Default: all.

        Returns:
            A `Layer` for each of `layers`, in order.
        """
        chosen = np.unique(np.linspace(0, self.image_count - 1, limit or self.images).astype(int))
        begun = said = time.monotonic()
        found = []
        for number, name in enumerate(self.layers, 1):
            others = [other for other in self.layers if other != name]
            found.append(self._judge(others, chosen, self._ranges, CORRECTIONS))
            if time.monotonic() - said > PROGRESS_SECONDS:
                said = time.monotonic()
                left = (said - begun) / number * (len(self.layers) - number)
                self._say(f"{name}: {number} of {len(self.layers)} layers, {left:.0f} s left")
        errors = np.array([10 ** (-each.sqnr / 10) for each, _ in found])
        return [
            Layer(name=name, found=each, share=float(error / errors.sum()), won=won)
            for name, (each, won), error in zip(self.layers, found, errors, strict=True)
        ]

    def judge(
        self,
        exclude_layers: Collection[str] = (),
        calibration_method: str | None = None,
        corrections: Collection[str] = CORRECTIONS,
    ) -> tuple[Verification, int | None]:
        """Compares a file with the float network on all images.

        Args:
            exclude_layers: names of layers that stay float32.
            calibration_method: how ranges of maps are chosen. Default: as the study was told.
            corrections: some of `calibrated.CORRECTIONS`.

        Returns:
            A `Verification`, and images newly right less those newly wrong, None without labels.
        """
        chosen = np.arange(self.image_count)
        return self._judge(exclude_layers, chosen, calibration_method or self._ranges, corrections)

    def loss(self, exclude_layers: Collection[str] = ()) -> float:
        """Returns the points of top-1 that a file loses on all images; labels must be given."""
        return -100 * self.judge(exclude_layers)[1] / self.image_count

    def _judge(
        self, exclude_layers, chosen, calibration_method, corrections
    ) -> tuple[Verification, int | None]:
        with converter.silence():
            graph = self._graph.quantized(exclude_layers, calibration_method, corrections)
        apply_xnnpack_rewrites(graph)
        graph.rename("image", "logits")
        with tempfile.TemporaryDirectory(prefix="newnet-") as folder:
            file = Path(folder) / "model.tflite"
            file.write_bytes(graph.to_bytes())
            outputs = Runner(file)(self._inputs[chosen])
        reference = self._reference[chosen]
        found = compare(reference, outputs, PRECISIONS["int8-full"].tolerance)
        if self._labels is None:
            return found, None
        right = [scores.argmax(1) == self._labels[chosen] for scores in (outputs, reference)]
        return found, int(right[0].sum()) - int(right[1].sum())


def worst(layers: Collection[Layer], count: int | None = None) -> list[Layer]:
    """Returns the layers that make most of the error, the worst first.

    Args:
        layers: what `Sensitivity.measure` returned.
        count: int, how many. Default: as many as make half of the error together, at most 5.
    """
    ranked = sorted(layers, key=lambda layer: -layer.share)
    if count is None:
        sums = np.cumsum([layer.share for layer in ranked])
        count = min(MOST, int(np.searchsorted(sums, TAKEN)) + 1)
    return ranked[:count]
