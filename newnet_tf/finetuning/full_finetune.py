"""The whole network, by `training.train`: a lower rate for what is pretrained, batch norm kept."""

import contextlib
import os
from collections.abc import Callable, Iterator

from newnet_tf.data.datasets.base import Dataset
from newnet_tf.deploy import fingerprint
from newnet_tf.finetuning.feature_cache import CLASSIFIER
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.training.image_loader import ImageLoader
from newnet_tf.training.recipes import Recipe
from newnet_tf.training.trainer import TrainResult, single_step, train
from newnet_tf.utils.lazy import keras

NORMS = ("frozen", "trained")


def train_all_layers(
    model,
    source: Dataset,
    preprocess: PreprocessConfig,
    recipe: Recipe,
    folder: str | os.PathLike,
    backbone_lr_scale: float = 0.25,
    batch_norm: str = "frozen",
) -> TrainResult:
    """Trains all of a network whose classifier was fitted before, or goes on with it.

    Args:
        model: Keras model with a layer `classifier`, ending in logits or softmax; it is changed, and
            has the last epoch's weights at the end.
        source: `Dataset` with a split `train`. preprocess: `PreprocessConfig`.
        recipe: `training.Recipe`; its rate is the classifier's. `curvature.bounded` makes one whose
            rate the network bears.
        folder: where `training.train` keeps its files. A run that was ended there goes on if it is
            the same: recipe, data, network, its first weights, and the arguments below.
        backbone_lr_scale: float, the other layers' rate as a share of the recipe's.
        batch_norm: `"frozen"` (batch norm keeps its statistics, scale and shift, and computes as in
            inference) or `"trained"`.

    Returns:
        `training.Outcome`.

    Raises:
        ValueError: for an argument outside of the above, or a folder that holds another run.
        TrainingStopped: as `training.train`.
    """
    logits = fingerprint.logits_model(model)
    head = model.get_layer(CLASSIFIER).trainable_variables
    with thawed(model, backbone_lr_scale, batch_norm):
        return train(
            logits,
            _Begun(source, preprocess, recipe, begun(logits, backbone_lr_scale, batch_norm)),
            recipe,
            folder,
            resume=True,
            make_step=lambda trained: slowed(trained, head, backbone_lr_scale),
        )


@contextlib.contextmanager
def thawed(model, backbone_lr_scale: float, batch_norm: str) -> Iterator[None]:
    """Sets for a while which layers are trained; checks `train_all_layers`'s arguments of these names."""
    if batch_norm not in NORMS or backbone_lr_scale < 0:
        raise ValueError(
            f"`batch_norm` must be among {NORMS}, `backbone_lr_scale` not negative. Received: {batch_norm=}, {backbone_lr_scale=}"
        )
    layers = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    kept = [layer.trainable for layer in layers]
    try:
        for layer in layers:
            layer.trainable = batch_norm == "trained"
        yield
    finally:
        for layer, trainable in zip(layers, kept, strict=True):
            layer.trainable = trainable


def begun(logits, backbone_lr_scale: float, batch_norm: str) -> dict[str, object]:
    """Returns what tells a run from others, but for its recipe and data."""
    return {
        "backbone": backbone_lr_scale,
        "norms": batch_norm,
        "first weights": fingerprint.weights_digest(logits),
    }


def slowed(trained, head, share: float) -> Callable:
    """Returns a step of training that moves all variables but `head` at a share of the rate.

    Args:
        trained: compiled Keras model. head: Keras variables. share: float.
    """
    optimizer = getattr(trained.optimizer, "inner_optimizer", trained.optimizer)
    fast, whole = {_known(variable) for variable in head}, optimizer.update_step

    def update_step(gradient, variable, learning_rate):
        rate = learning_rate if _known(variable) in fast else learning_rate * share
        whole(gradient, variable, rate)

    optimizer.update_step = update_step
    return single_step(trained)


def _known(variable) -> int:
    """Identifies a variable, whether Keras' own or the backend's inside of it."""
    return id(variable.value if isinstance(variable, keras.Variable) else variable)


class _Begun(ImageLoader):
    """A run's images; what it began with must be the same when it goes on."""

    def __init__(self, source: Dataset, preprocess: PreprocessConfig, recipe: Recipe, begun: dict):
        super().__init__(source, preprocess, recipe)
        self.begun = begun

    @property
    def fingerprint(self) -> dict[str, object]:
        return super().fingerprint | self.begun
