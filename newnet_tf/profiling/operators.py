"""Time by operator and by layer: the cost of each part of a TFLite file on this CPU.

XNNPACK runs a file's operators as kernels of its own. LiteRT's profiler times each kernel while the
file runs as usual, with the same caches and threads (`litert_profiler`). The time of an operator is
the time of its kernels: for each, the mean of the middle half of all runs, so that neither a disturbed
run nor the clock's resolution of one microsecond decides. It is elapsed time, also with several
threads.

Some operators are fused into a neighbor (a PAD before a convolution; a LOGISTIC and a MUL that become
one table lookup). They have no kernel and 0 ms: their cost is part of the neighbor's. The clock cuts
off fractions of a microsecond, which matters for tiny operators. Time between kernels belongs to no
operator. `Profile.coverage` is the operators' time divided by the time of the whole file, measured in
the same runs without the profiler. It is near 1 on a quiet machine, and smaller on a busy one.
"""

import math
import os
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.deploy import config_file
from newnet_tf.deploy.flatbuffer.layer_names import layer_names
from newnet_tf.deploy.interpreter import Delegation
from newnet_tf.profiling import kernels, latency, litert_profiler
from newnet_tf.profiling.litert_profiler import KernelTimes, Node
from newnet_tf.utils.progress import note


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One operator of a file.

    Args:
        index: int, position in the file.

        name: str, TFLite's name of its type; convolutions with 1x1 kernels and with groups have
            types of their own.

        layer: str, the Keras layer that it came from, as far as the file names it.

        kernels: tuple of str, the kernels that ran; empty if it is fused into a neighbor.

        output_shape: tuple of int, without batch.

        macs: int, multiply-adds, counted as by `cost`.

        ms: float.
    """

    index: int
    name: str
    layer: str
    kernels: tuple[str, ...]
    output_shape: tuple[int, ...]
    macs: int
    ms: float


@dataclass(frozen=True, kw_only=True)
class Total:
    """The sum over several operators.

    Args:
        name: str, their type or their layer.

        count: int, operators.

        kernels: int, kernels that ran.

        ms: float.

        macs: int, multiply-adds.
    """

    name: str
    count: int
    kernels: int
    ms: float
    macs: int

    @property
    def gmacs_per_second(self) -> float | None:
        """Billions of multiply-adds a second; None without multiply-adds or time."""
        return self.macs / self.ms / 1e6 if self.macs and self.ms else None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The operators of one file and their times.

    Args:
        model: str, as in `latency.Latency`.

        precision: str, as in `latency.Latency`.

        weights: str, as in `latency.Latency`.

        threads: int.

        runs: int, timed runs.

        total_ms: float, time of the whole file without the profiler.

        operators: tuple of `Operator`, in order.

        delegation: `Delegation`, what XNNPACK runs.

        peak_activation_bytes: int, as in `litert_profiler.KernelTimes`.

        rss_bytes: int or None, as in `litert_profiler.KernelTimes`.
    """

    model: str
    precision: str
    weights: str
    threads: int
    runs: int
    total_ms: float
    operators: tuple[Operator, ...]
    delegation: Delegation
    peak_activation_bytes: int
    rss_bytes: int | None

    @property
    def title(self) -> str:
        """The model and its precision."""
        return f"{self.model} {self.precision}".rstrip()

    @property
    def ops_ms(self) -> float:
        """Time of all operators."""
        return sum(operator.ms for operator in self.operators)

    @property
    def coverage(self) -> float:
        """Time of all operators divided by the time of the whole file."""
        return self.ops_ms / self.total_ms

    @property
    def without_macs(self) -> float:
        """Share of the operators' time in operators without multiply-adds."""
        return sum(o.ms for o in self.operators if not o.macs) / (self.ops_ms or math.inf)

    def by_operator(self) -> list[Total]:
        """Returns a `Total` for each type of operator, slowest first."""
        return _totals((operator.name, operator) for operator in self.operators)

    def by_layer(self) -> list[Total]:
        """Returns a `Total` for each layer, slowest first."""
        return _totals((operator.layer, operator) for operator in self.operators)


def profile_file(
    file: str | os.PathLike,
    name: str | None = None,
    threads: int = 1,
    runs: int = 50,
    warmup: int = 10,
) -> Profile:
    """Times every operator of a TFLite file while it runs with random inputs.

    Args:
        file: path of a TFLite file, whoever wrote it.

        name: str, name of the model. Default: that in the config next to the file, else the file's.

        threads: int. Default: 1.

        runs: int, timed runs. Default: 50.

        warmup: int, runs before them. Default: 10.

    Returns:
        A `Profile`. If XNNPACK's kernels cannot be assigned to the file's operators, a note says so,
        and its operators are those kernels.

    Raises:
        ValueError: if an argument has another value.

        ModelFileError: if the file cannot be run, or crashes the runtime. A custom operator is named.

        RuntimeError: if the installed LiteRT has no profiler of a known layout.

    Example:
        >>> result = profile_file("rexnet_100.fp32.tflite")
        >>> [(total.name, round(total.ms, 2)) for total in result.by_operator()][:2]
    """
    if min(threads, runs) < 1 or warmup < 0:
        raise ValueError(
            "`threads` and `runs` must be positive, `warmup` not negative. "
            f"Received: threads={threads}, runs={runs}, warmup={warmup}"
        )
    config = config_file.read_config(file) if Path(file).is_file() else None
    times = litert_profiler.kernel_times(file, threads, runs, warmup)
    try:
        operators = _operators(times)
    except RuntimeError as error:
        note(f"{file}: the operators below are XNNPACK's own kernels. {error}")
        operators = _kernels_as_operators(times)
    return Profile(
        model=name or (config.model if config else Path(file).stem),
        precision=config.kind if config else "",
        weights=latency.weights_kind(config),
        threads=threads,
        runs=runs,
        total_ms=_trimmed_mean(times.total_microseconds) / 1e3,
        delegation=times.delegation,
        peak_activation_bytes=times.peak_activation_bytes,
        rss_bytes=times.rss_bytes,
        operators=operators,
    )


def _operators(times: KernelTimes) -> tuple[Operator, ...]:
    assigned = kernels.assign(times.nodes, times.partitions, times.kernels)
    layers = layer_names([node.tensor for node in times.nodes])
    return tuple(
        Operator(
            index=index,
            name=_operator_name(node),
            layer=layers[index],
            kernels=tuple(kernel.name for kernel in assigned[index]),
            output_shape=node.shapes.get(node.outputs[0], ())[1:] if node.outputs else (),
            macs=kernels.macs(node),
            ms=sum(_trimmed_mean(kernel.microseconds) for kernel in assigned[index]) / 1e3,
        )
        for index, node in enumerate(times.nodes)
    )


def _kernels_as_operators(times: KernelTimes) -> tuple[Operator, ...]:
    return tuple(
        Operator(
            index=index,
            name=kernel.name,
            layer="(unknown)",
            kernels=(kernel.name,),
            output_shape=(),
            macs=0,
            ms=_trimmed_mean(kernel.microseconds) / 1e3,
        )
        for index, kernel in enumerate(times.kernels)
    )


def _operator_name(node: Node) -> str:
    """TFLite's name; shapes of a convolution that change its speed are part of it."""
    if node.operator != "CONV_2D":
        return node.operator
    image, kernel = (node.shapes[index] for index in node.inputs[:2])
    grouped = " grouped" if kernel[3] != image[3] else ""
    return f"CONV_2D{' 1x1' if kernel[1:3] == (1, 1) else ''}{grouped}"


def _totals(named: Iterable[tuple[str, Operator]]) -> list[Total]:
    groups = defaultdict(list)
    for name, operator in named:
        groups[name].append(operator)
    totals = [
        Total(
            name=name,
            count=len(group),
            kernels=sum(len(operator.kernels) for operator in group),
            ms=sum(operator.ms for operator in group),
            macs=sum(operator.macs for operator in group),
        )
        for name, group in groups.items()
    ]
    return sorted(totals, key=lambda total: -total.ms)


def _trimmed_mean(values: Sequence[float]) -> float:
    """Mean of the middle half."""
    cut = len(values) // 4
    return statistics.fmean(sorted(values)[cut : len(values) - cut])
