"""`newnet benchmark`: networks, or data pipelines, side by side on this CPU, in one interleaved run."""

import argparse
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from newnet_tf.cli import benchmark_data, common
from newnet_tf.deploy import export_config
from newnet_tf.deploy.quantization.precisions import PRECISIONS, calibrated
from newnet_tf.models import activations, registry
from newnet_tf.profiling import keras_baselines, paper_tables
from newnet_tf.utils import tables

PEERS = ", ".join(keras_baselines.PEERS)
BASELINE = "keras:EfficientNetB0"
NOISE_IMAGES, ROUNDS = 8, 50
DATA = "data"  # instead of networks


def arguments_benchmark(parser):
    parser.add_argument(
        "models",
        nargs="*",
        help=f"networks, also as NAME-ACTIVATION (in place of SiLU), patterns ('rexnet_*'), {PEERS}, "
        f"or .tflite files; or `{DATA}`: the "
        "pipelines of images beside a plain decode and other loaders",
    )
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="TABLE",
        help=f"all networks of the talk's tables, among {','.join(paper_tables.TABLES)}; light brings nas "
        "and new along; repeat it or join names by commas",
    )
    parser.add_argument(
        "--precision",
        help=f"among {','.join(PRECISIONS)}; default: fp32, with --table fp32,int8-full",
    )
    parser.add_argument("--threads", help="such as 1,2; default: 1, with --table 1,2")
    parser.add_argument(
        "--rounds",
        type=int,
        help=f"timed runs of each; default: {ROUNDS}, of {DATA} {benchmark_data.ROUNDS}",
    )
    parser.add_argument(
        "--baseline",
        help="model that ratios are taken to, in the same precision; measured too; default: the "
        f"first, with --table {BASELINE}",
    )
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("build/benchmark"))
    parser.add_argument("--fresh", action="store_true", help="make the files anew")
    parser.add_argument(
        "--record",
        action=argparse.BooleanOptionalAction,
        help=f"write the table newnet_tf/results/latency.csv, of {DATA} data.csv; default: with "
        "--table only",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    benchmark_data.add_arguments(parser.add_argument_group(f"of `newnet benchmark {DATA}`"))
    parser.epilog = (
        "Networks are built with random weights: their files are for timing only. All files of a\n"
        "precision are loaded together and run in turn, so ratios hold where single times do not.\n"
        "Files are kept: a run that was broken off goes on where it stopped. A file that XNNPACK\n"
        "takes in part is timed all the same; the columns partitions and outside say so."
    )


def run_benchmark(arguments):
    from newnet_tf.profiling import latency

    if arguments.models == [DATA]:
        return benchmark_data.run(arguments)
    rounds = arguments.rounds or ROUNDS
    wanted = _tables(arguments.table)
    if not arguments.models and not wanted:
        raise ValueError("`models` or --table must name something to time. Received: neither")
    precisions = (arguments.precision or ("fp32,int8-full" if wanted else "fp32")).split(",")
    export_config.check_options(precisions, "float32", False, "logits")
    threads = [int(n) for n in (arguments.threads or ("1,2" if wanted else "1")).split(",")]
    given = [name for name in arguments.models if name.endswith(".tflite")]
    names = _names([*(n for n in arguments.models if n not in given), *_rows(wanted)])
    baseline = arguments.baseline or (BASELINE if wanted else next(iter(names), None))
    names = _names([*names, baseline]) if names else []
    with common.no_warnings():
        files, refused = _exported(names, precisions, arguments.output_dir, arguments.fresh)
    rows = []
    for precision in precisions:
        batch = {name: files[name, precision] for name in names if (name, precision) in files}
        base = baseline if baseline in batch else None
        if batch:
            rows += latency.measure(batch, threads, rounds, baseline=base)
    if given:
        rows += latency.measure({Path(f).stem: f for f in given}, threads, rounds)
    if rows and (wanted if arguments.record is None else arguments.record):
        common.note(f"wrote {latency.record(rows)}")
    lines = [line(row) for row in rows]
    print(tables.to_json(lines) if arguments.json else tables.table(lines, right=NUMBERS))
    for (name, precision), reason in refused.items():
        common.note(f"not measured: {name} {precision}: {reason}")
    return 1 if refused else 0


NUMBERS = ("threads", "median ms", "spread ms", "ratio", "MB", "partitions", "outside")


def line(row) -> dict:
    """One `Latency` as a line of a table."""
    return {
        "model": row.model,
        "precision": row.precision,
        "threads": row.threads,
        "median ms": f"{row.median_ms:.2f}",
        "spread ms": f"{row.iqr_ms:.2f}",
        "ratio": f"{row.ratio:.2f}" if row.ratio else "",
        "MB": f"{row.size_mb:.2f}",
        "partitions": row.partitions,
        "outside": row.fallback_ops,
        "weights": row.weights,
    }


def untrained_files(
    names: Sequence[str],
    precisions: Sequence[str],
    folder: Path,
    force: bool,
    io_dtype: str = "float32",
) -> dict[tuple[str, str], Path]:
    """Exports networks with seeded random weights; files of an unchanged recipe are kept.

    Args:
        names: networks. precisions, io_dtype: as `export_tflite` takes them. folder: where files go.
        force: bool, whether to make anew what is there.

    Returns:
        {(name, precision): file}; the recipes say "timing only". A file that XNNPACK takes in part
        is among them.

    Raises:
        ExportError, ModelFileError: where a file comes out wrong or cannot be run.
    """
    import numpy as np

    from newnet_tf.deploy import export_tflite
    from newnet_tf.profiling.untrained_models import calibrate_batch_norm

    keras = common.start_keras()
    noise = np.random.RandomState(0).randint(0, 256, (NOISE_IMAGES, 256, 256, 3), np.uint8)
    files = {}
    for name in names:
        if name.startswith("keras:"):
            model, record = keras_baselines.peer(name)
        else:
            keras.utils.set_random_seed(0)
            own, replaced = activations.parted(name)
            variant, _ = registry.resolve(own)
            model = common.with_activation(variant.build(classifier_activation=None), replaced)
            record = variant.card.preprocess
        calibrate_batch_norm(model, record)
        results = export_tflite(
            model,
            record,
            folder,
            name=name,
            precisions=precisions,
            calibration_images=list(noise) if calibrated(precisions) else None,
            io_dtype=io_dtype,
            verify=False,
            force=force,
            require_full_delegation=False,
        )
        files |= {(name, result.recipe.precision): result.file for result in results}
    return files


def _exported(names: Sequence[str], precisions: Sequence[str], folder: Path, force: bool):
    """Returns the files as `untrained_files` does, and {(name, precision): why there is none}."""
    from newnet_tf.deploy import ExportError, ModelFileError
    from newnet_tf.profiling.latency import time_left

    files, refused, begun = {}, {}, time.monotonic()
    for number, name in enumerate(names, 1):
        try:
            files |= untrained_files([name], precisions, folder, force)
        except (ExportError, ModelFileError):  # of several precisions only some may be at fault
            for precision in precisions:
                try:
                    files |= untrained_files([name], [precision], folder, force)
                except (ExportError, ModelFileError) as error:
                    refused[name, precision] = f"{error}"
        common.note(f"{number} of {len(names)} networks, {time_left(begun, number, len(names))}")
    return files, refused


def _tables(given: Iterable[str]) -> list[str]:
    """Returns the talk's tables that the options mean; `light` brings `nas` and `new` along."""
    found = {}
    for name in (name for option in given for name in option.split(",")):
        if name not in paper_tables.TABLES:
            raise ValueError(
                f"--table must be among {tuple(paper_tables.TABLES)}. Received: {name!r}"
            )
        found |= dict.fromkeys(("new", "light", "nas") if name == "light" else (name,))
    return list(found)


def _rows(wanted: Iterable[str]) -> list[str]:
    cards = [registry.card(name) for name in registry.list_models()]
    return [card.name for table in wanted for card in paper_tables.members(cards, table)]


def _names(patterns: Iterable[str]) -> list[str]:
    """Returns the names that patterns and names mean, each once.

    Raises:
        ValueError: for a pattern that matches nothing, or an unknown name.
    """
    found = {}
    for pattern in patterns:
        matched = registry.list_models(pattern) if "*" in pattern else [pattern]
        if not matched:
            raise ValueError(f"a pattern must match a network. Received: {pattern!r}")
        for name in matched:
            if name.startswith("keras:") and name not in keras_baselines.PEERS:
                raise ValueError(f"a peer must be among {PEERS}. Received: {name!r}")
            if not name.startswith("keras:"):
                registry.resolve(activations.parted(name)[0])
        found |= dict.fromkeys(matched)
    return list(found)
