"""`newnet web`: a website that classifies images in the browser, as a folder for any static host."""

import argparse
from pathlib import Path

from newnet_tf.cli import common, export_options, model_options
from newnet_tf.utils.progress import note

PORT = 8000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_models_argument(
        parser,
        f"{common.MODEL}, exported .tflite files of one model, or with --serve a site's folder",
    )
    common.add_output_argument(parser, "folder of the site", "build/web")
    export_options.add_precision_argument(parser, "int8-full,fp32")
    model_options.add_weights_arguments(parser)
    export_options.add_image_arguments(parser)
    parser.add_argument("--title", help="of the page; default: the model's name")
    parser.add_argument(
        "--example", type=Path, metavar="FILE", help="an image to try; default: a cat for ImageNet"
    )
    parser.add_argument(
        "--assets",
        type=Path,
        metavar="DIR|TGZ",
        help="LiteRT.js from `npm pack`, for a machine without internet access",
    )
    parser.add_argument("--serve", action="store_true", help="serve it to this machine's browser")
    parser.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}; 0: any free one")
    parser.epilog = (
        "Labels and preprocessing are those that the model or the file holds; --labels gives others.\n"
        "The page starts with the first precision. Exported files are verified as by `newnet export`\n"
        "and stay in the folder SITE.export. docs/web.md explains how to put the site on a host, and\n"
        "which headers give it threads."
    )


def run(arguments: argparse.Namespace) -> None:
    models, folder = arguments.models, arguments.output
    if arguments.serve and len(models) == 1 and Path(models[0], "site.json").is_file():
        folder = Path(models[0])
    else:
        _write(arguments)
    if arguments.serve:
        _serve(folder, arguments.port)


def _write(arguments: argparse.Namespace) -> None:
    import newnet_tf

    models = arguments.models
    site = newnet_tf.make_web_page(
        models[0] if len(models) == 1 else models,
        arguments.output,
        precisions=arguments.precisions,
        calibration_images=arguments.calibration_images,
        validation_images=arguments.images,
        title=arguments.title,
        example=arguments.example,
        assets=arguments.assets,
        **model_options.model_options(arguments),
    )
    print(site)
    note(
        "any static host can serve it; threads need two headers, which `_headers` in it names for "
        f"hosts that read that file (docs/web.md). Look at it: newnet web {site.folder} --serve"
    )


def _serve(folder: Path, port: int) -> None:
    import newnet_tf

    with newnet_tf.web.server(folder, port) as running:
        print(f"http://localhost:{running.server_port}/ (Ctrl-C stops it)", flush=True)
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            note("stopped")
