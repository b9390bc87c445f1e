"""Time by operator and by layer: what each part of a TFLite file costs on this CPU.

What a number means. XNNPACK runs a file's operators as kernels of its own; LiteRT's profiler times each
while the file runs as usual, caches and threads included (`litert`). An operator's time is that of its
kernels: the mean of the middle half of all rounds, so that neither a disturbed round nor the clock's
whole microseconds decide. It is elapsed time, with several threads too.

What it does not mean. Operators that XNNPACK joins to a neighbor (a PAD before a convolution, a
LOGISTIC and MUL that become one table look-up) have no kernel and 0 ms: their cost is in the neighbor.
The clock cuts off fractions of a microsecond, which tiny operators consist of. What lies between
kernels belongs to no operator: `Profile.covered` is the sum of the parts by the time of the whole file,
measured in the same rounds without the profiler. It is near 1 on a quiet machine. On a busy one the
whole suffers more than its parts, whose disturbed rounds are left out.
"""

import math
import os
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from newnet_tf import results
from newnet_tf.deploy import export_config
from newnet_tf.deploy.export_config import TIMING, ExportConfig
from newnet_tf.deploy.runtime import Delegation
from newnet_tf.profiling import kernels, latency, litert_profiler
from newnet_tf.profiling.litert_profiler import Node

TABLE, KEYS = "operators", ("model", "precision", "threads")
NAMELESS = {"tfl.quantize": "input", "StatefulPartitionedCall_1": "output"}


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One operator of a file.

    Args:
        index: int, its place in the file. name: str, TFLite's name; convolutions with 1x1 windows
            and with groups say so. layer: str, the Keras layer it came from, as far as the file says.
        kernels: tuple of str, what ran for it; empty where it is part of a neighbor.
        output_shape: tuple, without batch. macs: int, multiply-adds as `cost` counts them.
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
    """Operators taken together: how many, the kernels that ran for them, time and multiply-adds."""

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
    """One file's operators.

    Args:
        model, precision, weights: as in `latency.Latency`. threads, rounds: int.
        whole_ms: float, the whole file without profiler. operators: tuple of `Operator`, in order.
        delegation, peak_activation_bytes, rss_bytes: as in `litert.Measured`.
    """

    model: str
    precision: str
    weights: str
    threads: int
    rounds: int
    whole_ms: float
    operators: tuple[Operator, ...]
    delegation: Delegation
    peak_activation_bytes: int
    rss_bytes: int | None

    @property
    def ops_ms(self) -> float:
        """Time of all operators."""
        return sum(operator.ms for operator in self.operators)

    @property
    def coverage(self) -> float:
        """Sum of the parts by the time of the whole."""
        return self.ops_ms / self.whole_ms

    @property
    def without_macs(self) -> float:
        """Share of the operators' time that has no multiply-adds."""
        return sum(o.ms for o in self.operators if not o.macs) / (self.ops_ms or math.inf)

    def by_operator(self) -> list[Total]:
        """Returns a `Total` for each type of operator, slowest first."""
        return _totals((operator.name, operator) for operator in self.operators)

    def by_layer(self) -> list[Total]:
        """Returns a `Total` for each layer, slowest first."""
        return _totals((operator.layer, operator) for operator in self.operators)


def profile(
    file: str | os.PathLike,
    name: str | None = None,
    threads: int = 1,
    rounds: int = 50,
    warmup: int = 10,
) -> Profile:
    """Times every operator of a TFLite file while it runs.

    Args:
        file: path of a TFLite image classifier.
        name: str, what to call it. Default: the model of the recipe beside it, else its own name.
        threads: int. rounds: int, timed runs. warmup: int, runs before them.

    Returns:
        A `Profile`.

    Raises:
        ValueError: for an argument outside of the above.
        ModelFileError: for a file that cannot be run, or that crashes the runtime.
        RuntimeError: where the installed LiteRT has no profiler that is understood here, or runs
            kernels that cannot be assigned to the file's operators.

    Example:
        >>> found = profile("rexnet_100.fp32.tflite")
        >>> [(total.name, round(total.ms, 2)) for total in found.by_operator()][:2]
    """
    if min(threads, rounds) < 1 or warmup < 0:
        raise ValueError(
            "`threads` and `rounds` must be positive, `warmup` not negative. "
            f"Received: threads={threads}, rounds={rounds}, warmup={warmup}"
        )
    measured = litert_profiler.measure(file, threads, rounds, warmup)
    record = export_config.read(file)
    recipe = ExportConfig.from_record(record) if record else None
    timing = latency.UNTRAINED if recipe and recipe.purpose == TIMING else latency.REAL
    ran = kernels.assign(measured.nodes, measured.partitions, measured.kernels)
    layers = layer_names([node.tensor for node in measured.nodes])
    return Profile(
        model=name or (recipe.model if recipe else Path(file).stem),
        precision=recipe.kind if recipe else "",
        weights=timing if recipe else latency.UNKNOWN,
        threads=threads,
        rounds=rounds,
        whole_ms=_middle(measured.whole) / 1e3,
        delegation=measured.delegation,
        peak_activation_bytes=measured.peak_activation_bytes,
        rss_bytes=measured.rss_bytes,
        operators=tuple(
            Operator(
                index=index,
                name=_name(node),
                layer=layers[index],
                kernels=tuple(kernel.name for kernel in ran[index]),
                output_shape=node.shapes.get(node.outputs[0], ())[1:],
                macs=kernels.macs(node),
                ms=sum(_middle(kernel.microseconds) for kernel in ran[index]) / 1e3,
            )
            for index, node in enumerate(measured.nodes)
        ),
    )


def rows(found: Profile) -> list[dict]:
    """Returns a profile as rows of the table `operators`, one for each type of operator."""
    return [
        {
            "model": found.model,
            "precision": found.precision,
            "threads": found.threads,
            "operator": total.name,
            "count": total.count,
            "kernels": total.kernels,
            "ms": round(total.ms, 4),
            "share": round(total.ms / found.ops_ms, 4),
            "mmacs": round(total.macs / 1e6, 3),
            "whole_ms": round(found.whole_ms, 4),
            "rounds": found.rounds,
            "weights": found.weights,
        }
        for total in found.by_operator()
    ]


def record(found: Iterable[Profile], folder: str | os.PathLike | None = None) -> Path:
    """Merges profiles into the table `operators`, in place of earlier ones of the same files.

    Args:
        found: profiles. folder: of the table; default: the package's own results.

    Returns:
        Path of the CSV file.
    """
    return results.record(TABLE, [row for each in found for row in rows(each)], KEYS, folder)


def layer_names(tensors: Sequence[str]) -> list[str]:
    """Returns the Keras layers that tensors came from, by the names that the converter gave them.

    Such a name is `model/layer/operation`, or several joined by `;` where operators were joined: of
    those the convolution or dense layer, else the last, is meant. An export adds `_1` to layers; where
    most have it, it is taken off. Where no layer is named, the operation stands.
    """
    paths = [_path(name) for name in tensors]
    layers = [path[1] for path in paths if len(path) > 2]
    suffix = "_1" if 2 * sum(layer.endswith("_1") for layer in layers) > len(layers) else ""
    return [
        path[1].removesuffix(suffix) if len(path) > 2 else NAMELESS.get(path[-1], path[-1])
        for path in paths
    ]


def _path(name: str) -> list[str]:
    """Returns the parts of a tensor's name that tell its layer."""
    found = [path.split("/") for path in name.split(";") if "/" in path]
    heavy = [path for path in found if path[-1].startswith(("convolution", "depthwise", "MatMul"))]
    named = heavy or found
    return named[-1] if named else [name.split(";")[0].split(":")[0]]


def _name(node: Node) -> str:
    """TFLite's name; what a convolution's shapes make of it changes its speed, so they show."""
    if node.operator != "CONV_2D":
        return node.operator
    image, window = (node.shapes[index] for index in node.inputs[:2])
    grouped = " grouped" if window[3] != image[3] else ""
    return f"CONV_2D{' 1x1' if window[1:3] == (1, 1) else ''}{grouped}"


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


def _middle(values: Sequence[float]) -> float:
    """Mean of the middle half."""
    cut = len(values) // 4
    return statistics.fmean(sorted(values)[cut : len(values) - cut])
