"""`newnet train`: train a model by a recipe, or resume an interrupted run."""

import argparse
import shlex
import sys
import textwrap

from newnet_tf.cli import common, model_options
from newnet_tf.training import recipe_registry
from newnet_tf.training.distributed.strategy import MULTIWORKER, STRATEGIES
from newnet_tf.training.overrides import parse_overrides
from newnet_tf.training.run import CHECKPOINT_EVERY
from newnet_tf.utils import tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `newnet train`."""
    add_training_arguments(parser)
    common.add_output_argument(parser, "folder of the run; default: runs/MODEL.RECIPE")
    parser.add_argument("--resume", action="store_true", help="resume the run in the folder")
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        help="train on all GPUs of this machine, or on several machines; see docs/distributed.md",
    )
    parser.add_argument(
        "--workers",
        metavar="HOST:PORT,HOST:PORT",
        help=f"all workers of {MULTIWORKER}, the same list for each; default: TF_CONFIG",
    )
    parser.add_argument(
        "--worker-index", type=int, metavar="I", help="which of the workers this is, from 0"
    )
    parser.epilog = _recipes()


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `newnet train` and `newnet tune` have in common."""
    common.add_model_argument(parser, "a model of the zoo")
    common.add_data_arguments(parser, seed=None)
    common.add_recipe_arguments(parser, tuple(recipe_registry.RECIPES))
    parser.add_argument("--weights", help="tag or checkpoint file; default: none, random weights")
    model_options.add_activation_argument(parser)
    common.add_image_size_argument(parser)
    parser.add_argument(
        "--cifar-stem",
        action="store_true",
        help="for images as small as CIFAR's: stem of stride 1, no crop, 32 pixels",
    )
    common.add_max_samples_argument(parser)
    parser.add_argument(
        "--checkpoint-every",
        type=int,
        default=CHECKPOINT_EVERY,
        metavar="N",
        help=f"steps between checkpoints; one more after each epoch; default: {CHECKPOINT_EVERY}",
    )
    parser.add_argument(
        "--deterministic", action="store_true", help="the same numbers every time, slower"
    )
    common.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Runs `newnet train`."""
    import newnet_tf

    result = newnet_tf.train(
        arguments.model,
        arguments.data,
        **training_options(arguments),
        output_dir=arguments.output,
        resume=arguments.resume,
        strategy=arguments.strategy,
        workers=arguments.workers,
        worker_index=arguments.worker_index,
    )
    if result.files:  # the first worker has them
        print(tables.to_json([result.row()]) if arguments.json else result)


def training_options(arguments: argparse.Namespace) -> dict:
    """Returns the options that `train` and `tune` have in common, by argument name."""
    return {
        "recipe": arguments.recipe,
        "overrides": parse_overrides(arguments.set),
        "epochs": arguments.epochs,
        "seed": arguments.seed,
        "weights": arguments.weights,
        "image_size": arguments.image_size,
        "cifar_stem": arguments.cifar_stem,
        "activation": arguments.activation,
        "max_samples": arguments.max_samples,
        "validation_split": arguments.validation_split,
        "data_dir": arguments.data_dir,
        "images_dir": arguments.images_dir,
        "checkpoint_every": arguments.checkpoint_every,
        "deterministic": arguments.deterministic,
        "metadata": {"command": shlex.join(["newnet", *sys.argv[1:]])},
    }


def _recipes() -> str:
    """Returns a text about each recipe: command, source, hours, hardware, result."""
    parts = ["recipes:"]
    for name, known in recipe_registry.RECIPES.items():
        lines = {
            "run": known.command,
            "from": known.source,
            "hours": known.hours,
            "on": known.hardware,
            "result": known.expected,
        }
        parts.append(name)
        for title, text in lines.items():
            parts += textwrap.wrap(
                text,
                96,
                initial_indent=f"  {title:<7}",
                subsequent_indent=" " * 9,
                break_on_hyphens=False,
            )
    return "\n".join(parts)
