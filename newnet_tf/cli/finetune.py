"""`newnet finetune`: a network learns classes of your own; report, model and phone files come out."""

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path

from newnet_tf import weights as checkpoints, zoo
from newnet_tf.cards import Preprocess
from newnet_tf.cli import finetune_files, models, pages, tables
from newnet_tf.deploy import recipes

FROZEN, ALL_LAYERS = "frozen features", "all layers"


@dataclass(kw_only=True)
class Run:
    """What a run works on and what it has found so far.

    Args:
        network: str. tag: str, where its weights came from. model: Keras model.
        source: `Source`, its splits train and test. preprocess: `Preprocess`. folder: `Path`.
        seed: int.
        penalty: float, L2 of the classifier. highest: float, the rate that it bears.
        frozen, final: `finetuning.frozen.Outputs` on the test part, probabilities, after the frozen
            stage and at the end.
        outcome: `training.Outcome` of the second stage, recipe: its `Recipe`, how: str, the rest of
            its settings in words; None and "" without a second stage.
        seconds: {stage: float}, how long each took.
        bad: `BadImage`s. files: exported files as lines of a table.
    """

    network: str
    tag: str
    model: object
    source: object
    preprocess: Preprocess
    folder: Path
    train: object
    test: object
    seed: int
    penalty: float = 0.0
    highest: float = 0.0
    frozen: object = None
    final: object = None
    outcome: object = None
    recipe: object = None
    how: str = ""
    seconds: dict = field(default_factory=dict)
    bad: tuple = ()
    files: list = field(default_factory=list)

    @property
    def stages(self) -> dict:
        """{stage: `evaluation.Result` on the test split}."""
        found = {FROZEN: self.frozen.result()}
        return found | ({ALL_LAYERS: self.final.result()} if self.outcome else {})


def arguments_finetune(parser):
    from newnet_tf.data.opened import DATA

    parser.add_argument("--model", required=True, help="a network of the zoo that has weights")
    parser.add_argument("--data", required=True, help=f"your classes: {DATA}")
    parser.add_argument("--data-dir", help="where tensorflow-datasets' sets lie")
    parser.add_argument("-o", "--output-dir", type=Path, help="default: runs/DATA-MODEL")
    models.add_weights_arguments(parser)
    parser.add_argument("--size", type=int, help="input side; default: the weights' own")
    parser.add_argument(
        "--test-share", type=float, default=0.2, help="a folder's part to judge on; default: 0.2"
    )
    parser.add_argument("--seed", type=int, default=0, help="of split, order and augmentation")
    parser.add_argument(
        "--frozen-only", action="store_true", help="a classifier on frozen features, no more"
    )
    parser.add_argument("--epochs", type=int, help="of the second stage; default: the recipe's")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE",
                        help="change the recipe of the second stage, e.g. lr=0.01")  # fmt: skip
    parser.add_argument("--backbone", type=float, default=0.25, metavar="SHARE",
                        help="pretrained layers' share of the rate; default: 0.25")  # fmt: skip
    parser.add_argument("--norms", choices=("frozen", "trained"), default="frozen",
                        help="batch norm; default: frozen, as in inference")  # fmt: skip
    parser.add_argument("--export", default="", metavar="fp32,int8-full",
                        help=f"TFLite files to end with: {', '.join(recipes.PRECISIONS)}")  # fmt: skip
    parser.add_argument(
        "--record", action="store_true", help="write the table newnet_tf/results/accuracy.csv"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.epilog = (
        "First a linear classifier of frozen features (computed once, kept in the run's folder), then\n"
        "all layers, the pretrained ones at a lower rate. The test part chooses nothing: the last\n"
        "epoch is what you get."
    )


def run_finetune(arguments):
    precisions = [p for p in arguments.export.split(",") if p]
    if precisions:
        recipes.check_options(precisions, "float32", False, "logits")
    recipe = _recipe(arguments)
    models.start_keras()
    with models.no_warnings():
        run = _open(arguments)
        finetune_files.write_split(run)
        _frozen_stage(run)
        if not arguments.frozen_only:
            is_own = any("lr=" in text for text in arguments.set)
            recipe = recipe if is_own else _bounded(recipe, run.highest)
            _second_stage(run, recipe, arguments.backbone, arguments.norms)
        finetune_files.write_results(run)
        report = _report(run)  # before the files: one that comes out wrong ends the command
        if precisions:
            finetune_files.export(run, precisions)
            report = _report(run)
    if arguments.record:
        models.note(f"wrote {_record(run)}")
    _print(run, report, arguments.json)


def _recipe(arguments):
    from newnet_tf.training import named_recipe, overridden
    from newnet_tf.training.overrides import parsed

    changes = parsed(arguments.set) | {"seed": arguments.seed}
    if arguments.epochs is not None:
        changes["epochs"] = arguments.epochs
    return overridden(named_recipe("finetune"), changes)


def _open(arguments) -> Run:
    from newnet_tf.data.opened import open_source

    source = open_source(
        arguments.data, arguments.test_share, arguments.seed, data_dir=arguments.data_dir
    )
    tested = next((name for name in ("validation", "test") if name in source.splits), None)
    if source.classes < 2 or "train" not in source.splits or tested is None:
        raise ValueError(
            "`--data` must hold two classes or more, with pictures to train and to judge on. "
            f"Received: {source}"
        )
    variant, tag = zoo.resolve(arguments.model)
    chosen = arguments.weights or tag or variant.card.default_weights
    if chosen is None:
        raise ValueError(
            f"{variant.card.name} has no public weights; pass a checkpoint file with --weights. "
            "Received: no weights"
        )
    is_file = checkpoints.is_file(chosen)
    record = zoo.preprocess_record(arguments.like or variant.card.name, None if is_file else chosen)
    if arguments.size:
        record = dataclasses.replace(record, size=arguments.size)
    model = variant.build(weights=chosen, classes=source.classes, input_shape=record.shape)
    folder = arguments.output_dir or Path("runs") / f"{source.name}-{variant.card.name}"
    return Run(
        network=variant.card.name,
        tag=Path(chosen).name if is_file else chosen,
        model=model,
        source=source,
        preprocess=record,
        folder=folder,
        train=source.split("train"),
        test=source.split(tested),
        seed=arguments.seed,
    )


def _frozen_stage(run: Run) -> None:
    import numpy as np

    from newnet_tf.finetuning import frozen
    from newnet_tf.probe import fit_linear

    begin = time.monotonic()
    embed = frozen.embedder(run.model)
    found = {}
    for part, split in (("train", run.train), ("test", run.test)):
        file = run.folder / f"features.{part}.npz"
        found[part], is_kept = frozen.cached(embed, split, run.preprocess, file)
        if is_kept:
            models.note(f"features of the {part} part: kept from {file}")
    run.bad = found["train"].bad + found["test"].bad
    linear = fit_linear(found["train"].values, found["train"].labels, seed=run.seed)
    if linear.bias.size != run.source.classes:
        raise ValueError(
            "each class must have readable pictures in the training part. Received: none of "
            f"{run.source.class_names[linear.bias.size :]}"
        )
    frozen.put_linear(run.model, linear)
    scores = linear.scores(found["test"].values.astype(np.float64))
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    run.frozen = run.final = dataclasses.replace(found["test"], values=probabilities)
    run.penalty, run.highest = linear.penalty, frozen.highest_rate(found["train"].values)
    run.seconds[FROZEN] = time.monotonic() - begin
    models.note(f"{FROZEN}: {run.frozen.result()}, {run.seconds[FROZEN]:.0f} s")


def _bounded(recipe, highest: float):
    """Returns a recipe whose rate does not throw the fitted classifier off."""
    if recipe.peak <= highest:
        return recipe
    models.note(f"rate {highest:.2g} instead of {recipe.peak:g}: these features bear no higher one")
    return dataclasses.replace(recipe, lr=recipe.lr * highest / recipe.peak)


def _second_stage(run: Run, recipe, backbone: float, norms: str) -> None:
    from newnet_tf.finetuning import frozen, unfrozen

    run.recipe = recipe
    run.how = f"pretrained layers at {backbone:g} of the rate, batch norm {norms}"
    run.outcome = unfrozen.unfreeze(
        run.model, run.source, run.preprocess, recipe, run.folder / "training", backbone, norms
    )
    run.final = frozen.outputs(run.model, run.test, run.preprocess, title="Judging")
    run.seconds[ALL_LAYERS] = sum(epoch["seconds"] for epoch in run.outcome.history)


def _report(run: Run) -> Path:
    from newnet_tf.cli import finetune_page

    return pages.write(
        run.folder / "report.html",
        f"{run.network} on {run.source.name}",
        finetune_page.sections(run),
    )


def _record(run: Run) -> Path:
    from newnet_tf import evaluation

    notes = {
        FROZEN: f"linear classifier of frozen features, L2 {run.penalty:g}, {run.train.size} training "
        "pictures"
    }
    if run.outcome:
        notes[ALL_LAYERS] = (
            f"{run.recipe.epochs} epochs of {run.train.size} pictures, batch {run.recipe.batch}, "
            f"rate {run.recipe.lr:g}, {run.how}, seed {run.seed}"
        )
    for stage, result in run.stages.items():
        path = evaluation.record(
            result,
            run.network,
            f"{run.source.name}, finetuned",
            weights=f"{run.tag}, {stage}",
            note=notes[stage],
        )
    return path


def _print(run: Run, report: Path, as_json: bool) -> None:
    rows = [
        {
            "stage": stage,
            "top-1": f"{result.accuracy():.2f}",
            "95 %": "{:.2f} to {:.2f}".format(*result.interval()),
            "n": result.n,
            "seconds": f"{run.seconds[stage]:.0f}",
        }
        for stage, result in run.stages.items()
    ]
    model = run.folder / f"{run.network}.keras"
    skipped = [{"image": b.path, "reason": b.reason} for b in run.bad]
    if as_json:
        found = {"network": run.network, "data": run.source.name, "classes": run.source.class_names}
        found |= {"stages": rows, "model": model, "report": report, "files": run.files}
        print(tables.to_json(found | {"skipped": skipped}))
    else:
        print(f"{run.network} on {run.source.name}, {run.source.classes} classes\n")
        print(tables.table(rows, right=("top-1", "n", "seconds")))
        if run.files:
            print(f"\n{tables.table(run.files, right=('MB', 'top-1', 'against Keras'))}")
        print(f"\nmodel: {model}   report: {report}")
    for picture in run.bad:
        models.note(f"skipped: {picture.reason}")
