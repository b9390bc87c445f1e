"""`newnet study`: a recipe with some of its fields varied; goes on where it was ended."""

import dataclasses
from pathlib import Path

from newnet_tf.cli import common, train
from newnet_tf.models import activations
from newnet_tf.training import overrides
from newnet_tf.training.tuning import search_space, trial_storage, trials
from newnet_tf.utils import tables

RIGHT = ("test error %", "low", "high", "test loss", "seconds")


def arguments_study(parser):
    train.add_run_arguments(parser)
    parser.add_argument(
        "--over",
        action="append",
        default=[],
        metavar="NAME=WHAT",
        help="a field to vary, as lr=0.02..0.4:log or weight_decay=1e-5,1e-4; see below",
    )
    parser.add_argument(
        "--trials", type=int, metavar="N", help="in all; default: all points of a grid"
    )
    parser.add_argument(
        "--sampler",
        choices=trial_storage.SAMPLERS,
        help="default: grid if every field has choices, else tpe",
    )
    parser.add_argument(
        "--measure",
        choices=trials.MEASURES,
        default=trials.MEASURES[0],
        help="of the last epoch, what is to be least; default: test_error",
    )
    parser.add_argument("-o", "--output", type=Path, help="default: studies/MODEL.RECIPE")
    parser.epilog = (
        "--over NAME=VALUE,VALUE[,...]    choices; those of a pair parted by a slash: 0.08,1/0.5,1\n"
        "--over NAME=LOW..HIGH[:log]      a range, drawn by its logarithm with :log\n"
        "Without --over: learning rate and weight decay, a third to three times the recipe's own.\n"
        "The same command goes on with a study that was ended, and shares it with one under way.\n"
        "Every trial is a run of its own (trials/NUMBER), as `newnet train` leaves it."
    )


def tune(arguments):
    recipe = train.chosen_recipe(arguments)
    over = overrides.parsed(arguments.over, "--over")
    _check_once(arguments, over)
    over = over or search_space.around(recipe)
    trial_storage.optuna()  # if it is missing, that is said before anything is read
    trial_storage.chosen(search_space.space(recipe, over), arguments.sampler, arguments.trials)
    train.start(arguments, recipe)
    from newnet_tf.data.datasets.factory import load_dataset
    from newnet_tf.training import ImageLoader
    from newnet_tf.training.tuning import tune

    source = load_dataset(arguments.data, data_dir=arguments.data_dir)
    record = train.preprocessing(arguments)
    called = activations.renamed(arguments.model, arguments.activation)
    found = tune.tune(
        lambda _: train.network(arguments, record, source.classes),
        lambda made: ImageLoader(source, record, made, arguments.limit),
        recipe,
        arguments.output or Path("studies") / f"{called}.{arguments.recipe}",
        over,
        trials=arguments.trials,
        sampler=arguments.sampler,
        metric=arguments.measure,
        checkpoint_every=arguments.checkpoint_every,
        fingerprint={"weights": arguments.weights, "small": arguments.small},
        metadata=train.said(arguments),
    )
    _print(found, arguments.json)
    return int(all(tried.state == trials.FAILED for tried in found.trials))


def _check_once(arguments, over) -> None:
    """Sees to it that a field is not both set and varied."""
    stated = overrides.parsed(arguments.set).keys() | {
        name for name in ("epochs", "seed") if getattr(arguments, name) is not None
    }
    twice = sorted(stated & set(over))
    if twice:
        raise ValueError(f"a field must be set or varied, not both. Received: {', '.join(twice)}")


def _print(found, as_json: bool) -> None:
    if as_json:
        rows = [dataclasses.asdict(tried) for tried in found.ranked]
        summary = {"best": found.setting, "caveats": found.warnings(), "folder": found.folder}
        print(tables.to_json(summary | {"trials": rows}))
    else:
        print(tables.table([_row(found, tried) for tried in found.ranked], right=RIGHT))
        if found.best:
            measure = found.metric.replace("_", " ")
            print(f"\nbest by {measure} of the last epoch: --set {found.setting}")
        print("".join(f"- {text}\n" for text in found.warnings()), end="")
        print(found.folder)
    for tried in found.trials:
        if tried.state == trials.FAILED:
            common.note(f"trial {tried.number} failed: {tried.reason}")
    running = sum(tried.state == trials.RUNNING for tried in found.trials)
    if running:
        common.note(f"{running} of {found.planned} trials are under way in other processes")


def _row(found, tried) -> dict:
    row = {"trial": tried.number, "state": tried.state}
    row |= {one.name: "" for one in found.dimensions}
    row |= {name: overrides.as_text(value) for name, value in tried.values.items()}
    is_complete = tried.state == trials.COMPLETE
    low, high = found.interval(tried) if is_complete else (None, None)
    return row | {
        "test error %": f"{tried.test_error:.2f}" if is_complete else "",
        "low": f"{low:.2f}" if is_complete else "",
        "high": f"{high:.2f}" if is_complete else "",
        "test loss": f"{tried.test_loss:.4f}" if is_complete else "",
        "seconds": "" if tried.seconds is None else f"{tried.seconds:.0f}",
    }
