"""`newnet finetune`: a network learns classes of your own; report, model and phone files come out."""

import dataclasses
from pathlib import Path

from newnet_tf import weights as checkpoints
from newnet_tf.cli import common
from newnet_tf.deploy import export_config
from newnet_tf.deploy.quantization.precisions import PRECISIONS
from newnet_tf.finetuning import run as stages, run_files
from newnet_tf.finetuning.run import ALL_LAYERS, FROZEN, Run
from newnet_tf.models import registry
from newnet_tf.utils import tables
from newnet_tf.visualization import html_page


def arguments_finetune(parser):
    from newnet_tf.data.datasets.factory import DATA

    parser.add_argument("--model", required=True, help="a network of the zoo that has weights")
    parser.add_argument("--data", required=True, help=f"your classes: {DATA}")
    parser.add_argument("--data-dir", help="where tensorflow-datasets' sets lie")
    parser.add_argument("-o", "--output-dir", type=Path, help="default: runs/DATA-MODEL")
    common.add_weights_arguments(parser)
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
    parser.add_argument("--norms", choices=("frozen", "trained"),
                        help="batch norm; default: frozen, as in inference, but trained with "
                        "--activation, which changes what it normalizes")  # fmt: skip
    parser.add_argument("--aside", type=float, default=0.1, metavar="SHARE",
                        help="training images that only say whether the second stage came out "
                        "worse than the first, which is kept then; default: 0.1")  # fmt: skip
    parser.add_argument("--export", default="", metavar="fp32,int8-full",
                        help=f"TFLite files to end with: {', '.join(PRECISIONS)}")  # fmt: skip
    parser.add_argument(
        "--record", action="store_true", help="write the table newnet_tf/results/accuracy.csv"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.epilog = (
        "First a linear classifier of frozen features (computed once, kept in the run's folder), then\n"
        "all layers, the pretrained ones at a lower rate, none higher than the network bears. The\n"
        "test part chooses nothing: the last epoch is what you get, or the first stage where that one\n"
        "came out worse on training images held aside."
    )


def run_finetune(arguments):
    precisions = [p for p in arguments.export.split(",") if p]
    if precisions:
        export_config.check_options(precisions, "float32", False, "logits")
    recipe = _recipe(arguments)
    common.start_keras()
    with common.no_warnings():
        run = _open(arguments)
        stages.frozen_stage(run)
        if not arguments.frozen_only:
            is_own = any("lr=" in text for text in arguments.set)
            norms = arguments.norms or ("trained" if arguments.activation else "frozen")
            stages.second_stage(run, recipe, arguments.backbone, norms, arguments.aside, not is_own)
        run_files.write_split(run)
        run_files.write_results(run)
        report = _report(run)  # before the files: one that comes out wrong ends the command
        if precisions:
            run_files.export(run, precisions)
            report = _report(run)
    if arguments.record:
        common.note(f"wrote {_record(run)}")
    _print(run, report, arguments.json)


def _recipe(arguments):
    from newnet_tf.training import get_recipe, override
    from newnet_tf.training.overrides import parsed

    changes = parsed(arguments.set) | {"seed": arguments.seed}
    if arguments.epochs is not None:
        changes["epochs"] = arguments.epochs
    return override(get_recipe("finetune"), changes)


def _open(arguments) -> Run:
    from newnet_tf.data.datasets.factory import load_dataset

    source = load_dataset(
        arguments.data, arguments.test_share, arguments.seed, data_dir=arguments.data_dir
    )
    tested = next((name for name in ("validation", "test") if name in source.splits), None)
    if source.classes < 2 or "train" not in source.splits or tested is None:
        raise ValueError(
            "`--data` must hold two classes or more, with images to train and to judge on. "
            f"Received: {source}"
        )
    variant, tag = registry.resolve(arguments.model)
    chosen = arguments.weights or tag or variant.card.default_weights
    if chosen is None:
        raise ValueError(
            f"{variant.card.name} has no public weights; pass a checkpoint file with --weights. "
            "Received: no weights"
        )
    is_file = checkpoints.is_file(chosen)
    record = registry.preprocess_record(
        arguments.like or variant.card.name, None if is_file else chosen
    )
    if arguments.size:
        record = dataclasses.replace(record, image_size=arguments.size)
    model = variant.build(weights=chosen, classes=source.classes, input_shape=record.shape)
    model = common.with_activation(model, arguments.activation)
    folder = arguments.output_dir or Path("runs") / f"{source.name}-{model.name}"
    return Run(
        network=model.name,
        tag=Path(chosen).name if is_file else chosen,
        model=model,
        source=source,
        preprocess=record,
        folder=folder,
        train=source.split("train"),
        test=source.split(tested),
        seed=arguments.seed,
    )


def _report(run: Run) -> Path:
    from newnet_tf.finetuning import report

    return html_page.write(
        run.folder / "report.html",
        f"{run.network} on {run.source.name}",
        report.sections(run),
    )


def _record(run: Run) -> Path:
    from newnet_tf.evaluation import loop

    notes = {
        FROZEN: f"linear classifier of frozen features, L2 {run.penalty:g}, {run.train.size} training "
        "images"
    }
    if run.outcome:
        notes[ALL_LAYERS] = (
            f"{run.recipe.epochs} epochs of {run.learned.size} images, batch {run.recipe.batch_size}, "
            f"rate {run.recipe.peak_lr:.3g}, {run.how}, seed {run.seed}{', not kept' * run.is_dropped}"
        )
    for stage, result in run.stages.items():
        path = loop.record(
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
    kept = FROZEN if run.final is run.frozen else ALL_LAYERS
    skipped = [{"image": b.path, "reason": b.reason} for b in run.bad]
    if as_json:
        found = {"network": run.network, "data": run.source.name, "classes": run.source.class_names}
        found |= {"stages": rows, "kept": kept, "held aside": run.verdict, "model": model}
        found |= {"report": report, "files": run.files}
        print(tables.to_json(found | {"skipped": skipped}))
    else:
        print(f"{run.network} on {run.source.name}, {run.source.classes} classes\n")
        print(tables.table(rows, right=("top-1", "n", "seconds")))
        if run.files:
            print(f"\n{tables.table(run.files, right=('MB', 'top-1', 'against Keras'))}")
        print(f"\nmodel: {model}   report: {report}")
    for image in run.bad:
        common.note(f"skipped: {image.reason}")
