"""Evaluation during training: a model's outputs for every batch, added up by the task's metrics."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from newnet_tf.task import Metrics, Task, get_task


def evaluate_batches(
    predict: Callable, batches: Iterable, task: str | Task = "classification"
) -> Metrics:
    """Returns a task's metrics over some batches.

    Args:
        predict: callable, images -> outputs, an array or a mapping of arrays.

        batches: iterable of (images, labels), as a loader's `test()` gives them.

        task: name of a task, or a `Task`. Default: `"classification"`.

    Example:
        >>> evaluate_batches(model.predict_on_batch, loader.test()).result()
        {'error': 12.5, 'loss': 0.431}
    """
    metrics = get_task(task).metrics()
    for images, labels in batches:
        metrics.update(to_numpy(labels), to_numpy(predict(images)))
    return metrics


def to_numpy(values: Any) -> Any:
    """Returns an array, or a mapping of arrays, in NumPy.

    Args:
        values: tensor, array, or a mapping of them.
    """
    if isinstance(values, Mapping):
        return {name: np.asarray(value) for name, value in values.items()}
    return np.asarray(values)
