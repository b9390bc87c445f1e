"""The Keras model that an export begins with: one image input, logits or named outputs."""

from typing import TYPE_CHECKING, Any

import numpy as np

from newnet_tf.deploy.export_config import CLASSIFICATION, PIXELS, TensorSignature
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.lazy import keras

if TYPE_CHECKING:
    from newnet_tf.task import Task

BATCH_SIZE = 16
IMAGE = "image"  # name of the input in a file's signature


def export_model(model: Any, task: "Task") -> Any:
    """Returns the model to export, sharing the weights of `model`.

    Args:
        model: Keras functional model with one image input.

        task: `Task`. For classification see `logits_model`. Otherwise the model's outputs keep their
            names: the keys of a dict, or of a list the names of its layers.

    Returns:
        Keras model. For classification its output is a tensor, otherwise a dict of tensors.

    Raises:
        ValueError: for a model of another kind.
    """
    if task.name == CLASSIFICATION:
        return logits_model(model)
    if len(model.inputs) != 1:
        raise ValueError(
            f"`model` must have one image input. Received: model {model.name!r} with "
            f"{len(model.inputs)} inputs"
        )
    outputs = model.output
    if isinstance(outputs, dict):
        named = dict(outputs)
    else:
        named = dict(zip(model.output_names, model.outputs, strict=True))
    return keras.Model(model.inputs[0], named, name=model.name)


def logits_model(model: Any) -> Any:
    """Returns `model` without the softmax at its end, sharing its weights.

    Args:
        model: Keras functional model with one input and one output of shape (batch, classes): logits,
            or a softmax in a layer of its own.

    Raises:
        ValueError: for any other model.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        shapes = [tuple(tensor.shape) for tensor in (*model.inputs, *model.outputs)]
        raise ValueError(
            "`model` must have one image input and one output of shape (batch, classes). "
            f"Received: model {model.name!r} with inputs and outputs of shapes {shapes}"
        )
    last = next(op for op in model.operations if op.output is model.outputs[0])
    activation = getattr(last, "activation", None)
    is_softmax = activation is keras.activations.softmax and isinstance(
        last, keras.layers.Activation
    )
    if is_softmax or isinstance(last, keras.layers.Softmax):
        return keras.Model(model.inputs[0], last.input, name=model.name)
    if activation in (None, keras.activations.linear):
        return model
    raise ValueError(
        "`model` must end in logits or in a softmax layer of its own (for a Dense layer, build it "
        f"with `activation=None`). Received: layer {last.name!r}, a {type(last).__name__} with "
        f"activation {getattr(activation, '__name__', activation)!r}"
    )


def check_image_size(model: Any, preprocess: PreprocessConfig) -> None:
    """Raises ValueError unless `model` takes images of the size and channels of `preprocess`."""
    shape = tuple(model.inputs[0].shape)
    size, channels = preprocess.image_size, preprocess.channels
    if len(shape) != 4 or shape[3] != channels or any(s not in (None, size) for s in shape[1:3]):
        raise ValueError(
            f"`model` must take images of the size that `preprocess` gives, {size} (for another, "
            f"pass `dataclasses.replace(preprocess, image_size=…)`), and of its {channels} channels. "
            f"Received: input shape {shape}"
        )


def predict(model: Any, inputs: np.ndarray) -> np.ndarray | dict[str, np.ndarray]:
    """Returns a model's outputs for a batch of any size: an array, or a dict of arrays.

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
    return np.concatenate(parts)


def signatures(
    model: Any,
    preprocess: PreprocessConfig,
    output_type: str = "logits",
    io_dtype: str = "float32",
    embed_normalization: bool = False,
    batch_size: int | None = 1,
) -> dict[str, tuple[TensorSignature, ...]]:
    """Returns names, shapes and types of a file's inputs and outputs, as of `ExportConfig`.

    Args:
        model: what `export_model` returned.

        preprocess, output_type, io_dtype, embed_normalization: as of `ExportConfig`.

        batch_size: int or None, None for files that take any.
    """
    shape = (batch_size, *preprocess.shape)
    image_dtype = "uint8" if embed_normalization else io_dtype
    image = TensorSignature(
        name=PIXELS if embed_normalization else IMAGE, shape=shape, dtype=image_dtype
    )
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
