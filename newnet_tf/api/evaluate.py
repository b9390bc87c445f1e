"""`newnet_tf.evaluate`: accuracy, average precision or H-mean of a model on labeled images."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from newnet_tf.api.arguments import check_model, check_positive
from newnet_tf.api.data_arguments import check_data
from newnet_tf.classification.result import ClassificationResult
from newnet_tf.data.datasets.base import Dataset, Split
from newnet_tf.data.datasets.factory import load_dataset
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.detection.evaluation.result import DetectionResult
from newnet_tf.evaluation.loop import evaluate_samples
from newnet_tf.evaluation.result_table import save_result
from newnet_tf.inference.loading import load_predictor
from newnet_tf.inference.predictor import Predictor
from newnet_tf.models.config import FIT, PreprocessConfig
from newnet_tf.task import task_of
from newnet_tf.text.evaluation.result import TextResult
from newnet_tf.utils.progress import note
from newnet_tf.utils.quiet import start_keras


def evaluate(
    model: Any,
    dataset: Dataset | Split | str | os.PathLike,
    *,
    split: str | None = None,
    weights: str | os.PathLike | None = None,
    preprocess_as: str | None = None,
    preprocess: PreprocessConfig | str | os.PathLike | None = None,
    class_names: Sequence[str] | str | os.PathLike | None = None,
    task: str | None = None,
    outputs: str | None = None,
    activation: str | None = None,
    allow_untrained: bool = False,
    validation_split: float = 0.2,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
    images_dir: str | os.PathLike | None = None,
    max_samples: int | None = None,
    batch_size: int = 32,
    save_results: bool = False,
) -> ClassificationResult | DetectionResult | TextResult:
    """Measures the accuracy, average precision or H-mean of a model on labeled images.

    Shows progress on stderr. Images are decoded and prepared on the host, as `predict` does, for models
    of every format. Those that cannot be read are skipped, counted, and named in one warning.

    Args:
        model: what `load_predictor` takes: name of a model of the zoo, `.keras`, `.tflite` or `.onnx`
            file, folder of a SavedModel or of a run, result of `train` or `finetune`, `keras.Model`,
            or `Predictor`.

        dataset: `Dataset`, one of its splits, or what `load_dataset` takes: a name, a folder of
            classes, a tar file; of a detector, boxes: a COCO, VOC or YOLO folder, a CSV file; of a text
            detector, words: a folder of ICDAR's, a COCO-Text file. Its classes are matched with the
            model's by name; those of a split without a dataset must be the model's.

        split: str, name of the split. Default: validation, else test, else all.

        weights: str or path, tag or checkpoint file, for a model of the zoo. Default: its public
            weights.

        preprocess_as: str, as in `load_model`. Default: the model's own.

        preprocess: `PreprocessConfig` or path, as in `load_model`. Default: the model's own.

        class_names: names or path, as in `load_model`. Default: the model's own.

        task: str, as in `load_model`.

        outputs: str, what the model's outputs are, as in `load_model`.

        activation: one of `"relu"`, `"relu6"`, `"hard_swish"`, which replaces SiLU. Default: None.

        allow_untrained: bool, whether to take a model with newly initialized weights. Default: False.

        validation_split: float in (0, 1), fraction of a folder without splits that is its validation
            split. Default: 0.2.

        seed: int, decides which images these are. Default: 0.

        data_dir: path, where tensorflow-datasets keeps its datasets. Default: its own folder.

        images_dir: path, the folder that the paths of a CSV file start from. Default: its own folder.

        max_samples: int >= 1, evaluates a random sample of this many images, always the same.
            Default: None, all images.

        batch_size: int, images a call; 1 of a model whose input size depends on the image. Default: 32.

        save_results: bool, whether to write the result into `newnet_tf/results/accuracy.csv`,
            `detection.csv` of a detector, or `text.csv` of a text detector. Default: False.

    Returns:
        A `ClassificationResult`; a `DetectionResult` of a detector; a `TextResult` of a text detector;
        for a model of another task, the result of that task.

    Raises:
        ValueError: if there is no such model, dataset or split, if an argument does not fit, if the
            dataset has a class that the model does not have, or if no image can be read.

    Example:
        >>> result = newnet_tf.evaluate("efficientnet_lite0", "imagenet_v2", max_samples=1000)
        >>> print(result.accuracy(1), result.interval(1))
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
    check_positive(max_samples=max_samples, batch_size=batch_size)
    check_model(model, **given, exported=True)
    check_data(dataset, split=split, validation_split=validation_split, images_dir=images_dir)
    if not isinstance(dataset, (Dataset, Split)):
        start_keras()  # without TensorFlow's messages
        dataset = load_dataset(
            dataset,
            validation_split=validation_split,
            seed=seed,
            data_dir=data_dir,
            images_dir=images_dir,
        )
    if isinstance(dataset, Split) and (split is not None or save_results):
        raise ValueError(
            "`split` and `save_results` must come with a dataset that has a name. "
            f"Received: a Split with {split=}, {save_results=}"
        )
    images = dataset if isinstance(dataset, Split) else dataset.split(split)
    predictor = load_predictor(model, **given)
    names = None if isinstance(dataset, Split) else dataset.class_names
    result = evaluate_split(predictor, images, names, max_samples, batch_size)
    if isinstance(dataset, Split):
        return result
    split_name = next(name for name, value in dataset.splits.items() if value is images)
    result = dataclasses.replace(result, dataset=dataset.name, split=split_name)
    if save_results:
        part = "" if split_name in ("validation", "all") else f", {split_name}"
        sample = f", sample of {max_samples}" if max_samples else ""
        data = f"{dataset.name}{part}{sample}"
        path = save_result(result, predictor.network, data, predictor.precision, predictor.weights)
        note(f"wrote {path}")
    return result


def evaluate_split(
    predictor: Predictor,
    split: Split,
    dataset_class_names: tuple[str, ...] | None = None,
    max_samples: int | None = None,
    batch_size: int = 32,
) -> ClassificationResult | DetectionResult | TextResult:
    """Measures the accuracy of a predictor on a split.

    Args:
        predictor: `Predictor`.

        split: `Split`.

        dataset_class_names: one str for each class of the data, which are matched with the model's by
            name. Default: None, labels are the model's classes.

        max_samples, batch_size: as in `evaluate`.

    Returns:
        As `evaluate`.
    """
    evaluator = task_of(predictor.metadata).evaluator(
        predictor.classes,
        predictor.class_names,
        dataset_class_names,
        predictor.metadata.output_type,
    )
    if predictor.metadata.preprocess.resize_mode == FIT:
        batch_size = 1
    total = split.size if max_samples is None else min(max_samples, split.size)
    result = evaluate_samples(
        lambda images: _outputs(predictor, images),
        iter_samples(split, max_samples),
        total,
        lambda image: (predictor.prepare(image), image.shape[:2]),
        evaluator,
        batch_size,
    )
    return dataclasses.replace(
        result,
        model=predictor.network,
        weights=predictor.weights,
        precision=predictor.precision,
        class_names=predictor.class_names or dataset_class_names or (),
    )


def _outputs(predictor: Predictor, images: list[tuple[Any, tuple[int, int]]]) -> Any:
    """Returns a model's outputs; named ones with `"image_sizes"`, which boxes are found with.

    Args:
        predictor: `Predictor`.

        images: list of (prepared image, (height, width) of the original).
    """
    outputs = predictor.scores([image for image, _ in images])
    if isinstance(outputs, dict):
        return {**outputs, "image_sizes": np.array([size for _, size in images])}
    return outputs
