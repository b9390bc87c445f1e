"""`newnet demo`: classify, detect, export, verify, benchmark and report in one run."""

import argparse
from pathlib import Path

from newnet_tf.cli import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_output_argument(parser, "folder of the report and the files", "build/demo")
    parser.add_argument(
        "--image", type=Path, metavar="FILE", help="image to classify; default: scikit-image's cat"
    )
    common.add_runs_argument(parser, 40)
    common.add_force_argument(parser)
    parser.epilog = (
        "efficientnet_lite0 with its ImageNet weights classifies an image and is exported in four\n"
        "precisions, each verified; ssdlite_mobilenet_v2 finds a person and is exported in two;\n"
        "untrained models are exported for timing only."
    )


def run(arguments: argparse.Namespace) -> None:
    import newnet_tf

    print(
        newnet_tf.demo(
            arguments.output, image=arguments.image, runs=arguments.runs, force=arguments.force
        )
    )
