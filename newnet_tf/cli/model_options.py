"""Options that say what a model is, where it does not say it itself; see `common` for others.

- `add_weights_arguments`: what `load_model` takes: `--weights`, `--preprocess-as`, `--preprocess`,
  `--labels`, `--classes`, `--task`, `--outputs`, `--activation`; `model_options` are their values
- `add_allow_untrained_argument`: `--allow-untrained`
- `add_activation_argument`: `--activation` alone
"""

import argparse
from pathlib import Path

from newnet_tf.deploy.export_options import OUTPUT_TYPES
from newnet_tf.models import activations

REPLACED_ACTIVATION = "silu"  # which `--activation` replaces
TASKS = ("classification", "multilabel_classification")


def add_weights_arguments(parser: argparse.ArgumentParser, *, classes: bool = True) -> None:
    """Adds what chooses the weights, the preprocessing and (`classes`) the classes of a model."""
    parser.add_argument(
        "--weights", help="tag or checkpoint file; default: the model's public weights, if any"
    )
    parser.add_argument(
        "--preprocess-as",
        metavar="NAME",
        help="how images are normalized: caffe, tf, torch, raw, unit, or as for a model of the zoo; "
        "default: what the file or the weights say",
    )
    parser.add_argument(
        "--preprocess",
        type=Path,
        metavar="FILE",
        help="the same from a JSON file: image_size, crop_pct, mean, std, channel_order, ...",
    )
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="names of the classes: a text file with a class a line, or imagenet; default: what the "
        "file or the weights say",
    )
    parser.add_argument(
        "--task",
        choices=TASKS,
        help="for a model that does not say it: whether one class is right, or several can be",
    )
    parser.add_argument(
        "--outputs",
        choices=OUTPUT_TYPES,
        help="for a model that does not say it: what it returns",
    )
    if classes:
        parser.add_argument(
            "--classes", type=int, help="number of classes; default: those of the weights"
        )
    add_activation_argument(parser)


def model_options(arguments: argparse.Namespace) -> dict[str, object]:
    """Returns the values of `add_weights_arguments` as keyword arguments of the public functions."""
    options = {
        "weights": arguments.weights,
        "preprocess_as": arguments.preprocess_as,
        "preprocess": arguments.preprocess,
        "class_names": arguments.labels,
        "task": arguments.task,
        "outputs": arguments.outputs,
        "activation": arguments.activation,
    }
    return options | ({"classes": arguments.classes} if hasattr(arguments, "classes") else {})


def add_allow_untrained_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--allow-untrained`."""
    parser.add_argument(
        "--allow-untrained",
        action="store_true",
        help="take a model with newly initialized weights; files of it are marked",
    )


def add_activation_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--activation`."""
    parser.add_argument(
        "--activation",
        choices=[kind for kind in activations.KINDS if kind != REPLACED_ACTIVATION],
        help="replaces SiLU, for hardware without it; files are then named MODEL-ACTIVATION",
    )
