"""Latency of TFLite files on this CPU: all loaded, warmed up, and timed in turn.

Files are timed in rounds, one run of each in shuffled order, so that whatever slows the machine down
slows all of them. A ratio to a baseline is taken round by round, and the median of those is given:
it holds where single times do not.
"""

import os
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from newnet_tf import results
from newnet_tf.deploy.export_config import TIMING
from newnet_tf.deploy.runtime import Runner

TABLE, KEYS = "latency", ("model", "precision", "threads")
REAL, UNTRAINED, UNKNOWN = "real", "untrained (timing only)", "unknown"
PROGRESS_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Latency:
    """One file at one number of threads.

    Args:
        model, precision: str, name and kind in the recipe beside the file, else its name and "".
        threads: int. rounds: int, timed runs.
        median_ms, iqr_ms, min_ms: float; the spread is the interquartile range.
        ratio: float or None, median over rounds of its time by the baseline's.
        baseline: str, name of the baseline, "" for none.
        size_mb: float, file size in 1e6 bytes.
        partitions, fallback_ops: int, pieces that XNNPACK took and nodes that it left.
        weights: `"real"`, `"untrained (timing only)"`, `"unknown"` for a file without recipe.
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
    rounds: int
    weights: str


def measure(
    files: Mapping[str, str | os.PathLike],
    threads: Sequence[int] = (1,),
    rounds: int = 50,
    warmup: int = 10,
    baseline: str | None = None,
) -> list[Latency]:
    """Times TFLite files against each other.

    Args:
        files: mapping of name to path.
        threads: numbers of threads, each measured by itself.
        rounds: int, timed runs of each file. warmup: int, runs before them.
        baseline: a name in `files` that ratios are taken to. Default: none.

    Returns:
        A `Latency` for each number of threads and file, in the order given.

    Raises:
        ValueError: for an argument outside of the above. ModelFileError: for a file that cannot run.

    Example:
        >>> rows = measure({"a": "a.fp32.tflite", "b": "b.fp32.tflite"}, baseline="a")
        >>> [(row.model, row.median_ms, row.ratio) for row in rows]
    """
    if not files or rounds < 1 or warmup < 0 or not threads:
        raise ValueError(
            "`files` and `threads` must not be empty, `rounds` be positive, `warmup` not negative. "
            f"Received: {len(files)} files, threads={threads}, rounds={rounds}, warmup={warmup}"
        )
    if baseline is not None and baseline not in files:
        raise ValueError(
            f"`baseline` must be among {tuple(files)}. Received: baseline={baseline!r}"
        )
    rows = []
    for count in threads:
        runners = {name: Runner(path, count) for name, path in files.items()}
        times = _times(runners, rounds, warmup)
        rows += [_row(n, r, times[n], times.get(baseline), baseline) for n, r in runners.items()]
    return rows


def record(rows: Sequence[Latency], folder: str | os.PathLike | None = None) -> Path:
    """Merges rows into the table `latency`, stamped with machine, versions and date.

    Args:
        rows: what `measure` returned. folder: of the table; default: the package's own results.

    Returns:
        Path of the CSV file.
    """
    table = [{k: "" if v is None else v for k, v in asdict(row).items()} for row in rows]
    return results.record(TABLE, table, KEYS, folder)


def time_left(begun: float, done: int, total: int) -> str:
    """Says how long a job still takes if it goes on as it went since `begun` (`time.monotonic()`)."""
    seconds = (time.monotonic() - begun) / done * (total - done)
    return f"{seconds:.0f} s left" if seconds < 100 else f"{seconds / 60:.0f} min left"


def _times(runners: Mapping[str, Runner], rounds: int, warmup: int) -> dict[str, list[float]]:
    """Runs all files in turn; returns the seconds of each, round by round."""
    generator, order = np.random.default_rng(0), random.Random(0)
    calls = {name: runner.timed_call(noise(runner, generator)) for name, runner in runners.items()}
    times = {name: [] for name in runners}
    names, begun = list(runners), time.monotonic()
    shown = begun
    for number in range(warmup + rounds):
        order.shuffle(names)
        for name in names:
            start = time.perf_counter()
            calls[name]()
            if number >= warmup:
                times[name].append(time.perf_counter() - start)
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            done, total = number + 1, warmup + rounds
            left = time_left(begun, done, total)
            _say(f"timing {len(names)} files: round {done} of {total}, {left}")
    return times


def noise(runner: Runner, generator: np.random.Generator) -> np.ndarray:
    """Returns noise of the input's kind: pixels, normalized floats or integers."""
    shape = (1, runner.size, runner.size, runner.channels)
    if np.issubdtype(runner.dtype, np.floating):
        return generator.uniform(-1, 1, shape).astype(np.float32)
    bounds = np.iinfo(runner.dtype)
    return generator.integers(bounds.min, bounds.max, shape, runner.dtype, endpoint=True)


def _row(name: str, runner: Runner, times, baseline_times, baseline: str | None) -> Latency:
    recipe, delegation = runner.recipe, runner.delegation()
    quarters = statistics.quantiles(times, n=4) if len(times) > 1 else [times[0]] * 3
    ratios = [t / b for t, b in zip(times, baseline_times, strict=True)] if baseline_times else []
    weights = UNKNOWN if recipe is None else UNTRAINED if recipe.purpose == TIMING else REAL
    return Latency(
        model=recipe.model if recipe else name,
        precision=recipe.kind if recipe else "",
        threads=runner.threads,
        median_ms=statistics.median(times) * 1e3,
        iqr_ms=(quarters[2] - quarters[0]) * 1e3,
        min_ms=min(times) * 1e3,
        ratio=statistics.median(ratios) if ratios else None,
        baseline=baseline or "",
        size_mb=runner.file.stat().st_size / 1e6,
        partitions=delegation.partitions,
        fallback_ops=len(delegation.fallback_ops),
        rounds=len(times),
        weights=weights,
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
