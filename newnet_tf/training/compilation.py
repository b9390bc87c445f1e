"""A model prepared for training: built by a recipe, checked against it, compiled for a task."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator

from newnet_tf.task import Task, get_task
from newnet_tf.training.fused_batch_norm import with_fused_norms
from newnet_tf.training.optimizers import make_optimizer
from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.lazy import keras


def build_model(build: Callable, recipe: Recipe):
    """Returns a model built under a recipe's seed and dtype policy, as in a new process.

    Args:
        build: callable, recipe -> Keras model.

        recipe: `Recipe`.
    """
    keras.utils.clear_session()  # automatic layer names are numbered from 0 again
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.dtype)
    return build(recipe)


def compile_model(model, recipe: Recipe, steps: int, task: str | Task = "classification"):
    """Returns a compiled Keras model with the layers of `model`, which itself stays uncompiled.

    Its loss is the task's; `train_on_batch(return_dict=True)` gives `"loss"`, the parts `"loss_<name>"`
    if there are several, and the task's `batch_metrics`.

    Args:
        model: Keras model; the recipe's dropout rate is set, if there is one.

        recipe: `Recipe`.

        steps: int, steps an epoch.

        task: name of a task, or a `Task`. Default: `"classification"`.
    """
    for layer in model.layers:
        if recipe.dropout is not None and isinstance(layer, keras.layers.Dropout):
            layer.rate = recipe.dropout
    fused = with_fused_norms(model)
    compiled = task_model()(fused.input, fused.output, name=model.name)
    compiled.task = get_task(task)
    # XLA takes 3 to 5 times as long on a CPU; other backends than TensorFlow need it.
    is_plain = keras.backend.backend() == "tensorflow" and not keras.distribution.list_devices(
        "gpu"
    )
    compiled.compile(
        optimizer=make_optimizer(recipe, compiled.trainable_variables, steps),
        jit_compile=False if is_plain else "auto",
        auto_scale_loss=False,
    )
    return compiled


@functools.cache
def task_model() -> type:
    """Returns the class `TaskModel`; Keras is imported only now."""

    class TaskModel(keras.Model):
        """A Keras model whose loss and batch metrics are those of its `task`."""

        task: Task

        def compute_losses(self, target, outputs) -> dict:
            """Returns the total loss, and its parts if there are several."""
            parts = self.task.loss(target, outputs)
            total = functools.reduce(keras.ops.add, parts.values())
            named = {f"loss_{name}": value for name, value in parts.items()}
            return {"loss": total, **(named if len(parts) > 1 else {})}

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return self.compute_losses(y, y_pred)["loss"]

        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            losses = self.compute_losses(y, y_pred)
            losses.pop("loss")  # the tracker has it
            tracked = super().compute_metrics(x, y, y_pred, sample_weight)
            return {**tracked, **losses, **self.task.batch_metrics(y, y_pred)}

    return TaskModel


@contextlib.contextmanager
def ema_weights(trained, recipe: Recipe) -> Iterator[None]:
    """Replaces the weights by their exponential moving average inside the context.

    Nothing changes if the recipe has no `ema_decay`.

    Args:
        trained: compiled Keras model that has done a step.

        recipe: `Recipe`.
    """
    if recipe.ema_decay is None:
        yield
        return
    variables = trained.trainable_variables
    current = [keras.ops.copy(variable) for variable in variables]
    trained.optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, current, strict=True):
            variable.assign(value)


def model_info(model) -> dict[str, object]:
    """Returns what identifies a model in a run: name, input shape, numbers of parameters."""
    return {
        "name": model.name,
        "input": list(model.input_shape[1:]),
        "parameters": model.count_params(),
        "trainable_parameters": sum(math.prod(v.shape) for v in model.trainable_variables),
    }


def check_model(model, recipe: Recipe) -> None:
    """Checks that a model can be trained by a recipe.

    Args:
        model: Keras model.

        recipe: `Recipe`.

    Raises:
        ValueError: if the model was built under another dtype policy, or the recipe sets dropout and
            the model has no dropout layers.
    """
    kernels = [x for x in model.layers if isinstance(x, keras.layers.Conv2D | keras.layers.Dense)]
    policies = {layer.dtype_policy.name for layer in kernels}
    if policies - {recipe.dtype}:
        raise ValueError(
            f"`model` must be built under the recipe's dtype policy ({recipe.dtype}; see "
            f"keras.config.set_dtype_policy). Received: {sorted(policies)}"
        )
    has_dropout = any(isinstance(x, keras.layers.Dropout) for x in model.layers)
    if recipe.dropout is not None and not has_dropout:
        raise ValueError(
            f"`dropout` must be None for a model without dropout layers ({model.name}). "
            f"Received: dropout={recipe.dropout}"
        )
