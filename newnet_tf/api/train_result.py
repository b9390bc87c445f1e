"""`TrainResult`: what `newnet_tf.train` returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newnet_tf.evaluation.intervals import wilson
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import Task
from newnet_tf.training import checkpoint, curves, history as history_file
from newnet_tf.training.curve_diagnosis import CurveDiagnosis
from newnet_tf.training.history import TEST, figure_name, format_figure
from newnet_tf.training.recipes import Recipe
from newnet_tf.training.run import BEST, LAST, SUMMARY
from newnet_tf.utils import tables

FILES = {
    "best": BEST,
    "last": LAST,
    "checkpoint": checkpoint.NAME,
    "history": history_file.FILE,
    "curves": curves.FILE,
    "summary": SUMMARY,
    "tensorboard": "tensorboard",
}
NUMBERS = ("top-1 %", "low", "high", "epoch", "last %", "images")


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainResult:
    """A trained model and how its training went.

    Args:
        model: `keras.Model` with the weights of the best epoch, the one in `best.keras`; it returns
            logits. `newnet_tf.evaluate`, `predict` and `export` know its preprocessing and class
            names.

        name: str, the model's name.

        task: `Task`.

        recipe: `Recipe`.

        history: tuple of mappings, one for each epoch, as in `history.csv`.

        best: mapping, the row of the best epoch.

        diagnosis: `CurveDiagnosis` of the training curves.

        num_eval_samples: int, images that the test figures were measured on.

        preprocess: `PreprocessConfig` of the model; None for a loader of the user's.

        class_names: tuple of str, or None if they are unknown.

        output_dir: `Path` of the run's folder.

        files: mapping from `"best"`, `"last"`, `"checkpoint"`, `"history"`, `"curves"`,
            `"summary"`, `"tensorboard"` to the `Path` of each file there is. Empty on workers other
            than the first.

    Example:
        >>> result = newnet_tf.train("newnet_small", "flowers/", epochs=20)
        >>> print(result)
        >>> result.metrics["error"], result.best["epoch"], result.files["curves"]
    """

    model: Any
    name: str
    task: Task
    recipe: Recipe
    history: tuple[Mapping[str, float], ...]
    best: Mapping[str, float]
    diagnosis: CurveDiagnosis
    num_eval_samples: int
    preprocess: PreprocessConfig | None
    class_names: tuple[str, ...] | None
    output_dir: Path
    files: Mapping[str, Path]

    @property
    def metrics(self) -> dict[str, float]:
        """The test figures of the best epoch, by name."""
        return {
            column.removeprefix(TEST): value
            for column, value in self.best.items()
            if column.startswith(TEST)
        }

    def row(self) -> dict[str, object]:
        """Returns the result as a line of a table."""
        row: dict[str, object] = {"model": self.name}
        if self.task.name == "classification":
            last = self.history[-1]["test_error"]
            row |= self._accuracy() | {"epoch": self.best["epoch"], "last %": f"{100 - last:.2f}"}
        else:
            figures = {
                figure_name(name): format_figure(name, value, self.task)
                for name, value in self.metrics.items()
            }
            row |= {**figures, "epoch": self.best["epoch"]}
        return row | {"images": self.num_eval_samples, "diagnosis": self.diagnosis.kind}

    def _accuracy(self) -> dict[str, str]:
        """Returns the top-1 accuracy of the best epoch with Wilson's 95 % interval, in percent."""
        error, n = self.best["test_error"], self.num_eval_samples
        low, high = wilson(round(n * (1 - error / 100)), n)
        return {
            "top-1 %": f"{100 - error:.2f}",
            "low": f"{100 * low:.2f}",
            "high": f"{100 * high:.2f}",
        }

    def __str__(self) -> str:
        table = tables.table([self.row()], right=NUMBERS)
        return f"{table}\n\n{self.diagnosis}\n{self.output_dir}"
