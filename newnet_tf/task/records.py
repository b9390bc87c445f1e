"""What tasks give: predictions for images, and operators for files. Standard library only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Prediction:
    """One prediction for an image: a class, and where it is, if the task says so.

    Args:
        label: str or None, name of the class; None where names are unknown.

        class_index: int, number of the class, from 0.

        score: float, confidence of the prediction; a probability in 0 to 1 where the task gives one.

        box: tuple of four floats or None, `(x1, y1, x2, y2)` in pixels of the original image.

        polygon: sequence of `(x, y)` or None, corners in pixels of the original image.

        mask: bool array (height, width) or None, at the size of the original image.

    Example:
        >>> print(Prediction("tabby", 281, 0.874))
        tabby 87.4 %
    """

    label: str | None
    class_index: int
    score: float
    box: tuple[float, float, float, float] | None = None
    polygon: Sequence[tuple[float, float]] | None = None
    mask: "np.ndarray | None" = None

    def __str__(self) -> str:
        name = self.label if self.label is not None else f"class {self.class_index}"
        place = "" if self.box is None else f" at ({', '.join(f'{x:.0f}' for x in self.box)})"
        return f"{name} {100 * self.score:.1f} %{place}"


@dataclass(frozen=True, eq=False, kw_only=True)
class PostprocessOperator:
    """A custom TFLite operator that turns a model's raw outputs into results, inside its file.

    Args:
        name: str, the operator's name, which interpreters on phones know.

        inputs: tuple, each the name of an output of the model, or a float32 array, a constant.

        activations: mapping from the name of an output to `"sigmoid"` or `"softmax"`, which is applied
            before.

        options: mapping from name to bool, int or float.

        outputs: mapping from name to shape, in the operator's order; all are float32.
    """

    name: str
    inputs: tuple[Any, ...]
    activations: Mapping[str, str]
    options: Mapping[str, bool | int | float]
    outputs: Mapping[str, tuple[int, ...]]
