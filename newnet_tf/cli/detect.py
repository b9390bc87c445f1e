"""`newnet detect`: the objects in images, with their boxes drawn."""

import argparse
from pathlib import Path

from newnet_tf.cli import common, model_options
from newnet_tf.utils import tables
from newnet_tf.utils.progress import note

FOLDER = Path("build/detect")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `newnet detect`."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="images or folders")
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="a detector: name, .keras, .tflite or .onnx file, or a run's folder; default: "
        "ssdlite_mobilenet_v2.person, which finds people",
    )
    common.add_output_argument(parser, "folder of the images with their boxes", FOLDER)
    parser.add_argument(
        "--score-threshold", type=float, default=0.3, help="lowest score; default: 0.3"
    )
    parser.add_argument("--max-detections", type=int, help="most detections an image")
    parser.add_argument("--weights", metavar="TAG_OR_FILE", help="tag or checkpoint file")
    model_options.add_allow_untrained_argument(parser)
    common.add_json_argument(parser)
    parser.epilog = (
        "Boxes are x1, y1, x2, y2 in pixels of the upright image.\n"
        "Images that cannot be read are skipped and named; the exit status is then 1."
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs `newnet detect`."""
    import newnet_tf

    with common.no_warnings():
        result = newnet_tf.detect(
            arguments.images,
            **({"model": arguments.model} if arguments.model else {}),
            output=arguments.output,
            score_threshold=arguments.score_threshold,
            max_detections=arguments.max_detections,
            weights=arguments.weights,
            allow_untrained=arguments.allow_untrained,
        )
    if arguments.json:
        images = [
            {
                "image": image.image,
                "drawn": str(file),
                "detections": common.predictions_to_json(image.predictions),
            }
            for image, file in zip(result, result.files, strict=True)
        ]
        skipped = [{"image": image.path, "reason": image.reason} for image in result.skipped]
        print(tables.to_json({"model": result.model, "images": images, "skipped": skipped}))
    else:
        for image, file in zip(result, result.files, strict=True):
            print(f"{image if image.predictions else f'{image.image}: nothing'}\n  drawn: {file}")
    for image in result.skipped:
        note(f"skipped: {image.reason}")
    return 1 if result.skipped else 0
