"""`newnet train`: train or finetune a network by a recipe; goes on where it was killed."""

import shlex
import sys
from pathlib import Path

from newnet_tf.cli import common
from newnet_tf.models import registry
from newnet_tf.training import overrides, recipe_registry
from newnet_tf.training.distributed import cluster, strategy as strategies
from newnet_tf.training.distributed.single_process import SingleProcess
from newnet_tf.training.trainer import EVERY
from newnet_tf.utils import tables

SMALL = 32


def arguments_train(parser):
    add_run_arguments(parser)
    parser.add_argument("-o", "--output", type=Path, help="default: runs/MODEL.RECIPE")
    parser.add_argument("--resume", action="store_true", help="go on with the run that is there")
    parser.add_argument(
        "--strategy",
        choices=strategies.STRATEGIES,
        help="train on all GPUs of this machine, or on several machines; see docs/distributed.md",
    )
    parser.add_argument(
        "--workers",
        metavar="HOST:PORT,HOST:PORT",
        help=f"of {strategies.MULTIWORKER}: all workers, the same list for each; default: TF_CONFIG",
    )
    parser.add_argument("--index", type=int, metavar="I", help="which of the workers, from 0")
    parser.epilog = _epilog()


def add_run_arguments(parser) -> None:
    """Adds what says which network is trained on what, and how."""
    from newnet_tf.data.datasets.factory import DATA

    parser.add_argument("--model", required=True, metavar="NAME", help="a network of the zoo")
    parser.add_argument("--data", required=True, help=DATA)
    parser.add_argument("--data-dir", help="where tensorflow-datasets' sets lie")
    parser.add_argument(
        "--recipe",
        required=True,
        help=f"among {', '.join(recipe_registry.RECIPES)}; `newnet train --help` tells of each",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE[,...]",
        help="change fields of the recipe, as lr=0.1,augmentation.cutmix_alpha=1.0",
    )
    parser.add_argument("--epochs", type=int, help="the same as --set epochs=...")
    parser.add_argument("--seed", type=int, help="of first weights, order, augmentation")
    parser.add_argument("--weights", help="tag or checkpoint file to begin from; default: none")
    common.add_activation_argument(parser)
    parser.add_argument(
        "--size", type=int, help="side of the images; default: the network's usual one"
    )
    parser.add_argument(
        "--small",
        action="store_true",
        help=f"for images as small as CIFAR's: stem of stride 1, no crop, --size {SMALL} unless "
        "given",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="train on N images only")
    parser.add_argument(
        "--checkpoint-every",
        type=int,
        default=EVERY,
        metavar="N",
        help=f"steps between checkpoints, beside one after each epoch; default: {EVERY}",
    )
    parser.add_argument(
        "--deterministic", action="store_true", help="the same numbers every time, slower"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run_train(arguments):
    recipe = chosen_recipe(arguments)
    strategy = _strategy(arguments)  # before TensorFlow computes anything
    start(arguments, recipe)
    from newnet_tf.data.datasets.factory import load_dataset
    from newnet_tf.training import ImageLoader, train
    from newnet_tf.training.compilation import build_model

    source = load_dataset(arguments.data, data_dir=arguments.data_dir)
    record = preprocessing(arguments)

    def build(_):
        with (strategy or SingleProcess()).scope():
            return network(arguments, record, source.classes)

    model = build_model(build, recipe)
    folder = arguments.output or Path("runs") / f"{model.name}.{arguments.recipe}"
    told, share = said(arguments), {}
    if strategy:
        told["strategy"] = str(strategy)
        share = {"workers": strategy.workers, "index": strategy.index}
    outcome = train(
        model,
        ImageLoader(source, record, recipe, arguments.limit, **share),
        recipe,
        folder,
        resume=arguments.resume,
        checkpoint_every=arguments.checkpoint_every,
        metadata=told,
        strategy=strategy,
    )
    if strategy and not strategy.is_chief:
        common.note(f"worker {strategy.index} is done; worker 0 has the files")
        return
    row = _row(outcome, model.name)
    print(tables.to_json([row]) if arguments.json else tables.table([row], right=NUMBERS))
    if not arguments.json:
        print(f"\n{outcome.reading}\n{folder}")


def _strategy(arguments):
    """Returns the strategy that was asked for, or None."""
    from newnet_tf.deploy.runtime import quiet

    if arguments.strategy != strategies.MULTIWORKER:
        if arguments.workers is not None or arguments.index is not None:
            raise ValueError(
                f"`--workers` and `--index` must come with --strategy {strategies.MULTIWORKER}. "
                f"Received: --strategy {arguments.strategy}"
            )
        if arguments.strategy is None:
            return None
        with quiet():
            return strategies.mirrored()
    found = cluster.given(arguments.workers, arguments.index)
    common.note(
        f"worker {found.index} of {len(found.addresses)}: waiting for {', '.join(found.addresses)}"
    )
    with quiet():
        return strategies.multiworker(arguments.workers, arguments.index)


NUMBERS = ("top-1 %", "low", "high", "epoch", "last %", "images")


def _row(outcome, name: str) -> dict:
    from newnet_tf.evaluation.intervals import wilson

    best, last = outcome.best, outcome.history[-1]
    low, high = wilson(round(outcome.tests * (1 - best["test_error"] / 100)), outcome.tests)
    return {
        "model": name,
        "top-1 %": f"{100 - best['test_error']:.2f}",
        "low": f"{100 * low:.2f}",
        "high": f"{100 * high:.2f}",
        "epoch": best["epoch"],
        "last %": f"{100 - last['test_error']:.2f}",
        "images": outcome.tests,
        "reading": outcome.reading.kind,
    }


def chosen_recipe(arguments):
    """Returns the named recipe, its fields changed as the command says."""
    changes = overrides.parsed(arguments.set)
    for name in ("epochs", "seed"):
        value = getattr(arguments, name)
        if value is not None:
            if name in changes:
                raise ValueError(f"`--{name}` must be given once. Received: it, and --set {name}")
            changes[name] = value
    return overrides.override(recipe_registry.get_recipe(arguments.recipe), changes)


def start(arguments, recipe) -> None:
    """Starts Keras as the command says."""
    keras = common.start_keras()
    if arguments.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    if recipe.dtype != "float32" and not keras.distribution.list_devices("gpu"):
        common.note(f"{recipe.dtype} is slow on a CPU: --set dtype=float32")


def said(arguments) -> dict[str, str]:
    """Returns what a run's folder keeps of its command."""
    return {"command": shlex.join(["newnet", *sys.argv[1:]]), "named": arguments.recipe}


def preprocessing(arguments):
    """Returns the `PreprocessConfig` of the network, for images of the size that the command says."""
    import dataclasses

    from newnet_tf.models.cifar_stem import small_preprocess

    variant, chosen = _chosen(arguments)
    is_tag = chosen is not None and not common.checkpoints.is_file(chosen)
    record = registry.preprocess_record(variant.card.name, chosen if is_tag else None)
    if arguments.small:
        return small_preprocess(record, arguments.size or SMALL)
    return dataclasses.replace(record, image_size=arguments.size) if arguments.size else record


def network(arguments, record, classes: int):
    """Returns the Keras model, giving logits, for images prepared as `record` says."""
    from newnet_tf.models.cifar_stem import with_stride1_stem

    variant, chosen = _chosen(arguments)
    side = 2 * record.image_size if arguments.small else record.image_size
    model = variant.build(
        weights=chosen,
        classes=classes,
        input_shape=(side, side, record.channels),
        classifier_activation=None,
    )
    model = with_stride1_stem(model) if arguments.small else model
    return common.with_activation(model, arguments.activation)


def _chosen(arguments):
    """Returns the variant, and its weights: a tag, a file or None."""
    variant, tag = registry.resolve(arguments.model)
    return variant, arguments.weights or tag


def _epilog() -> str:
    import textwrap

    parts = []
    for name, known in recipe_registry.RECIPES.items():
        lines = {
            "run": known.command,
            "from": known.source,
            "hours": known.hours,
            "on": known.hardware,
            "result": known.expected,
        }
        parts.append(f"{name}")
        for what, text in lines.items():
            parts += textwrap.wrap(
                text,
                96,
                initial_indent=f"  {what:<7}",
                subsequent_indent=" " * 9,
                break_on_hyphens=False,
            )
    return "recipes:\n" + "\n".join(parts)
