"""The tasks by name, and the `Task` protocol by which the engine knows them. No TensorFlow."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from newnet_tf.task.configured import ConfiguredTask
from newnet_tf.task.protocol import MODES, Metrics, Task
from newnet_tf.task.records import PostprocessOperator, Prediction

if TYPE_CHECKING:
    from newnet_tf.models.config.metadata import ModelMetadata

__all__ = [
    "MODES",
    "TASKS",
    "ConfiguredTask",
    "Metrics",
    "PostprocessOperator",
    "Prediction",
    "Task",
    "get_task",
    "task_of",
]
TASKS = {  # name: module that defines `TASK`
    "classification": "newnet_tf.classification.task",
    "multilabel_classification": "newnet_tf.classification.multilabel",
    "detection": "newnet_tf.detection.task",
    "text_detection": "newnet_tf.text.task",
}


def get_task(task: str | Task, task_config: Mapping[str, Any] | None = None) -> Task:
    """Returns a task by name; its module is imported at first use.

    Args:
        task: str, among `TASKS`, or a `Task`, which is returned as it is.

        task_config: mapping or None, `ModelMetadata.task_config` of the model whose outputs the task
            reads. Default: None, none.

    Raises:
        ValueError: if the name is unknown.
    """
    if not isinstance(task, str):
        if getattr(task, "mode", None) not in MODES:
            raise ValueError(
                f"`task` must be a name ({', '.join(TASKS)}) or a `Task` with a `mode` among {MODES}. "
                f"Received: task={task!r}"
            )
        return task
    if task not in TASKS:
        raise ValueError(f"`task` must be among {', '.join(TASKS)}. Received: task={task!r}")
    return importlib.import_module(TASKS[task]).TASK.configured(task_config)


def task_of(metadata: "ModelMetadata") -> Task:
    """Returns the task of a model, which can read its outputs.

    Args:
        metadata: `ModelMetadata`.
    """
    return get_task(metadata.task, metadata.task_config)
