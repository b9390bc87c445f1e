"""`newnet_tf.predict`: what a model sees in images."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from newnet_tf.api.arguments import check_model, check_positive
from newnet_tf.data.images import ImageError, SkippedImage, read_images
from newnet_tf.data.sample_images import image_files
from newnet_tf.inference.loading import load_predictor
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import Prediction

SHOWN = 3  # missing images in an error


@dataclass(frozen=True)
class ImagePredictions:
    """The predictions for one image.

    Args:
        image: str, path of the image, or its position in the list.

        predictions: tuple of `Prediction`, the best first.
    """

    image: str
    predictions: tuple[Prediction, ...]

    def __str__(self) -> str:
        return "\n".join([self.image, *(f"  {prediction}" for prediction in self.predictions)])


@dataclass(frozen=True)
class PredictResult:
    """The predictions for images, in order; images that could not be read are left out.

    It behaves like a list of `ImagePredictions`: iterate over it, or take one by position.

    Args:
        model: str, the model's name.

        images: tuple of `ImagePredictions`.

        skipped: tuple of `SkippedImage`.
    """

    model: str
    images: tuple[ImagePredictions, ...]
    skipped: tuple[SkippedImage, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self):
        return iter(self.images)

    def __getitem__(self, position: int) -> ImagePredictions:
        return self.images[position]

    def __str__(self) -> str:
        lines = [str(image) for image in self.images]
        lines += [f"skipped: {image.reason}" for image in self.skipped]
        return "\n".join(lines)


def predict(
    model: Any,
    images: Any,
    *,
    top: int | None = None,
    weights: str | os.PathLike | None = None,
    preprocess_as: str | None = None,
    preprocess: PreprocessConfig | str | os.PathLike | None = None,
    class_names: Sequence[str] | str | os.PathLike | None = None,
    task: str | None = None,
    outputs: str | None = None,
    activation: str | None = None,
    allow_untrained: bool = False,
) -> PredictResult:
    """Predicts images, one by one; images that cannot be read are skipped and counted.

    For many calls with one model, load it once: `predictor = load_predictor(...)`, which is taken as
    `model` here and can itself be called with images.

    Args:
        model: what `load_predictor` takes.

        images: an image or a list of images: path, bytes of an encoded image, PIL image or uint8 array
            of shape (height, width, 3 or 1). The path of a folder stands for all images in it.

        top: int >= 1, the most predictions for each image. Default: None, 5 of a classifier, all of a
            detector.

        weights: str or path, tag or checkpoint file, for a model of the zoo. Default: its public
            weights.

        preprocess_as: str, as in `load_model`. Default: the model's own.

        preprocess: `PreprocessConfig` or path, as in `load_model`. Default: the model's own.

        class_names: names or path, as in `load_model`. Default: the model's own.

        task: str, as in `load_model`.

        outputs: str, what the model's outputs are, as in `load_model`.

        activation: one of `"relu"`, `"relu6"`, `"hard_swish"`, which replaces SiLU. Default: None.

        allow_untrained: bool, whether to take a model with newly initialized weights. Default: False.

    Returns:
        A `PredictResult`.

    Raises:
        ValueError: if there is no such model, it has no trained weights, or `top` is not a positive
            int.

        ImageError: if a folder holds no image, or no image or folder exists.

    Example:
        >>> print(newnet_tf.predict("efficientnet_lite0", ["cat.jpg", "cup.jpg"], top=1))
        cat.jpg
          tabby 62.9 %
        cup.jpg
          coffee_mug 48.0 %
    """
    given = {
        "weights": weights,
        "preprocess_as": preprocess_as,
        "preprocess": preprocess,
        "class_names": class_names,
        "task": task,
        "outputs": outputs,
        "activation": activation,
        "allow_untrained": allow_untrained,
    }
    check_positive(top=top)
    check_model(model, **given, exported=True)
    sources = list_images(images)
    predictor = load_predictor(model, **given)
    reader, results = read_images(sources), []
    for position, pixels in reader:
        name = image_name(sources[position], position)
        results.append(ImagePredictions(name, tuple(predictor(pixels, top))))
    return PredictResult(predictor.network, tuple(results), tuple(reader.skipped))


def image_name(source: Any, position: int) -> str:
    """Returns the path of an image, or its position in the list."""
    return os.fspath(source) if isinstance(source, str | os.PathLike) else f"image {position}"


def list_images(images: Any) -> list:
    """Returns images one by one, folders replaced by the images in them; arguments as in `predict`.

    Raises:
        ImageError: if a folder holds no image, or none exists.
    """
    is_one = isinstance(images, (str, os.PathLike, bytes)) or not isinstance(images, Iterable)
    if is_one or (isinstance(images, np.ndarray) and images.ndim < 4):
        images = [images]
    sources: list = []
    for image in images:
        is_path = isinstance(image, (str, os.PathLike))
        sources += image_files([Path(image)]) if is_path else [image]
    missing = [image for image in sources if isinstance(image, Path) and not image.exists()]
    if missing and len(missing) == len(sources):
        raise ImageError(
            "`images` must be existing images or folders. "
            f"Received: {', '.join(map(str, missing[:SHOWN]))}: no such file"
        )
    return sources
