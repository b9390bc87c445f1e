"""`newnet list` and `newnet info`: the cards and the tables of results. Without TensorFlow."""

import argparse

from newnet_tf.cli import common
from newnet_tf.profiling import paper_tables
from newnet_tf.utils import tables


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", help="such as 'rexnet*'; default: all")
    parser.add_argument("--task", help="only models of this task, such as detection")
    parser.add_argument(
        "--table",
        choices=paper_tables.TABLES,
        help="one of the talk's tables: reported and measured figures",
    )
    common.add_json_argument(parser)
    parser.epilog = (
        "Parameters and MACs are counted (convolutions and dense layers, one image of the model's own\n"
        "size); the top-1 error is the reported one. Latencies are those of one thread in\n"
        "newnet_tf/results/latency.csv, which names the machine. Weights: the first tag, and how many\n"
        "more there are; `newnet info NAME` shows them."
    )


def run_list(arguments: argparse.Namespace) -> None:
    import newnet_tf

    result = newnet_tf.model_table(arguments.pattern, task=arguments.task, table=arguments.table)
    print(tables.to_json(result.rows) if arguments.json else result)


def add_info_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_model_argument(parser, "a model of the zoo, or timm's name, with or without .tag")
    parser.add_argument(
        "--layers", action="store_true", help="build the model and list the cost of its layers"
    )
    parser.add_argument(
        "--full", action="store_true", help="show every table of measured figures, and all weights"
    )
    common.add_json_argument(parser)


def run_info(arguments: argparse.Namespace) -> None:
    import newnet_tf

    result = newnet_tf.model_info(arguments.model, layers=arguments.layers, full=arguments.full)
    print(tables.to_json(result.to_dict()) if arguments.json else result)
