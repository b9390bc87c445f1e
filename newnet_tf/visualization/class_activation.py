"""Grad-CAM: which parts of an image make a classifier say a class.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
ICCV 2017, arXiv 1610.02391. The channels of the last feature map are weighted by the mean gradient of
the class's score with respect to them; what is positive of their sum is the heat map.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from newnet_tf.data.images import read_image
from newnet_tf.data.preprocess import plan_axis, preprocess_image
from newnet_tf.models import outputs
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.flatten import flatten
from newnet_tf.utils.lazy import keras

if TYPE_CHECKING:
    import keras

SHOWN = 5  # names of layers in a message
# Black, purple, red, orange, light yellow: cold to hot.
COLORS = np.float32([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)])


def grad_cam(
    model: Any,
    image: Any,
    class_index: int | None = None,
    layer: str | keras.layers.Layer | None = None,
    *,
    preprocess: PreprocessConfig | None = None,
) -> np.ndarray:
    """Returns where in an image a classifier sees a class: Grad-CAM.

    The gradient is that of the class's logit: a softmax or sigmoid at the end of the model is left out.
    The feature map is the last one before the global pooling, found in the graph, also inside nested
    models. (A 1x1 convolution after the pooling, as in this zoo's classifiers, is none.)

    Args:
        model: what `load_model` returns, or any functional or `Sequential` `keras.Model` with an image
            input and outputs of shape (batch, classes). One output is the score of the second of two
            classes.

        image: path, bytes, PIL image or uint8 array of shape (height, width, 3). Without preprocessing:
            float array of shape (height, width, channels), the model's input as it is.

        class_index: int, whose score is explained. Default: the predicted class.

        layer: name of a layer, or layer, whose output is the feature map (batch, height, width,
            channels). Default: the last feature map.

        preprocess: `PreprocessConfig` of the model. Default: that of a loaded model; none for a
            `keras.Model`.

    Returns:
        float32 array of shape (height, width) of the original image, upright, in 0-1: the hottest place
        is 1. What preprocessing crops is 0; all is 0 where nothing speaks for the class.

    Raises:
        ValueError: for a model of another kind or without a feature map, an unknown layer or class.

        ImageError: for what is not a readable image.

    Example:
        >>> loaded = newnet_tf.load_model("efficientnet_lite0")
        >>> heat_map = newnet_tf.visualization.grad_cam(loaded, "cat.jpg")
        >>> Image.fromarray(newnet_tf.visualization.overlay("cat.jpg", heat_map)).save("cat_cam.png")
    """
    metadata = getattr(model, "metadata", None)
    preprocess = preprocess or getattr(metadata, "preprocess", None)
    pixels, inputs = _read(image, preprocess)
    graph = flatten(getattr(model, "model", model), inputs.shape[1:])
    classes = outputs.check_scores_model(graph)
    if class_index is not None and class_index not in range(max(classes, 2)):
        raise ValueError(
            f"`class_index` must be None or an int from 0 to {max(classes, 2) - 1}. "
            f"Received: class_index={class_index!r}"
        )
    activation = outputs.final_activation(graph)
    if activation in (outputs.SOFTMAX, outputs.SIGMOID):
        graph = outputs.without_activation(graph)
    has_logits = activation is not None
    heat = _heat(graph, _feature_map(graph, layer), inputs, class_index, has_logits)
    if preprocess is None:
        return _resize(heat, *inputs.shape[1:3])
    return _place(heat, pixels.shape[:2], preprocess)


def overlay(image: Any, heat_map: np.ndarray, alpha: float = 0.7) -> np.ndarray:
    """Returns an image with a heat map over it.

    Args:
        image: path, bytes, PIL image or uint8 array of shape (height, width, 3 or 1).

        heat_map: float array of shape (height, width) in 0-1, as `grad_cam` returns it.

        alpha: float in 0-1, how much of the color covers the hottest place. Default: 0.7.

    Returns:
        uint8 array of shape (height, width, 3).

    Raises:
        ValueError: for a heat map of another size.

        ImageError: for what is not a readable image.

    Example:
        >>> Image.fromarray(overlay("cat.jpg", heat_map)).save("cat_cam.png")
    """
    pixels = read_image(image)
    heat_map = np.asarray(heat_map, np.float32)
    if heat_map.shape != pixels.shape[:2]:
        raise ValueError(
            f"`heat_map` must have the image's height and width, {pixels.shape[:2]}. "
            f"Received: shape {heat_map.shape}"
        )
    heat = np.clip(heat_map, 0, 1)
    places = np.linspace(0, 1, len(COLORS))
    colors = np.stack([np.interp(heat, places, channel) for channel in COLORS.T], axis=-1)
    share = alpha * heat[..., None]
    return np.uint8(pixels * (1 - share) + colors * share + 0.5)


def _read(image: Any, preprocess: PreprocessConfig | None) -> tuple[np.ndarray | None, np.ndarray]:
    """Returns the original pixels, where they are known, and a model's input."""
    if preprocess is not None:
        pixels = read_image(image)
        return pixels, preprocess_image(pixels, preprocess)[None]
    is_array = isinstance(image, np.ndarray) and image.dtype.kind == "f"
    if not is_array or image.ndim != 3:
        kind = f"{image.dtype} array {image.shape}" if hasattr(image, "dtype") else type(image)
        raise ValueError(
            "`image` must be the model's input, a float array (height, width, channels), where "
            "`preprocess` is not given; pass `preprocess`, or what `load_model` returns, for an image. "
            f"Received: {kind}"
        )
    return None, np.float32(image)[None]


def _heat(
    graph: keras.Model, feature_map: Any, inputs: np.ndarray, class_index: int | None, logits: bool
) -> np.ndarray:
    """Returns the heat map in the size of the feature map."""
    import tensorflow as tf

    parts = keras.Model(graph.inputs[0], [feature_map, graph.outputs[0]])
    with tf.GradientTape() as tape:
        image = tf.convert_to_tensor(inputs)
        tape.watch(image)
        features, scores = parts(image, training=False)
        if scores.shape[1] == 1:  # of the second of two classes
            is_second = bool(scores[0, 0] > (0.0 if logits else 0.5))
            index = is_second if class_index is None else class_index
            score = scores[0, 0] if index else -scores[0, 0]
        else:
            index = int(tf.argmax(scores[0])) if class_index is None else class_index
            score = scores[0, index]
    gradients = tape.gradient(score, features)
    if gradients is None:
        raise ValueError(
            "`layer` must lie between the image and the scores of the classes. "
            f"Received: a layer of {graph.name!r} that they do not depend on"
        )
    weights = np.mean(gradients[0], axis=(0, 1), dtype=np.float64)
    heat = np.maximum(np.asarray(features[0], np.float64) @ weights, 0)
    return np.float32(heat / (heat.max() or 1))  # whose range float32 may not have


def _feature_map(graph: keras.Model, layer: Any) -> Any:
    """Returns the tensor of a layer, or the last feature map before the global pooling."""
    name = getattr(layer, "name", layer)
    found = []
    for operation, tensor in _backwards(graph):
        is_spatial = len(tensor.shape) == 4 and tuple(tensor.shape[1:3]) != (1, 1)
        if name is None and is_spatial:
            return tensor
        if name == operation.name and len(tensor.shape) == 4:
            return tensor
        if is_spatial:
            found.append(operation.name)
    if layer is None:
        raise ValueError(
            "`model` must be functional or Sequential, with a feature map (batch, height, width, "
            f"channels) before its classes. Received: model {graph.name!r}, in which none is found"
        )
    raise ValueError(
        "`layer` must be a layer with an output (batch, height, width, channels), such as "
        f"{', '.join(found[:SHOWN])}. Received: layer={name!r}"
    )


def _backwards(graph: keras.Model) -> Iterator[tuple[Any, Any]]:
    """Yields operations of a flat graph with their output, from the scores to the image."""
    waiting, seen = [graph.outputs[0]], set()
    while waiting:
        tensor = waiting.pop(0)
        operation, node_index, _ = tensor._keras_history
        node = operation._inbound_nodes[node_index]
        if id(tensor) in seen or not node.input_tensors:  # the image
            continue
        seen.add(id(tensor))
        yield operation, tensor
        waiting += node.input_tensors


def _resize(heat: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns the heat map in another size, the hottest place 1."""
    resized = Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR)
    values = np.maximum(np.asarray(resized, np.float32), 0)
    return values / (values.max() or 1)


def _place(heat: np.ndarray, size: tuple[int, int], preprocess: PreprocessConfig) -> np.ndarray:
    """Puts the heat map of a model's input where that lies in the original image."""
    spans = []
    for side, (length, other) in enumerate((size, size[::-1])):
        axis = plan_axis(length, other, preprocess, min)
        shown = max(round(heat.shape[side] * axis.shown / preprocess.image_size), 1)
        heat = heat.take(range(min(shown, heat.shape[side])), axis=side)
        scale = axis.extent / axis.resized
        start = axis.start + axis.offset * scale
        first, last = round(start), round(start + axis.shown * scale)
        spans.append(slice(min(first, length - 1), max(last, first + 1)))
    y, x = spans
    whole = np.zeros(size, np.float32)
    whole[y, x] = _resize(heat, len(whole[y]), whole[:, x].shape[1])
    return whole
