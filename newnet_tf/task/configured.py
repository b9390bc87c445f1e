"""`ConfiguredTask`: a task whose models' outputs cannot be read without a config."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from newnet_tf.task.protocol import Task


class ConfiguredTask(Task):
    """A task with a config for each model. Inherit from it, and set its attributes.

    Args:
        config: object of `config_class`. Default: None; `configured` returns a task that has one.

    Attributes:
        config_class: class of the config, with `from_dict`.

        model_kind: str, what a model of the task is, such as `"detector"`.
    """

    config_class: ClassVar[Any]
    model_kind: ClassVar[str]

    def __init__(self, config: Any = None):
        self._config = config

    @property
    def config(self) -> Any:
        """The model's config; raises ValueError if the task has none."""
        if self._config is None:
            raise ValueError(
                f"the task {self.name!r} must know the {self.model_kind}'s config to read its outputs: "
                f"get_task({self.name!r}, metadata.task_config). Received: a task without config"
            )
        return self._config

    def configured(self, task_config: Mapping[str, Any] | None) -> Self:
        """Returns the task for a model's outputs.

        Args:
            task_config: mapping, `to_dict()` of the config; None, the task as it is.
        """
        if task_config is None:
            return self
        return type(self)(self.config_class.from_dict(task_config))
