"""A network as a run trains it: checked against the recipe, compiled, averaged."""

import contextlib
import math
from collections.abc import Callable, Iterator

from newnet_tf.training.fused_batch_norm import with_fused_norms
from newnet_tf.training.optimizers import make_optimizer
from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.lazy import keras


def build_model(build: Callable, recipe: Recipe):
    """Returns a network built under a recipe's seed and dtype policy, as in a process of its own.

    Args:
        build: callable, recipe -> Keras model. recipe: `Recipe`.
    """
    keras.utils.clear_session()  # names count from the beginning
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.dtype)
    return build(recipe)


def compiled(model, recipe: Recipe, steps: int):
    """Returns a compiled Keras model of the same layers; `model` itself stays uncompiled.

    Args:
        model: Keras model; the recipe's dropout, if any, is set. recipe: `Recipe`.
        steps: int, steps an epoch.
    """
    for layer in model.layers:
        if recipe.dropout is not None and isinstance(layer, keras.layers.Dropout):
            layer.rate = recipe.dropout
    made = with_fused_norms(model)
    # XLA takes 3 to 5 times as long on a CPU; other backends than TensorFlow need it.
    is_plain = keras.backend.backend() == "tensorflow" and not keras.distribution.list_devices(
        "gpu"
    )
    made.compile(
        optimizer=make_optimizer(recipe, made.trainable_variables, steps),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.CategoricalAccuracy("accuracy")],
        jit_compile=False if is_plain else "auto",
        auto_scale_loss=False,
    )
    return made


@contextlib.contextmanager
def averaged(trained, recipe: Recipe) -> Iterator[None]:
    """Puts the running average of the weights in their place for a while, if the recipe has one.

    Args:
        trained: compiled Keras model that has done a step. recipe: `Recipe`.
    """
    if recipe.ema_decay is None:
        yield
        return
    variables = trained.trainable_variables
    kept = [keras.ops.copy(variable) for variable in variables]
    trained.optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)


def described(model) -> dict[str, object]:
    """Returns what tells a network from others: name, input, numbers of parameters."""
    return {
        "name": model.name,
        "input": list(model.input_shape[1:]),
        "parameters": model.count_params(),
        "trained": sum(math.prod(v.shape) for v in model.trainable_variables),
    }


def check(model, data, recipe: Recipe) -> None:
    """Raises ValueError for what does not fit together."""
    if model.output_shape[-1] != data.classes or len(model.output_shape) != 2:
        raise ValueError(
            f"`model` must give logits of the data's {data.classes} classes. "
            f"Received: output_shape={model.output_shape}"
        )
    last = getattr(model.layers[-1], "activation", None)
    if last is keras.activations.softmax:
        raise ValueError(
            "`model` must give logits: build it with classifier_activation=None. "
            "Received: a softmax at its end"
        )
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
            f"`dropout` must be None for a network without dropout layers ({model.name}). "
            f"Received: dropout={recipe.dropout}"
        )
