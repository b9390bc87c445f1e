"""`newnet export` and `newnet verify`: files for phones and servers, compared with their model."""

from pathlib import Path

from newnet_tf.cli import common
from newnet_tf.data import sidecar
from newnet_tf.deploy import export_config
from newnet_tf.deploy.quantization.precisions import PRECISIONS, calibrated
from newnet_tf.models import activations
from newnet_tf.utils import tables

LEAST_CALIBRATION, LEAST_IMAGES = 10, 2
FORMATS = ("tflite", "saved_model", "onnx")


def arguments_export(parser):
    parser.add_argument("model", help="a network of the zoo, or a .keras file")
    parser.add_argument("--to", choices=FORMATS, default="tflite", help="default: tflite")
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("build/export"))
    add_file_arguments(parser, "fp32")
    common.add_weights_arguments(parser)
    parser.add_argument("--classes", type=int, help="number of classes of your checkpoint")
    parser.add_argument(
        "--no-verify", action="store_true", help="for an untrained network: marked 'timing only'"
    )
    parser.add_argument("--fresh", action="store_true", help="make anew what has not changed")
    parser.add_argument("--json", action="store_true", help="what was written, as JSON")
    parser.epilog = (
        "Without --calibration or --images, crops of scikit-image's images stand in.\n"
        "A file that differs from its model by more than its precision's tolerance is not written."
    )


def add_file_arguments(parser, precision: str) -> None:
    """Adds what decides what TFLite files hold."""
    parser.add_argument(
        "--precision",
        default=precision,
        help=f"one or more of {','.join(PRECISIONS)}, by commas; default: {precision}",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR",
        help=f"images to measure on, about 100, at least {LEAST_CALIBRATION}; int8-dynamic and "
        "int8-weights, which need none, lose less with them",
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="images to verify on; default: some at hand"
    )
    parser.add_argument(
        "--io",
        choices=export_config.IO,
        default="float32",
        help="type of input and output (int8-full)",
    )
    parser.add_argument(
        "--with-preprocessing",
        action="store_true",
        help="the file takes uint8 pixels in 0-255 and normalizes them itself",
    )
    parser.add_argument("--output", choices=export_config.OUTPUTS, default="logits")


def run_export(arguments):
    loaded = common.load_asked(arguments)
    with common.no_warnings():
        export = {"tflite": _tflite, "saved_model": _saved_model, "onnx": _onnx}[arguments.to]
        rows = export(arguments, loaded)
    if arguments.json:
        print(tables.to_json(rows))
    else:
        print(tables.table(rows, right=("MB",)))


def _saved_model(arguments, loaded: common.Loaded) -> list[dict]:
    from newnet_tf.deploy import export_saved_model

    folder = arguments.output_dir / loaded.name
    export_saved_model(loaded.model, folder, loaded.preprocess, loaded.class_names)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    return [{"folder": str(folder), "MB": round(size / 1e6, 2)}]


def _onnx(arguments, loaded: common.Loaded) -> list[dict]:
    from newnet_tf.deploy import export_onnx

    verify = not arguments.no_verify
    if verify:
        must_be_trained(loaded)
    result = export_onnx(
        loaded.model,
        loaded.preprocess,
        arguments.output_dir,
        name=loaded.name,
        validation_images=images(arguments, loaded.preprocess.image_size) if verify else None,
        output_type=arguments.output,
        verify=verify,
    )
    if loaded.class_names:
        sidecar.save_labels(result.file, loaded.class_names)
    return [
        {
            "file": str(result.file),
            "MB": round(result.file.stat().st_size / 1e6, 2),
            "opset": result.opset,
            "verified": str(result.verification or "no (timing only)"),
        }
    ]


def _tflite(arguments, loaded: common.Loaded) -> list[dict]:
    from newnet_tf.deploy import export_tflite

    options = file_options(arguments, loaded.preprocess.image_size)
    verify = not arguments.no_verify
    if verify:
        must_be_trained(loaded)
    results = export_tflite(
        loaded.model,
        loaded.preprocess,
        arguments.output_dir,
        name=loaded.name,
        verify=verify,
        validation_images=images(arguments, loaded.preprocess.image_size) if verify else None,
        force=arguments.fresh,
        **options,
    )
    if loaded.class_names:
        sidecar.save_labels(results[0].file, loaded.class_names)
    return [row(result) for result in results]


def file_options(arguments, side: int) -> dict:
    """Returns what `add_file_arguments` asked, as arguments of `export_tflite`.

    Args:
        arguments: of the command. side: int, of the network's input.
    """
    precisions = arguments.precision.split(",")
    export_config.check_options(
        precisions, arguments.io, arguments.embed_normalization, arguments.output
    )
    return {
        "precisions": precisions,
        "calibration": calibration(arguments, precisions, side),
        "io": arguments.io,
        "embed_normalization": arguments.embed_normalization,
        "output": arguments.output,
    }


def must_be_trained(loaded: common.Loaded) -> None:
    """Raises ValueError for a network without weights: nothing can be verified of it."""
    if not loaded.is_trained:
        raise ValueError(
            f"{loaded.name} has no weights here, and an untrained network proves nothing: pass "
            "--weights FILE, or export it with --no-verify, for timing only. Received: neither"
        )


def row(result) -> dict:
    """One exported file as a line of a table."""
    found = result.verification
    return {
        "file": str(result.file),
        "MB": round(result.file.stat().st_size / 1e6, 2),
        "XNNPACK": f"{result.delegation.share:.0%} in {result.delegation.partitions}",
        "verified": str(found) if found else "no (timing only)",
        "state": "kept" if result.cached else "new",
    }


def calibration(arguments, precisions, side: int):
    """Returns the images to calibrate on: those given, else crops where some are needed."""
    if arguments.calibration:
        return common.readable(arguments.calibration, LEAST_CALIBRATION, "--calibration", side)
    if not calibrated(precisions):
        return None
    common.note(
        f"calibrating on {common.CROPS} crops of scikit-image's images; for a file to ship, "
        "give about 100 images of your own with --calibration"
    )
    return common.crops_at_hand()


def images(arguments, side: int):
    """Returns the images to verify on: those in --images, else some at hand."""
    if arguments.images:
        return common.readable(arguments.images, LEAST_IMAGES, "--images", side)
    return common.images_at_hand()


def arguments_verify(parser):
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help=".tflite, .onnx, .keras, or a SavedModel's folder"
    )
    parser.add_argument("--model", help="a network or .keras file; default: what the file names")
    common.add_weights_arguments(parser)
    parser.add_argument("--classes", type=int, help="number of classes of your checkpoint")
    parser.add_argument("--images", type=Path, metavar="DIR", help="default: some at hand")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    parser.epilog = (
        "Exit status 1 if a file is outside the tolerance of its precision. A .tflite file runs in a\n"
        "process of its own: one that crashes the runtime is an invalid model."
    )


def run_verify(arguments):
    from newnet_tf.deploy import formats

    rows, failed = [], False
    loaded = {}
    for file in arguments.files:
        name = arguments.model or formats.network_of(file)
        if name is None:
            raise ValueError(
                f"{file} does not say what it was made from: give --model. Received: no --model"
            )
        if name not in loaded:
            own, replaced = activations.parted(name)
            loaded[name] = common.load_asked(arguments, own, replaced)
        network = loaded[name]
        shown = images(arguments, network.preprocess.image_size)
        with common.no_warnings():
            found = formats.verify_file(network.model, file, shown, network.preprocess)
        failed |= not found.passed
        rows.append({"file": str(file), "passed": found.passed} | found.record())
        if not arguments.json:
            verdict = "ok" if found.passed else f"FAILED: {'; '.join(found.reasons)}"
            print(f"{file}: {verdict}\n  {found}")
    if arguments.json:
        print(tables.to_json(rows))
    return 1 if failed else 0
