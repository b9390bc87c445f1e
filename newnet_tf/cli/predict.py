"""`newnet predict`: the best classes of images, by a Keras model or an exported file."""

import argparse
from pathlib import Path

from newnet_tf.cli import common, model_options
from newnet_tf.utils import tables
from newnet_tf.utils.progress import note


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `newnet predict`."""
    common.add_model_argument(parser)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="images or folders")
    model_options.add_weights_arguments(parser, classes=False)
    model_options.add_allow_untrained_argument(parser)
    parser.add_argument(
        "--top", type=int, help="most predictions an image; default: 5 classes, or all boxes"
    )
    common.add_json_argument(parser)
    parser.epilog = (
        "--labels names the classes of a model that does not hold their names: they are numbers else.\n"
        "A .tflite file is run by LiteRT alone, with the preprocessing that it holds; for one of\n"
        "another package name it with --preprocess-as or --preprocess.\n"
        "Images that cannot be read are skipped and named; the exit status is then 1."
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs `newnet predict`."""
    import newnet_tf

    with common.no_warnings():
        result = newnet_tf.predict(
            arguments.model,
            arguments.images,
            top=arguments.top,
            **model_options.model_options(arguments),
            allow_untrained=arguments.allow_untrained,
        )
    if arguments.json:
        print(tables.to_json(_to_json(result)))
    else:
        print("\n".join(str(image) for image in result))
    for image in result.skipped:
        note(f"skipped: {image.reason}")
    return 1 if result.skipped else 0


def _to_json(result) -> dict:
    images = [
        {
            "image": image.image,
            "predictions": common.predictions_to_json(image.predictions),
        }
        for image in result
    ]
    skipped = [{"image": image.path, "reason": image.reason} for image in result.skipped]
    return {"model": result.model, "images": images, "skipped": skipped}
