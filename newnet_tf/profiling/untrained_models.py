"""Models with random weights whose activations are like those of trained models, for timing."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from newnet_tf.deploy.export_options import check_options
from newnet_tf.deploy.quantization.precisions import needs_calibration
from newnet_tf.deploy.runtime import ModelFileError
from newnet_tf.models import activations, registry
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.profiling.keras_baselines import check_name, is_keras_baseline, keras_baseline
from newnet_tf.utils.lazy import keras
from newnet_tf.utils.progress import note

IMAGES, CALIBRATION_IMAGES = 4, 8  # of noise


def expand_names(patterns: Sequence[str]) -> list[str]:
    """Returns the models that names and patterns stand for, each once.

    Args:
        patterns: names of the zoo, also as NAME-ACTIVATION; patterns such as `"rexnet_*"`; keys of
            `KERAS_BASELINES`.

    Returns:
        list of str.

    Raises:
        ValueError: for a pattern that matches no model, or an unknown name.
    """
    names = {}
    for pattern in patterns:
        matches = registry.list_models(pattern) if "*" in pattern else [pattern]
        if not matches:
            raise ValueError(f"a pattern must match a model of the zoo. Received: {pattern!r}")
        for name in matches:
            if is_keras_baseline(name):
                check_name(name)
            else:
                registry.resolve(activations.split_name(name)[0])
        names |= dict.fromkeys(matches)
    return list(names)


def untrained_model(name: str):
    """Builds a model with seeded random weights and calibrated batch norms.

    It sets Keras' global random seed.

    Args:
        name: a name as in `expand_names`, no pattern.

    Returns:
        (Keras model that gives logits, its `PreprocessConfig`).
    """
    if is_keras_baseline(name):
        model, preprocess = keras_baseline(name)
    else:
        keras.utils.set_random_seed(0)
        zoo_name, activation = activations.split_name(name)
        variant, _ = registry.resolve(zoo_name)
        model = variant.build(classifier_activation=None)
        if activation:
            model = activations.replace_activation(model, "silu", activation)
        preprocess = variant.card.preprocess
    calibrate_batch_norm(model, preprocess)
    return model, preprocess


def export_untrained(
    names: Sequence[str],
    precisions: Sequence[str],
    folder: str | os.PathLike,
    force: bool = False,
    io_dtype: str = "float32",
) -> dict[tuple[str, str], Path]:
    """Exports models with seeded random weights. Their configs say "timing only".

    A file of an unchanged config is not exported again. A file that XNNPACK does not run as a whole
    is no error.

    Args:
        names: names as in `expand_names`, no patterns.

        precisions: names of precisions, as in `export_tflite`.

        folder: path of the folder for the files.

        force: bool, whether to export files of an unchanged config again. Default: False.

        io_dtype: str, as in `export_tflite`. Default: `"float32"`.

    Returns:
        {(name, precision): path of the file}.

    Raises:
        ExportError, ModelFileError: if an exported file is wrong or cannot be run.

    Example:
        >>> export_untrained(["newnet_small"], ["fp32", "int8-full"], "build/benchmark")
    """
    from newnet_tf import deploy

    check_options(precisions, io_dtype, False, "logits")
    noise = np.random.RandomState(0).randint(0, 256, (CALIBRATION_IMAGES, 256, 256, 3), np.uint8)
    files = {}
    for name in names:
        model, preprocess = untrained_model(name)
        results = deploy.export_tflite(
            model,
            preprocess,
            folder,
            name=name,
            precisions=precisions,
            calibration_images=list(noise) if needs_calibration(precisions) else None,
            io_dtype=io_dtype,
            verify=False,
            force=force,
            require_full_delegation=False,
        )
        files |= {(name, result.config.precision): result.file for result in results}
    return files


def export_all_untrained(
    names: Sequence[str], precisions: Sequence[str], folder: str | os.PathLike, force: bool = False
) -> tuple[dict[tuple[str, str], Path], dict[tuple[str, str], str]]:
    """Exports as `export_untrained`, but a file that fails does not stop the others.

    Returns:
        ({(name, precision): path of the file}, {(name, precision): why there is no file}).
    """
    from newnet_tf.deploy import ExportError
    from newnet_tf.profiling.latency import time_left

    files, failures, start = {}, {}, time.monotonic()
    for number, name in enumerate(names, 1):
        try:
            files |= export_untrained([name], precisions, folder, force)
        except (ExportError, ModelFileError):  # perhaps in some of the precisions only
            for precision in precisions:
                try:
                    files |= export_untrained([name], [precision], folder, force)
                except (ExportError, ModelFileError) as error:
                    failures[name, precision] = f"{error}"
        note(f"{number} of {len(names)} models, {time_left(start, number, len(names))}")
    return files, failures


def calibrate_batch_norm(model, preprocess: PreprocessConfig) -> None:
    """Gives all batch norms random offsets, and the statistics of the model's activations on noise.

    With their initial values batch norms do nothing: activations of a deep model grow or shrink from
    block to block, and the branches of some additions are nearly zero. No trained model has such
    ranges, and XNNPACK refuses 8-bit files with them.

    Args:
        model: Keras model; it is changed in place.

        preprocess: `PreprocessConfig` of the model.
    """
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    random = np.random.RandomState(0)
    noise = random.randint(0, 256, (IMAGES, *preprocess.shape))
    with contextlib.ExitStack() as stack:
        for norm in norms:
            stack.callback(setattr, norm, "momentum", norm.momentum)
            norm.momentum = 0.0
            norm.beta.assign(random.normal(0, 0.5, norm.beta.shape))
        inputs = (noise * preprocess.scale + preprocess.offset).astype(np.float32)
        model(inputs, training=True)
