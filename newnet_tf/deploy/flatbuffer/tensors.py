"""Tensors and constants of a TFLite file in memory, which `graph.Graph` changes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from newnet_tf.utils.lazy import LazyModule

schema = LazyModule("tensorflow.lite.python.schema_py_generated")

DTYPES = {n: n.upper() for n in ("float32", "int8", "uint8", "int16", "int32", "int64")}


class Tensors:
    """The tensors of a file with one subgraph, `body`, of the schema's `_model`."""

    body: Any
    _model: Any

    def _type(self, dtype: str) -> int:
        return getattr(schema.TensorType, DTYPES[dtype])

    def quantization(self, tensor: int) -> tuple[float, int]:
        """Returns scale and zero point of an integer tensor."""
        quantization = self.body.tensors[tensor].quantization
        return float(quantization.scale[0]), int(quantization.zeroPoint[0])

    def constant(self, tensor: int) -> np.ndarray | None:
        """Returns the values of a constant, float32 or integers; None for a computed tensor."""
        description = self.body.tensors[tensor]
        data = self._model.buffers[description.buffer].data
        if data is None or not len(data):
            return None
        names = {self._type(dtype): dtype for dtype in DTYPES}
        return np.frombuffer(data.tobytes(), names[description.type]).reshape(description.shape)

    def set_constant(
        self,
        tensor: int,
        values: np.ndarray,
        quantization: tuple[np.ndarray, int, int] | None = None,
    ) -> None:
        """Gives a constant other values of the same shape, and their type; no other tensor changes.

        Args:
            tensor: int, its index.

            values: float32 or integer array.

            quantization: (scales, zero point, axis) of integers. Default: unchanged; none for floats.
        """
        description, dtype = self.body.tensors[tensor], self._type(values.dtype.name)
        before, description.buffer = description.buffer, self._add_buffer(values.tobytes())
        if all(other.buffer != before for other in self.body.tensors):
            self._model.buffers[before].data = None
        if quantization is not None:
            scales, zero_point, axis = quantization
            zero_points = np.full(scales.size, zero_point, np.int64)
            self._set_quantization(description, scales, zero_points, axis)
        elif dtype != description.type:
            description.quantization = None
        description.type = dtype

    def is_integer(self, tensor: int, dtype: str = "int8") -> bool:
        """Returns whether a tensor, constant or computed, is of an integer type."""
        return self.body.tensors[tensor].type == self._type(dtype)

    def dequantized(self, tensor: int) -> np.ndarray:
        """Returns the values of a constant of symmetric integers as float32."""
        quantization = self.body.tensors[tensor].quantization
        shape = np.ones(len(self.body.tensors[tensor].shape), int)
        shape[quantization.quantizedDimension] = len(quantization.scale)
        return self.constant(tensor) * np.float32(quantization.scale).reshape(shape)

    def add_tensor(
        self,
        name: str | bytes,
        shape: Sequence[int],
        dtype: str = "float32",
        quantization: tuple[float, int] | None = None,
        data: bytes = b"",
    ) -> int:
        """Adds a tensor with a buffer of its own; returns its index.

        Args:
            name: str or bytes.

            shape: sequence of int.

            dtype: str, one of `DTYPES`. Default: `"float32"`.

            quantization: (scale, zero point) of integers.

            data: bytes of a constant. Default: a computed tensor.
        """
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name, np.asarray(shape, np.int32)
        tensor.type = self._type(dtype)
        tensor.buffer = self._add_buffer(data)
        if quantization:
            scale, zero_point = quantization
            self._set_quantization(tensor, np.float32([scale]), np.int64([zero_point]), 0)
        self.body.tensors.append(tensor)
        return len(self.body.tensors) - 1

    @staticmethod
    def _set_quantization(tensor, scales: np.ndarray, zero_points: np.ndarray, axis: int) -> None:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = scales, zero_points
        tensor.quantization.quantizedDimension = axis

    def _add_buffer(self, data: bytes) -> int:
        """Adds a buffer, empty for a computed tensor; returns its index."""
        buffer = schema.BufferT()
        if data:
            buffer.data = np.frombuffer(data, np.uint8)
        self._model.buffers.append(buffer)
        return len(self._model.buffers) - 1

    def add_like(self, tensor: int, name: str | bytes, shape: Sequence[int]) -> int:
        """Adds an empty tensor of another's type and quantization; returns its index."""
        other = self.body.tensors[tensor]
        added = self.add_tensor(name, shape)
        self.body.tensors[added].type = other.type
        self.body.tensors[added].quantization = other.quantization
        return added

    def add_copy(self, tensor: int) -> int:
        """Adds a constant with the values of another; returns its index."""
        other = self.body.tensors[tensor]
        added = self.add_like(tensor, other.name, other.shape)
        self.set_constant(added, self.constant(tensor))
        return added
