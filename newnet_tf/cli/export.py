"""`newnet export`: files for phones, servers and browsers, verified against the model."""

import argparse
import os
from pathlib import Path

from newnet_tf.cli import common, export_options, model_options
from newnet_tf.utils import tables

FORMATS = ("tflite", "saved_model", "onnx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_model_argument(parser)
    parser.add_argument("--to", choices=FORMATS, default="tflite", help="default: tflite")
    common.add_output_argument(parser, "folder of the files", "build/export")
    export_options.add_precision_argument(parser)
    model_options.add_weights_arguments(parser)
    export_options.add_image_arguments(parser)
    export_options.add_interface_arguments(parser)
    parser.add_argument(
        "--embed-postprocess",
        action="store_true",
        help="a detector's file returns boxes after non-maximum suppression, not raw outputs",
    )
    export_options.add_calibration_method_argument(parser)
    export_options.add_exclude_layers_argument(parser)
    model_options.add_allow_untrained_argument(parser)
    parser.add_argument(
        "--no-verify", action="store_true", help="do not compare: files are marked 'timing only'"
    )
    common.add_force_argument(parser)
    common.add_json_argument(parser)
    parser.epilog = (
        "Every file holds its labels, preprocessing, task and license. The .json and .labels.txt next\n"
        "to it are for people and are not read. A model of your own without such metadata needs\n"
        "--preprocess-as or --preprocess; --labels names its classes, --outputs says what they are.\n"
        "int8-dynamic and int8-weights need no calibration images, but are more accurate with them.\n"
        "A file that differs from its model by more than its precision's tolerance is not written."
    )


def run(arguments: argparse.Namespace) -> None:
    import newnet_tf

    layers = arguments.exclude_layers or ()
    if isinstance(layers, int):
        raise ValueError(
            "`--exclude-layers` must name layers; `newnet quantize` finds the N most sensitive ones. "
            f"Received: {layers}"
        )
    results = newnet_tf.export(
        arguments.model,
        arguments.output,
        format=arguments.to,
        precisions=arguments.precisions,
        calibration_images=arguments.calibration_images,
        validation_images=arguments.images,
        **model_options.model_options(arguments),
        allow_untrained=arguments.allow_untrained,
        io_dtype=arguments.io_dtype,
        embed_normalization=arguments.embed_normalization,
        embed_postprocess=arguments.embed_postprocess,
        output_type=arguments.output_type,
        exclude_layers=layers,
        calibration_method=arguments.calibration_method,
        verify=not arguments.no_verify,
        force=arguments.force,
    )
    rows = [row(result) for result in results]
    print(tables.to_json(rows) if arguments.json else tables.table(rows, right=("MB",)))


def row(result: os.PathLike) -> dict:
    """Returns one exported file, or the folder of a SavedModel, as a row of a table."""
    path = Path(result)
    if path.is_dir():
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return {"folder": str(path), "MB": round(size / 1e6, 2)}
    values = {"file": str(path), "MB": round(path.stat().st_size / 1e6, 2)}
    verified = str(getattr(result, "verification", None) or "no (timing only)")
    if hasattr(result, "opset"):
        return values | {"opset": result.opset, "verified": verified}
    delegation = result.delegation  # type: ignore[attr-defined]
    return values | {
        "XNNPACK": f"{delegation.share:.0%} in {delegation.partitions}",
        "verified": verified,
        "state": "cached" if result.cached else "new",  # type: ignore[attr-defined]
    }
