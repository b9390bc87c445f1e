"""`newnet_tf.detect_text`: where words are in images, as quadrilaterals and as images to look at."""

import dataclasses
import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newnet_tf.api.arguments import check_model, check_output_folder
from newnet_tf.api.drawn_images import drawn_path, write_jpeg
from newnet_tf.api.predict import ImagePredictions, PredictResult, image_name, list_images
from newnet_tf.data.images import read_images
from newnet_tf.data.preprocess import preprocess_image
from newnet_tf.inference.loading import load_predictor
from newnet_tf.inference.predictor import Predictor
from newnet_tf.models.config import FIT, FIT_MULTIPLE, PreprocessConfig
from newnet_tf.task import task_of
from newnet_tf.text.config import TASK, THRESHOLDS, TextConfig
from newnet_tf.text.opencv import import_cv2

DEFAULT_MODEL = "craft"
MAX_CANVAS, MAX_MAGNIFICATION = 4096, 10
HEAT_MAPS = "_maps"  # behind the name of an image's score maps


@dataclass(frozen=True)
class DetectTextResult(PredictResult):
    """The words in images, in order; each prediction has a `polygon` and a `box`.

    It behaves like a list of `ImagePredictions`, see `PredictResult`.

    Args:
        model, images, skipped: as of `PredictResult`.

        files: tuple of `Path`, the images with their words drawn; empty without `output`.

        score_maps: tuple of `Path`, the images with their score maps; empty without `output`.
    """

    files: tuple[Path, ...] = ()
    score_maps: tuple[Path, ...] = ()

    def __str__(self) -> str:
        lines = [str(image) if image.predictions else f"{image.image}\n  no text" for image in self]
        return "\n".join([*lines, *(f"skipped: {image.reason}" for image in self.skipped)])


def detect_text(
    images: Any,
    model: Any = DEFAULT_MODEL,
    *,
    output: str | os.PathLike | None = None,
    text_threshold: float | None = None,
    link_threshold: float | None = None,
    low_text: float | None = None,
    polygons: bool | None = None,
    canvas_size: int | None = None,
    magnification: float | None = None,
    weights: str | os.PathLike | None = None,
    preprocess: PreprocessConfig | str | os.PathLike | None = None,
    allow_untrained: bool = False,
) -> DetectTextResult:
    """Finds words in images, and draws them; images that cannot be read are skipped.

    Words are found, not read: pass the parts of the image to a recognizer.

    Args:
        images: an image or a list of images: path, bytes of an encoded image, PIL image or uint8 array
            of shape (height, width, 3 or 1). The path of a folder stands for all images in it.

        model: text detector, what `load_predictor` takes: a name, a `.keras`, `.tflite` or `.onnx`
            file, a run's folder, a Keras model. Default: `"craft"`.

        output: path of a folder for the images with their words and for the score maps, created if it
            does not exist. Default: None, nothing is drawn.

        text_threshold: float in [0, 1], a word must hold a pixel of a region score as high. Default:
            the model's own, 0.7.

        link_threshold: float in [0, 1], a higher affinity score joins characters to words. Default: the
            model's own, 0.4.

        low_text: float in [0, 1], pixels of a higher region score belong to characters. Default: the
            model's own, 0.4.

        polygons: bool, whether words are polygons that follow curved text. Default: the model's own,
            False.

        canvas_size: int in 32 to 4096, the longest side in pixels at which an image is processed; of
            models of any input size. Memory and time grow with its square. Default: the model's own,
            1280.

        magnification: float in 0.1 to 10, how much an image is enlarged before, at most to
            `canvas_size`; of models of any input size. Larger finds smaller words. Default: the model's
            own, 1.5.

        weights: str or path, as in `load_model`.

        preprocess: `PreprocessConfig` or path, as in `load_model`.

        allow_untrained: bool, whether to take a model with newly initialized weights. Default: False.

    Returns:
        A `DetectTextResult`. A word's `polygon` has four corners (with `polygons` an even number),
        clockwise from the upper left, its `box` is `(x1, y1, x2, y2)`, both in pixels of the original,
        upright image.

    Raises:
        ValueError: if there is no such model, it is no text detector, or an argument has another value.

        ImageError: if a folder holds no image, or no image or folder exists.

        ImportError: if OpenCV is not installed.

    Example:
        >>> result = newnet_tf.detect_text("sign.jpg", output="build/text")
        >>> result[0].predictions[0].polygon
        ((52.0, 40.0), (131.0, 44.0), (130.0, 66.0), (51.0, 62.0))
    """
    thresholds = dict(zip(THRESHOLDS, (text_threshold, link_threshold, low_text), strict=True))
    for name, value in thresholds.items():
        _check_number(name, value, 0, 1)
    _check_number("canvas_size", canvas_size, FIT_MULTIPLE, MAX_CANVAS, int)
    _check_number("magnification", magnification, 0.1, MAX_MAGNIFICATION)
    changes = {k: v for k, v in {**thresholds, "polygons": polygons}.items() if v is not None}
    sizes = {"image_size": canvas_size, "magnification": magnification}
    sizes = {name: value for name, value in sizes.items() if value is not None}
    given = {"weights": weights, "preprocess": preprocess}
    check_model(model, **given, allow_untrained=allow_untrained, exported=True)
    if output is not None:
        check_output_folder(output)
    sources = list_images(images)
    import_cv2()
    predictor = load_predictor(model, **given, allow_untrained=allow_untrained)
    predictor = _changed(predictor, changes, sizes)
    task = task_of(predictor.metadata)
    reader, found, files, maps = read_images(sources), [], [], []
    for position, pixels in reader:
        source = sources[position]
        outputs = predictor.outputs(pixels)
        predictions = task.decode(outputs, pixels.shape[:2], predictor.class_names)
        found.append(ImagePredictions(image_name(source, position), tuple(predictions)))
        if output is not None:
            path = drawn_path(output, source, position, files)
            write_jpeg(task.draw(pixels, predictions), path)
            files.append(path)
            path = path.with_stem(path.stem + HEAT_MAPS)
            write_jpeg(task.draw_maps(pixels, outputs), path)
            maps.append(path)
    return DetectTextResult(
        predictor.network, tuple(found), tuple(reader.skipped), tuple(files), tuple(maps)
    )


def _check_number(
    name: str, value: Any, least: float, most: float, kind: Any = int | float
) -> None:
    """Raises ValueError for an argument that is neither None nor a number in least to most."""
    is_right = isinstance(value, kind) and not isinstance(value, bool) and least <= value <= most
    if value is not None and not is_right:
        number = "an int" if kind is int else "a number"
        raise ValueError(
            f"`{name}` (--{name.replace('_', '-')}) must be {number} in {least} to {most}. "
            f"Received: {value!r}"
        )


def _changed(predictor: Predictor, changes: dict[str, Any], sizes: dict[str, Any]) -> Predictor:
    """Returns a predictor with other thresholds, canvas and magnification.

    Raises:
        ValueError: if it is no text detector, or of one input size.
    """
    metadata = predictor.metadata
    if metadata.task != TASK:
        raise ValueError(
            "`model` must be a text detector; `newnet_tf.predict` and `newnet_tf.detect` take others. "
            f"Received: {predictor.network}, whose task is {metadata.task!r}"
        )
    config = TextConfig.from_dict(metadata.task_config or {})
    task_config = dataclasses.replace(config, **changes).to_dict()
    metadata = dataclasses.replace(metadata, task_config=task_config)
    if not sizes:
        return dataclasses.replace(predictor, metadata=metadata)
    if metadata.preprocess.resize_mode != FIT:
        raise ValueError(
            "`canvas_size` and `magnification` must be left out for a model of one input size. "
            f"Received: {predictor.network}, which takes {metadata.preprocess.image_size} pixels"
        )
    preprocess = dataclasses.replace(metadata.preprocess, **sizes)
    return dataclasses.replace(
        predictor,
        metadata=dataclasses.replace(metadata, preprocess=preprocess),
        prepare=functools.partial(preprocess_image, preprocess=preprocess),
    )
