"""`newnet verify`: exported files compared with their Keras model."""

import argparse

from newnet_tf.cli import common, model_options
from newnet_tf.utils import tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help=".tflite, .onnx, .keras, or a SavedModel's folder"
    )
    parser.add_argument(
        "--model", help="a model of the zoo or a .keras file; default: what the file names"
    )
    model_options.add_weights_arguments(parser)
    parser.add_argument("--images", metavar="DIR", help="default: sample images")
    common.add_json_argument(parser)
    parser.epilog = (
        "Files are compared with the model that the metadata inside them name; --model gives another.\n"
        "Exit status 1 if a file is outside the tolerance of its precision. A .tflite file runs in a\n"
        "process of its own: one that crashes the runtime is an invalid model."
    )


def run(arguments: argparse.Namespace) -> int:
    import newnet_tf

    results = newnet_tf.verify(
        arguments.files,
        model=arguments.model,
        images=arguments.images,
        **model_options.model_options(arguments),
    )
    if arguments.json:
        print(tables.to_json([{"file": str(r.file), **r.verification.to_dict()} for r in results]))
    else:
        print("\n".join(str(result) for result in results))
    return 0 if all(result.passed for result in results) else 1
