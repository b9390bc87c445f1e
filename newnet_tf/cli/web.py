"""`newnet web`: a page that classifies images inside the browser, as a folder for any static host."""

import contextlib
from pathlib import Path

from newnet_tf.cli import common, export
from newnet_tf.deploy import export_config
from newnet_tf.deploy.quantization.precisions import PRECISIONS

PORT = 8000


def arguments_web(parser):
    parser.add_argument(
        "model",
        nargs="+",
        help="a network of the zoo, a .keras file, exported .tflite files of one network, or a site",
    )
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("build/web"))
    parser.add_argument(
        "--precision",
        default="int8-full,fp32",
        help=f"among {','.join(PRECISIONS)}; the page opens with the first; "
        "default: int8-full,fp32",
    )
    common.add_weights_arguments(parser)
    parser.add_argument("--classes", type=int, help="number of classes of your checkpoint")
    parser.add_argument(
        "--calibration", type=Path, metavar="DIR", help="images for int8 files, about 100"
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="images to verify on; default: some at hand"
    )
    parser.add_argument("--title", help="of the page; default: the network's name")
    parser.add_argument(
        "--example", type=Path, metavar="FILE", help="an image to try; default: a cat for ImageNet"
    )
    parser.add_argument(
        "--assets",
        type=Path,
        metavar="DIR|TGZ",
        help="LiteRT.js from `npm pack`, without a network",
    )
    parser.add_argument("--serve", action="store_true", help="serve it to this machine's browser")
    parser.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}; 0: any free one")
    parser.epilog = (
        "Exported files are verified as by `newnet export` and kept beside the site, in SITE.export.\n"
        "docs/web.md tells how to put the folder on a host, and which headers give it threads."
    )


def run_web(arguments):
    folder = arguments.output_dir
    if len(arguments.model) == 1 and Path(arguments.model[0]).is_dir() and arguments.serve:
        folder = Path(arguments.model[0])
    else:
        _build(arguments)
    if arguments.serve:
        _serve(folder, arguments.port)


def _build(arguments) -> None:
    from newnet_tf import web
    from newnet_tf.data.labels import imagenet_names

    if all(name.endswith(".tflite") for name in arguments.model):
        common.no_activation(arguments.activation, arguments.model[0])
        files, names = arguments.model, _names(arguments.model[0])
    else:
        files, names = _exported(arguments)
    example = arguments.example
    if example is None and names == imagenet_names():
        with contextlib.suppress(ValueError):  # where scikit-image is not installed
            example = common.images_at_hand()[0]
    common.note("gathering the page and LiteRT.js")
    site = web.build(files, arguments.output_dir, names, arguments.title, example, arguments.assets)
    print(f"{site.folder}: {len(site.files)} files, {site.size / 1e6:.1f} MB")
    common.note(
        "any static host serves it; threads need two headers, which `_headers` in it names for hosts "
        f"that read that file (docs/web.md). Look at it: newnet web {site.folder} --serve"
    )


def _names(file: str) -> tuple[str, ...] | None:
    from newnet_tf.data.sidecar import labels_beside
    from newnet_tf.deploy import Runner

    return common.class_names(Runner(file).classes, labels_beside(file))


def _exported(arguments) -> tuple[list[Path], tuple[str, ...] | None]:
    """Exports a network, as `newnet export` does; returns its files and the names of its classes."""
    from newnet_tf.data.sidecar import save_labels
    from newnet_tf.deploy import export_tflite

    if len(arguments.model) > 1:
        raise ValueError(
            "`model` must be one network, one .keras file, or .tflite files only. "
            f"Received: {', '.join(arguments.model)}"
        )
    precisions = arguments.precision.split(",")
    export_config.check_options(precisions, "float32", False, "logits")
    name = arguments.model[0]
    loaded = common.load_asked(arguments, name)
    export.must_be_trained(loaded)
    side = loaded.preprocess.image_size
    folder = arguments.output_dir.with_name(f"{arguments.output_dir.name}.export")
    with common.no_warnings():
        results = export_tflite(
            loaded.model,
            loaded.preprocess,
            folder,
            name=loaded.name,
            precisions=precisions,
            calibration_images=export.calibration(arguments, precisions, side),
            validation_images=export.images(arguments, side),
        )
    if loaded.class_names:
        save_labels(results[0].file, loaded.class_names)
    return [result.file for result in results], loaded.class_names


def _serve(folder: Path, port: int) -> None:
    from newnet_tf.web import server

    with server(folder, port) as served:
        print(f"http://localhost:{served.server_port}/ (Ctrl-C ends it)", flush=True)
        try:
            served.serve_forever()
        except KeyboardInterrupt:
            common.note("ended")
