"""The text detectors of the zoo by name, and how they are built.

`newnet_tf.models.registry` finds them here, `craft.CRAFT` and `craft_lite.CRAFTLite` build them.
Importing this module loads neither Keras nor NumPy.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from newnet_tf import weights as checkpoints
from newnet_tf.models import registry, zoo_metadata
from newnet_tf.models.config import Card, CheckpointFormat, PreprocessConfig, Weights
from newnet_tf.models.config.metadata import ModelMetadata, set_metadata
from newnet_tf.models.config.preprocess import FIT
from newnet_tf.models.file_preprocess import file_preprocess
from newnet_tf.models.task_catalog import refuse_arguments, square_side
from newnet_tf.models.variants import Variant
from newnet_tf.text import cards, checkpoint_names, lite_decoder, vgg_unet
from newnet_tf.text.config import MULTIPLE, TextConfig
from newnet_tf.utils.lazy import keras

if TYPE_CHECKING:
    import keras

DEFAULT, KIND = registry.DEFAULT, "a text detector"
UNUSED = {  # arguments of a classifier's `build`, and the only values that a text detector takes
    "include_top": (True,),
    "input_tensor": (None,),
    "pooling": (None,),
    "classes": (None, cards.CLASSES),
    "classifier_activation": (None, "softmax"),  # the score maps have none in any case
    "drop_rate": (None,),
}


@dataclass(frozen=True)
class TextDetectorVariant:
    """One text detector: its card and its backbone.

    Args:
        card: `Card` of the text detector.

        backbone: `Variant` of the backbone of a CRAFT-lite; None, CRAFT.

        tag: str or None, tag of the backbone's weights that a name holds. Default: None.

        checkpoint_formats: tuple of `CheckpointFormat`, besides our own. Default: `()`.
    """

    card: Card
    backbone: Variant | None = None
    tag: str | None = None
    checkpoint_formats: tuple[CheckpointFormat, ...] = ()

    def target(self) -> checkpoints.LoadTarget:
        """Returns what a checkpoint must fit."""
        return checkpoints.LoadTarget(
            card=self.card,
            checkpoint_formats=self.checkpoint_formats,
            head=(),
            build=lambda classes: self.build(),
        )

    def build(
        self,
        weights: str | os.PathLike | None = None,
        image_size: int | str | None = DEFAULT,
        backbone_weights: str | os.PathLike | None = None,
        stride: int = vgg_unet.STRIDE,
        name: str | None = None,
        input_shape: tuple[int | None, int | None, int] | None = None,
        **others: Any,
    ) -> keras.Model:
        """Builds the Keras model; see `newnet_tf.text.craft` and `newnet_tf.text.craft_lite`.

        Args:
            image_size: int or None, as there. Default: `"default"`, that of the weights or the card.

            backbone_weights: str, path or None, as there. Default: None.

            input_shape: tuple (height, width, 3) or None, another way to say `image_size`.

            others: further arguments of `create_model`, none of which a text detector has.
        """
        refuse_arguments(others, UNUSED, KIND, self.card.name)
        if isinstance(weights, str) and weights == registry.BACKBONE and self.backbone:
            weights, backbone_weights = None, DEFAULT
        published = None
        if weights is not None and not checkpoints.is_file(weights):
            published = self.card.select(os.fspath(weights))
        size = self._size(image_size, input_shape, published)
        config = TextConfig(image_size=size, stride=stride)
        target, checkpoint, chosen = self.target(), None, None
        if weights is not None:
            checkpoint = checkpoints.read(weights, target)
        elif self.backbone and isinstance(backbone_weights, str) and backbone_weights == DEFAULT:
            chosen = self.tag or self.backbone.card.default_weights
        else:
            chosen = backbone_weights
        model = self._graph(chosen, config, name)
        report = None
        if checkpoint is not None:
            others_ = (variant.target for variant in variants() if variant.card != self.card)
            report = checkpoints.load(model, checkpoint, target, others=others_)
        metadata = ModelMetadata(
            name=self.card.name,
            preprocess=self._preprocess(published, weights, chosen, size),
            task=cards.TASK,
            trained=report is not None,
            task_config=config.to_dict(),
        )
        if published is not None:
            metadata = dataclasses.replace(
                metadata,
                weights=published.tag,
                license=published.license,
                author=published.author,
                dataset=published.dataset,
            )
        set_metadata(model, metadata)
        if not metadata.trained:
            zoo_metadata.keep_initial(model)
        return model

    def _graph(
        self, backbone_weights: str | os.PathLike | None, config: TextConfig, name: str | None
    ) -> keras.Model:
        shape = (config.image_size, config.image_size, 3)
        if self.backbone is None:
            image = keras.Input(shape, name="image")
            maps = vgg_unet.build(image)
        else:
            network = self.backbone.build(
                include_top=False, weights=backbone_weights, input_shape=shape
            )
            image, maps = network.input, lite_decoder.build(network, config.stride)
        return keras.Model(image, maps, name=name or self.card.name)

    def _size(
        self, image_size: int | str | None, input_shape: Any, published: Weights | None
    ) -> int | None:
        """Returns height and width of the images, None where they are free."""
        image_size = square_side(input_shape, image_size, DEFAULT, KIND)
        if isinstance(image_size, str) and image_size == DEFAULT:
            preprocess = (published or self.card).preprocess
            return None if preprocess.resize_mode == FIT else preprocess.image_size
        is_int = isinstance(image_size, int) and not isinstance(image_size, bool)
        if image_size is not None and not (
            is_int and image_size > 0 and image_size % MULTIPLE == 0
        ):
            raise ValueError(
                f"`image_size` must be a positive multiple of {MULTIPLE}, or None for images of any "
                f"size. Received: image_size={image_size!r}"
            )
        return image_size

    def _preprocess(
        self, published: Weights | None, weights: Any, backbone_weights: Any, size: int | None
    ) -> PreprocessConfig:
        """Returns the preprocessing of tags, or of a file that a card or its own metadata know."""
        if published is not None:
            return cards.fitted(published.preprocess, size)
        if weights is not None:
            return cards.fitted(file_preprocess(weights, self.card), size)
        if backbone_weights is None or self.backbone is None:
            return cards.fitted(self.card.preprocess, size)
        card = self.backbone.card
        if checkpoints.is_file(backbone_weights):
            return cards.fitted(file_preprocess(backbone_weights, card), size)
        return cards.fitted(card.select(os.fspath(backbone_weights)).preprocess, size)


def names() -> list[str]:
    """Returns the names that `newnet_tf.list_models` lists; any other backbone works too."""
    return [cards.CRAFT, *(cards.PREFIX + name for name in cards.LISTED)]


def find(name: str) -> TextDetectorVariant | None:
    """Returns a text detector by name, None for a name of another form.

    Args:
        name: str, `craft`, `craft_lite_<backbone>` or `craft_lite`, without tag.

    Raises:
        ValueError: for an unknown backbone.
    """
    if name == cards.CRAFT:
        return TextDetectorVariant(cards.CRAFT_CARD, checkpoint_formats=checkpoint_names.craft())
    if name == cards.LITE:
        return craft_lite(cards.LITE_BACKBONE)
    if not name.startswith(cards.PREFIX):
        return None
    return craft_lite(name.removeprefix(cards.PREFIX))


def variants() -> Iterator[TextDetectorVariant]:
    """Yields the listed text detectors."""
    for name in names():
        found = find(name)
        assert found is not None, name
        yield found


def craft_lite(backbone: str) -> TextDetectorVariant:
    """Returns CRAFT-lite on a backbone.

    Args:
        backbone: str, a model of the zoo, with or without a tag of its weights.

    Raises:
        ValueError: for an unknown backbone.
    """
    base, _, _ = str(backbone).partition(".")
    variant, tag = registry.resolve(backbone)
    if not isinstance(variant, Variant):
        raise ValueError(
            f"`backbone` must be a classification model. Received: backbone={backbone!r}"
        )
    return TextDetectorVariant(cards.card_of(base, variant.card), variant, tag)
