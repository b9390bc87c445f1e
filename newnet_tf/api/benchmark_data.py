"""`newnet_tf.benchmark_data`: the speed of input pipelines on this CPU."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.api.arguments import check_positive
from newnet_tf.data import pipeline_benchmark
from newnet_tf.data.pipeline_benchmark import Throughput
from newnet_tf.utils import tables
from newnet_tf.utils.quiet import start_keras

NUMBERS = ("images/s", "per core", "ratio", "CPU ms")


@dataclass(frozen=True)
class DataBenchmarkResult:
    """The speed of input pipelines. It prints as a table.

    Args:
        rows: tuple of `Throughput`, the full decode first.

        table: path of the table of results, None if it was not written.
    """

    rows: tuple[Throughput, ...]
    table: Path | None = None

    def table_rows(self) -> list[dict[str, str]]:
        """Returns the rows as they are printed."""
        return [
            {
                "pipeline": row.pipeline,
                "images/s": f"{row.images_per_second:.0f}",
                "per core": f"{row.per_core:.0f}",
                "ratio": f"{row.ratio:.2f}",
                "CPU ms": "" if row.cpu_ms is None else f"{row.cpu_ms:.2f}",
            }
            for row in self.rows
        ]

    def __str__(self) -> str:
        return tables.table(self.table_rows(), right=NUMBERS)


def benchmark_data(
    pipelines: Sequence[str] | None = None,
    *,
    num_images: int = 2048,
    runs: int = 5,
    batch_size: int = 64,
    num_workers: int | None = None,
    other_loaders: Callable | None = None,
    save_results: bool = False,
) -> DataBenchmarkResult:
    """Compares the speed of newnet_tf's input pipelines, a plain decode and other loaders.

    Args:
        pipelines: names of pipelines. Default: None, all. The full decode is always timed.

        num_images: int, the number of JPEG files that a run reads. Default: 2048.

        runs: int, timed runs; one more warms up. Default: 5.

        batch_size: int. Default: 64.

        num_workers: int, threads. Default: None, the cores that this process may use.

        other_loaders: callable (folder of images in class folders, batch size, number of workers) ->
            {name: callable -> iterable of batches}, loaders to compare with. Default: None.

        save_results: bool, whether to write the table `newnet_tf/results/data.csv`. Default: False.

    Returns:
        A `DataBenchmarkResult`.

    Raises:
        ValueError: if a name is unknown or a number is not positive.

    Example:
        >>> print(newnet_tf.benchmark_data(num_images=512))
    """
    check_positive(num_images=num_images, runs=runs, batch_size=batch_size, num_workers=num_workers)
    start_keras()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = pipeline_benchmark.benchmark_pipelines(
            num_images, runs, batch_size, num_workers, pipelines, other_loaders
        )
    return DataBenchmarkResult(
        tuple(rows), pipeline_benchmark.record(rows) if save_results else None
    )
