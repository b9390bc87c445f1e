"""Options of the commands that write TFLite files; see `common` for those of all commands.

- `add_precision_argument`: `--precision fp32,int8-full`, stored as the tuple `precisions`
- `add_image_arguments`: `--calibration-images`, `--images`
- `add_interface_arguments`: `--io-dtype`, `--embed-normalization`, `--output-type`
- `add_calibration_method_argument`: `--calibration-method`
- `add_exclude_layers_argument`: `--exclude-layers`, a number or a tuple of names
"""

import argparse
from pathlib import Path

from newnet_tf.cli.common import comma_list


def add_precision_argument(parser: argparse.ArgumentParser, default: str | None = "fp32") -> None:
    """Adds `--precision`, stored as the tuple `precisions`."""
    from newnet_tf.deploy.quantization.precisions import PRECISIONS

    parser.add_argument(
        "--precision",
        dest="precisions",
        type=comma_list,
        default=comma_list(default) if default else None,
        metavar="PRECISION[,...]",
        help=f"of {', '.join(PRECISIONS)}" + (f"; default: {default}" if default else ""),
    )


def add_image_arguments(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Adds `--calibration-images` (`required` or not) and `--images`."""
    parser.add_argument(
        "--calibration-images",
        type=Path,
        required=required,
        metavar="DIR",
        help="images to measure activation ranges on, about 100, at least 10"
        + ("" if required else "; default: crops of sample images"),
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="images to verify files on"
        + (
            ", with labels if in class folders; default: the calibration images"
            if required
            else "; default: sample images"
        ),
    )


def add_interface_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what decides the input and the output of a TFLite file."""
    from newnet_tf.deploy import export_options

    parser.add_argument(
        "--io-dtype",
        choices=export_options.IO_DTYPES,
        default="float32",
        help="dtype of input and output, other than float32 with int8-full only",
    )
    parser.add_argument(
        "--embed-normalization",
        action="store_true",
        help="the file takes uint8 pixels in 0-255 and normalizes them itself",
    )
    parser.add_argument(
        "--output-type",
        choices=export_options.OUTPUT_TYPES,
        help="what the file returns; default: what the model returns",
    )


def add_calibration_method_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--calibration-method`."""
    from newnet_tf.deploy import export_options

    parser.add_argument(
        "--calibration-method",
        choices=export_options.CALIBRATION_METHODS,
        default=export_options.DEFAULT_CALIBRATION_METHOD,
        help="how activation ranges are estimated (int8-full); default: %(default)s",
    )


def add_exclude_layers_argument(parser) -> None:
    """Adds `--exclude-layers`, also to a group of options that exclude each other."""
    parser.add_argument(
        "--exclude-layers",
        type=number_or_names,
        metavar="N|LAYER[,...]",
        help="the N most sensitive layers, or these, stay float32 (int8-full)",
    )


def number_or_names(text: str) -> int | tuple[str, ...]:
    """Returns a number, or the names in `text` between commas."""
    return int(text) if text.lstrip("-").isdigit() else comma_list(text)
