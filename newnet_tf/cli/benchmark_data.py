"""`newnet benchmark data`: the speed of input pipelines, a plain decode and other loaders."""

import argparse

from newnet_tf.cli import common
from newnet_tf.utils import tables
from newnet_tf.utils.progress import note

RUNS = 5


def add_arguments(group: argparse._ArgumentGroup) -> None:
    """Adds the options of `newnet benchmark data` beyond those of `newnet benchmark`."""
    group.add_argument(
        "--num-images", type=int, default=2048, metavar="N", help="images a run; default: 2048"
    )
    common.add_batch_size_argument(group, 64)
    group.add_argument("--num-workers", type=int, metavar="N", help="threads; default: all cores")
    group.add_argument(
        "--only",
        type=common.comma_list,
        metavar="PIPELINE[,...]",
        help="time these pipelines and the full decode; default: all",
    )


def run(arguments: argparse.Namespace) -> None:
    """Times the pipelines and prints the table."""
    import newnet_tf

    result = newnet_tf.benchmark_data(
        arguments.only,
        num_images=arguments.num_images,
        runs=RUNS if arguments.runs is None else arguments.runs,
        batch_size=arguments.batch_size,
        num_workers=arguments.num_workers,
        save_results=bool(arguments.save_results),
    )
    print(tables.to_json(result.table_rows()) if arguments.json else result)
    if result.table:
        note(f"wrote {result.table}")
