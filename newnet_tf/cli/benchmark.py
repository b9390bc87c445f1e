"""`newnet benchmark`: the latency of models, or the throughput of data pipelines, on this CPU."""

import argparse
from pathlib import Path

from newnet_tf.cli import benchmark_data, common, export_options
from newnet_tf.profiling import paper_tables
from newnet_tf.profiling.comparison import DEFAULT_BASELINE
from newnet_tf.profiling.keras_baselines import KERAS_BASELINES
from newnet_tf.utils import tables
from newnet_tf.utils.progress import note

MODELS = (
    "models, also as NAME-ACTIVATION, patterns ('rexnet_*'), "
    f"{', '.join(KERAS_BASELINES)}, or .tflite files"
)
RUNS, DATA = 50, "data"
# with --table
TABLE_PRECISIONS, TABLE_THREADS = ("fp32", "int8-full"), (1, 2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_models_argument(
        parser,
        f"{MODELS} of any maker; or `{DATA}`: pipelines of images, a plain decode and other loaders",
        nargs="*",
    )
    parser.add_argument(
        "--table",
        type=common.comma_list,
        action="extend",
        default=[],
        metavar="TABLE[,...]",
        help=f"all models of the talk's tables, of {', '.join(paper_tables.TABLES)}; light includes "
        "nas and new",
    )
    export_options.add_precision_argument(parser, None)
    common.add_threads_argument(parser, None, several=True)
    common.add_runs_argument(parser, None)
    parser.add_argument(
        "--baseline",
        metavar="MODEL",
        help="model that ratios refer to, in the same precision; it is timed too; default: the "
        f"first, with --table {DEFAULT_BASELINE}",
    )
    common.add_output_argument(parser, "folder of the exported files", "build/benchmark")
    common.add_force_argument(parser)
    common.add_save_results_argument(parser, "latency", negatable=True)
    common.add_json_argument(parser)
    benchmark_data.add_arguments(parser.add_argument_group(f"of `newnet benchmark {DATA}`"))
    parser.epilog = (
        "Models of the zoo have random weights: their files are for timing only. Files of an\n"
        "unchanged config are not exported again, so an interrupted run resumes. All files of a\n"
        "precision are loaded together and run in turn: ratios are stable where times are not.\n"
        f"Defaults: --precision fp32 --threads 1 --runs {RUNS}; with --table also int8-full and 2\n"
        "threads, and --save-results."
    )


def run(arguments: argparse.Namespace) -> int | None:
    if arguments.models == [DATA]:
        return benchmark_data.run(arguments)
    import newnet_tf

    is_table = bool(arguments.table)
    save_results = is_table if arguments.save_results is None else arguments.save_results
    result = newnet_tf.benchmark(
        arguments.models,
        tables=arguments.table,
        precisions=arguments.precisions or (TABLE_PRECISIONS if is_table else ("fp32",)),
        threads=arguments.threads or (TABLE_THREADS if is_table else (1,)),
        runs=RUNS if arguments.runs is None else arguments.runs,
        baseline=arguments.baseline or (DEFAULT_BASELINE if is_table else None),
        output=Path(arguments.output),
        save_results=save_results,
        force=arguments.force,
    )
    print(tables.to_json(result.table_rows()) if arguments.json else result)
    if result.table:
        note(f"wrote {result.table}")
    return 1 if result.failures else None
