"""`newnet benchmark`: networks side by side on this CPU, in one interleaved run."""

from collections.abc import Sequence
from pathlib import Path

from newnet_tf import zoo
from newnet_tf.cli import models, tables
from newnet_tf.deploy import recipes

PEERS = "keras:MobileNet, keras:MobileNetV2, keras:EfficientNetB0"
NOISE_PICTURES = 8


def arguments_benchmark(parser):
    parser.add_argument(
        "models", nargs="+", help=f"networks, patterns ('rexnet_*'), {PEERS}, or .tflite files"
    )
    parser.add_argument(
        "--precision", default="fp32", help=f"among {','.join(recipes.PRECISIONS)}; default: fp32"
    )
    parser.add_argument("--threads", default="1", help="such as 1,2; default: 1")
    parser.add_argument("--rounds", type=int, default=50, help="timed runs of each; default: 50")
    parser.add_argument(
        "--baseline", help="model that ratios are taken to, in the same precision; default: first"
    )
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("build/benchmark"))
    parser.add_argument("--fresh", action="store_true", help="make the files anew")
    parser.add_argument(
        "--record", action="store_true", help="write the table newnet_tf/results/latency.csv"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.epilog = (
        "Networks are built with random weights: their files are for timing only. All files of a\n"
        "precision are loaded together and run in turn, so ratios hold where single times do not."
    )


def run_benchmark(arguments):
    from newnet_tf.profiling import latency

    precisions = arguments.precision.split(",")
    recipes.check_options(precisions, "float32", False, "logits")
    threads = [int(count) for count in arguments.threads.split(",")]
    given = [name for name in arguments.models if name.endswith(".tflite")]
    names = _names(name for name in arguments.models if name not in given)
    with models.no_warnings():
        files = untrained_files(names, precisions, arguments.output_dir, arguments.fresh)
    rows = []
    for precision in precisions:
        batch = {name: files[name, precision] for name in names}
        baseline = arguments.baseline or (names[0] if names else None)
        rows += (
            latency.measure(batch, threads, arguments.rounds, baseline=baseline) if batch else []
        )
    if given:
        rows += latency.measure({Path(f).stem: f for f in given}, threads, arguments.rounds)
    if arguments.record:
        models.note(f"wrote {latency.record(rows)}")
    lines = [line(row) for row in rows]
    print(tables.to_json(lines) if arguments.json else tables.table(lines, right=NUMBERS))


NUMBERS = ("threads", "median ms", "spread ms", "ratio", "MB")


def line(row) -> dict:
    """One `Latency` as a line of a table."""
    return {
        "model": row.model,
        "precision": row.precision,
        "threads": row.threads,
        "median ms": f"{row.median_ms:.2f}",
        "spread ms": f"{row.spread_ms:.2f}",
        "ratio": f"{row.ratio:.2f}" if row.ratio else "",
        "MB": f"{row.size_mb:.2f}",
        "partitions": row.partitions,
        "weights": row.weights,
    }


def untrained_files(
    names: Sequence[str], precisions: Sequence[str], folder: Path, fresh: bool
) -> dict[tuple[str, str], Path]:
    """Exports networks with seeded random weights; files of an unchanged recipe are kept.

    Returns:
        {(name, precision): file}; the recipes say "timing only".
    """
    import numpy as np

    from newnet_tf.deploy import export_tflite
    from newnet_tf.profiling.peers import peer

    keras = models.start_keras()
    noise = np.random.RandomState(0).randint(0, 256, (NOISE_PICTURES, 256, 256, 3), np.uint8)
    files = {}
    for name in names:
        if name.startswith("keras:"):
            model, record = peer(name)
        else:
            keras.utils.set_random_seed(0)
            variant, _ = zoo.resolve(name)
            model, record = variant.build(classifier_activation=None), variant.card.preprocess
        results = export_tflite(
            model,
            record,
            folder,
            name=name,
            precisions=precisions,
            calibration=list(noise),
            verify=False,
            fresh=fresh,
        )
        files |= {(name, result.recipe.precision): result.file for result in results}
    return files


def _names(patterns) -> list[str]:
    found = {}
    for pattern in patterns:
        is_pattern = "*" in pattern
        matched = zoo.list_models(pattern) if is_pattern else [pattern]
        if is_pattern and not matched:
            raise ValueError(f"a pattern must match a network. Received: {pattern!r}")
        found |= dict.fromkeys(matched)
    return list(found)
