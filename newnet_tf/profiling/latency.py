"""Latency of TFLite files on this CPU, timed in turn.

All files are loaded and warmed up first. Then they are timed in rounds: each round runs every file
once, in shuffled order, so that a disturbance of the machine affects all of them. The ratio to the
baseline is the median over rounds of the ratio within a round. It is stable where single times are
not.
"""

import os
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from newnet_tf import results
from newnet_tf.deploy.export_config import TIMING, ExportConfig
from newnet_tf.deploy.runtime import Runner, random_inputs
from newnet_tf.utils.progress import note

TABLE, KEYS = "latency", ("model", "precision", "threads")
TRAINED, UNTRAINED, UNKNOWN = "real", "untrained (timing only)", "unknown"
PROGRESS_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Latency of one file with one number of threads.

    Args:
        model: str, name of the model in the config next to the file, else the file's own name.

        precision: str, kind of the file in its config, such as `"int8-full"`; "" without config.

        threads: int.

        median_ms: float.

        iqr_ms: float, interquartile range.

        min_ms: float.

        ratio: float or None, median over runs of the file's time divided by the baseline's.

        baseline: str, name of the baseline, "" for none.

        size_mb: float, file size in 1e6 bytes.

        partitions: int, the number of partitions of the graph that XNNPACK runs.

        fallback_ops: int, the number of operators that XNNPACK does not run.

        runs: int, timed runs.

        weights: `"real"`, `"untrained (timing only)"`, or `"unknown"` for a file without config.
    """

    model: str
    precision: str
    threads: int
    median_ms: float
    iqr_ms: float
    min_ms: float
    ratio: float | None
    baseline: str
    size_mb: float
    partitions: int
    fallback_ops: int
    runs: int
    weights: str


def benchmark_files(
    files: Mapping[str, str | os.PathLike],
    threads: Sequence[int] = (1,),
    runs: int = 50,
    warmup: int = 10,
    baseline: str | None = None,
) -> list[Latency]:
    """Times TFLite files in turn. Their inputs are random, by shape and type.

    Args:
        files: mapping of a name to the path of a TFLite file, whoever wrote it.

        threads: ints, numbers of threads, each timed separately. Default: `(1,)`.

        runs: int, timed runs of each file. Default: 50.

        warmup: int, runs before them. Default: 10.

        baseline: str, a name in `files` for the ratios. Default: no ratios.

    Returns:
        A `Latency` for each number of threads and each file, in this order.

    Raises:
        ValueError: if an argument has another value.

        ModelFileError: if a file cannot be run. A custom operator is named.

    Example:
        >>> rows = benchmark_files({"a": "a.fp32.tflite", "b": "b.fp32.tflite"}, baseline="a")
        >>> [(row.model, row.median_ms, row.ratio) for row in rows]
    """
    if not files or runs < 1 or warmup < 0 or not threads:
        raise ValueError(
            "`files` and `threads` must not be empty, `runs` be positive, `warmup` not negative. "
            f"Received: {len(files)} files, threads={threads}, runs={runs}, warmup={warmup}"
        )
    if baseline is not None and baseline not in files:
        raise ValueError(
            f"`baseline` must be among {tuple(files)}. Received: baseline={baseline!r}"
        )
    rows = []
    for count in threads:
        runners = {name: Runner(path, count) for name, path in files.items()}
        times = _times(runners, runs, warmup)
        rows += [_row(n, r, times[n], times.get(baseline), baseline) for n, r in runners.items()]
    return rows


def save(rows: Sequence[Latency], folder: str | os.PathLike | None = None) -> Path:
    """Merges rows into the table `latency`, with machine, versions and date.

    Args:
        rows: `Latency`s.

        folder: path of the table's folder. Default: the package's own results.

    Returns:
        Path of the CSV file.
    """
    table = [{k: "" if v is None else v for k, v in asdict(row).items()} for row in rows]
    return results.record(TABLE, table, KEYS, folder)


def time_left(start: float, done: int, total: int) -> str:
    """Returns the remaining time of a job, such as `"12 s left"`.

    Args:
        start: float, `time.monotonic()` at the start of the job.

        done: int, steps that are complete, at least 1.

        total: int, all steps.
    """
    seconds = (time.monotonic() - start) / done * (total - done)
    return f"{seconds:.0f} s left" if seconds < 100 else f"{seconds / 60:.0f} min left"


def weights_kind(config: ExportConfig | None) -> str:
    """Returns what is known of a file's weights, by the config next to it."""
    if config is None:
        return UNKNOWN
    return UNTRAINED if config.purpose == TIMING else TRAINED


def _times(runners: Mapping[str, Runner], runs: int, warmup: int) -> dict[str, list[float]]:
    """Runs all files in turn; returns the seconds of each run of each file."""
    order = random.Random(0)
    calls = {name: runner.timed_call(random_inputs(runner)) for name, runner in runners.items()}
    times = {name: [] for name in runners}
    names, start = list(runners), time.monotonic()
    last_note = start
    for number in range(warmup + runs):
        order.shuffle(names)
        for name in names:
            begin = time.perf_counter()
            calls[name]()
            if number >= warmup:
                times[name].append(time.perf_counter() - begin)
        if time.monotonic() - last_note > PROGRESS_SECONDS:
            last_note = time.monotonic()
            done, total = number + 1, warmup + runs
            left = time_left(start, done, total)
            note(f"timing {len(names)} files: round {done} of {total}, {left}")
    return times


def _row(name: str, runner: Runner, times, baseline_times, baseline: str | None) -> Latency:
    config, delegation = runner.config, runner.delegation()
    quartiles = statistics.quantiles(times, n=4) if len(times) > 1 else [times[0]] * 3
    ratios = [t / b for t, b in zip(times, baseline_times, strict=True)] if baseline_times else []
    return Latency(
        model=config.model if config else name,
        precision=config.kind if config else "",
        threads=runner.threads,
        median_ms=statistics.median(times) * 1e3,
        iqr_ms=(quartiles[2] - quartiles[0]) * 1e3,
        min_ms=min(times) * 1e3,
        ratio=statistics.median(ratios) if ratios else None,
        baseline=baseline or "",
        size_mb=runner.file.stat().st_size / 1e6,
        partitions=delegation.partitions,
        fallback_ops=len(delegation.fallback_ops),
        runs=len(times),
        weights=weights_kind(config),
    )
