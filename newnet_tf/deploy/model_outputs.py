"""Inputs and outputs of the Keras model that is converted, and of the files that it becomes."""

from typing import Any

import numpy as np

from newnet_tf.deploy.export_config import PIXELS, TensorSignature
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import PostprocessOperator
from newnet_tf.utils.lazy import LazyModule, keras

tf = LazyModule("tensorflow")

BATCH_SIZE = 16
IMAGE = "image"  # name of the input in a file's signature


def with_named_outputs(model: Any) -> Any:
    """Returns a model, sharing its weights, whose outputs are a dict of tensors.

    Args:
        model: functional `keras.Model` with one input. Outputs keep their names: the keys of a dict, or
            of a list the names of its layers.
    """
    outputs = model.output
    if isinstance(outputs, dict):
        named = dict(outputs)
    else:
        named = dict(zip(model.output_names, model.outputs, strict=True))
    return keras.Model(model.inputs[0], named, name=model.name)


def check_image_size(model: Any, preprocess: PreprocessConfig) -> None:
    """Raises ValueError unless `model` takes images of the size and channels of `preprocess`."""
    shape = tuple(model.inputs[0].shape)
    size, channels = preprocess.image_size, preprocess.channels
    if len(shape) == 4 and shape[1] != shape[2]:
        raise ValueError(
            "`model` must take square images: newnet_tf crops images to a square. "
            f"Received: input shape {shape}"
        )
    if len(shape) != 4 or shape[3] != channels or any(s not in (None, size) for s in shape[1:3]):
        raise ValueError(
            f"`model` must take images of the size that `preprocess` gives, {size} (for another, "
            f"pass `dataclasses.replace(preprocess, image_size=…)`), and of its {channels} channels. "
            f"Received: input shape {shape}"
        )


def predict(model: Any, inputs: np.ndarray) -> Any:
    """Returns a model's outputs for a batch of any size: an array, or a dict or list of arrays.

    Args:
        model: Keras model.

        inputs: float32 array (images, height, width, channels).
    """
    parts = [
        keras.tree.map_structure(
            keras.ops.convert_to_numpy, model(inputs[start : start + BATCH_SIZE], training=False)
        )
        for start in range(0, len(inputs), BATCH_SIZE)
    ]
    if isinstance(parts[0], dict):
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if isinstance(parts[0], list | tuple):
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    return np.concatenate(parts)


def signatures(
    model: Any,
    preprocess: PreprocessConfig,
    output_type: str = "logits",
    io_dtype: str = "float32",
    embed_normalization: bool = False,
    batch_size: int | None = 1,
    operator: PostprocessOperator | None = None,
) -> dict[str, tuple[TensorSignature, ...]]:
    """Returns names, shapes and types of a file's inputs and outputs, as of `ExportConfig`.

    Args:
        model: `SourceModel.graph`.

        preprocess, output_type, io_dtype, embed_normalization: as of `ExportConfig`.

        batch_size: int or None, None for files that take any.

        operator: `PostprocessOperator` or None, at the end of the file.
    """
    shape = (batch_size, *preprocess.shape)
    image_dtype = "uint8" if embed_normalization else io_dtype
    image = TensorSignature(
        name=PIXELS if embed_normalization else IMAGE, shape=shape, dtype=image_dtype
    )
    if operator is not None:
        outputs = tuple(
            TensorSignature(name=name, shape=tuple(size), dtype="float32")
            for name, size in operator.outputs.items()
        )
        return {"inputs": (image,), "outputs": outputs}
    outputs = model.compute_output_spec(keras.KerasTensor(shape, dtype="float32"))
    named = outputs if isinstance(outputs, dict) else {output_type: outputs}
    return {
        "inputs": (image,),
        "outputs": tuple(
            TensorSignature(
                name=name,
                shape=tuple(tensor.shape),
                dtype=io_dtype if "float" in tensor.dtype else tensor.dtype,
            )
            for name, tensor in named.items()
        ),
    }


def activate(outputs: Any, activation: str | None) -> Any:
    """Returns TensorFlow's outputs after an activation, `"softmax"` or `"sigmoid"`; None for none."""
    return getattr(tf.nn, activation)(outputs) if activation else tf.identity(outputs)
