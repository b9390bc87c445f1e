"""`newnet tune`: search hyperparameters of a recipe, or resume an interrupted search."""

import argparse
import dataclasses

from newnet_tf.cli import common, train
from newnet_tf.training.overrides import parse_overrides
from newnet_tf.training.tuning import trial_storage
from newnet_tf.training.tuning.trials import FAILED
from newnet_tf.utils import tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `newnet tune`."""
    train.add_training_arguments(parser)
    parser.add_argument(
        "--search",
        action="append",
        default=[],
        metavar="FIELD=VALUES",
        help="a field to vary, as lr=0.02..0.4:log or weight_decay=1e-5,1e-4; see below",
    )
    parser.add_argument(
        "--trials", type=int, metavar="N", help="in all; default: all settings of a grid"
    )
    parser.add_argument(
        "--sampler",
        choices=trial_storage.SAMPLERS,
        help="default: grid if every field has choices, else tpe",
    )
    parser.add_argument(
        "--metric",
        choices=("test_error", "test_loss"),
        help="figure of the last epoch that chooses the best trial; default: test_error",
    )
    common.add_output_argument(parser, "folder of the search; default: tuning/MODEL.RECIPE")
    parser.epilog = (
        "--search FIELD=VALUE,VALUE[,...]  choices; pairs separated by a slash: 0.08,1/0.5,1\n"
        "--search FIELD=LOW..HIGH[:log]    a range, sampled logarithmically with :log\n"
        "Without --search: learning rate and weight decay, a third to three times the recipe's own.\n"
        "The same command resumes an interrupted search, and shares one that is running.\n"
        "Every trial is a run of its own (trials/NUMBER), as `newnet train` leaves it."
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs `newnet tune`."""
    import newnet_tf

    result = newnet_tf.tune(
        arguments.model,
        arguments.data,
        **train.training_options(arguments),
        search_space=parse_overrides(arguments.search, "--search") or None,
        trials=arguments.trials,
        sampler=arguments.sampler,
        metric=arguments.metric,
        output_dir=arguments.output,
    )
    print(tables.to_json(_to_json(result)) if arguments.json else result)
    return int(all(trial.state == FAILED for trial in result.trials))


def _to_json(result) -> dict:
    return {
        "best": result.setting,
        "warnings": result.warnings(),
        "output_dir": result.output_dir,
        "trials": [dataclasses.asdict(trial) for trial in result.ranked],
    }
