"""A Keras model of any kind as one flat graph for inference: what export begins with."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from newnet_tf.utils.lazy import keras

if TYPE_CHECKING:
    import keras

TRAINING_ONLY = (
    "ActivityRegularization",
    "AlphaDropout",
    "AugMix",
    "CutMix",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "MixUp",
    "RandAugment",
    "SpatialDropout2D",
)


def flatten(model: keras.Model, input_shape: tuple[int | None, ...] | None = None) -> keras.Model:
    """Returns a functional model without nested models, training-only layers and mixed precision.

    The layers of nested models (`Sequential`, a `keras.applications` base, a head of one's own) become
    layers of the model itself, under their own names where these are free. Layers that act in training
    only (random augmentation, dropout, noise) are left out, all others run as in inference. Layers of
    mixed precision are replaced by float32 layers of the same weights. All others are the model's own
    layers, and share its weights.
    Subclassed models and layers stay one layer.

    Args:
        model: built `keras.Model` with one input.

        input_shape: tuple (height, width, channels) of the images, for what the model leaves open:
            sizes, and all of a subclassed model's input. Default: None.

    Returns:
        `keras.Model`; `model` itself where there is nothing to do.

    Raises:
        ValueError: for a model that is not built, or that has several inputs.
    """
    if not _is_graph(model):
        return _wrap(model, input_shape)
    if len(model.inputs) != 1:
        shapes = [tuple(tensor.shape) for tensor in model.inputs]
        raise ValueError(
            "`model` must have one image input. "
            f"Received: model {model.name!r} with inputs of shapes {shapes}"
        )
    if not isinstance(model, keras.Sequential) and not any(map(_changes, model.operations)):
        return model
    shape = tuple(model.inputs[0].shape)
    if input_shape is not None and len(shape) == 1 + len(input_shape):
        shape = shape[:1] + tuple(
            own or given for own, given in zip(shape[1:], input_shape, strict=True)
        )
    image = keras.Input(batch_shape=shape, dtype="float32", name="image")
    outputs = _Flattener({"image"}).run(model, image)
    return keras.Model(image, outputs, name=model.name)


def has_graph(model: keras.Model) -> bool:
    """Returns whether the graph of a model is known: not so of a subclassed model.

    Args:
        model: built `keras.Model`.
    """
    return _is_graph(model)


def compute_dtypes(model: keras.Model) -> set[str]:
    """Returns the types that the layers of a model and of the models inside it compute in."""
    types = set()
    for layer in model.layers:
        types |= compute_dtypes(layer) if hasattr(layer, "layers") else {layer.compute_dtype}
    return types


class _Flattener:
    """Calls the operations of a model and of the models inside it on new tensors.

    Args:
        names: names that are taken.
    """

    def __init__(self, names: set[str]):
        self._names = names
        self._replacements: dict[
            int, Any
        ] = {}  # by id of the operation, which the model keeps alive

    def run(self, model: Any, inputs: Any) -> Any:
        """Returns the outputs of a graph for new tensors."""
        if isinstance(model, keras.Sequential):
            for layer in model.layers:
                inputs = self._call(layer, inputs)
            return inputs
        # What `keras.models.clone_model` calls; that itself gives nested models new inputs.
        return model._run_through_graph(
            inputs, operation_fn=lambda operation: operation, call_fn=self._call
        )

    def _call(self, operation: Any, *arguments: Any, **options: Any) -> Any:
        options.pop("training", None)
        if _is_graph(operation):
            return self.run(operation, arguments[0])
        if _acts_in_training_only(operation):
            return arguments[0]
        if id(operation) not in self._replacements:
            self._replacements[id(operation)] = self._replacement(operation)
        replacement, weights = self._replacements[id(operation)]
        if _training_argument(replacement) is not None:
            options["training"] = False
        outputs = replacement(*arguments, **options)
        if weights is not None:
            replacement.set_weights(weights)
        return outputs

    def _replacement(self, operation: Any) -> tuple[Any, list | None]:
        """Returns what stands for an operation, and weights to set once it is built."""
        name = operation.name
        while name in self._names:
            stem, _, number = name.rpartition("_")
            is_numbered = stem and number.isdigit()
            name = f"{stem}_{int(number) + 1}" if is_numbered else f"{name}_1"
        self._names.add(name)
        is_layer = isinstance(operation, keras.layers.Layer)
        if name == operation.name and not (is_layer and _is_mixed(operation)):
            return operation, None
        config = operation.get_config() | {"name": name}
        if is_layer and _is_mixed(operation):
            config["dtype"] = "float32"
        return type(operation).from_config(config), operation.get_weights() if is_layer else None


def _wrap(model: Any, input_shape: tuple[int | None, ...] | None) -> keras.Model:
    """Returns a functional model with a subclassed model as its only layer."""
    if not model.built or input_shape is None:
        raise ValueError(
            "`model` must be built: call it on a batch of images once. "
            f"Received: model {model.name!r}, not built"
        )
    image = keras.Input(input_shape, name="image")
    try:
        outputs = model(image, training=False)
    except Exception as error:  # of a class of its user's own
        raise ValueError(
            f"`model` must take images of shape {input_shape}, as `preprocess` says (its `image_size` "
            f"sets the size of a subclassed model). Received: {model.name!r}: {error}"
        ) from error
    return keras.Model(image, outputs, name=f"{model.name}_graph")


def _is_graph(operation: Any) -> bool:
    """Whether an operation is a model whose graph is known."""
    if isinstance(operation, keras.Sequential):
        return operation.built
    return isinstance(operation, keras.Model) and hasattr(operation, "operations")


def _changes(operation: Any) -> bool:
    """Whether `flatten` does something to an operation besides leaving dropout out."""
    if _is_graph(operation):
        return True
    # Such as Resizing: Keras then takes all layers that follow to be in training too.
    argument = _training_argument(operation)
    trains_by_default = argument is not None and argument.default is True
    return isinstance(operation, keras.layers.Layer) and (
        _is_mixed(operation)
        or trains_by_default
        or (_acts_in_training_only(operation) and type(operation).__name__ != "Dropout")
    )


def _training_argument(operation: Any) -> inspect.Parameter | None:
    """Returns the argument `training` of a layer, None where it has none."""
    if not isinstance(operation, keras.layers.Layer):
        return None
    return inspect.signature(operation.call).parameters.get("training")


def _is_mixed(layer: Any) -> bool:
    """Whether a layer computes in another type than float32."""
    return getattr(layer, "compute_dtype", "float32") in ("float16", "bfloat16", "float64")


def _acts_in_training_only(operation: Any) -> bool:
    """Whether a built-in layer returns its input as it is, except in training."""
    kind = type(operation)
    return kind.__module__.startswith("keras.") and (
        kind.__name__ in TRAINING_ONLY
        or (kind.__name__.startswith("Random") and kind.__name__ != "RandomCrop")  # it always crops
    )
