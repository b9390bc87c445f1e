"""`newnet detect-text`: the words in images, as quadrilaterals, drawn and as a table."""

import argparse
from pathlib import Path

from newnet_tf.cli import common, model_options
from newnet_tf.utils import tables
from newnet_tf.utils.progress import note

FOLDER = Path("build/text")
NUMBERS = {  # option: help
    "text-threshold": "lowest region score that a word must reach; default: the model's own, 0.7",
    "link-threshold": "affinity score that joins characters to words; default: 0.4",
    "low-text": "region score of pixels that belong to characters; default: 0.4",
    "magnification": "enlarges images before, at most to the canvas; default: 1.5",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `newnet detect-text`."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="images or folders")
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="a text detector: name, .keras, .tflite or .onnx file, or a run's folder; default: craft",
    )
    common.add_output_argument(parser, "folder of the images with words and score maps", FOLDER)
    for name, text in NUMBERS.items():
        parser.add_argument(f"--{name}", type=float, metavar="NUMBER", help=text)
    parser.add_argument(
        "--canvas-size", type=int, metavar="PIXELS", help="longest side in use; default: 1280"
    )
    parser.add_argument(
        "--polygons", action="store_true", default=None, help="polygons that follow curved text"
    )
    parser.add_argument("--weights", metavar="TAG_OR_FILE", help="tag or checkpoint file")
    model_options.add_allow_untrained_argument(parser)
    common.add_json_argument(parser)
    parser.add_argument("--csv", action="store_true", help="print a row for each word, as CSV")
    parser.epilog = (
        "Corners are x, y in pixels of the upright image, clockwise from the upper left.\n"
        "Images that cannot be read are skipped and named; the exit status is then 1."
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs `newnet detect-text`."""
    import newnet_tf

    if arguments.json and arguments.csv:
        raise ValueError("--json and --csv must not be given together. Received: both")
    with common.no_warnings():
        result = newnet_tf.detect_text(
            arguments.images,
            **({"model": arguments.model} if arguments.model else {}),
            output=arguments.output,
            text_threshold=arguments.text_threshold,
            link_threshold=arguments.link_threshold,
            low_text=arguments.low_text,
            polygons=arguments.polygons,
            canvas_size=arguments.canvas_size,
            magnification=arguments.magnification,
            weights=arguments.weights,
            allow_untrained=arguments.allow_untrained,
        )
    shown = list(zip(result, result.files, result.score_maps, strict=True))
    if arguments.json:
        images = [
            {
                "image": image.image,
                "drawn": str(file),
                "score_maps": str(maps),
                "words": common.predictions_to_json(image.predictions),
            }
            for image, file, maps in shown
        ]
        skipped = [{"image": image.path, "reason": image.reason} for image in result.skipped]
        print(tables.to_json({"model": result.model, "images": images, "skipped": skipped}))
    elif arguments.csv:
        rows = [
            {
                "image": image.image,
                "score": f"{word.score:.4f}",
                "polygon": " ".join(f"{x:.1f},{y:.1f}" for x, y in word.polygon),
            }
            for image in result
            for word in image.predictions
        ]
        print(tables.to_csv(rows, ["image", "score", "polygon"]), end="")
    else:
        for image, file, maps in shown:
            count = len(image.predictions)
            words = f"{count} word{'s' * (count != 1)}" if count else "no text"
            print(f"{image.image}: {words}")
            for word in image.predictions:
                corners = " ".join(f"({x:.0f}, {y:.0f})" for x, y in word.polygon)
                print(f"  {100 * word.score:.0f} %  {corners}")
            print(f"  drawn: {file}, {maps}")
    for image in result.skipped:
        note(f"skipped: {image.reason}")
    return 1 if result.skipped else 0
