"""Detections in a few evaluation images, drawn every few epochs while a detector trains."""

import io
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from newnet_tf.data.datasets.base import Split
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.data.images import ImageError, read_image
from newnet_tf.data.preprocess import preprocess_image
from newnet_tf.detection.drawing import draw_predictions
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import Metrics, Task
from newnet_tf.training.evaluator import evaluate_batches
from newnet_tf.utils.io import write_bytes
from newnet_tf.utils.lazy import keras

FOLDER = "predictions"  # in the run's folder
IMAGES, TIMES = 4, 5  # images in a drawing, drawings of a stage
SCORE_THRESHOLD = 0.3  # of the detections that are drawn, and counted in the report
MOST = 6  # detections that are drawn in an image, the highest scores
HEIGHT, GAP = 150, 6  # pixels
PALETTE = 128  # colors of a file
NAME = re.compile(r"(?P<stage>\w+)-(?P<epoch>\d+)\.png")


class ProgressDrawings:
    """Writes `predictions/STAGE-EPOCH.png`: what a detector finds in the same images as it learns.

    Five times a stage, after the last epoch too.

    Args:
        model: Keras model from images to a detector's outputs, which shares the trained weights.

        task: `Task` of the model.

        preprocess: `PreprocessConfig` of the model.

        split: `Split` of the evaluation images, four of which are drawn.

        class_names: str for each class.

        output_dir: path of the run's folder.

        stage: str, name of the stage in names of files.

        epochs: int, of the stage.
    """

    def __init__(
        self,
        model: Any,
        task: Task,
        preprocess: PreprocessConfig,
        split: Split,
        class_names: Sequence[str],
        output_dir: Path,
        stage: str,
        epochs: int,
    ):
        self._model, self._task, self._preprocess = model, task, preprocess
        self._split, self._class_names = split, tuple(class_names)
        self._folder, self._stage, self._epochs = Path(output_dir) / FOLDER, stage, epochs
        self._images: list[tuple[np.ndarray, np.ndarray]] | None = None

    def evaluator(self, loader: Any, trained: Any, task: Task) -> Callable[[Iterable], Metrics]:
        """Returns an evaluation for `training.trainer.fit` that draws after the epochs that are due.

        Args:
            loader: of the run; its `epoch` is the one that was trained last.

            trained: compiled Keras model.

            task: `Task`.
        """

        def evaluate(batches: Iterable) -> Metrics:
            metrics = evaluate_batches(trained.predict_on_batch, batches, task)
            if self.is_due(loader.epoch):
                self.draw(loader.epoch)
            return metrics

        return evaluate

    def is_due(self, epoch: int) -> bool:
        """Returns whether there is a drawing after an epoch, counted from 0."""
        every = -(-self._epochs // TIMES)
        return (epoch + 1) % every == 0 or epoch + 1 == self._epochs

    def draw(self, epoch: int) -> None:
        """Writes the drawing of an epoch; none if no image can be read."""
        if self._images is None:
            self._images = list(self._read())
        if not self._images:
            return
        outputs = self._model(np.stack([image for image, _ in self._images]), training=False)
        arrays = {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}
        drawn = []
        for i, (_, shown) in enumerate(self._images):
            own = {name: values[i] for name, values in arrays.items()}
            found = self._task.decode(own, shown.shape[:2], self._class_names)
            best = [p for p in found if p.score >= SCORE_THRESHOLD][:MOST]
            drawn.append(draw_predictions(shown, best))
        write_bytes(self._folder / f"{self._stage}-{epoch + 1:03d}.png", _strip(drawn))

    def _read(self) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Yields (normalized image, uint8 image of the strip's height), spread over the split."""
        size = self._split.size
        wanted = set(np.linspace(0, size - 1, min(IMAGES, size)).round().astype(int).tolist())
        for number, sample in enumerate(iter_samples(self._split)):
            if number not in wanted:
                continue
            try:
                pixels = read_image(sample.source)
            except ImageError:  # counted and named where it is evaluated
                continue
            width = max(1, round(pixels.shape[1] * HEIGHT / pixels.shape[0]))
            shown = Image.fromarray(pixels).resize((width, HEIGHT), Image.Resampling.BILINEAR)
            yield preprocess_image(pixels, self._preprocess), np.asarray(shown)


def drawings(output_dir: Path) -> list[tuple[str, int, Path]]:
    """Returns the drawings of a run.

    Args:
        output_dir: path of the run's folder.

    Returns:
        List of (stage, epoch from 1, path), in the order of stage and epoch.
    """
    found = []
    for path in sorted((Path(output_dir) / FOLDER).glob("*.png")):
        if match := NAME.fullmatch(path.name):
            found.append((match["stage"], int(match["epoch"]), path))
    return found


def _strip(images: Sequence[np.ndarray]) -> bytes:
    """Returns images side by side as a small PNG file."""
    width = sum(image.shape[1] for image in images) + GAP * (len(images) - 1)
    canvas, left = np.full((HEIGHT, width, 3), 255, np.uint8), 0
    for image in images:
        canvas[:, left : left + image.shape[1]] = image
        left += image.shape[1] + GAP
    buffer = io.BytesIO()
    Image.fromarray(canvas).quantize(PALETTE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
