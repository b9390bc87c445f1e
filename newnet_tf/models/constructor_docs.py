"""Docstrings of the constructors, from cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from newnet_tf.models.config import brief

if TYPE_CHECKING:
    from newnet_tf.models.variants import Variant

DOCSTRING = """Instantiates {title} ({source}).

{notes}Args:
    include_top: bool, whether to include the pooling and the classifier. Default: True.

    weights: str, path or None: None (random initialization), {choices}or a checkpoint file
        (`.safetensors`, `.pth`, `.pt`, `.npz`, `.weights.h5`, `.keras`). Default: {default}.

    input_tensor: Keras tensor or None, used as the image input. Default: None, a new input.

    input_shape: tuple (height, width, {channels}) or None; height and width are None or an int >=
        {minimum}. One channel takes gray images, and weights of gray images. Default: {shape}.

    pooling: str or None, with `include_top=False` one of None (the last feature map, rank 4),
        `"avg"`, `"max"` (rank 2). Default: None.

    classes: int, number of classes. Where the weights have another number, the layer `classifier`
        is newly initialized, with a warning. Default: {classes}.

    classifier_activation: str, callable or None (logits). Default: `"softmax"`.

    name: str, name of the model. Default: `"{card}"`.

Returns:
    `keras.Model` from images of shape (batch, height, width, {channels}), float32, as
    `newnet_tf.create_transform("{card}")` makes them ((pixel / 255 - {mean}) / {std}), to class
    scores of shape (batch, classes).

Raises:
    ValueError: for an argument outside of the above, or a checkpoint that does not fit.

Example:
    >>> model = {module}.{constructor}(weights=None)
    >>> model.output_shape
    (None, {classes})
"""


def constructor_docstring(variant: Variant) -> str:
    """Returns the docstring of a model's public constructor.

    Args:
        variant: `newnet_tf.models.variants.Variant`.
    """
    card, module = variant.card, variant.family.module
    tags = [f'`"{w.tag}"`' for w in card.weights]
    choices = ['`"imagenet"`'] * (card.default_weights == "imagenet") + tags
    return DOCSTRING.format(
        title=card.title,
        source=variant.family.source,
        notes=f"{card.notes}\n\n" if card.notes else "",
        choices="".join(f"{choice}, " for choice in choices),
        default=f'`"{card.default_weights}"`' if card.default_weights else "None",
        minimum=variant.family.min_size,
        card=card.name,
        mean=brief(card.preprocess.mean),
        std=brief(card.preprocess.std),
        channels=card.preprocess.channels,
        shape=card.preprocess.shape,
        classes=card.classes,
        module=module,
        constructor=variant.name,
    )
