"""The detectors of the zoo by name, and how they are built.

`newnet_tf.models.registry` finds them here, `ssdlite.SSDLite` builds them. Importing this module loads
neither Keras nor NumPy.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from newnet_tf import weights as checkpoints
from newnet_tf.applications import mobilenet_v3
from newnet_tf.detection import cards, checkpoint_names, head
from newnet_tf.detection.config import BACKGROUND, STYLES, TF, TORCHVISION, DetectionConfig
from newnet_tf.models import registry, zoo_metadata
from newnet_tf.models.blocks import ConvBNConfig
from newnet_tf.models.config import Card, CheckpointFormat, PreprocessConfig, Weights
from newnet_tf.models.config.metadata import ModelMetadata, set_metadata
from newnet_tf.models.features import detection_taps
from newnet_tf.models.file_preprocess import file_preprocess
from newnet_tf.models.stages import Stage
from newnet_tf.models.task_catalog import refuse_arguments, square_side
from newnet_tf.models.variants import Variant
from newnet_tf.utils.lazy import keras

if TYPE_CHECKING:
    import keras

DEFAULT, KIND = registry.DEFAULT, "a detector"
UNUSED = {  # arguments of a classifier's `build`, and the only values that a detector takes
    "include_top": (True,),
    "input_tensor": (None,),
    "pooling": (None,),
    "classifier_activation": (None, "softmax"),  # the scores are logits in any case
    "drop_rate": (None,),
}


@dataclass(frozen=True)
class DetectorVariant:
    """One detector: its card, its backbone, the style of its anchors and heads.

    Args:
        card: `Card` of the detector.

        backbone: `Variant` of the backbone.

        tag: str or None, tag of the backbone's weights that a name holds. Default: None.

        style: str, among `config.STYLES`. Default: `"tf"`.

        checkpoint_formats: tuple of `CheckpointFormat`, besides our own. Default: `()`.
    """

    card: Card
    backbone: Variant
    tag: str | None = None
    style: str = TF
    checkpoint_formats: tuple[CheckpointFormat, ...] = ()

    def target(self) -> checkpoints.LoadTarget:
        """Returns what a checkpoint must fit."""
        sizes = (1,) * head.MAPS
        config = DetectionConfig(classes=1, image_size=1, feature_sizes=sizes, style=self.style)
        layers = head.predictor_layers(head.SCORES)
        return checkpoints.LoadTarget(
            card=self.card,
            checkpoint_formats=self.checkpoint_formats,
            head=(),
            build=lambda classes: self.build(classes=classes),
            classifiers=dict(zip(layers, config.anchors_per_cell, strict=True)),
            background=BACKGROUND,
        )

    def build(
        self,
        weights: str | os.PathLike | None = None,
        classes: int | None = None,
        image_size: int | None = None,
        backbone_weights: str | os.PathLike | None = None,
        score_function: str | None = None,
        name: str | None = None,
        input_shape: tuple[int | None, int | None, int] | None = None,
        **others: Any,
    ) -> keras.Model:
        """Builds the Keras model; see `newnet_tf.detection.ssdlite.SSDLite`.

        Args:
            input_shape: tuple (height, width, 3) or None, another way to say `image_size`.

            others: further arguments of `create_model`, none of which a detector has.
        """
        self._check(classes, others)
        if isinstance(weights, str) and weights == registry.BACKBONE:
            weights, backbone_weights = None, DEFAULT
        published = None
        if weights is not None and not checkpoints.is_file(weights):
            published = self.card.select(os.fspath(weights))
        size = self._size(image_size, input_shape, published)
        target, checkpoint, chosen = self.target(), None, None
        if weights is not None:
            checkpoint = checkpoints.read(weights, target)
            classes = classes or checkpoints.class_count(checkpoint, target)
        elif isinstance(backbone_weights, str) and backbone_weights == DEFAULT:
            chosen = self.tag or self.backbone.card.default_weights
        else:
            chosen = backbone_weights
        config, model = self._graph(chosen, classes, size, score_function, name)
        report = None
        if checkpoint is not None:
            others_ = (variant.target for variant in variants() if variant.card != self.card)
            report = checkpoints.load(model, checkpoint, target, others=others_)
        metadata = ModelMetadata(
            name=self.card.name,
            preprocess=self._preprocess(published, weights, chosen, size),
            task=cards.TASK,
            trained=report is not None and not report.newly_initialized,
            task_config=config.to_dict(),
        )
        if published is not None:
            has_classes = published.classes == config.classes
            metadata = dataclasses.replace(
                metadata,
                class_names=tuple(published.class_names) or None if has_classes else None,
                weights=published.tag,
                license=published.license,
                author=published.author,
                dataset=published.dataset if has_classes else None,
            )
        set_metadata(model, metadata)
        if not metadata.trained:
            zoo_metadata.keep_initial(model)
        return model

    def _graph(
        self,
        backbone_weights: str | os.PathLike | None,
        classes: int | None,
        size: int,
        score_function: str | None,
        name: str | None,
    ) -> tuple[DetectionConfig, keras.Model]:
        network = self.backbone.build(
            include_top=False, weights=backbone_weights, input_shape=(size, size, 3)
        )
        fine, coarse = detection_taps(network)
        maps = [fine, coarse, *head.extra_maps(coarse, self.style)]
        config = DetectionConfig(
            classes=classes or self.card.classes,
            image_size=size,
            feature_sizes=tuple(tensor.shape[1] for tensor in maps),
            style=self.style,
            score_function=score_function,
        )
        outputs = head.predictions(maps, config)
        return config, keras.Model(network.input, outputs, name=name or self.card.name)

    def _size(self, image_size: int | None, input_shape: Any, published: Weights | None) -> int:
        """Returns height and width of the images, where `None` is the weights' or the card's."""
        image_size = square_side(input_shape, image_size, None, KIND)
        if image_size is None:
            return (published or self.card).preprocess.image_size
        least = self.backbone.family.min_size
        if not isinstance(image_size, int) or isinstance(image_size, bool) or image_size < least:
            raise ValueError(
                f"`image_size` must be an int of at least {least}. Received: {image_size!r}"
            )
        return image_size

    def _check(self, classes: int | None, others: dict[str, Any]) -> None:
        is_count = isinstance(classes, int) and not isinstance(classes, bool) and classes >= 1
        if classes is not None and not is_count:
            raise ValueError(f"`classes` must be a positive int. Received: classes={classes!r}")
        refuse_arguments(others, UNUSED, KIND, self.card.name)

    def _preprocess(
        self, published: Weights | None, weights: Any, backbone_weights: Any, size: int
    ) -> PreprocessConfig:
        """Returns the preprocessing of tags, or of a file that a card or its own metadata know."""
        card = self.backbone.card
        if published is not None:
            return dataclasses.replace(published.preprocess, image_size=size)
        if weights is not None:
            own = file_preprocess(weights, self.card)
            return dataclasses.replace(own, image_size=size)
        if backbone_weights is None:
            return dataclasses.replace(self.card.preprocess, image_size=size)
        if checkpoints.is_file(backbone_weights):
            return cards.stretched(file_preprocess(backbone_weights, card), size)
        return cards.stretched(card.select(os.fspath(backbone_weights)).preprocess, size)


def names() -> list[str]:
    """Returns the names that `newnet_tf.list_models` lists; any other backbone works too."""
    return [cards.TORCHVISION_CARD.name, *(cards.PREFIX + name for name in cards.LISTED)]


def find(name: str) -> DetectorVariant | None:
    """Returns a detector by name, None for a name of another form.

    Args:
        name: str, `ssdlite_<backbone>`, or one of `names()`, without tag.

    Raises:
        ValueError: for an unknown backbone.
    """
    if name == cards.TORCHVISION_CARD.name:
        return _torchvision()
    if not name.startswith(cards.PREFIX):
        return None
    return detector(name.removeprefix(cards.PREFIX))


def variants() -> Iterator[DetectorVariant]:
    """Yields the listed detectors."""
    for name in names():
        found = find(name)
        assert found is not None, name
        yield found


def detector(backbone: str, style: str = TF) -> DetectorVariant:
    """Returns SSDLite on a backbone.

    Args:
        backbone: str, a model of the zoo, with or without a tag of its weights.

        style: str, among `config.STYLES`. Default: `"tf"`.

    Raises:
        ValueError: for an unknown backbone or style.
    """
    if style not in STYLES:
        raise ValueError(f"`style` must be among {STYLES}. Received: style={style!r}")
    base, dot, tag = str(backbone).partition(".")
    variant, known_tag = registry.resolve(cards.SHORT_NAMES.get(base, base) + dot + tag)
    if not isinstance(variant, Variant):
        raise ValueError(
            f"`backbone` must be a classification model. Received: backbone={backbone!r}"
        )
    formats = checkpoint_names.object_detection_api(variant.card.name) if style == TF else ()
    return DetectorVariant(cards.card_of(base, variant.card), variant, known_tag, style, formats)


def _torchvision() -> DetectorVariant:
    """torchvision's detector, whose backbone has half as wide last layers (1905.02244, section 6.3)."""
    last = Stage(80, 3, 2, kernel=5, se_ratio=0.25)
    style = ConvBNConfig(padding="symmetric", eps=1e-3, momentum=0.97)
    config = mobilenet_v3.Config((*mobilenet_v3.LARGE[:-1], last), 480, 1280, style)
    card = Card(name="mobilenet_v3_large_halved", title="MobileNetV3-Large, halved at its end")
    backbone = Variant(mobilenet_v3.FAMILY, "", config, card)
    return DetectorVariant(
        cards.TORCHVISION_CARD,
        backbone,
        style=TORCHVISION,
        checkpoint_formats=checkpoint_names.torchvision(),
    )
