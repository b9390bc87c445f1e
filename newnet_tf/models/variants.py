"""From a builder and a card to a public constructor.

A family file makes one `Family` and calls `variant` once per network. What every constructor shares
(signature, docstring, argument checks, head, weight loading) is here and only here.
"""

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from newnet_tf import weights as checkpoints
from newnet_tf.models.config import Card, CheckpointFormat, PreprocessConfig, brief
from newnet_tf.utils.lazy import keras

POOLINGS = (None, "avg", "max")
REGISTRY: dict[str, "Variant"] = {}

DOCSTRING = """Instantiates {title} ({source}).

{notes}Args:
    include_top: bool, whether to include the pooling and the classifier.
    weights: one of None (random initial values), {choices}or the path of a checkpoint
        (`.safetensors`, `.pth`, `.pt`, `.npz`, `.weights.h5`, `.keras`). Default: {default}.
    input_tensor: optional Keras tensor to use as the image input.
    input_shape: optional tuple (height, width, {channels}), each side an int >= {minimum} or None.
        Default: {shape}.
    pooling: with `include_top=False`, one of None (the last map before pooling, rank 4),
        `"avg"` or `"max"` (rank 2).
    classes: int, number of classes of the top. With weights of another number the layer
        `classifier` keeps random initial values, and a warning says so.
    classifier_activation: str, callable or None (logits).
    name: str, name of the model.

Returns:
    A Keras model from images of shape (batch, height, width, {channels}), float32, normalized as
    `newnet_tf.preprocess("{card}")` does ((pixel / 255 - {mean}) / {std}), to (batch, classes).

Raises:
    ValueError: for an argument outside of the above, or a checkpoint that does not fit.

Example:
    >>> model = {module}.{constructor}(weights=None)
    >>> model.output_shape
    (None, {classes})
"""


@dataclass(frozen=True)
class Family:
    """What the variants of one file have in common.

    Args:
        module: str, `__name__` of the family's file.
        build: callable (input tensor, row) -> the last map before pooling.
        top: callable (map, row, classes) -> logits of shape (batch, classes).
        source: str, the paper.
        namings: callable row -> checkpoint kinds it reads, beside our own.
        head: names of the layers that only `top` makes.
        minimum: int, the smallest input side.
    """

    module: str
    build: Callable
    top: Callable
    source: str
    checkpoint_formats: Callable[[object], tuple[CheckpointFormat, ...]] = lambda row: ()
    head: tuple[str, ...] = ("classifier",)
    minimum: int = 32
    variants: dict[str, "Variant"] = field(default_factory=dict)

    def variant(self, constructor: str, row: object, card: Card) -> Callable:
        """Registers one network and returns its public constructor."""
        if card.name in REGISTRY:
            raise ValueError(f"`card.name` must be new. Received: {card.name!r}")
        made = Variant(self, constructor, row, card)
        self.variants[card.name] = REGISTRY[card.name] = made
        return made.constructor()

    def preprocess_input(self) -> Callable:
        """Returns the family's `preprocess_input`."""
        return _publish(_preprocess_input(self), "preprocess_input", self.module)


@dataclass(frozen=True)
class Variant:
    """One network: its family, public name, row and card."""

    family: Family
    name: str
    row: object
    card: Card

    def target(self) -> checkpoints.Target:
        """What a checkpoint must fit, for the weights room."""
        return checkpoints.Target(
            card=self.card,
            checkpoint_formats=self.family.checkpoint_formats(self.row),
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
    ):
        """Builds the Keras model; arguments as in the public constructor, defaults the card's."""
        classes = self.card.classes if classes is None else classes
        self._check(include_top, pooling, classes, weights)
        image = self._input(input_tensor, input_shape)
        x = self.family.build(image, self.row)
        if include_top:
            x = self.family.top(x, self.row, classes)
            activation = keras.activations.get(classifier_activation)
            x = keras.layers.Activation(activation, dtype="float32", name="predictions")(x)
        elif pooling == "avg":
            x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
        elif pooling == "max":
            x = keras.layers.GlobalMaxPooling2D(name="pool")(x)
        sources = keras.utils.get_source_inputs(image)
        inputs = sources[0] if len(sources) == 1 else sources
        model = keras.Model(inputs, x, name=name or self.card.name)
        if weights is not None:
            others = (variant.target for variant in REGISTRY.values() if variant is not self)
            own = model if input_tensor is None else keras.Model(image, x)
            checkpoints.load(own, weights, self.target(), others=others)
        return model

    def _check(self, include_top, pooling, classes, weights):
        if not isinstance(include_top, bool):
            raise ValueError(f"`include_top` must be a bool. Received: include_top={include_top!r}")
        if pooling not in POOLINGS:
            raise ValueError(f"`pooling` must be among {POOLINGS}. Received: pooling={pooling!r}")
        if include_top and pooling is not None:
            raise ValueError(
                f"`pooling` needs `include_top=False`. Received: include_top=True, {pooling=}"
            )
        if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
            raise ValueError(f"`classes` must be a positive int. Received: classes={classes!r}")
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
        minimum, channels = self.family.minimum, self.card.preprocess.channels
        sides_fit = all(s is None or (isinstance(s, int) and s >= minimum) for s in shape[:2])
        if len(shape) != 3 or shape[-1] != channels or not sides_fit:
            raise ValueError(
                f"`input_shape` must be (height, width, {channels}), each side None or at least "
                f"{minimum}. Received: input_shape={shape}"
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
                input_shape=input_shape,
                pooling=pooling,
                classes=classes,
                classifier_activation=classifier_activation,
                name=name,
            )

        card, module = self.card, self.family.module
        tags = [f'`"{w.tag}"`' for w in card.weights]
        choices = ['`"imagenet"`'] * (card.default_weights == "imagenet") + tags
        construct.__doc__ = DOCSTRING.format(
            title=card.title,
            source=self.family.source,
            notes=f"{card.notes}\n\n" if card.notes else "",
            choices="".join(f"{choice}, " for choice in choices),
            default=f'`"{card.default_weights}"`' if card.default_weights else "None",
            minimum=self.family.minimum,
            card=card.name,
            mean=brief(card.preprocess.mean),
            std=brief(card.preprocess.std),
            channels=card.preprocess.channels,
            shape=card.preprocess.shape,
            classes=card.classes,
            module=module,
            constructor=self.name,
        )
        return _publish(construct, self.name, module)


def constructors() -> dict[str, Callable]:
    """Returns the public constructors of all registered networks, by name."""
    return {v.name: getattr(sys.modules[v.family.module], v.name) for v in REGISTRY.values()}


def _publish(function: Callable, name: str, module: str) -> Callable:
    function.__name__ = function.__qualname__ = name
    function.__module__ = module
    function.__signature__ = inspect.signature(function)
    return function


def _preprocess_input(family: Family) -> Callable:
    def preprocess_input(x, weights=None):
        """Normalizes images in 0-255 as this family's weights expect; it never resizes.

        Args:
            x: array or tensor of shape (..., height, width, channels), values in 0-255.
            weights: None, `"imagenet"`, or the tag of weights; default: the family's usual ones.

        Returns:
            float32 of the same shape: a NumPy array for an array, else a tensor.

        Raises:
            ValueError: for an unknown tag, or a last dimension of another number of channels.
        """
        from newnet_tf.data.preprocess import normalize

        return normalize(x, _record(family, weights))

    return preprocess_input


def _record(family: Family, tag: str | None) -> PreprocessConfig:
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
