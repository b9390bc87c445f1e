"""LiteRT's profiler: the time of every kernel of a TFLite file, run by run.

LiteRT's Python classes have no profiler, but the C library in `ai-edge-litert` has one, and XNNPACK
reports each of its kernels to it (`litert_c_api`). That interface may change with any release.
Therefore it runs in a separate process, where a crash becomes an error. The same process times the
whole file without the profiler, in turn with it, so that both times can be compared.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.deploy.interpreter import Delegation
from newnet_tf.deploy.runtime import ModelFileError, Runner, random_inputs
from newnet_tf.profiling import latency, litert_c_api
from newnet_tf.utils.progress import note


@dataclass(frozen=True)
class Node:
    """An operator of the file.

    Args:
        operator: str, TFLite's name of its type, such as `"CONV_2D"`.

        inputs: tuple of int, indices of its input tensors.

        outputs: tuple of int, indices of its output tensors.

        shapes: {tensor index: tuple of int}, of its inputs and outputs.

        tensor: str, name of its first output tensor.
    """

    operator: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shapes: dict[int, tuple[int, ...]]
    tensor: str


@dataclass(frozen=True)
class Kernel:
    """A kernel that ran: one of XNNPACK's, or the builtin kernel of an operator.

    Args:
        name: str, as the library calls it.

        node: int or None, index of the operator of a builtin kernel.

        index: int, position within its XNNPACK partition, from 0.

        microseconds: tuple of int, one for each run.
    """

    name: str
    node: int | None
    index: int
    microseconds: tuple[int, ...]


@dataclass(frozen=True)
class KernelTimes:
    """The kernels of one file and their times.

    Args:
        nodes: tuple of `Node`, the file's operators.

        partitions: tuple of `Node`, the partitions that XNNPACK runs.

        kernels: tuple of `Kernel`, in the order of execution.

        total_microseconds: tuple of float, time of the whole file without the profiler, one for
            each run.

        delegation: `Delegation`, what XNNPACK runs.

        peak_activation_bytes: int, the largest sum of the sizes of activations that are alive at the
            same time, in the file's order of operators: the smallest possible arena.

        rss_bytes: int or None, growth of the process's memory when the file was loaded and run once,
            with weights and XNNPACK's packed copies of them; None where the system does not report it.
    """

    nodes: tuple[Node, ...]
    partitions: tuple[Node, ...]
    kernels: tuple[Kernel, ...]
    total_microseconds: tuple[float, ...]
    delegation: Delegation
    peak_activation_bytes: int
    rss_bytes: int | None


def kernel_times(
    file: str | os.PathLike, threads: int = 1, runs: int = 50, warmup: int = 10
) -> KernelTimes:
    """Runs a file with random inputs in a separate process and returns the times of its kernels.

    Args:
        file: path of a TFLite file, whoever wrote it.

        threads: int. Default: 1.

        runs: int, timed runs. Default: 50.

        warmup: int, runs before them. Default: 10.

    Returns:
        A `KernelTimes`.

    Raises:
        ModelFileError: if the file cannot be run, or crashes the runtime. A custom operator is named.

        RuntimeError: if the installed LiteRT has no profiler of a known layout.
    """
    numbers = map(str, (threads, runs, warmup))
    command = [sys.executable, "-m", __name__, os.fspath(file), *numbers]
    message = None
    with tempfile.TemporaryFile() as log:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
            for line in process.stdout:
                message = json.loads(line)
                if "progress" in message:
                    note(message["progress"])
        log.seek(0)
        stderr = log.read().decode(errors="replace").strip().splitlines()
    if process.returncode < 0:
        raise ModelFileError(
            f"{file} must be a TFLite file that LiteRT can run. Received: an invalid model; LiteRT "
            f"ended by signal {-process.returncode} ({litert_c_api.version()})"
        )
    if message is None or not {"error", "kernels"} & message.keys():
        raise RuntimeError(f"the profiler of {file} must give a result. Received: {stderr[-1:]}")
    if "error" in message:
        raise (ModelFileError if message["is_file_error"] else RuntimeError)(message["error"])
    return KernelTimes(
        nodes=tuple(_node(node) for node in message["nodes"]),
        partitions=tuple(_node(node) for node in message["partitions"]),
        kernels=tuple(Kernel(*k[:3], microseconds=tuple(k[3])) for k in message["kernels"]),
        total_microseconds=tuple(message["total_microseconds"]),
        delegation=Delegation(
            message["num_partitions"], tuple(message["fallback_ops"]), len(message["nodes"])
        ),
        peak_activation_bytes=message["peak_activation_bytes"],
        rss_bytes=message["rss_bytes"],
    )


def peak_bytes(nodes: Sequence[tuple], sizes: Mapping[int, int], inputs: Sequence[int]) -> int:
    """Returns the peak memory of activations while operators run in order.

    An activation lives from the operator that writes it to the last that reads it. Constants do not
    count.

    Args:
        nodes: (inputs, outputs) of each operator, as indices of tensors.

        sizes: {index of a tensor: bytes}.

        inputs: indices of the file's input tensors.
    """
    first = dict.fromkeys(inputs, 0)
    first |= {i: place for place, (_, outputs) in enumerate(nodes) for i in outputs}
    last = first | {i: place for place, (read, _) in enumerate(nodes) for i in read if i in first}
    alive = (
        sum(sizes.get(i, 0) for i in first if first[i] <= place <= last[i])
        for place in range(len(nodes))
    )
    return max(alive, default=0)


def _node(values: Sequence) -> Node:
    operator, inputs, outputs, shapes, tensor = values
    shapes = {int(index): tuple(shape) for index, shape in shapes.items()}
    return Node(operator, tuple(inputs), tuple(outputs), shapes, tensor)


# The rest of this file runs in the separate process.


def _profile(file: Path, threads: int, runs: int, warmup: int, send: Callable) -> dict:
    before = _memory()
    runner = Runner(file, threads, litert_c_api.PACKAGE)
    inputs = random_inputs(runner)
    runner(inputs)
    rss = before and _memory() - before
    run_plain = runner.timed_call(inputs)
    run_profiled = litert_c_api.ProfiledModel(file, threads, inputs)
    totals, profiles, start = [], [], time.monotonic()
    last_note = start
    for number in range(1, warmup + runs + 1):
        profiles.append(run_profiled())
        begin = time.perf_counter()
        run_plain()
        totals.append((time.perf_counter() - begin) * 1e6)
        if time.monotonic() - last_note > latency.PROGRESS_SECONDS:
            last_note = time.monotonic()
            left = latency.time_left(start, number, warmup + runs)
            send(progress=f"profiling {file.name}: run {number} of {warmup + runs}, {left}")
    profiles, totals = profiles[warmup:], totals[warmup:]
    if len({tuple(event[:3] for event in profile) for profile in profiles}) != 1 or not profiles[0]:
        raise RuntimeError(
            f"LiteRT must report the same kernels in each run. Received: {litert_c_api.version()}"
        )
    kernels = [
        (
            name,
            index if kind == litert_c_api.OPERATOR else None,
            index,
            [profile[place][3] for profile in profiles],
        )
        for place, (name, kind, index, _) in enumerate(profiles[0])
    ]
    nodes, partitions, peak = _graph(runner)
    delegation = runner.delegation()
    return {
        "nodes": nodes,
        "partitions": partitions,
        "kernels": kernels,
        "total_microseconds": totals,
        "num_partitions": delegation.partitions,
        "fallback_ops": delegation.fallback_ops,
        "peak_activation_bytes": peak,
        "rss_bytes": rss,
    }


def _memory() -> int | None:
    """Returns the resident memory of this process in bytes; None where Linux' /proc is missing."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return None
    return int(status.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _graph(runner: Runner) -> tuple[list, list, int]:
    """Returns the fields of the `Node` of each operator and partition, and the peak memory."""
    interpreter = runner._interpreter
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    nodes, partitions = [], []
    for node in interpreter._get_ops_details():  # there is no public method
        inputs, outputs = ([int(i) for i in node[ends] if i >= 0] for ends in ("inputs", "outputs"))
        shapes = {
            i: [int(n) for n in tensors[i]["shape"]] for i in inputs + outputs if i in tensors
        }
        name = tensors[outputs[0]]["name"] if outputs and outputs[0] in tensors else ""
        target = partitions if node["op_name"] == "DELEGATE" else nodes
        target.append((node["op_name"], inputs, outputs, shapes, name))
    sizes = {index: _bytes(tensor) for index, tensor in tensors.items()}
    inputs = [tensor["index"] for tensor in interpreter.get_input_details()]
    return nodes, partitions, peak_bytes([(node[1], node[2]) for node in nodes], sizes, inputs)


def _bytes(tensor: Mapping) -> int:
    return int(np.prod(tensor["shape"])) * np.dtype(tensor["dtype"]).itemsize


@contextmanager
def _messages() -> Iterator[Callable]:
    """Gives a function that writes a line of JSON to stdout; all other output goes to stderr."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as stream:
        os.dup2(2, 1)
        yield lambda **fields: print(json.dumps(fields), file=stream, flush=True)


def main(arguments: list[str]) -> None:
    """Profiles the file that `arguments` name and writes the result, as JSON, to stdout."""
    file, *numbers = arguments
    with _messages() as send:
        try:
            send(**_profile(Path(file), *map(int, numbers), send))
        except (UnicodeDecodeError, KeyError, IndexError) as error:
            text = f"{file} must describe its own tensors. Received: {error!r}"
            send(error=text, is_file_error=True)
        except (ModelFileError, ValueError) as error:
            send(error=f"{error}", is_file_error=True)
        except (RuntimeError, ImportError) as error:
            send(error=f"{file}: {error}", is_file_error=False)


if __name__ == "__main__":
    main(sys.argv[1:])
