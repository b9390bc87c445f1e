"""`LoadedModel`: a Keras model with its preprocessing and class names.

A Keras model carries neither. On disk they are in the files next to it (`data.sidecar`). In memory this
module keeps them for every model that `load_model`, `train` and `finetune` return, for as long as the
model object lives; `set_model_info` adds those of your own models. A copy of a model
(`keras.models.clone_model`) is another object and has none.
"""

from __future__ import annotations

import dataclasses
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from newnet_tf.models.config import PreprocessConfig

if TYPE_CHECKING:
    import keras

CLASSIFICATION = "classification"

_info: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False, kw_only=True)
class LoadedModel:
    """A Keras model and what is needed to use it.

    Args:
        model: `keras.Model`.

        name: str, the model's name in tables and file names.

        task: str, among `newnet_tf.task.TASKS`.

        preprocess: `PreprocessConfig` of its weights.

        class_names: tuple with one str for each class; None if they are unknown.

        is_trained: bool, whether its weights are trained.

        weights: str, tag or file name of its weights; "" if it is not trained.
    """

    model: keras.Model
    name: str
    task: str = CLASSIFICATION
    preprocess: PreprocessConfig
    class_names: tuple[str, ...] | None
    is_trained: bool
    weights: str

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.model.output_shape[-1]

    def check_trained(self) -> None:
        """Raises ValueError if the weights are not trained."""
        if not self.is_trained:
            raise ValueError(
                f"{self.name} has no public weights; pass a checkpoint file as `weights` "
                "(--weights). Received: no weights"
            )


def set_model_info(loaded: LoadedModel) -> None:
    """Keeps preprocessing, class names and name of a Keras model for as long as the object lives.

    `evaluate`, `predict`, `export` and `load_model` then take the Keras model alone.

    Args:
        loaded: `LoadedModel`.

    Example:
        >>> info = LoadedModel(model=model, name="own", preprocess=PreprocessConfig(image_size=160),
        ...                    class_names=("cat", "dog"), is_trained=True, weights="own")
        >>> set_model_info(info)
        >>> newnet_tf.evaluate(model, "pets/")
    """
    names = [field.name for field in dataclasses.fields(loaded) if field.name != "model"]
    _info[loaded.model] = {name: getattr(loaded, name) for name in names}


def known_model(model: Any) -> LoadedModel | None:
    """Returns a Keras model with what `set_model_info` keeps of it; None if that is nothing.

    Args:
        model: any object.
    """
    import keras

    if not isinstance(model, keras.Model) or model not in _info:
        return None
    return LoadedModel(model=model, **_info[model])
