"""`newnet demo`: the whole way once, from a checkpoint to verified, timed files and a report."""

import time
from pathlib import Path

from newnet_tf import inference
from newnet_tf.cli import benchmark, common
from newnet_tf.deploy.quantization.precisions import COMMON
from newnet_tf.models import registry
from newnet_tf.utils import tables
from newnet_tf.visualization import html_page

TRAINED = "efficientnet_lite0"
UNTRAINED = ("newnet_small", "rexnet_100", "rexnet_lite_100")
COMPARED = ("fp32", "int8-full")
IMAGE = "chelsea.png"


def arguments_demo(parser):
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("build/demo"))
    parser.add_argument("--image", type=Path, help="your own; default: scikit-image's cat")
    parser.add_argument("--rounds", type=int, default=40, help="timed runs of each file")
    parser.add_argument("--fresh", action="store_true", help="make every file anew")
    parser.epilog = (
        f"{TRAINED} with its ImageNet weights classifies an image and is exported in four\n"
        f"precisions, each verified; {', '.join(UNTRAINED)} are exported for timing only."
    )


def run_demo(arguments):
    start = time.monotonic()
    image = arguments.image or next(path for path in common.images_at_hand() if path.name == IMAGE)
    files = arguments.output_dir / "models"
    with common.no_warnings():
        loaded = common.load(TRAINED, None, None)
        top = _classify(TRAINED, image)
        _print_answer(image, top)
        results = _export(loaded, files, arguments.fresh)
        untrained = benchmark.untrained_files(UNTRAINED, COMPARED, files, arguments.fresh)
        rows = _measure(results, untrained, arguments.rounds)
        answers = [_file_answer(result, image) for result in results]
    lines = [_line(row, results) for row in rows]
    print(f"\nWhat each file answers to {image.name}\n{tables.table(answers)}")
    print(f"\nSize and latency on this CPU, one thread, {arguments.rounds} interleaved rounds")
    print(tables.table(lines, right=NUMBERS))
    page = _write_report(arguments.output_dir / "report.html", image, top, answers, lines, rows)
    print(f"\nreport: {page}   files: {files}/   ({time.monotonic() - start:.0f} s)")


NUMBERS = ("MB", "median ms", "spread ms", "ratio")


def _classify(model: str, image: Path) -> list[tuple[str, float]]:
    from newnet_tf.data.images import read_image
    from newnet_tf.data.labels import decode_predictions

    predictor = inference.load(model, None, None)
    [best] = decode_predictions(predictor.probabilities(read_image(image)), top=5)
    return [(name, float(probability)) for _, name, probability in best]


def _print_answer(image: Path, top) -> None:
    print(f"{TRAINED} sees in {image.name}:")
    for name, probability in top:
        print(f"  {100 * probability:5.1f} %  {'█' * round(40 * probability):40}  {name}")
    print(flush=True)


def _export(loaded: common.Loaded, folder: Path, fresh: bool):
    from newnet_tf.deploy import export_tflite

    return export_tflite(
        loaded.model,
        loaded.preprocess,
        folder,
        name=loaded.name,
        precisions=COMMON,
        calibration_images=common.crops_at_hand(),
        validation_images=common.images_at_hand(),
        force=fresh,
    )


def _measure(results, untrained, rounds: int):
    from newnet_tf.profiling.latency import measure

    files = {f"{r.recipe.model} {r.recipe.precision}": r.file for r in results}
    files |= {f"{name} {precision}": file for (name, precision), file in untrained.items()}
    return measure(files, rounds=rounds, baseline=f"{TRAINED} fp32")


def _file_answer(result, image: Path) -> dict:
    name, probability = _classify(str(result.file), image)[0]
    found = result.verification
    return {
        "file": result.file.name,
        "best class": name,
        "probability": f"{100 * probability:.1f} %",
        "agrees with Keras": f"{found.top1_matches} of {found.images} images",
        "cosine": f"{found.cosine:.5f}",
        "XNNPACK takes": str(result.delegation),
    }


def _line(row, results) -> dict:
    verified = {(r.recipe.model, r.recipe.precision): r.verification for r in results}
    found = verified.get((row.model, row.precision))
    shown = benchmark.line(row)
    return {
        "model": shown["model"],
        "precision": shown["precision"],
        "MB": shown["MB"],
        "median ms": shown["median ms"],
        "spread ms": shown["spread ms"],
        "ratio": shown["ratio"],
        "status": f"verified on {found.images} images" if found else "timing only: untrained",
    }


def _write_report(path: Path, image: Path, top, answers, lines, rows) -> Path:
    from newnet_tf import results
    from newnet_tf.visualization import charts

    card = registry.card(TRAINED)
    points = [
        {
            "model": row.model,
            "precision": row.precision,
            "megabytes": row.size_mb,
            "milliseconds": row.median_ms,
        }
        for row in rows
    ]
    weights = card.weights[0]
    bars, chart = charts.svg(charts.bars(top)), charts.svg(charts.size_and_latency(points))
    sections = [
        "<h1>From a checkpoint to a phone</h1>",
        (
            f'<p class="lead">{card.title} with its {weights.dataset} weights ({weights.license}), loaded '
            "from a PyTorch checkpoint, exported to TFLite in four precisions, verified against the "
            "Keras model and timed on this CPU, beside networks that have no weights here.</p>"
        ),
        "<h2>What it sees</h2>",
        html_page.answer(image, bars, f"{card.title} in Keras, five best of 1,000 classes."),
        "<h2>What each exported file answers</h2>",
        html_page.table(answers),
        (
            "<p class=\"small\">Cosine: between the file's logits and the Keras model's over real "
            "images, each less its mean. A file outside its precision's tolerance is not written.</p>"
        ),
        "<h2>Size and latency</h2>",
        html_page.plot(chart, "File size against latency of every file"),
        html_page.table(lines, NUMBERS),
        (
            '<p class="small">Median of interleaved runs, one thread, and the interquartile range; '
            f"ratio: median over rounds to {TRAINED} fp32. Files marked <em>timing only</em> hold "
            "random weights: no public ImageNet weights could be loaded for them here.</p>"
        ),
        (
            f'<p class="small">{results.machine()}; {results.versions()}. Made by '
            "<code>make demo</code>.</p>"
        ),
    ]
    return html_page.write(path, "newnet_tf: from a checkpoint to a phone", sections)
