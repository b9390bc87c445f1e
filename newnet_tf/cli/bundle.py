"""`newnet bundle`: all that an app needs of a network in one folder or zip, and its check."""

from pathlib import Path

from newnet_tf import weights as checkpoints
from newnet_tf.cli import common, export
from newnet_tf.models import registry
from newnet_tf.utils import tables

DEFAULT = "fp32,int8-full"


def arguments_bundle(parser):
    parser.add_argument("model", nargs="?", help="a network of the zoo, or a .keras file")
    parser.add_argument(
        "-o",
        dest="path",
        type=Path,
        metavar="PATH",
        help="folder, or NAME.zip; default: build/bundle/MODEL",
    )
    export.add_file_arguments(parser, DEFAULT)
    common.add_weights_arguments(parser)
    parser.add_argument("--classes", type=int, help="number of classes of your checkpoint")
    parser.add_argument("--license", help="license of your own weights, as SPDX names it")
    parser.add_argument(
        "--check", type=Path, metavar="PATH", help="check a bundle instead of making one"
    )
    parser.add_argument("--digest", help="with --check: the sha256 that was printed at the making")
    parser.add_argument("--json", action="store_true", help="what was made, as JSON")
    parser.epilog = (
        "It holds .tflite files with metadata inside, labels, model.json, code for Kotlin, Swift and\n"
        "C++ generated from it, and check.py, which needs LiteRT and NumPy alone to see whether the\n"
        "files answer as stated. Without --calibration or --images, scikit-image's images stand in."
    )


def run_bundle(arguments):
    from newnet_tf.deploy import check_bundle, make_bundle

    if (arguments.model is None) == (arguments.check is None):
        received = "neither" if arguments.model is None else "both"
        raise ValueError(f"a MODEL or --check PATH must be given. Received: {received}")
    if arguments.check:
        print(f"{check_bundle(arguments.check, arguments.digest)}\n{arguments.check}: whole")
        return
    loaded = common.load_asked(arguments)
    export.must_be_trained(loaded)
    side = loaded.preprocess.image_size
    options = export.file_options(arguments, side)
    shown = export.images(arguments, side)
    path = arguments.path or Path("build/bundle") / loaded.name
    with common.no_warnings():
        made = make_bundle(
            loaded.model,
            loaded.preprocess,
            path,
            loaded.name,
            provenance(arguments),
            _examples(shown),
            loaded.class_names,
            validation_images=shown,
            **options,
        )
    if arguments.json:
        print(tables.to_json({"path": str(made.path), "digest": made.digest, **made.record}))
        return
    rows = [
        {
            "file": file["file"],
            "MB": round(file["bytes"] / 1e6, 2),
            "XNNPACK": file["xnnpack"],
            "top-1 as the model": "{agreed}/{images}".format(**file["verification"]),
        }
        for file in made.record["files"]
    ]
    print(tables.table(rows, right=("MB",)))
    print(f"{made.path}: {len(made.record['sha256']) + 1} files, digest {made.digest}")


def provenance(arguments):
    """Returns the `Provenance` of what `arguments` name: from the card, or as far as it is known."""
    from newnet_tf.deploy.bundle.build import Provenance

    if arguments.model.endswith(".keras"):
        return Provenance(license=arguments.license, weights=Path(arguments.model).name)
    variant, tag = registry.resolve(arguments.model)
    chosen = arguments.weights or tag or variant.card.default_weights
    if checkpoints.is_file(chosen):
        return Provenance(license=arguments.license, weights=Path(chosen).name)
    found = variant.card.select(chosen)
    return Provenance(
        license=arguments.license or found.license,
        author=found.author,
        dataset=found.dataset,
        weights=found.tag,
    )


def _examples(shown):
    """Images to store: scikit-image's, which anybody may pass on, else some of the user's."""
    try:
        return common.images_at_hand()
    except ValueError:
        return shown
