"""LiteRT's own profiler: how long every kernel of a TFLite file takes, round by round.

LiteRT's Python classes offer no profiler, but the C library that `ai-edge-litert` carries has one, and
XNNPACK reports each of its kernels to it (`events`). That interface may change with any release, so it
runs in a process of its own: a crash becomes an error. The same process times the whole file without
the profiler, in turn with it, so that the parts can be compared with the whole.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.deploy.runtime import Delegation, ModelFileError, Runner, interpreter_class
from newnet_tf.profiling import latency, litert_c_api


@dataclass(frozen=True)
class Node:
    """An operator of the file: its name, tensor indices, their shapes, its first output's name."""

    operator: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shapes: dict[int, tuple[int, ...]]
    tensor: str


@dataclass(frozen=True)
class Kernel:
    """Something that ran: XNNPACK's kernel, or the builtin kernel of the operator `node`.

    Args:
        name: str, as the library calls it. node: int or None, the operator's index if builtin.
        index: int, position within its XNNPACK partition, counted from 0.
        microseconds: tuple of int, one a round.
    """

    name: str
    node: int | None
    index: int
    microseconds: tuple[int, ...]


@dataclass(frozen=True)
class Measured:
    """What one file did.

    Args:
        nodes: tuple of `Node`, the file's operators. partitions: tuple of `Node`, what XNNPACK took.
        kernels: tuple of `Kernel`, in the order in which they ran.
        whole: tuple of float, microseconds of the whole file without profiler, one a round.
        delegation: `Delegation`, what XNNPACK takes.
        peak_activation_bytes: int, the most bytes of maps that are alive at once, in the file's own order: the least
            that an arena for them can have.
        rss_bytes: int or None, bytes by which the process grew when the file was loaded and run once,
            weights and XNNPACK's packed copies included; None where the system does not tell.
    """

    nodes: tuple[Node, ...]
    partitions: tuple[Node, ...]
    kernels: tuple[Kernel, ...]
    whole: tuple[float, ...]
    delegation: Delegation
    peak_activation_bytes: int
    rss_bytes: int | None


def measure(file: str | os.PathLike, threads: int = 1, rounds: int = 50, warmup: int = 10):
    """Runs a file in a process of its own and returns what its kernels took.

    Args:
        file: path of a TFLite image classifier.
        threads: int. rounds: int, timed runs. warmup: int, runs before them.

    Returns:
        A `Measured`.

    Raises:
        ModelFileError: for a file that cannot be run, or that crashes the runtime.
        RuntimeError: where the installed LiteRT has no profiler that is understood here.
    """
    command = [
        sys.executable,
        "-m",
        __name__,
        os.fspath(file),
        *map(str, (threads, rounds, warmup)),
    ]
    answer = None
    with tempfile.TemporaryFile() as log:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
            for line in process.stdout:
                answer = json.loads(line)
                if "progress" in answer:
                    print(answer["progress"], file=sys.stderr, flush=True)
        log.seek(0)
        said = log.read().decode(errors="replace").strip().splitlines()
    if process.returncode < 0:
        raise ModelFileError(
            f"{file} must be a TFLite file that LiteRT can run. Received: an invalid model; LiteRT "
            f"ended by signal {-process.returncode} ({litert_c_api.version()})"
        )
    if answer is None or not {"error", "kernels"} & answer.keys():
        raise RuntimeError(f"profiling {file} must give an answer. Received: {said[-1:]}")
    if "error" in answer:
        raise (ModelFileError if answer["is_file"] else RuntimeError)(answer["error"])
    return Measured(
        nodes=tuple(_node(node) for node in answer["nodes"]),
        partitions=tuple(_node(node) for node in answer["partitions"]),
        kernels=tuple(Kernel(*k[:3], microseconds=tuple(k[3])) for k in answer["kernels"]),
        whole=tuple(answer["whole"]),
        delegation=Delegation(
            answer["partitions_taken"], tuple(answer["outside"]), len(answer["nodes"])
        ),
        peak_activation_bytes=answer["maps"],
        rss_bytes=answer["resident"],
    )


def _node(found) -> Node:
    operator, inputs, outputs, shapes, tensor = found
    shapes = {int(index): tuple(shape) for index, shape in shapes.items()}
    return Node(operator, tuple(inputs), tuple(outputs), shapes, tensor)


# What follows runs in the process of its own.


def _measured(file: Path, threads: int, rounds: int, warmup: int, say: Callable) -> dict:
    before = _resident()
    runner = Runner(file, threads, litert_c_api.PACKAGE)
    image = latency.noise(runner, np.random.default_rng(0))
    runner(image)
    resident = before and _resident() - before
    whole, profiled = runner.timed_call(image), litert_c_api.Profiled(file, threads, image)
    times, runs, begun = [], [], time.monotonic()
    shown = begun
    for number in range(1, warmup + rounds + 1):
        run, start = profiled(), time.perf_counter()
        whole()
        times.append((time.perf_counter() - start) * 1e6)
        runs.append(run)
        if time.monotonic() - shown > latency.PROGRESS_SECONDS:
            shown, left = time.monotonic(), latency.time_left(begun, number, warmup + rounds)
            say(progress=f"profiling {file.name}: round {number} of {warmup + rounds}, {left}")
    runs, times = runs[warmup:], times[warmup:]
    if len({tuple(event[:3] for event in run) for run in runs}) != 1 or not runs[0]:
        raise RuntimeError(
            f"LiteRT must report the same kernels in each round. Received: {litert_c_api.version()}"
        )
    kernels = [
        (
            name,
            index if kind == litert_c_api.OPERATOR else None,
            index,
            [run[place][3] for run in runs],
        )
        for place, (name, kind, index, _) in enumerate(runs[0])
    ]
    nodes, partitions, maps = _graph(file, threads)
    delegation = runner.delegation()
    return {
        "nodes": nodes,
        "partitions": partitions,
        "kernels": kernels,
        "whole": times,
        "partitions_taken": delegation.partitions,
        "outside": delegation.fallback_ops,
        "maps": maps,
        "resident": resident,
    }


def _resident() -> int | None:
    """Bytes of memory that this process holds, None where Linux' /proc is not."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return None
    return int(status.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _graph(file: Path, threads: int) -> tuple[list, list, int]:
    """Returns the fields of the `Node` of each operator and of each partition, and `maps`."""
    _, make = interpreter_class(litert_c_api.PACKAGE)
    interpreter = make(model_path=os.fspath(file), num_threads=threads)
    interpreter.allocate_tensors()
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    nodes, partitions = [], []
    for node in interpreter._get_ops_details():  # no public call tells
        inputs, outputs = ([int(i) for i in node[ends] if i >= 0] for ends in ("inputs", "outputs"))
        shapes = {
            i: [int(n) for n in tensors[i]["shape"]] for i in inputs + outputs if i in tensors
        }
        name = tensors[outputs[0]]["name"] if outputs else ""
        found = partitions if node["op_name"] == "DELEGATE" else nodes
        found.append((node["op_name"], inputs, outputs, shapes, name))
    sizes = {
        i: int(np.prod(t["shape"])) * np.dtype(t["dtype"]).itemsize for i, t in tensors.items()
    }
    image = interpreter.get_input_details()[0]["index"]
    return nodes, partitions, alive([(node[1], node[2]) for node in nodes], sizes, image)


def alive(nodes: Sequence[tuple], sizes: Mapping[int, int], image: int) -> int:
    """Returns the most bytes of maps that are alive while operators run in order.

    A map lives from the operator that makes it to the last that reads it; constants do not count.

    Args:
        nodes: (inputs, outputs) of each operator, as tensors' indices.
        sizes: bytes by tensor. image: int, the tensor that comes in.
    """
    born = {image: 0} | {i: place for place, (_, made) in enumerate(nodes) for i in made}
    last = born | {i: place for place, (read, _) in enumerate(nodes) for i in read if i in born}
    return max(
        sum(sizes.get(i, 0) for i in born if born[i] <= place <= last[i])
        for place in range(len(nodes))
    )


@contextmanager
def _answers():
    """Gives a function that writes a line of JSON to stdout, where nothing else is written."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as stream:
        os.dup2(2, 1)
        yield lambda **fields: print(json.dumps(fields), file=stream, flush=True)


def main(arguments: list[str]) -> None:
    """Measures the file that `arguments` name and says what was found, as JSON."""
    file, *numbers = arguments
    with _answers() as say:
        try:
            say(**_measured(Path(file), *map(int, numbers), say))
        except (UnicodeDecodeError, KeyError, IndexError) as error:
            said = f"{file} must describe its tensors as they are. Received: {error!r}"
            say(error=said, is_file=True)
        except (ModelFileError, ValueError) as error:
            say(error=f"{error}", is_file=True)
        except (RuntimeError, ImportError) as error:
            say(error=f"{file}: {error}", is_file=False)


if __name__ == "__main__":
    main(sys.argv[1:])
