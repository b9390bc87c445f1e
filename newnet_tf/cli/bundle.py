"""`newnet bundle`: all that an app needs of a model in one folder or zip, and its check."""

import argparse
from pathlib import Path

from newnet_tf.cli import common, export_options, model_options
from newnet_tf.utils import tables

PACKAGE = "com.example.app"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_models_argument(
        parser, f"{common.MODEL}, or exported .tflite files of one model", nargs="*"
    )
    common.add_output_argument(parser, "folder, or NAME.zip; default: build/bundle/MODEL")
    export_options.add_precision_argument(parser, "fp32,int8-full")
    model_options.add_weights_arguments(parser)
    export_options.add_image_arguments(parser)
    export_options.add_interface_arguments(parser)
    parser.add_argument("--license", help="license of your own weights, as SPDX names it")
    parser.add_argument(
        "--package", default=PACKAGE, help=f"of the Kotlin code; default: {PACKAGE}"
    )
    parser.add_argument(
        "--check", type=Path, metavar="PATH", help="check a bundle instead of writing one"
    )
    parser.add_argument("--digest", help="with --check: the sha256 that was printed for the bundle")
    common.add_json_argument(parser)
    parser.epilog = (
        "Labels, preprocessing and license are those that the model holds, or what --labels,\n"
        "--preprocess and --license say. A model that was not trained is refused.\n"
        "It holds .tflite files with metadata inside, labels, model.json, code for Kotlin, Swift and\n"
        "C++ generated from it, and check.py, which needs LiteRT and NumPy only and checks that the\n"
        "files give the expected outputs."
    )


def run(arguments: argparse.Namespace) -> None:
    models = arguments.models
    if bool(models) == bool(arguments.check):
        received = "both" if models else "neither"
        raise ValueError(f"a MODEL or --check PATH must be given. Received: {received}")
    if arguments.digest and not arguments.check:
        raise ValueError("--digest must come with --check. Received: it, and a MODEL")
    import newnet_tf

    if arguments.check:
        report = newnet_tf.deploy.check_bundle(arguments.check, arguments.digest)
        print(f"{report}\n{arguments.check}: as it was written")
        return
    result = newnet_tf.bundle(
        models[0] if len(models) == 1 else models,
        arguments.output,
        precisions=arguments.precisions,
        calibration_images=arguments.calibration_images,
        validation_images=arguments.images,
        license=arguments.license,
        **model_options.model_options(arguments),
        io_dtype=arguments.io_dtype,
        embed_normalization=arguments.embed_normalization,
        output_type=arguments.output_type,
        package=arguments.package,
    )
    if arguments.json:
        print(tables.to_json({"path": str(result.path), "digest": result.digest, **result.info}))
        return
    rows = [
        {
            "file": file["file"],
            "MB": round(file["bytes"] / 1e6, 2),
            "XNNPACK": file["xnnpack"],
            **_verified(file["verification"]),
        }
        for file in result.info["files"]
    ]
    print(tables.table(rows, right=("MB",)))
    print(result)


def _verified(verification: dict | None) -> dict[str, str]:
    """Returns the columns of a file's verification; files that were there before have none here."""
    if verification is None:
        return {}
    return {
        "verified on": f"{verification['images']:.0f} images",
        "cosine": f"{verification['cosine']:.5f}",
    }
