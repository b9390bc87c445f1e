"""`newnet profile`: the time of each operator of a model on this CPU."""

import argparse
from pathlib import Path

from newnet_tf.cli import common, export_options
from newnet_tf.cli.benchmark import MODELS
from newnet_tf.utils import tables
from newnet_tf.utils.progress import note

LAYERS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_models_argument(parser, f"{MODELS} of any maker")
    export_options.add_precision_argument(parser)
    common.add_threads_argument(parser)
    common.add_runs_argument(parser, 50)
    parser.add_argument(
        "--layers",
        type=int,
        default=LAYERS,
        metavar="N",
        help=f"show the N slowest layers; default: {LAYERS}",
    )
    common.add_output_argument(parser, "folder of the exported files", "build/benchmark")
    common.add_force_argument(parser)
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw the time by type of operator, as .png or .svg",
    )
    parser.add_argument(
        "--flame-chart",
        type=Path,
        metavar="FILE",
        help="draw each file's blocks, layers and operators in order, as .png or .svg",
    )
    common.add_save_results_argument(parser, "operators")
    common.add_json_argument(parser)
    parser.epilog = (
        "Models of the zoo have random weights: their files are for timing only. Times are those of\n"
        "XNNPACK's kernels within the running file, by LiteRT's profiler: the mean of the middle\n"
        "half of all runs. An operator that is fused into a neighbor has no kernel and 0 ms. Two\n"
        "files are compared by operator and by layer. --json has every operator and layer."
    )


def run(arguments: argparse.Namespace) -> None:
    if arguments.layers < 0:
        raise ValueError(f"--layers must not be negative. Received: {arguments.layers}")
    import newnet_tf

    result = newnet_tf.profile(
        arguments.models,
        precisions=arguments.precisions,
        threads=arguments.threads,
        runs=arguments.runs,
        plot=arguments.plot,
        flame_chart=arguments.flame_chart,
        output=arguments.output,
        save_results=arguments.save_results,
        force=arguments.force,
    )
    is_json = arguments.json
    print(tables.to_json(result.to_dicts()) if is_json else result.to_text(arguments.layers))
    for path in (result.table, result.plot, result.flame_chart):
        if path:
            note(f"wrote {path}")
