"""What a file's inputs and outputs are, and how arrays become them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from newnet_tf.models.config import CHANNELS


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a file.

    Args:
        name: str, its name in the file's signature.

        shape: tuple of int. A dynamic dimension of a TFLite file is 1.

        dtype: str, name of a NumPy type, such as `"float32"`.

        scale: float or None, quantization scale of integers; None for a tensor that is not quantized.

        zero_point: int or None, the integer that stands for 0.

    Example:
        >>> TensorSpec("image", (1, 224, 224, 3), "uint8", 1 / 128, 127).dequantize(pixels)
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None

    @property
    def is_quantized(self) -> bool:
        """Whether its integers stand for real numbers."""
        return self.scale is not None

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Returns floats as integers of this tensor's scale and zero point."""
        bounds = np.iinfo(self.dtype)
        steps = np.round(values / np.float32(self.scale)) + self.zero_point
        return np.clip(steps, bounds.min, bounds.max).astype(self.dtype)

    def dequantize(self, values: np.ndarray) -> np.ndarray:
        """Returns integers as float32; other values as they are."""
        if self.scale is None or values.dtype.kind not in "iu":
            return values
        return (values.astype(np.float32) - self.zero_point) * np.float32(self.scale)

    def to_dict(self) -> dict:
        """Returns shape, type and quantization as JSON values."""
        quantization = None
        if self.scale is not None:
            quantization = {"scale": self.scale, "zero_point": self.zero_point}
        return {"shape": list(self.shape), "dtype": self.dtype, "quantization": quantization}


def from_details(name: str, tensor: Mapping[str, Any]) -> TensorSpec:
    """Returns the spec of a tensor as an interpreter's `get_input_details` describes it."""
    dtype = np.dtype(tensor["dtype"])
    scale, zero_point = tensor["quantization"]
    is_quantized = dtype.kind in "iu" and scale != 0
    return TensorSpec(
        name=name,
        shape=tuple(int(size) for size in tensor["shape"]),
        dtype="string" if dtype.kind in "SOU" else dtype.name,
        scale=float(scale) if is_quantized else None,
        zero_point=int(zero_point) if is_quantized else None,
    )


def is_classifier(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
    """Returns whether a file takes one square image, batch 1, and gives one row of scores."""
    if len(inputs) != 1 or len(outputs) != 1:
        return False
    image, scores = inputs[0].shape, outputs[0].shape
    is_image = len(image) == 4 and image[0] == 1 and image[1] == image[2] and image[3] in CHANNELS
    return is_image and len(scores) == 2 and scores[0] == 1


def by_name(inputs: Any, specs: Sequence[TensorSpec], file: str) -> Mapping[str, Any]:
    """Returns the inputs of a file by name; an array is that of its only input.

    Args:
        inputs: array, or mapping of input names to arrays.

        specs: `TensorSpec` of each input.

        file: str, name of the file, for the error.

    Raises:
        ValueError: for other names.
    """
    if not isinstance(inputs, Mapping):
        inputs = {specs[0].name: inputs} if len(specs) == 1 else {"": inputs}
    names = {spec.name for spec in specs}
    if set(inputs) != names:
        raise ValueError(
            f"`inputs` of {file} must be a mapping with {', '.join(sorted(names))}. "
            f"Received: {', '.join(sorted(map(str, inputs))) or 'an array'}"
        )
    return inputs


def prepare(values: Any, spec: TensorSpec, subject: str) -> np.ndarray:
    """Returns a batch as a file takes it: of its own type, checked.

    Args:
        values: array of the spec's shape, or with another number of examples in its first dimension
            where the file has 1. Floats are quantized where the file takes quantized integers.

        spec: `TensorSpec` of the input.

        subject: str, what errors call the values, such as "`inputs` of detector.tflite".

    Raises:
        ValueError: for another shape or type.
    """
    values = np.asarray(values)
    is_batched = spec.shape[:1] == (1,)
    fits = values.ndim == len(spec.shape) and (
        values.shape[1:] == spec.shape[1:] and len(values) > 0
        if is_batched
        else values.shape == spec.shape
    )
    if not fits:
        sizes = ", ".join(["n"] * is_batched + [str(size) for size in spec.shape[is_batched:]])
        sizes += "," * (len(spec.shape) == 1)
        raise ValueError(f"{subject} must be of shape ({sizes}). Received: shape={values.shape}")
    if spec.dtype == "string" or values.dtype == np.dtype(spec.dtype):
        return values
    dtype = np.dtype(spec.dtype)
    if values.dtype.kind == "f" and (dtype.kind == "f" or spec.is_quantized):
        return values.astype(dtype) if dtype.kind == "f" else spec.quantize(values)
    is_exact = values.dtype.kind in "iub" and dtype.kind in "iu" and not spec.is_quantized
    if is_exact and np.array_equal(values.astype(dtype), values):
        return values.astype(dtype)
    raise ValueError(f"{subject} must be {dtype.name}. Received: dtype={values.dtype}")


def random_arrays(specs: Iterable[TensorSpec], seed: int = 0) -> dict[str, np.ndarray]:
    """Returns random values for each spec, by name.

    Floats are uniform in -1 to 1, 8-bit integers cover their whole range, other integers (ids,
    sizes) are 0 or 1, booleans are drawn evenly.

    Args:
        specs: iterable of `TensorSpec`.

        seed: int. Default: 0.

    Raises:
        ValueError: for a type that has no numbers, such as strings.
    """
    generator = np.random.default_rng(seed)
    arrays = {}
    for spec in specs:
        if spec.dtype == "string":
            raise ValueError(
                f"random inputs must be numbers. Received: input {spec.name!r} of type string"
            )
        dtype = np.dtype(spec.dtype)
        if dtype.kind == "f":
            arrays[spec.name] = generator.uniform(-1, 1, spec.shape).astype(dtype)
        elif dtype.kind in "iu" and (dtype.itemsize == 1 or spec.is_quantized):
            bounds = np.iinfo(dtype)
            arrays[spec.name] = generator.integers(
                bounds.min, bounds.max, spec.shape, dtype, endpoint=True
            )
        else:
            size = math.prod(spec.shape)
            arrays[spec.name] = generator.integers(0, 2, size).reshape(spec.shape).astype(dtype)
    return arrays
