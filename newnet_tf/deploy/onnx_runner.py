"""Running an ONNX file with onnxruntime: arrays in, arrays out, as `Runner` does for TFLite files."""

import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from newnet_tf.deploy import tensor_spec
from newnet_tf.deploy.export_config import ExportConfig
from newnet_tf.deploy.runtime import ModelFileError, Outputs, Runner
from newnet_tf.deploy.tensor_spec import TensorSpec
from newnet_tf.models.config.metadata import OUTPUT_TYPES

METADATA_KEY = "newnet_tf"  # of the config in a file's metadata
NEEDED = "ONNX files need two packages: pip install 'newnet_tf[onnx]'"
DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16"}


class OnnxRunner:
    """An ONNX file, ready to run: any number of inputs and outputs.

    Args:
        file: path of an ONNX file.

        threads: int. Default: 1.

    Attributes:
        file: `Path`.

        config: `ExportConfig` from its metadata, None where there is none.

        inputs, outputs: tuples of `TensorSpec`, in the file's order; a dynamic dimension is 1.

        is_classifier: bool, whether the file takes one image and gives one row of scores.

        image_size, channels, classes: int, None for other files.

        output_type: `"logits"`, `"probabilities"` or `"sigmoid"`, None where there is no config.

        expects_uint8_pixels: False.

    Raises:
        ModelFileError: for a file that is missing, damaged, or that onnxruntime does not take.

        RuntimeError: where onnxruntime is not installed.

    Example:
        >>> OnnxRunner("rexnet_100.onnx")(inputs).shape
        (4, 1000)
    """

    expects_uint8_pixels = False

    def __init__(self, file: str | os.PathLike, threads: int = 1):
        runtime = import_extra("onnxruntime")
        self.file = Path(file)
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        if not self.file.is_file():
            raise ModelFileError(f"{file} must be an ONNX file. Received: no such file")
        try:
            providers = ["CPUExecutionProvider"]
            self._session = runtime.InferenceSession(os.fspath(file), options, providers=providers)
        except Exception as error:  # onnxruntime's own, one class a kind of fault
            raise ModelFileError(
                f"{file} must be an ONNX file that onnxruntime takes. Received: {error}"
            ) from error
        self.inputs, self.outputs = (
            tuple(_spec(tensor) for tensor in tensors)
            for tensors in (self._session.get_inputs(), self._session.get_outputs())
        )
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        try:
            self.config = ExportConfig.from_dict(json.loads(text)) if text else None
        except ValueError as error:
            raise ModelFileError(
                f"{file} must hold a whole record in its metadata. Received: {error}"
            ) from error
        ranks = [len(spec.shape) for spec in (*self.inputs, *self.outputs)]
        self.is_classifier = ranks == [4, 2] and len(self.inputs) == 1
        if self.config is not None and self.config.task not in OUTPUT_TYPES:
            self.is_classifier = False
        first = self._session.get_inputs()[0].shape
        self._takes_one = len(self.inputs) == 1 and bool(first) and first[0] == 1
        self.image_size = self.channels = self.classes = self.output_type = None
        if self.is_classifier:
            _, _, self.image_size, self.channels = self.inputs[0].shape
            self.classes = self.outputs[0].shape[1]
            self.output_type = self.config.output_type if self.config else None

    def __call__(self, inputs: np.ndarray | Mapping[str, np.ndarray]) -> Outputs:
        """Runs the file on a batch.

        Args:
            inputs: array for a file of one input, else a mapping of input names to arrays. Floats are
                converted to the file's type.

        Returns:
            Array for a file of one output, else a dict of output names to arrays.

        Raises:
            ValueError: for inputs of another name or shape.
        """
        inputs = tensor_spec.by_name(inputs, self.inputs, self.file.name)
        if self._takes_one and len(next(iter(inputs.values()))) > 1:
            name, images = next(iter(inputs.items()))
            parts = [self({name: image[None]}) for image in images]
            if not isinstance(parts[0], dict):
                return np.concatenate(parts)
            return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        arrays = {
            spec.name: tensor_spec.prepare(
                inputs[spec.name], spec, f"input {spec.name!r} of {self.file.name}"
            )
            for spec in self.inputs
        }
        values = self._session.run([spec.name for spec in self.outputs], arrays)
        outputs = dict(zip((spec.name for spec in self.outputs), values, strict=True))
        return outputs if len(outputs) > 1 else values[0]

    def check_classifier(self) -> None:
        """Raises ModelFileError unless the file is an image classifier."""
        Runner.check_classifier(self)  # type: ignore[arg-type]


def import_extra(name: str) -> Any:
    """Returns a package of the extra `onnx`.

    Raises:
        RuntimeError: where it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RuntimeError(f"{NEEDED}. Received: {error}") from error


def _spec(tensor: Any) -> TensorSpec:
    kind = tensor.type.removeprefix("tensor(").removesuffix(")")
    return TensorSpec(
        name=tensor.name,
        shape=tuple(size if isinstance(size, int) else 1 for size in tensor.shape),
        dtype=DTYPES.get(tensor.type, kind),
    )
