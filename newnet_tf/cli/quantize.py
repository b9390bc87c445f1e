"""`newnet quantize`: full int8, with an analysis of what each layer loses."""

import argparse

from newnet_tf.cli import common, export, export_options, model_options
from newnet_tf.utils import tables

RIGHT = ("SQNR dB", "share", "agreement", "top-1")  # columns of numbers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_model_argument(parser)
    export_options.add_image_arguments(parser, required=True)
    parser.add_argument(
        "--sensitivity",
        action="store_true",
        help="what each layer loses, as CSV and PNG, and a proposal",
    )
    excluded = parser.add_mutually_exclusive_group()
    export_options.add_exclude_layers_argument(excluded)
    excluded.add_argument(
        "--max-accuracy-drop",
        type=float,
        metavar="POINTS",
        help="as few layers stay float32 as keep the loss of top-1 within POINTS",
    )
    export_options.add_calibration_method_argument(parser)
    model_options.add_weights_arguments(parser)
    common.add_output_argument(parser, "folder of the files", "build/quantize")
    common.add_json_argument(parser)
    parser.epilog = (
        "With --sensitivity alone no TFLite file is written. A layer's SQNR is that of the model's\n"
        "logits where this layer alone is int8. Images that calibrate are not used for validation."
    )


def run(arguments: argparse.Namespace) -> None:
    import newnet_tf

    result = newnet_tf.quantize(
        arguments.model,
        arguments.output,
        calibration_images=arguments.calibration_images,
        validation_images=arguments.images,
        sensitivity=arguments.sensitivity,
        exclude_layers=arguments.exclude_layers,
        max_accuracy_drop=arguments.max_accuracy_drop,
        calibration_method=arguments.calibration_method,
        **model_options.model_options(arguments),
    )
    files = [export.row(result.file)] if result.file else []
    if arguments.json:
        values = {"model": result.model, "exclude_layers": result.exclude_layers}
        values |= {"summary": result.summary} if result.summary else {}
        values |= {"layers": result.rows()} if arguments.sensitivity else {}
        print(tables.to_json(values | ({"files": files} if files else {})))
        return
    if arguments.sensitivity:
        print(f"{tables.table(result.rows(), right=RIGHT)}\n")
    if result.summary:
        print(f"{result.summary}\n")
    if files:
        print(tables.table(files, right=("MB",)))
