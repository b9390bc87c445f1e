"""`newnet_tf.detect`: where objects are in images, as boxes and as images to look at."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newnet_tf.api.arguments import check_model, check_output_folder
from newnet_tf.api.drawn_images import drawn_path, write_jpeg
from newnet_tf.api.predict import ImagePredictions, PredictResult, image_name, list_images
from newnet_tf.data.datasets.base import DETECTION
from newnet_tf.data.images import read_images
from newnet_tf.inference.loading import load_predictor
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import task_of

DEFAULT_MODEL = "ssdlite_mobilenet_v2.person"
SCORE_THRESHOLD = 0.3


@dataclass(frozen=True)
class DetectResult(PredictResult):
    """The objects in images, in order; each prediction has a `box`.

    It behaves like a list of `ImagePredictions`, see `PredictResult`.

    Args:
        model, images, skipped: as of `PredictResult`.

        files: tuple of `Path`, the images with their boxes drawn; empty without `output`.
    """

    files: tuple[Path, ...] = ()

    def __str__(self) -> str:
        lines = [str(image) if image.predictions else f"{image.image}\n  nothing" for image in self]
        return "\n".join([*lines, *(f"skipped: {image.reason}" for image in self.skipped)])


def detect(
    images: Any,
    model: Any = DEFAULT_MODEL,
    *,
    output: str | os.PathLike | None = None,
    score_threshold: float = SCORE_THRESHOLD,
    max_detections: int | None = None,
    weights: str | os.PathLike | None = None,
    class_names: Sequence[str] | str | os.PathLike | None = None,
    preprocess: PreprocessConfig | str | os.PathLike | None = None,
    allow_untrained: bool = False,
) -> DetectResult:
    """Detects objects in images, and draws their boxes; images that cannot be read are skipped.

    Args:
        images: an image or a list of images: path, bytes of an encoded image, PIL image or uint8 array
            of shape (height, width, 3 or 1). The path of a folder stands for all images in it.

        model: detector, what `load_predictor` takes: a name, a `.keras`, `.tflite` or `.onnx` file, a
            run's folder, a Keras model. Default: `"ssdlite_mobilenet_v2.person"`, which finds people.

        output: path of a folder for the images with their boxes, created if it does not exist. Default:
            None, nothing is drawn.

        score_threshold: float in [0, 1], detections with a lower score are left out. Default: 0.3.

        max_detections: int, the most detections for an image. Default: the model's own.

        weights: str or path, as in `load_model`.

        class_names: names or path, as in `load_model`.

        preprocess: `PreprocessConfig` or path, as in `load_model`.

        allow_untrained: bool, whether to take a model with newly initialized weights. Default: False.

    Returns:
        A `DetectResult`; boxes are `(x1, y1, x2, y2)` in pixels of the original, upright image.

    Raises:
        ValueError: if there is no such model, it is no detector, or an argument has another value.

        ImageError: if a folder holds no image, or no image or folder exists.

    Example:
        >>> result = newnet_tf.detect("street.jpg", output="build/detect")
        >>> print(result)
        street.jpg
          person 91.3 % at (120, 48, 171, 203)
    """
    if not 0 <= score_threshold <= 1:
        raise ValueError(
            "`score_threshold` (--score-threshold) must lie in [0, 1]. "
            f"Received: {score_threshold!r}"
        )
    given = {"weights": weights, "class_names": class_names, "preprocess": preprocess}
    check_model(model, **given, allow_untrained=allow_untrained, exported=True)
    if output is not None:
        check_output_folder(output)
    sources = list_images(images)
    predictor = load_predictor(model, **given, allow_untrained=allow_untrained)
    if predictor.task != DETECTION:
        raise ValueError(
            f"`model` must be a detector; `newnet_tf.predict` takes others. Received: "
            f"{predictor.network}, whose task is {predictor.task!r}"
        )
    task = task_of(predictor.metadata)
    reader, found, files = read_images(sources), [], []
    for position, pixels in reader:
        source = sources[position]
        predictions = [p for p in predictor(pixels, max_detections) if p.score >= score_threshold]
        found.append(ImagePredictions(image_name(source, position), tuple(predictions)))
        if output is not None:
            path = drawn_path(output, source, position, files)
            write_jpeg(task.draw(pixels, predictions), path)
            files.append(path)
    return DetectResult(predictor.network, tuple(found), tuple(reader.skipped), tuple(files))
