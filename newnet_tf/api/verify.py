"""`newnet_tf.verify`: exported files compared with the Keras model that they were made from."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newnet_tf.api.arguments import check_images, check_model
from newnet_tf.api.image_sets import MIN_VALIDATION, Images, validation_set
from newnet_tf.deploy.verification import Verification
from newnet_tf.inference.loaded import LoadedModel
from newnet_tf.inference.model import load_model
from newnet_tf.models import activations, registry
from newnet_tf.models.config import PreprocessConfig


@dataclass(frozen=True)
class FileVerification(os.PathLike):
    """One file and its verification. It can be used as a path.

    Args:
        file: `Path`.

        verification: `Verification`.
    """

    file: Path
    verification: Verification

    @property
    def passed(self) -> bool:
        """Whether the file's outputs are the model's, within the tolerance of its precision."""
        return self.verification.passed

    def __fspath__(self) -> str:
        return os.fspath(self.file)

    def __str__(self) -> str:
        reasons = "; ".join(self.verification.reasons)
        return (
            f"{self.file}: {'ok' if self.passed else f'FAILED: {reasons}'}\n  {self.verification}"
        )


def verify(
    files: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    model: Any = None,
    images: Images = None,
    weights: str | os.PathLike | None = None,
    preprocess_as: str | None = None,
    preprocess: PreprocessConfig | str | os.PathLike | None = None,
    class_names: Sequence[str] | str | os.PathLike | None = None,
    classes: int | None = None,
    task: str | None = None,
    outputs: str | None = None,
    activation: str | None = None,
) -> list[FileVerification]:
    """Compares exported files with the Keras model that they were made from.

    A `.tflite` file runs in a process of its own: one that crashes the runtime is an invalid model, and
    an error here.

    Args:
        files: path, or list of paths, of `.tflite`, `.onnx` or `.keras` files or of folders of
            SavedModels.

        model: what `load_model` takes. Default: the model that each file names.

        images: images to compare on: a list of images, path of a folder, or `Split` of a dataset, of
            which 100 are drawn. Default: scikit-image's photographs.

        weights: str or path, as in `load_model`.

        preprocess_as: str, as in `load_model`.

        preprocess: `PreprocessConfig` or path, as in `load_model`.

        class_names: names or path, as in `load_model`.

        classes: int, as in `load_model`.

        task: str, as in `load_model`.

        outputs: str, what the model's outputs are, as in `load_model`.

        activation: str, as in `load_model`.

    Returns:
        List of `FileVerification`, one for each file; ask its `passed`.

    Raises:
        ValueError: for a file that cannot be run, that does not name its model where `model` is None,
            or that was made from other weights.

    Example:
        >>> files = newnet_tf.export("rexnet_100", "out", precisions=["int8-full"])
        >>> print(newnet_tf.verify(files)[0])
    """
    from newnet_tf.deploy import formats

    paths = [files] if isinstance(files, str | os.PathLike) else list(files)
    given = {
        "weights": weights,
        "preprocess_as": preprocess_as,
        "preprocess": preprocess,
        "class_names": class_names,
        "classes": classes,
        "task": task,
        "outputs": outputs,
    }
    for file in paths:
        if not Path(file).exists():
            raise ValueError(f"`files` must exist. Received: {os.fspath(file)}: no such file")
        formats.format_of(file)
    check_images("images", images, MIN_VALIDATION, "--images")
    sources = [_source(file, model, activation) for file in paths]
    for source, replaced in sources:
        check_model(source, **given, activation=replaced)
    loaded: dict[Any, LoadedModel] = {}
    results = []
    for file, (source, replaced) in zip(paths, sources, strict=True):
        key = source if isinstance(source, str) else id(source)
        if key not in loaded:
            loaded[key] = load_model(source, **given, activation=replaced)
            loaded[key].check_trained()
        known = loaded[key]
        validation = validation_set(images, known.preprocess.image_size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verification = formats.verify_file(known.model, file, validation, known.metadata)
        results.append(FileVerification(Path(file), verification))
    return results


def _source(file: str | os.PathLike, model: Any, activation: str | None) -> tuple[Any, str | None]:
    """Returns the model that a file is compared with, and the activation that replaces SiLU in it."""
    from newnet_tf.deploy import formats

    if model is not None:
        return model, activation
    name = formats.model_name_of(file)
    if name is not None and activations.split_name(name)[0] not in registry.list_models():
        raise ValueError(
            f"{os.fspath(file)} was made from a model of its user's own: pass that as `model` (--model "
            f"FILE.keras). Received: no model; the file calls it {name!r}"
        )
    if name is None:
        raise ValueError(
            f"{os.fspath(file)} does not name its model: pass `model` (--model). Received: no model"
        )
    name, own = activations.split_name(name)
    return name, activation or own
