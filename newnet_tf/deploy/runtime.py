"""Running a TFLite file: arrays in, arrays out.

Needs NumPy and one interpreter, see `interpreter.py`.
"""

import os
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from newnet_tf.deploy import config_file, tensor_spec
from newnet_tf.deploy.export_config import PIXELS, ExportConfig
from newnet_tf.deploy.flatbuffer import flatbuffer_check
from newnet_tf.deploy.interpreter import (
    Delegation,
    delegation_of,
    interpreter_class,
    output_type_of,
)
from newnet_tf.models.config.metadata import OUTPUT_TYPES
from newnet_tf.utils.quiet import quiet

Outputs = np.ndarray | dict[str, np.ndarray]
UNKNOWN_OPERATOR = (r"unresolved custom op: (\S+)", r"Node number \d+ \((Flex\w+)\)")


class ModelFileError(ValueError):
    """A file that cannot be run as a model; the message names it."""


class Runner:
    """A TFLite file, ready to run: any number of inputs and outputs, of any rank and type.

    Args:
        file: path of a TFLite file. Dynamic dimensions of its inputs are set to 1.

        threads: int, threads of the interpreter. Default: 1.

        interpreter: str, see `interpreter_class`. Default: the first that is installed.

    Attributes:
        file: `Path`.

        threads: int.

        interpreter: str, name of the interpreter that runs the file.

        config: `ExportConfig` from the record inside the file, None where there is none.

        inputs: tuple of `TensorSpec`, in the file's order.

        outputs: tuple of `TensorSpec`, in the order of the config, else of the file.

        is_classifier: bool, whether the file takes one square image, batch 1, and gives one row of
            scores. The attributes below are None (False) for other files.

        image_size: int, height and width of the input.

        channels: int, 3, or 1 for gray.

        classes: int.

        dtype: NumPy type of the first input.

        expects_uint8_pixels: bool, whether the file normalizes by itself.

        output_type: `"logits"`, `"probabilities"` or `"sigmoid"`: what the record says, else the last
            operator; None where neither does.

    Raises:
        ModelFileError: for a file that is missing, damaged, or holds an operator that the
            interpreter does not know; it names the operator.

        ValueError: for `threads` that is no positive int, or a damaged record inside the file.

    Example:
        >>> runner = Runner("rexnet_100.int8-full.tflite", threads=2)
        >>> runner(newnet_tf.create_transform("rexnet_100")("cat.jpg")).shape
        (1, 1000)
    """

    def __init__(self, file: str | os.PathLike, threads: int = 1, interpreter: str | None = None):
        if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
            raise ValueError(f"`threads` must be a positive int. Received: threads={threads!r}")
        self.file, self.threads = Path(file), threads
        _check_file(self.file)
        self.config: ExportConfig | None = config_file.read_config(self.file)
        self.interpreter, make = interpreter_class(interpreter)
        try:
            with quiet(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # tf.lite recommends ai-edge-litert
                self._interpreter = make(model_path=str(self.file), num_threads=threads)
                _resize_dynamic(self._interpreter)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise self._refusal(error) from error
        try:
            self._describe()
        except UnicodeDecodeError as error:
            raise ModelFileError(
                f"{self.file} must name its tensors in UTF-8. Received: {error}"
            ) from error

    def __call__(self, inputs: np.ndarray | Mapping[str, np.ndarray]) -> Outputs:
        """Runs the file.

        Args:
            inputs: array for a file of one input, else a mapping of input names to arrays. An input
                whose first dimension is 1 takes a batch of any size, which is run one by one. A
                classifier takes (n, image_size, image_size, channels): uint8 pixels if
                `expects_uint8_pixels`, else preprocessed floats, which are quantized here where the
                file takes integers. An array of the input's own type goes in as it is.

        Returns:
            Array for a file of one output, else a dict of output names to arrays. Quantized outputs
            come as float32. The first dimension is that of the batch.

        Raises:
            ValueError: for inputs of another name, shape or type.

            ModelFileError: where the interpreter fails on them.
        """
        arrays = self._prepare(inputs)
        batch = self._batch_size(arrays)
        rows = [self._run(arrays, number) for number in range(batch)]
        if len(rows) == 1:
            outputs = rows[0]
        else:
            outputs = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        return outputs if len(self.outputs) > 1 else outputs[self.outputs[0].name]

    def timed_call(self, inputs: np.ndarray | Mapping[str, np.ndarray]) -> Callable[[], None]:
        """Sets the first example of `inputs`; returns the function that runs it, for a clock."""
        self._set_inputs(self._prepare(inputs), 0)
        return self._interpreter.invoke

    def delegation(self) -> Delegation:
        """Returns what XNNPACK takes of the graph."""
        return delegation_of(self._interpreter, self._output_indices)

    def check_classifier(self) -> None:
        """Raises ModelFileError unless the file is an image classifier."""
        if not self.is_classifier:
            shapes = [spec.shape for spec in (*self.inputs, *self.outputs)]
            raise ModelFileError(
                f"{self.file} must take one (1, size, size, 3 or 1) image and give (1, classes). "
                f"Received: inputs and outputs of shapes {shapes}"
            )

    def _describe(self) -> None:
        """Reads names, shapes and types of inputs and outputs."""
        names = _signature_names(self._interpreter)
        inputs, outputs = (
            [(names[kind].get(tensor["index"], tensor["name"]), tensor) for tensor in tensors]
            for kind, tensors in (
                ("inputs", self._interpreter.get_input_details()),
                ("outputs", self._interpreter.get_output_details()),
            )
        )
        if self.config and self.config.outputs:
            order = [tensor.name for tensor in self.config.outputs]
            outputs.sort(key=lambda pair: order.index(pair[0]) if pair[0] in order else len(order))
        self.inputs = tuple(tensor_spec.from_details(*pair) for pair in inputs)
        self.outputs = tuple(tensor_spec.from_details(*pair) for pair in outputs)
        self._input_indices = [tensor["index"] for _, tensor in inputs]
        self._output_indices = [tensor["index"] for _, tensor in outputs]
        self.dtype = inputs[0][1]["dtype"] if inputs else None
        self.is_classifier = tensor_spec.is_classifier(self.inputs, self.outputs) and (
            self.config is None or self.config.task in OUTPUT_TYPES
        )
        self.expects_uint8_pixels = bool(inputs) and inputs[0][0] == PIXELS
        self.image_size = self.channels = self.classes = self.output_type = None
        if self.is_classifier:
            _, _, self.image_size, self.channels = self.inputs[0].shape
            self.classes = self.outputs[0].shape[1]
            if self.config:
                self.output_type = self.config.output_type
            else:
                self.output_type = output_type_of(self._interpreter, self._output_indices[0])

    def _prepare(self, inputs: Any) -> dict[str, np.ndarray]:
        """Returns checked arrays by input name."""
        inputs = tensor_spec.by_name(inputs, self.inputs, self.file.name)
        arrays = {}
        for spec in self.inputs:
            values = np.asarray(inputs[spec.name])
            if self.is_classifier and values.dtype != self.dtype:
                self._check_classifier_dtype(values)
            subject = f"`inputs` of {self.file.name}"
            if len(self.inputs) > 1:
                subject = f"input {spec.name!r} of {self.file.name}"
            arrays[spec.name] = tensor_spec.prepare(values, spec, subject)
        return arrays

    def _check_classifier_dtype(self, values: np.ndarray) -> None:
        if self.expects_uint8_pixels or values.dtype.kind != "f":
            wanted = "uint8 pixels in 0-255" if self.expects_uint8_pixels else "preprocessed floats"
            shape = self.inputs[0].shape[1:]
            if values.shape[1:] == shape:  # else the shape is the first thing to say
                raise ValueError(
                    f"`inputs` of {self.file.name} must be {wanted}. Received: dtype={values.dtype}"
                )

    def _batch_size(self, arrays: Mapping[str, np.ndarray]) -> int:
        sizes = {len(arrays[spec.name]) for spec in self.inputs if spec.shape[:1] == (1,)}
        if len(sizes) > 1 or (sizes - {1} and any(s.shape[:1] != (1,) for s in self.outputs)):
            raise ValueError(
                f"`inputs` of {self.file.name} must have one batch size, and 1 where an output has no "
                f"batch dimension. Received: batch sizes {sorted(sizes)}, outputs of shapes "
                f"{[spec.shape for spec in self.outputs]}"
            )
        return next(iter(sizes), 1)

    def _set_inputs(self, arrays: Mapping[str, np.ndarray], number: int) -> None:
        for spec, index in zip(self.inputs, self._input_indices, strict=True):
            array = arrays[spec.name]
            one = array[number : number + 1] if spec.shape[:1] == (1,) else array
            self._interpreter.set_tensor(index, one)

    def _run(self, arrays: Mapping[str, np.ndarray], number: int) -> dict[str, np.ndarray]:
        self._set_inputs(arrays, number)
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise self._refusal(error) from error
        return {
            spec.name: spec.dequantize(self._interpreter.get_tensor(index))
            for spec, index in zip(self.outputs, self._output_indices, strict=True)
        }

    def _refusal(self, error: Exception) -> ModelFileError:
        """Returns the error for a file that the interpreter does not run."""
        for pattern in UNKNOWN_OPERATOR:
            if match := re.search(pattern, f"{error}"):
                return ModelFileError(
                    f"{self.file} must hold operators that {self.interpreter} knows. "
                    f"Received: the custom operator {match[1].rstrip('.')!r}"
                )
        return ModelFileError(
            f"{self.file} must be a whole TFLite file that {self.interpreter} can run. "
            f"Received: {error}"
        )


def random_inputs(runner: Any, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns random inputs of a file, by name.

    Args:
        runner: `Runner`, `SandboxedRunner` or `OnnxRunner`.

        seed: int. Default: 0.

    Raises:
        ValueError: for an input that does not hold numbers.

    Example:
        >>> runner = Runner("detector.tflite")
        >>> runner(random_inputs(runner))
    """
    return tensor_spec.random_arrays(runner.inputs, seed)


def _resize_dynamic(interpreter: Any) -> None:
    """Sets the dynamic dimensions of the inputs to 1."""
    for tensor in interpreter.get_input_details():
        shape = tensor.get("shape_signature", tensor["shape"])
        if (np.asarray(shape) < 0).any():
            sizes = [max(1, int(size)) for size in shape]
            interpreter.resize_tensor_input(tensor["index"], sizes)


def _signature_names(interpreter: Any) -> dict[str, dict[int, str]]:
    """Returns names of the first signature by tensor index; none where the file has none."""
    signatures = list(interpreter._get_full_signature_list().values())  # the public one: names only
    first = signatures[0] if signatures else {"inputs": {}, "outputs": {}}
    return {
        kind: {index: name for name, index in first[kind].items()} for kind in ("inputs", "outputs")
    }


def _check_file(file: Path) -> None:
    """Refuses what is not a whole TFLite file."""
    fault = flatbuffer_check.find_fault(file) if file.is_file() else "no such file"
    if fault:
        raise ModelFileError(f"{file} must be a whole TFLite file. Received: {fault}")
