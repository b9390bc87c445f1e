"""What several commands ask for: a model by name or file, images by file or folder."""

import contextlib
import dataclasses
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from newnet_tf import weights as checkpoints
from newnet_tf.data import sidecar
from newnet_tf.data.labels import imagenet_names
from newnet_tf.models import activations, registry
from newnet_tf.models.config import PreprocessConfig

# Color photographs that scikit-image's wheel carries, of different things.
AT_HAND = (
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "astronaut.png",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "retina.jpg",
)
CROPS = 64
REPLACED = "silu"  # what `--activation` stands in place of


@dataclass(frozen=True)
class Loaded:
    """A Keras model, its name, preprocessing, classes, and whether its weights are real."""

    model: object
    name: str
    preprocess: PreprocessConfig
    class_names: tuple[str, ...] | None
    is_trained: bool


def add_weights_arguments(parser) -> None:
    """Adds what chooses weights and preprocessing."""
    parser.add_argument(
        "--weights", help="tag or checkpoint file; default: the network's public weights, if any"
    )
    parser.add_argument(
        "--like", metavar="NAME", help="whose preprocessing a .keras or .tflite file of yours wants"
    )
    add_activation_argument(parser)


def add_activation_argument(parser) -> None:
    """Adds what puts another activation in place of SiLU."""
    kinds = [kind for kind in activations.KINDS if kind != REPLACED]
    parser.add_argument(
        "--activation",
        choices=kinds,
        help="in place of SiLU, for hardware without it; files are then called MODEL-ACTIVATION",
    )


def load(
    name: str,
    weights: str | None,
    like: str | None,
    classes: int | None = None,
    activation: str | None = None,
) -> Loaded:
    """Returns the model that `name` means: a network of the zoo, or a `.keras` file.

    Args:
        name, weights, like, classes: as the arguments of commands.
        activation: str or None, among `activations.KINDS`, takes the place of SiLU.
    """
    loaded = _load(name, weights, like, classes)
    if activation is None:
        return loaded
    model = with_activation(loaded.model, activation)
    if loaded.is_trained and not (weights and checkpoints.is_file(weights)):
        note(f"{loaded.name} learned with {REPLACED}, not {activation}: `newnet finetune "
             f"--activation {activation}` gives weights that fit")  # fmt: skip
    name = activations.renamed(loaded.name, activation)
    return dataclasses.replace(loaded, model=model, name=name)


def with_activation(model, activation: str | None):
    """Returns a Keras model with another activation in place of SiLU; None: the model itself."""
    if activation is None:
        return model
    return activations.replace_activation(model, REPLACED, activation)


def load_asked(arguments, name: str | None = None, activation: str | None = None) -> Loaded:
    """Returns the model that the arguments of a command mean.

    Args:
        arguments: of a command, those of `add_weights_arguments` among them, and `classes`.
        name, activation: str, where the command does not give them.
    """
    return load(
        name or arguments.model,
        arguments.weights,
        arguments.like,
        arguments.classes,
        arguments.activation or activation,
    )


def _load(name: str, weights: str | None, like: str | None, classes: int | None) -> Loaded:
    keras = start_keras()
    if not name.endswith(".keras"):
        variant, tag = registry.resolve(name)
        chosen = weights or tag or variant.card.default_weights
        is_file = chosen is not None and checkpoints.is_file(chosen)
        model = variant.build(weights=chosen, classes=classes, classifier_activation=None)
        record = registry.preprocess_record(like or variant.card.name, None if is_file else chosen)
        is_tag = (
            chosen is not None and not is_file and model.output_shape[-1] == variant.card.classes
        )
        own = variant.card.select(chosen).class_names if is_tag else ()
        names = class_names(model.output_shape[-1], own or None)
        return Loaded(model, variant.card.name, record, names, chosen is not None)
    if weights or classes:
        raise ValueError(
            f"a .keras file has its own weights. Received: {name} with "
            f"weights={weights!r}, classes={classes!r}"
        )
    if not Path(name).is_file():
        raise ValueError(f"`{name}` must be an existing .keras file. Received: no such file")
    try:
        model = keras.models.load_model(name, compile=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{name} must be a model that Keras saved. Received: {error}") from error
    record = registry.preprocess_record(like) if like else sidecar.preprocess_beside(name)
    record = record or registry.preprocess_record(activations.parted(model.name)[0])
    names = class_names(model.output_shape[-1], sidecar.labels_beside(name))
    return Loaded(model, Path(name).stem, record, names, True)


def no_activation(activation: str | None, file: str) -> None:
    """Raises ValueError where `--activation` is given with a file that is no Keras model any more."""
    if activation:
        raise ValueError(
            "`--activation` must come with a network of the zoo or a .keras file; in others nothing "
            f"can be replaced. Received: {file}"
        )


def titled(arguments) -> str:
    """Returns what is said of the model that a command was given: its name, and a new activation."""
    return f"{arguments.model}{f' with {arguments.activation}' if arguments.activation else ''}"


def class_names(classes: int, own: Sequence[str] | None) -> tuple[str, ...] | None:
    """Returns the names of a network's classes: its own, else ImageNet's if they are 1,000.

    Raises:
        ValueError: for another number of names than of classes.
    """
    if own is not None and len(own) != classes:
        raise ValueError(
            f"a file of labels must name {classes} classes, as there are scores. "
            f"Received: {len(own)}"
        )
    if own is not None:
        return tuple(own)
    return imagenet_names() if classes == len(imagenet_names()) else None


def start_keras():
    """Imports Keras and has it run once, without what TensorFlow says at both; returns it."""
    from newnet_tf.deploy.runtime import quiet

    with quiet():
        import keras

        keras.ops.add(keras.ops.ones((1,)), 1)
    return keras


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Returns the files that `paths` mean; a folder means the images in it."""
    from newnet_tf.data.images import list_images

    return [file for path in paths for file in (list_images(path) if path.is_dir() else [path])]


def readable(
    folder: Path, least: int, option: str, side: int, paths: list[Path] | None = None
) -> list[Path]:
    """Returns the images in a folder that can be read; names and counts what is odd about others.

    Args:
        folder: path. least: int, fewer than these are an error. option: str, what asked for them.
        side: int, smaller images are taken, enlarged, and counted.
        paths: some of its images; default: all.

    Raises:
        ValueError: for too few readable images, or no such folder.
    """
    from newnet_tf.data.images import read_images

    reader = read_images(paths or image_files([folder]))
    good, small = [], 0
    with no_warnings():
        for position, image in reader:
            good.append(reader.paths[position])
            small += min(image.shape[:2]) < side
    for bad in reader.skipped:
        note(f"skipped: {bad.reason}")
    count = f"{len(good)} readable images of {len(reader)} in {folder}"
    if len(good) < least:
        raise ValueError(f"{option} must hold {least} readable images or more. Received: {count}")
    if small:
        note(f"{option}: {small} of {len(good)} images are smaller than {side} and are enlarged")
    note(f"{option}: {count}")
    return good


def images_at_hand() -> list[Path]:
    """Returns real photographs of an installed package.

    Raises:
        ValueError: where scikit-image is not installed.
    """
    import importlib.util

    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ValueError(
            "images must be given, or scikit-image be installed, whose wheel carries some "
            "(pip install 'newnet_tf[demo]'). Received: neither"
        )
    folder = Path(spec.origin).parent / "data"
    return [folder / name for name in AT_HAND if (folder / name).exists()]


def crops_at_hand(count: int = CROPS, seed: int = 0) -> list:
    """Returns seeded random crops (8-100 % of the area) of the images at hand, uint8 arrays."""
    import numpy as np

    from newnet_tf.data.images import read_image

    random, found = np.random.RandomState(seed), []
    images = [read_image(path) for path in images_at_hand()]
    for number in range(count):
        image = images[number % len(images)]
        side = np.sqrt(random.uniform(0.08, 1)) * min(image.shape[:2])
        height = width = max(32, int(side))
        top = random.randint(0, max(1, image.shape[0] - height))
        left = random.randint(0, max(1, image.shape[1] - width))
        crop = image[top : top + height, left : left + width]
        found.append(np.ascontiguousarray(crop[:, ::-1] if random.rand() < 0.5 else crop))
    return found


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Keeps Python warnings off the terminal; commands say themselves what matters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def note(text: str) -> None:
    """Says something on stderr."""
    print(f"newnet: {text}", file=sys.stderr, flush=True)
