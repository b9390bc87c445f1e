"""From a builder and a card to a public constructor.

A family file creates a `Family` and calls `register` for each model; what they share is here.
"""

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from newnet_tf import weights as checkpoints
from newnet_tf.models import zoo_metadata
from newnet_tf.models.config import Card, CheckpointFormat, PreprocessConfig
from newnet_tf.models.constructor_docs import constructor_docstring
from newnet_tf.utils.lazy import keras

POOLINGS = (None, "avg", "max")
GRAY = 1  # channels
REGISTRY: dict[str, "Variant"] = {}


@dataclass(frozen=True)
class Family:
    """What the variants of one file have in common.

    Args:
        module: str, `__name__` of the family's file.

        build: callable (input tensor, config) -> last feature map before pooling.

        build_head: callable (feature map, config, classes) -> logits of shape (batch, classes).

        source: str, the paper.

        checkpoint_formats: callable config -> formats of checkpoints that load, besides our own.

        head: tuple of str, names of the layers with weights that only `build_head` makes.

        min_size: int, smallest height and width of the input.
    """

    module: str
    build: Callable
    build_head: Callable
    source: str
    checkpoint_formats: Callable[[Any], tuple[CheckpointFormat, ...]] = lambda config: ()
    head: tuple[str, ...] = ("classifier",)
    min_size: int = 32
    variants: dict[str, "Variant"] = field(default_factory=dict)

    def register(self, constructor: str, config: object, card: Card) -> Callable:
        """Registers a model and returns its public constructor.

        Args:
            constructor: str, name of the public function.

            config: the family's `Config` of the model.

            card: `Card` of the model; its name must be new.
        """
        if card.name in REGISTRY:
            raise ValueError(f"`card.name` must be new. Received: {card.name!r}")
        variant = Variant(self, constructor, config, card)
        self.variants[card.name] = REGISTRY[card.name] = variant
        return variant.constructor()

    def preprocess_input(self) -> Callable:
        """Returns the family's `preprocess_input`."""
        return _publish(_preprocess_input(self), "preprocess_input", self.module)


@dataclass(frozen=True)
class Variant:
    """One model: its family, the name of its constructor, its config and card."""

    family: Family
    name: str
    config: object
    card: Card

    def target(self) -> checkpoints.LoadTarget:
        """Returns what a checkpoint must fit."""
        return checkpoints.LoadTarget(
            card=self.card,
            checkpoint_formats=self.family.checkpoint_formats(self.config),
            head=self.family.head,
            build=lambda classes: self.build(classes=classes),
        )

    def build(
        self,
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=None,
        classifier_activation="softmax",
        name=None,
        drop_rate=None,
    ):
        """Builds the Keras model; see `newnet_tf.create_model`."""
        self._check(include_top, pooling, classes, weights, drop_rate)
        checkpoint, report = None, None
        if weights is not None:
            checkpoint = checkpoints.read(weights, self.target())
        if classes is None:
            classes = self._classes_of(checkpoint)
        if input_tensor is None and input_shape is None:
            input_shape = self._input_shape_of(checkpoint)
        image = self._input(input_tensor, input_shape)
        x = self.family.build(image, self.config)
        if include_top:
            x = self.family.build_head(x, self.config, classes)
            activation = keras.activations.get(classifier_activation)
            x = keras.layers.Activation(activation, dtype="float32", name="predictions")(x)
        elif pooling == "avg":
            x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
        elif pooling == "max":
            x = keras.layers.GlobalMaxPooling2D(name="pool")(x)
        sources = keras.utils.get_source_inputs(image)
        inputs = sources[0] if len(sources) == 1 else sources
        model = keras.Model(inputs, x, name=name or self.card.name)
        own = model if input_tensor is None else keras.Model(image, x)
        if drop_rate is not None:
            _set_drop_rate(own, drop_rate)
        if checkpoint is not None:
            others = (variant.target for variant in REGISTRY.values() if variant is not self)
            report = checkpoints.load(own, checkpoint, self.target(), others=others)
        if include_top and input_tensor is None:
            is_trained = report is not None and not report.newly_initialized
            zoo_metadata.describe(model, self.card, weights, classifier_activation, is_trained)
        return model

    def _classes_of(self, checkpoint) -> int:
        """Returns the number of classes of a checkpoint; without its classifier, the card's."""
        known = None if checkpoint is None else checkpoints.class_count(checkpoint, self.target())
        return known or self.card.classes

    def _input_shape_of(self, checkpoint) -> tuple[int, int, int]:
        """Returns the card's input shape, with one channel where the checkpoint takes gray images."""
        height, width, channels = self.card.preprocess.shape
        if checkpoint is not None:
            known = checkpoints.input_channels(checkpoint, self.target())
            channels = GRAY if known == GRAY else channels
        return height, width, channels

    def _check(self, include_top, pooling, classes, weights, drop_rate):
        if not isinstance(include_top, bool):
            raise ValueError(f"`include_top` must be a bool. Received: include_top={include_top!r}")
        if pooling not in POOLINGS:
            raise ValueError(f"`pooling` must be among {POOLINGS}. Received: pooling={pooling!r}")
        if include_top and pooling is not None:
            raise ValueError(
                f"`pooling` needs `include_top=False`. Received: include_top=True, {pooling=}"
            )
        is_count = isinstance(classes, int) and not isinstance(classes, bool) and classes >= 1
        if classes is not None and not is_count:
            raise ValueError(f"`classes` must be a positive int. Received: classes={classes!r}")
        if drop_rate is not None and not 0 <= drop_rate < 1:
            raise ValueError(f"`drop_rate` must lie in [0, 1). Received: drop_rate={drop_rate!r}")
        if weights is not None and not checkpoints.is_file(weights):
            self.card.select(weights)

    def _input(self, input_tensor, input_shape):
        if input_tensor is not None:
            if not keras.utils.is_keras_tensor(input_tensor):
                raise ValueError(
                    "`input_tensor` must be a Keras tensor, as `keras.Input` gives. "
                    f"Received: input_tensor={input_tensor!r}"
                )
            shape = tuple(input_tensor.shape[1:])
        else:
            shape = self.card.preprocess.shape if input_shape is None else tuple(input_shape)
        min_size, channels = self.family.min_size, self.card.preprocess.channels
        gray = f", or {GRAY} for gray images" if channels != GRAY else ""
        fits = all(n is None or (isinstance(n, int) and n >= min_size) for n in shape[:2])
        if len(shape) != 3 or shape[-1] not in (GRAY, channels) or not fits:
            raise ValueError(
                f"`input_shape` must be (height, width, {channels}{gray}), height and width None or at "
                f"least {min_size}. Received: input_shape={shape}"
            )
        return keras.Input(shape, name="image") if input_tensor is None else input_tensor

    def constructor(self) -> Callable:
        """Returns the public function: real signature, docstring, picklable."""

        def construct(
            include_top=True,
            weights=self.card.default_weights,
            input_tensor=None,
            input_shape=None,
            pooling=None,
            classes=self.card.classes,
            classifier_activation="softmax",
            name=self.card.name,
        ):
            return self.build(
                include_top=include_top,
                weights=weights,
                input_tensor=input_tensor,
                input_shape=self.card.preprocess.shape if input_shape is None else input_shape,
                pooling=pooling,
                classes=classes,
                classifier_activation=classifier_activation,
                name=name,
            )

        construct.__doc__ = constructor_docstring(self)
        return _publish(construct, self.name, self.family.module)


def constructors() -> dict[str, Callable]:
    """Returns the public constructors of all registered models, by name."""
    return {v.name: getattr(sys.modules[v.family.module], v.name) for v in REGISTRY.values()}


def _publish(function: Callable, name: str, module: str) -> Callable:
    function.__name__ = function.__qualname__ = name
    function.__module__ = module
    function.__signature__ = inspect.signature(function)
    return function


def _set_drop_rate(model, drop_rate: float) -> None:
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    if not layers:
        raise ValueError(
            "`drop_rate` needs a model with a Dropout layer before its classifier. "
            f"Received: {drop_rate=} for {model.name!r}, which has none"
        )
    for layer in layers:
        layer.rate = drop_rate


def _preprocess_input(family: Family) -> Callable:
    def preprocess_input(x, weights=None):
        """Normalizes pixels in 0-255 as this family's weights expect; it never resizes.

        Args:
            x: array or tensor of shape (..., height, width, channels), values in 0-255.

            weights: str or None, `"imagenet"` or the tag of weights. Default: None, the family's
                usual preprocessing.

        Returns:
            float32 of the same shape: a NumPy array for an array, else a tensor.

        Raises:
            ValueError: for an unknown tag, or a last dimension of another number of channels.
        """
        from newnet_tf.data.preprocess import normalize

        return normalize(x, _preprocess_config(family, weights))

    return preprocess_input


def _preprocess_config(family: Family, tag: str | None) -> PreprocessConfig:
    variants = list(family.variants.values())
    if tag is None:
        return variants[0].card.preprocess
    known = {w.tag: w.preprocess for v in variants for w in v.card.weights}
    for variant in variants:
        if tag == variant.card.default_weights:
            return variant.card.select(tag).preprocess
    if tag not in known:
        raise ValueError(
            f"`weights` must be None or among {['imagenet', *known]}. Received: weights={tag!r}"
        )
    return known[tag]
