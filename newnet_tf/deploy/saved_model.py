"""Export of a Keras model to a SavedModel for servers: images in, named outputs out.

Resizing, cropping and normalizing are part of the graph.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from newnet_tf.data.images import read_image
from newnet_tf.data.preprocess import tf_preprocess
from newnet_tf.deploy import fingerprint, model_outputs
from newnet_tf.deploy.converter import silence
from newnet_tf.deploy.export_config import CLASSIFICATION
from newnet_tf.deploy.runtime import ModelFileError
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import get_task
from newnet_tf.utils.lazy import LazyModule, keras

if TYPE_CHECKING:
    from newnet_tf.task import Task

tf = LazyModule("tensorflow")

OUTPUT = "probabilities"  # of a classifier
EXTRA = "assets.extra"  # where TensorFlow Serving looks for files of the user's own
METADATA, CLASS_NAMES = "model.json", "class_names.txt"


@dataclass(frozen=True, kw_only=True)
class SavedModelMetadata:
    """What `export_saved_model` writes about a SavedModel.

    Args:
        model: str, the model's name.

        task: str, a name in `newnet_tf.task.TASKS`.

        outputs: tuple of str, names of the outputs in order.

        weights: str, sha256 over all weights.

        preprocess: `PreprocessConfig`.

        class_names: tuple of str, None where they are unknown.
    """

    model: str
    task: str
    outputs: tuple[str, ...]
    weights: str
    preprocess: PreprocessConfig
    class_names: tuple[str, ...] | None


def export_saved_model(
    model: Any,
    folder: str | os.PathLike,
    preprocess: PreprocessConfig,
    class_names: Sequence[str] | None = None,
    task: "str | Task" = CLASSIFICATION,
) -> Path:
    """Writes a SavedModel that takes images as they are: it resizes, crops and normalizes.

    It has two signatures. `serving_default` takes `images`, uint8 (n, height, width, channels) of any
    one size, values 0-255 (the model's own number of channels, 3, or 1 for gray). `encoded` takes
    `files`, strings (n,) with the bytes of JPEG or PNG files, each of any size. The output of a
    classifier is `probabilities`, float32 (n, classes); for another task the outputs are the model's.

    The folder also holds `assets.extra/model.json` (model, task, outputs, digests of weights and graph,
    preprocessing, versions) and, with `class_names`, `assets.extra/class_names.txt`.

    Args:
        model: Keras model as `export_tflite` takes it.

        folder: path. An earlier SavedModel there is replaced, anything else is not.

        preprocess: `PreprocessConfig` of its weights.

        class_names: names of the classes in order; of a classifier one for each output.

        task: str or `Task`. Default: `"classification"`.

    Returns:
        `folder`. It is written under another name and then renamed, so that it is never incomplete.

    Raises:
        ValueError: for a model of another kind, or another number of class names.

        FileExistsError: where something that is no SavedModel has that name.

    Example:
        >>> model = newnet_tf.create_model("efficientnet_lite0")
        >>> preprocess = newnet_tf.model_card("efficientnet_lite0").preprocess
        >>> export_saved_model(model, "build/lite0", preprocess)
        >>> serve = tf.saved_model.load("build/lite0").signatures["encoded"]
        >>> serve(files=tf.constant([open("cat.jpg", "rb").read()]))["probabilities"]
    """
    task = get_task(task)
    model_outputs.check_image_size(model, preprocess)
    exported, folder = model_outputs.export_model(model, task), Path(folder)
    if class_names is not None and task.name == CLASSIFICATION:
        classes = exported.outputs[0].shape[-1]
        if len(class_names) != classes:
            raise ValueError(
                f"`class_names` must hold {classes} names, as the model has outputs. "
                f"Received: {len(class_names)}"
            )
    replaces = folder.exists()
    if replaces and not (folder / "saved_model.pb").is_file():
        raise FileExistsError(
            f"`folder` must be new or hold a SavedModel. Received: {str(folder)!r}"
        )
    print(f"{folder.name}: exporting the SavedModel", file=sys.stderr, flush=True)
    with _staging(folder) as staging:
        new = staging / "new"
        with silence():
            _archive(exported, preprocess).write_out(new, verbose=False)
        _write_metadata(new / EXTRA, model, exported, preprocess, class_names, task)
        if replaces:
            os.replace(folder, staging / "old")
        os.replace(new, folder)
    return folder


def read_metadata(folder: str | os.PathLike) -> SavedModelMetadata:
    """Returns what `export_saved_model` wrote about a SavedModel.

    Raises:
        ModelFileError: where it is missing or damaged.
    """
    path = Path(folder, EXTRA, METADATA)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        fields = values["preprocess"]
        preprocess = PreprocessConfig(**fields | {k: tuple(fields[k]) for k in ("mean", "std")})
        names = path.with_name(CLASS_NAMES)
        lines = names.read_text(encoding="utf-8").splitlines() if names.is_file() else None
        return SavedModelMetadata(
            model=str(values["model"]),
            task=str(values["task"]),
            outputs=tuple(values["outputs"]),
            weights=str(values["weights"]),
            preprocess=preprocess,
            class_names=None if lines is None else tuple(lines),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"{folder} must be a SavedModel that `export_saved_model` wrote. Received: {error}"
        ) from error


class SavedModelRunner:
    """A SavedModel of `export_saved_model`, ready to run: images in, arrays out.

    Args:
        folder: path of the SavedModel.

    Attributes:
        metadata: `SavedModelMetadata`.

    Raises:
        ModelFileError: for a folder that is no such SavedModel.

    Example:
        >>> SavedModelRunner("build/lite0")(["cat.jpg", "cup.jpg"]).shape
        (2, 1000)
    """

    def __init__(self, folder: str | os.PathLike):
        self.metadata = read_metadata(folder)
        try:
            self._loaded = tf.saved_model.load(
                os.fspath(folder)
            )  # it must live with its signatures
            self._serve: Callable = self._loaded.signatures["serving_default"]
        except (OSError, ValueError, KeyError) as error:
            raise ModelFileError(
                f"{folder} must be a whole SavedModel. Received: {error}"
            ) from error

    @property
    def classes(self) -> int | None:
        """Number of classes of a classifier, None for another task."""
        if self.metadata.task != CLASSIFICATION:
            return None
        return self._serve.structured_outputs[OUTPUT].shape[-1]  # type: ignore[attr-defined]

    def __call__(self, images: Sequence[Any]) -> np.ndarray | dict[str, np.ndarray]:
        """Runs images of any size, one by one.

        Args:
            images: paths, encoded bytes or uint8 arrays (height, width, 3).

        Returns:
            Array (images, classes) of probabilities; for another task a dict of arrays.
        """
        rows = []
        for image in images:
            outputs = self._serve(images=self.pixels(image)[None])
            rows.append({name: tensor.numpy() for name, tensor in outputs.items()})
        joint = {
            name: np.concatenate([row[name] for row in rows]) for name in self.metadata.outputs
        }
        return joint[OUTPUT] if self.metadata.task == CLASSIFICATION else joint

    def pixels(self, image: Any) -> Any:
        """Returns an image as the SavedModel takes it: uint8 tensor (height, width, channels)."""
        pixels = read_image(image)
        if self.metadata.preprocess.channels == 1:
            pixels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
        return tf.constant(pixels)


def _archive(model: Any, preprocess: PreprocessConfig) -> Any:
    """Returns the graph with both signatures."""
    transform = tf_preprocess(preprocess)

    def serve(encoded):
        prepared = tf.map_fn(transform, encoded, fn_output_signature=tf.float32)
        outputs = model(prepared, training=False)
        return outputs if isinstance(outputs, dict) else {OUTPUT: tf.nn.softmax(outputs)}

    def of_images(images):
        return serve(images)

    def of_files(files):
        return serve(files)

    archive = keras.export.ExportArchive()
    archive.track(model)
    shape = (None, None, None, preprocess.channels)
    archive.add_endpoint("serving_default", of_images, [tf.TensorSpec(shape, tf.uint8, "images")])
    archive.add_endpoint("encoded", of_files, [tf.TensorSpec((None,), tf.string, "files")])
    return archive


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Gives a hidden folder in the same place, removed afterwards."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        yield staging
    finally:
        shutil.rmtree(staging)


def _write_metadata(
    folder: Path,
    model: Any,
    exported: Any,
    preprocess: PreprocessConfig,
    class_names: Sequence[str] | None,
    task: "Task",
) -> None:
    """Writes what a reader of the SavedModel needs to know."""
    folder.mkdir()
    outputs = list(exported.output) if isinstance(exported.output, dict) else [OUTPUT]
    values = {
        "model": model.name,
        "task": task.name,
        "outputs": outputs,
        "weights": fingerprint.weights_digest(exported),
        "graph": fingerprint.graph_digest(exported),
        "preprocess": dataclasses.asdict(preprocess),
        "versions": fingerprint.versions(),
    }
    (folder / METADATA).write_text(f"{json.dumps(values, indent=2)}\n", encoding="utf-8")
    if class_names is not None:
        names = "".join(f"{name}\n" for name in class_names)
        (folder / CLASS_NAMES).write_text(names, encoding="utf-8")
