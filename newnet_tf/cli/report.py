"""`newnet report`: reported accuracy against measured cost, on one page."""

import argparse

from newnet_tf.cli import common
from newnet_tf.profiling.comparison import DEFAULT_BASELINE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_output_argument(parser, "folder of the page and its charts", "build/report")
    common.add_threads_argument(parser)
    parser.add_argument(
        "--baseline",
        default=DEFAULT_BASELINE,
        metavar="MODEL",
        help=f"model that ratios refer to; default: {DEFAULT_BASELINE}",
    )
    parser.epilog = (
        "Draws the cards' reported accuracy against the tables in newnet_tf/results; it measures\n"
        "nothing. Before it: newnet benchmark --table light,heavy"
    )


def run(arguments: argparse.Namespace) -> None:
    import newnet_tf

    print(
        newnet_tf.make_report(
            arguments.output, threads=arguments.threads, baseline=arguments.baseline
        )
    )
