"""`newnet_tf.benchmark`: the latency of models and files on this CPU."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from newnet_tf.api.arguments import check_file, check_output_folder, check_positive
from newnet_tf.deploy.export_options import check_options
from newnet_tf.models import registry
from newnet_tf.profiling import latency, paper_tables, untrained_models
from newnet_tf.profiling.latency import Latency
from newnet_tf.utils import tables as text_tables
from newnet_tf.utils.progress import note

FILES = Path("build/benchmark")  # default folder of exported files
NUMBERS = ("threads", "median ms", "IQR ms", "ratio", "MB", "partitions", "fallback ops")


@dataclass(frozen=True)
class BenchmarkResult:
    """Latencies of models and files. It prints as a table, and is iterable as its rows.

    Args:
        rows: tuple of `Latency`, one for each file and number of threads.

        files: {(model, precision): path of the exported file}.

        failures: {(model, precision): why this file could not be exported}.

        table: path of the table of results, None if it was not written.
    """

    rows: tuple[Latency, ...]
    files: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    failures: Mapping[tuple[str, str], str] = field(default_factory=dict)
    table: Path | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Latency]:
        return iter(self.rows)

    def __getitem__(self, index: int) -> Latency:
        return self.rows[index]

    def table_rows(self) -> list[dict]:
        """Returns the rows as they are printed."""
        return [
            {
                "model": row.model,
                "precision": row.precision,
                "threads": row.threads,
                "median ms": f"{row.median_ms:.2f}",
                "IQR ms": f"{row.iqr_ms:.2f}",
                "ratio": f"{row.ratio:.2f}" if row.ratio else "",
                "MB": f"{row.size_mb:.2f}",
                "partitions": row.partitions,
                "fallback ops": row.fallback_ops,
                "weights": row.weights,
            }
            for row in self.rows
        ]

    def __str__(self) -> str:
        return text_tables.table(self.table_rows(), right=NUMBERS)


def benchmark(
    models: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    tables: Sequence[str] = (),
    precisions: Sequence[str] = ("fp32",),
    threads: Sequence[int] = (1,),
    runs: int = 50,
    baseline: str | None = None,
    output: str | os.PathLike | None = None,
    save_results: bool = False,
    force: bool = False,
) -> BenchmarkResult:
    """Compares the latency of models on this CPU.

    Models of the zoo are built with random weights and exported, so their files are for timing only.
    Files of an unchanged config are not exported again. All files of a precision are loaded and then
    run in turn: ratios are stable where single times are not. Inputs are random.

    Args:
        models: a name or a list of them: models of the zoo, also as NAME-ACTIVATION (in place of
            SiLU); patterns such as `"rexnet_*"`; `"keras:MobileNet"`, `"keras:MobileNetV2"`,
            `"keras:EfficientNetB0"`; paths of `.tflite` files, whoever wrote them, with any inputs
            and outputs.

        tables: names of the talk's tables, whose models are timed too: among `"new"`, `"light"`
            (which includes `"nas"` and `"new"`), `"nas"`, `"heavy"`. Default: none.

        precisions: names of precisions for models of the zoo, as in `export`. Default: `("fp32",)`.

        threads: ints, numbers of threads, each timed separately. Default: `(1,)`.

        runs: int, timed runs of each file. Default: 50.

        baseline: str, model that ratios refer to, in the same precision; it is timed too. Default:
            the first model of the zoo.

        output: path of the folder for exported files. Default: `build/benchmark`.

        save_results: bool, whether to write the table `newnet_tf/results/latency.csv`. Default: False.

        force: bool, whether to export files of an unchanged config again. Default: False.

    Returns:
        A `BenchmarkResult`.

    Raises:
        ValueError: if an argument has another value, or a name is unknown.

        ModelFileError: if a `.tflite` file cannot be run. A custom operator is named.

    Example:
        >>> print(newnet_tf.benchmark(["newnet_small", "keras:MobileNetV2"]))
    """
    names = [os.fspath(model) for model in ([models] if _is_one(models) else models)]
    given_files = [name for name in names if name.endswith(".tflite")]
    table_names = _expand_tables(tables)
    names = [name for name in names if name not in given_files] + _table_models(table_names)
    if not names and not given_files:
        raise ValueError(
            "`models` or `tables` (--table) must name something to time. Received: neither"
        )
    check_options(precisions, "float32", False, "logits")
    check_positive(runs=runs)
    for count in threads:
        check_positive(threads=count)
    for file in given_files:
        check_file("models", file)
    check_output_folder(output)
    names = untrained_models.expand_names(names)
    baseline = baseline or next(iter(names), None)
    if names and baseline:
        names = untrained_models.expand_names([*names, baseline])
    files, failures, rows = {}, {}, []
    if names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            files, failures = untrained_models.export_all_untrained(
                names, precisions, output or FILES, force
            )
    for precision in precisions:
        batch = {name: files[name, precision] for name in names if (name, precision) in files}
        if batch:
            reference = baseline if baseline in batch else None
            rows += latency.benchmark_files(batch, threads, runs, baseline=reference)
    if given_files:
        rows += latency.benchmark_files(_named(given_files), threads, runs)
    table = latency.save(rows) if rows and save_results else None
    for (name, precision), reason in failures.items():
        note(f"not timed: {name} {precision}: {reason}")
    return BenchmarkResult(tuple(rows), files, failures, table)


def _is_one(models: object) -> bool:
    return isinstance(models, (str, os.PathLike))


def _expand_tables(tables: Sequence[str]) -> list[str]:
    """Returns the talk's tables, each once; `light` includes `nas` and `new`."""
    expanded = {}
    for name in tables:
        if name not in paper_tables.TABLES:
            raise ValueError(
                f"`tables` (--table) must be among {tuple(paper_tables.TABLES)}. Received: {name!r}"
            )
        expanded |= dict.fromkeys(("new", "light", "nas") if name == "light" else (name,))
    return list(expanded)


def _table_models(tables: Sequence[str]) -> list[str]:
    cards = [registry.model_card(name) for name in registry.list_models()]
    return [card.name for table in tables for card in paper_tables.members(cards, table)]


def _named(files: Sequence[str]) -> dict[str, str]:
    """Returns {name: file}: the file's name without suffix, or its path where names are equal."""
    stems = [Path(file).stem for file in files]
    return {
        (stem if stems.count(stem) == 1 else file): file
        for stem, file in zip(stems, files, strict=True)
    }
