"""`newnet convert`: a checkpoint of another framework into a file that Keras loads."""

import argparse
import sys
from pathlib import Path

from newnet_tf import weights
from newnet_tf.cli import common
from newnet_tf.utils import tables

SHOWN = 3  # names of skipped tensors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `newnet convert`."""
    parser.add_argument("model", metavar="MODEL", help="a model of the zoo, e.g. rexnet_100")
    parser.add_argument(
        "checkpoint",
        type=Path,
        metavar="CHECKPOINT",
        help=f"a checkpoint of it: {', '.join(weights.SUFFIXES)}; the content decides, not the suffix",
    )
    common.add_output_argument(
        parser, f"the new file: {', '.join(weights.WRITABLE)}", required=True
    )
    parser.add_argument(
        "--classes", type=int, help="number of classes; default: read from the checkpoint"
    )
    parser.add_argument(
        "--state-dict",
        metavar="KEY",
        help="which weights of a file with several: the key of the dictionary (model, model_ema) or "
        "the prefix; default: found by the names, averaged weights (EMA) first",
    )
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="names of the classes: a text file with a class a line, or imagenet",
    )
    parser.add_argument("--no-top", action="store_true", help="leave pooling and classifier out")
    common.add_json_argument(parser)
    parser.epilog = (
        "Every tensor of the checkpoint must be used and every variable set, or it is an error.\n"
        "example: newnet convert rexnet_100 rexnetv1_1.0.pth -o rexnet.weights.h5"
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs `newnet convert`."""
    import newnet_tf

    result = newnet_tf.convert(
        arguments.model,
        arguments.checkpoint,
        arguments.output,
        classes=arguments.classes,
        include_top=not arguments.no_top,
        state_dict=arguments.state_dict,
        class_names=arguments.labels,
    )
    if arguments.json:
        values = {name: value for name, value in vars(result).items() if name != "metadata"}
        print(tables.to_json(values))
        return
    print(result)
    if result.skipped:
        names = ", ".join(result.skipped[:SHOWN])
        more = len(result.skipped) - SHOWN
        rest = f" and {more} more" if more > 0 else ""
        print(f"skipped, as the model has no use for them: {names}{rest}", file=sys.stderr)
