"""Whatever classifies images behind one face: networks, `.keras` and `.tflite` files, SavedModels."""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from newnet_tf import weights as checkpoints
from newnet_tf.cli import common
from newnet_tf.data.labels import imagenet_names
from newnet_tf.data.sidecar import labels_beside
from newnet_tf.models import registry
from newnet_tf.models.config import PreprocessConfig


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """What classifies images, and how it is called in tables.

    Args:
        network: str, e.g. `"efficientnet_lite0"`. weights: str, a tag or the name of a file.
        precision: str, e.g. `"int8-full"`. classes: int.
        class_names: one str for each class, None where nobody says.
        prepare: callable, uint8 array (height, width, 3) -> what `scores` takes.
        scores: callable, list of prepared images -> array (n, classes), higher is better.
    """

    network: str
    weights: str
    precision: str
    classes: int
    class_names: tuple[str, ...] | None
    prepare: Callable
    scores: Callable

    @property
    def is_imagenet(self) -> bool:
        """Whether its classes are ImageNet's 1,000."""
        return self.class_names == imagenet_names()

    def probabilities(self, image):
        """Returns the probabilities of one uint8 image, shape (1, classes)."""
        import numpy as np

        found = self.scores([self.prepare(image)])
        if found.min() >= 0 and abs(found.sum() - 1) < 1e-3:
            return found
        powers = np.exp(found - found.max())
        return powers / powers.sum()


def load(
    name: str, weights: str | None, like: str | None, activation: str | None = None
) -> Predictor:
    """Returns what `name` means: a network of the zoo, a file or a SavedModel's folder.

    Raises:
        ValueError: for what is not there, or lacks weights or preprocessing.
    """
    if name.endswith((".tflite", ".onnx")):
        common.no_activation(activation, name)
        return _file(name, like)
    if Path(name).is_dir():
        common.no_activation(activation, name)
        return _saved_model(Path(name), like)
    return _keras(name, weights, like, activation)


def _keras(name: str, weights: str | None, like: str | None, activation: str | None) -> Predictor:
    import numpy as np

    from newnet_tf.data.preprocess import preprocess_image

    loaded = common.load(name, weights, like, activation=activation)
    if not loaded.is_trained:
        raise ValueError(f"{loaded.name} has no public weights; pass a checkpoint file with "
                         "--weights. Received: no weights")  # fmt: skip
    model, is_file = loaded.model, name.endswith(".keras")

    def scores(images):
        x = np.stack(images)
        return np.asarray(model.predict_on_batch(x) if len(x) > 1 else model(x, training=False))

    if is_file:
        tag = Path(name).name
    else:
        chosen = weights or registry.resolve(name)[1] or registry.card(name).default_weights
        tag = Path(chosen).name if checkpoints.is_file(chosen) else chosen
    return Predictor(
        network=model.name if is_file else loaded.name,
        weights=tag,
        precision="fp32",
        classes=model.output_shape[-1],
        class_names=loaded.class_names,
        prepare=functools.partial(preprocess_image, preprocess=loaded.preprocess),
        scores=scores,
    )


def _file(name: str, like: str | None) -> Predictor:
    import numpy as np

    from newnet_tf.data.preprocess import crop_image, preprocess_image
    from newnet_tf.deploy.onnx import OnnxRunner
    from newnet_tf.deploy.sandbox import SandboxedRunner

    run = (SandboxedRunner if name.endswith(".tflite") else OnnxRunner)(name)
    record = run.recipe.preprocess if run.recipe else None
    if record is None and like is None:
        raise ValueError(f"{name} has no recipe beside it; name its preprocessing with --like. "
                         "Received: no .json file, no --like")  # fmt: skip
    record = registry.preprocess_record(like) if like else record
    return Predictor(
        network=run.recipe.model if run.recipe else Path(name).stem,
        weights=Path(name).name,
        precision=run.recipe.precision if run.recipe else "",
        classes=run.classes,
        class_names=common.class_names(run.classes, labels_beside(name)),
        prepare=functools.partial(
            crop_image if run.expects_uint8_pixels else preprocess_image, preprocess=record
        ),
        scores=lambda images: run(np.stack(images)),
    )


def _saved_model(folder: Path, like: str | None) -> Predictor:
    """A SavedModel of `export_saved_model`: it resizes, crops and normalizes by itself."""
    from newnet_tf.deploy.saved_model import EXTRA, OUTPUT

    path = folder / EXTRA / "model.json"
    if like or not path.is_file():
        raise ValueError(
            f"{folder} must be a SavedModel that `newnet export --to saved_model` wrote, which "
            f"prepares images itself. Received: {'--like' if like else f'no {path.name} in it'}"
        )
    record = json.loads(path.read_text(encoding="utf-8"))
    common.start_keras()
    import numpy as np
    import tensorflow as tf
    from PIL import Image

    loaded = tf.saved_model.load(str(folder))
    is_gray = PreprocessConfig(**record["preprocess"]).channels == 1
    classes = loaded.signatures["serving_default"].structured_outputs[OUTPUT].shape[-1]
    names = path.with_name("class_names.txt")
    own = names.read_text(encoding="utf-8").splitlines() if names.is_file() else None

    def prepare(image):
        return np.asarray(Image.fromarray(image).convert("L"))[..., None] if is_gray else image

    def scores(images):  # of different sizes
        serve = loaded.signatures["serving_default"]
        found = [serve(images=tf.constant(image[None]))[OUTPUT] for image in images]
        return np.concatenate([np.asarray(probabilities) for probabilities in found])

    return Predictor(
        network=record["model"],
        weights=folder.resolve().name,
        precision="fp32",
        classes=classes,
        class_names=common.class_names(classes, own),
        prepare=prepare,
        scores=scores,
    )
