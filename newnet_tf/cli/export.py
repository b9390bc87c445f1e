"""`newnet export` and `newnet verify`: files for phones and servers, compared with their model."""

from pathlib import Path

from newnet_tf.cli import models, tables
from newnet_tf.deploy import recipes
from newnet_tf.finetuning import files

FORMATS = ("tflite", "saved_model")


def arguments_export(parser):
    parser.add_argument("model", help="a network of the zoo, or a .keras file")
    parser.add_argument("--to", choices=FORMATS, default="tflite", help="default: tflite")
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("build/export"))
    parser.add_argument(
        "--precision",
        default="fp32",
        help=f"one or more of {','.join(recipes.PRECISIONS)}, separated by commas; default: fp32",
    )
    models.add_weights_arguments(parser)
    parser.add_argument("--classes", type=int, help="number of classes of your checkpoint")
    parser.add_argument(
        "--calibration", type=Path, metavar="DIR", help="pictures to measure ranges on, about 100"
    )
    parser.add_argument(
        "--pictures", type=Path, metavar="DIR", help="pictures to verify on; default: some at hand"
    )
    parser.add_argument(
        "--io", choices=recipes.IO, default="float32", help="type of input and output (int8-full)"
    )
    parser.add_argument(
        "--with-preprocessing",
        action="store_true",
        help="the file takes uint8 pixels in 0-255 and normalises them itself",
    )
    parser.add_argument("--output", choices=recipes.OUTPUTS, default="logits")
    parser.add_argument(
        "--no-verify", action="store_true", help="for an untrained network: marked 'timing only'"
    )
    parser.add_argument("--fresh", action="store_true", help="make anew what has not changed")
    parser.add_argument("--json", action="store_true", help="what was written, as JSON")
    parser.epilog = (
        "Without --calibration or --pictures, crops of scikit-image's pictures stand in.\n"
        "A file that differs from its model by more than its precision's tolerance is not written."
    )


def run_export(arguments):
    loaded = models.load(arguments.model, arguments.weights, arguments.like, arguments.classes)
    with models.no_warnings():
        export = _saved_model if arguments.to == "saved_model" else _tflite
        rows = export(arguments, loaded)
    if arguments.json:
        print(tables.to_json(rows))
    else:
        print(tables.table(rows, right=("MB",)))


def _saved_model(arguments, loaded: models.Loaded) -> list[dict]:
    from newnet_tf.deploy import export_saved_model

    folder = arguments.output_dir / loaded.name
    export_saved_model(loaded.model, folder, loaded.preprocess, loaded.class_names)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    return [{"folder": str(folder), "MB": round(size / 1e6, 2)}]


def _tflite(arguments, loaded: models.Loaded) -> list[dict]:
    from newnet_tf.deploy import export_tflite

    precisions = arguments.precision.split(",")
    recipes.check_options(precisions, arguments.io, arguments.with_preprocessing, arguments.output)
    verify = not arguments.no_verify
    if verify and not loaded.is_trained:
        raise ValueError(
            f"{loaded.name} has no weights here, and an untrained network proves nothing: pass "
            "--weights FILE, or --no-verify for a file for timing only. Received: neither"
        )
    results = export_tflite(
        loaded.model,
        loaded.preprocess,
        arguments.output_dir,
        name=loaded.name,
        precisions=precisions,
        calibration=_calibration(arguments) if recipes.calibrated(precisions) else None,
        io=arguments.io,
        with_preprocessing=arguments.with_preprocessing,
        output=arguments.output,
        verify=verify,
        pictures=_pictures(arguments) if verify else None,
        fresh=arguments.fresh,
    )
    if loaded.class_names:
        files.save_labels(results[0].file, loaded.class_names)
    return [row(result) for result in results]


def row(result) -> dict:
    """One exported file as a line of a table."""
    found = result.verification
    return {
        "file": str(result.file),
        "MB": round(result.file.stat().st_size / 1e6, 2),
        "XNNPACK": f"{result.delegation.share:.0%} in {result.delegation.partitions}",
        "verified": str(found) if found else "no (timing only)",
        "state": "kept" if result.reused else "new",
    }


def _calibration(arguments):
    if arguments.calibration:
        return models.pictures([arguments.calibration])
    models.note(
        f"calibrating on {models.CROPS} crops of scikit-image's pictures; for a file to ship, "
        "give about 100 pictures of your own with --calibration"
    )
    return models.crops_at_hand()


def _pictures(arguments):
    if arguments.pictures:
        return models.pictures([arguments.pictures])
    return models.pictures_at_hand()


def arguments_verify(parser):
    parser.add_argument("files", nargs="+", metavar="FILE.tflite", help="exported files")
    parser.add_argument("--model", help="a network or .keras file; default: what the recipe names")
    models.add_weights_arguments(parser)
    parser.add_argument("--classes", type=int, help="number of classes of your checkpoint")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="default: some at hand")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    parser.epilog = "Exit status 1 if a file is outside the tolerance that its recipe names."


def run_verify(arguments):
    from newnet_tf.deploy import Runner, verify_tflite

    rows, failed = [], False
    loaded = {}
    for file in arguments.files:
        recipe = Runner(file).recipe
        name = arguments.model or (recipe.model if recipe else None)
        if name is None:
            raise ValueError(f"{file} has no recipe beside it. Received: no .json, no --model")
        if name not in loaded:
            loaded[name] = models.load(name, arguments.weights, arguments.like, arguments.classes)
        with models.no_warnings():
            found = verify_tflite(loaded[name].model, file, _pictures(arguments))
        failed |= not found.passed
        rows.append({"file": str(file), "passed": found.passed} | found.record())
        if not arguments.json:
            verdict = "ok" if found.passed else f"FAILED: {'; '.join(found.reasons)}"
            print(f"{file}: {verdict}\n  {found}")
    if arguments.json:
        print(tables.to_json(rows))
    return 1 if failed else 0
