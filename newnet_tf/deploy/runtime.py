"""TFLite files run from here, and the interpreter is chosen here and nowhere else.

Needs NumPy and one interpreter: `ai-edge-litert`, else TensorFlow's `tf.lite`, else `tflite-runtime`.
"""

import contextlib
import hashlib
import importlib
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.deploy import export_config
from newnet_tf.deploy.export_config import OUTPUTS, PIXELS, ExportConfig
from newnet_tf.deploy.flatbuffer import flatbuffer_check
from newnet_tf.models.config import CHANNELS

INTERPRETERS = {
    "ai_edge_litert": "ai_edge_litert.interpreter",
    "tf.lite": "tensorflow.lite.python.interpreter",
    "tflite_runtime": "tflite_runtime.interpreter",
}
VARIABLE = "NEWNET_INTERPRETER"


class ModelFileError(ValueError):
    """A file that is not a TFLite image classifier which can be run; the message names it."""


@dataclass(frozen=True)
class Delegation:
    """What XNNPACK took of a file's graph.

    Args:
        partitions: int, the pieces it took; 1 where nothing cuts the graph.
        fallback_ops: tuple of str, operators left to the interpreter's own kernels.
        nodes: int, operators in the file.
    """

    partitions: int
    fallback_ops: tuple[str, ...]
    nodes: int

    @property
    def share(self) -> float:
        """Share of the operators that XNNPACK runs."""
        return 1 - len(self.fallback_ops) / self.nodes

    @property
    def fully_delegated(self) -> bool:
        """Whether XNNPACK takes the whole graph, in one piece."""
        return self.partitions == 1 and not self.fallback_ops

    def __str__(self) -> str:
        pieces = f"{self.partitions} partition{'s' * (self.partitions != 1)}"
        counts = [f"{n} {name}" for name, n in Counter(self.fallback_ops).items()]
        left = f", outside: {', '.join(counts)}" if counts else ""
        return f"{self.share:.0%} of {self.nodes} nodes in {pieces}{left}"


def interpreter_class(name: str | None = None) -> tuple[str, type]:
    """Returns the name and class of the interpreter to use.

    Args:
        name: one of `"ai_edge_litert"`, `"tf.lite"`, `"tflite_runtime"`. Default: the environment
            variable `NEWNET_INTERPRETER`, else the first of those that is installed.

    Raises:
        ValueError: for another name. ImportError: where it, or any, is not installed.
    """
    name = name or os.environ.get(VARIABLE) or None
    if name is not None and name not in INTERPRETERS:
        raise ValueError(
            f"`interpreter` (or {VARIABLE}) must be among {tuple(INTERPRETERS)}. Received: {name!r}"
        )
    wanted = [name] if name else list(INTERPRETERS)
    for found in wanted:
        with contextlib.suppress(ImportError):
            return found, importlib.import_module(INTERPRETERS[found]).Interpreter
    raise ImportError(
        "running a TFLite file needs an interpreter: `pip install ai-edge-litert`. "
        f"Received: none of {', '.join(wanted)} installed"
    )


class Runner:
    """A TFLite image classifier, ready to run: arrays in, float32 scores out.

    Args:
        file: path of a TFLite file with one image input, batch 1, and one output of scores.
        threads: int, threads of the interpreter. Default: 1.
        interpreter: str, see `interpreter_class`.

    Attributes:
        file: `Path`. threads: int. interpreter: str, which one runs it.
        recipe: `ExportConfig` from the JSON beside the file, None where there is none.
        size: int, side of its square input. channels: int, 3, or 1 for gray. classes: int.
        dtype: NumPy type of its input. expects_uint8_pixels: bool, whether the file normalizes by itself.
        output_type: `"logits"`, `"probabilities"`, or None where the file does not say.

    Raises:
        ModelFileError: for a file that is missing, empty, truncated, or no such classifier.

    Example:
        >>> runner = Runner("rexnet_100.int8-full.tflite", threads=2)
        >>> runner(newnet_tf.preprocess("rexnet_100")("cat.jpg")).shape
        (1, 1000)
    """

    def __init__(self, file: str | os.PathLike, threads: int = 1, interpreter: str | None = None):
        if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
            raise ValueError(f"`threads` must be a positive int. Received: threads={threads!r}")
        self.file, self.threads = Path(file), threads
        record = export_config.read(self.file)
        _check_file(self.file, record)
        self.recipe = ExportConfig.from_record(record) if record else None
        self.interpreter, make = interpreter_class(interpreter)
        try:
            with quiet(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # tf.lite recommends ai-edge-litert
                self._interpreter = make(model_path=str(self.file), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelFileError(
                f"{self.file} must be a whole TFLite file that {self.interpreter} can run. "
                f"Received: {error}"
            ) from error
        try:
            self._describe()
        except UnicodeDecodeError as error:
            raise ModelFileError(
                f"{self.file} must name its tensors in UTF-8. Received: {error}"
            ) from error

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Runs the file on each input.

        Args:
            inputs: array of shape (n, size, size, channels): uint8 pixels if `expects_uint8_pixels`; else
                preprocessed floats, which are quantized here where the file wants integers; an
                array of the input's own integer type goes in as it is.

        Returns:
            float32 array of shape (n, classes).
        """
        return np.stack([self._run(image) for image in self._prepare(inputs)])

    def timed_call(self, image: np.ndarray) -> Callable[[], None]:
        """Sets the first of `image`, as in a call; returns the call that runs it, for a clock."""
        self._interpreter.set_tensor(self._input["index"], self._prepare(image)[:1])
        return self._interpreter.invoke

    def tensors(self) -> tuple[dict, dict]:
        """Returns shape, type and quantization of the input and of the output, as JSON values."""
        return _spec(self._input), _spec(self._output)

    def delegation(self) -> Delegation:
        """Returns what XNNPACK took of the graph, found by walking back from the output."""
        nodes = self._interpreter._get_ops_details()  # no public call tells
        delegates = [n for n in nodes if n["op_name"] == "DELEGATE"]
        kernels = [n for n in nodes if n["op_name"] != "DELEGATE"]
        maker = {tensor: n for n in kernels + delegates for tensor in n["outputs"]}
        wanted, seen, outside = [self._output["index"]], set(), {}
        while wanted:
            node = maker.get(wanted.pop())
            if node is None or node["index"] in seen:
                continue
            seen.add(node["index"])
            wanted.extend(node["inputs"])
            if node["op_name"] != "DELEGATE":
                outside[node["index"]] = node["op_name"]
        left = tuple(name for _, name in sorted(outside.items()))
        return Delegation(len(delegates), left, len(kernels))

    def _describe(self):
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        shapes = [tuple(int(s) for s in t["shape"]) for t in (*inputs, *outputs)]
        fits = len(inputs) == len(outputs) == 1 and len(shapes[0]) == 4 and len(shapes[1]) == 2
        fits = fits and shapes[0][0] == shapes[1][0] == 1 and shapes[0][1] == shapes[0][2]
        if not fits or shapes[0][3] not in CHANNELS:
            raise ModelFileError(
                f"{self.file} must take one (1, size, size, 3 or 1) image and give (1, classes). "
                f"Received: inputs and outputs of shapes {shapes}"
            )
        self._input, self._output = inputs[0], outputs[0]
        (_, _, self.size, self.channels), (_, self.classes) = shapes
        self.dtype = self._input["dtype"]
        signatures = list(self._interpreter.get_signature_list().values())
        names = signatures[0] if signatures else {"inputs": [None], "outputs": [None]}
        self.expects_uint8_pixels = names["inputs"][0] == PIXELS
        self.output_type = names["outputs"][0] if names["outputs"][0] in OUTPUTS else None

    def _prepare(self, inputs: np.ndarray) -> np.ndarray:
        inputs = np.asarray(inputs)
        shape = (self.size, self.size, self.channels)
        if inputs.ndim != 4 or inputs.shape[1:] != shape or not len(inputs):
            sides = ", ".join(map(str, shape))
            raise ValueError(
                f"`inputs` of {self.file.name} must be of shape (n, {sides}). "
                f"Received: shape={inputs.shape}"
            )
        if inputs.dtype == self.dtype:
            return inputs
        if self.expects_uint8_pixels or inputs.dtype.kind != "f":
            wanted = "uint8 pixels in 0-255" if self.expects_uint8_pixels else "preprocessed floats"
            raise ValueError(
                f"`inputs` of {self.file.name} must be {wanted}. Received: dtype={inputs.dtype}"
            )
        if self.dtype == np.float32:
            return inputs.astype(np.float32)
        scale, zero = self._input["quantization"]
        bounds = np.iinfo(self.dtype)
        steps = np.round(inputs / np.float32(scale)) + zero
        return np.clip(steps, bounds.min, bounds.max).astype(self.dtype)

    def _run(self, image: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input["index"], image[None])
        self._interpreter.invoke()
        scores = self._interpreter.get_tensor(self._output["index"])[0]
        scale, zero = self._output["quantization"]
        if scores.dtype == np.float32:
            return scores
        return (scores.astype(np.float32) - zero) * np.float32(scale)


@contextlib.contextmanager
def quiet():
    """Holds back what native code writes to stdout and stderr; shows it if the block fails.

    It swaps the process's own file descriptors, so other threads are silent for that long too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    with tempfile.TemporaryFile() as held:
        for number in kept:
            os.dup2(held.fileno(), number)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)
            if failed:
                held.seek(0)
                sys.stderr.write(held.read().decode(errors="replace"))


def _spec(tensor: dict) -> dict:
    scale, zero = tensor["quantization"]
    steps = None if tensor["dtype"] == np.float32 else {"scale": float(scale), "zero_point": zero}
    shape = [int(side) for side in tensor["shape"]]
    return {"shape": shape, "dtype": np.dtype(tensor["dtype"]).name, "quantization": steps}


def _check_file(file: Path, record: dict | None) -> None:
    """Refuses what is not a whole TFLite file, or not the one that its recipe describes."""
    found = flatbuffer_check.fault(file) if file.is_file() else "no such file"
    if found:
        raise ModelFileError(f"{file} must be a whole TFLite file. Received: {found}")
    if record and record.get("sha256") != hashlib.sha256(file.read_bytes()).hexdigest():
        raise ModelFileError(
            f"{file} must be the file that {export_config.sidecar(file).name} beside it describes, by "
            "sha256. Received: other bytes; export it anew"
        )
