"""`newnet benchmark data`: images a second of our pipelines, a plain decode and other loaders."""

from newnet_tf.cli import common
from newnet_tf.utils import tables

ROUNDS = 5


def add_arguments(parser):
    """Adds what `newnet benchmark data` has beside `--rounds`, `--record` and `--json`."""
    parser.add_argument("--images", type=int, default=2048, help="files a pass; default: 2048")
    parser.add_argument("--batch", type=int, default=64, help="default: 64")
    parser.add_argument("--workers", type=int, help="threads; default: the cores at hand")
    parser.add_argument("--only", help="names of pipelines, by comma; full decode is always timed")


def run(arguments, others=None):
    """Times the pipelines and prints the table; `others` as in `throughput.measure`."""
    common.start_keras()
    from newnet_tf.data import pipeline_benchmark

    only = arguments.only.split(",") if arguments.only else None
    with common.no_warnings():
        rows = pipeline_benchmark.measure(
            arguments.images,
            arguments.rounds or ROUNDS,
            arguments.batch,
            arguments.workers,
            only,
            others,
        )
    if arguments.record:
        common.note(f"wrote {pipeline_benchmark.record(rows)}")
    lines = [
        {
            "pipeline": row.pipeline,
            "images/s": f"{row.images_per_second:.0f}",
            "per core": f"{row.per_core:.0f}",
            "ratio": f"{row.ratio:.2f}",
            "CPU ms": "" if row.cpu_ms is None else f"{row.cpu_ms:.2f}",
        }
        for row in rows
    ]
    right = ("images/s", "per core", "ratio", "CPU ms")
    print(tables.to_json(lines) if arguments.json else tables.table(lines, right=right))
