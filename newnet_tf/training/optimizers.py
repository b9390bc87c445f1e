"""A recipe's optimizer: Keras' own, with L2 weight decay as the networks of the talk were trained.

PyTorch's SGD, which the talk's and ReXNet's authors used, adds `weight_decay * w` to the gradient
before the momentum. Keras' `weight_decay` is another thing: it shrinks `w` by `rate * weight_decay`
beside the momentum ("decoupled", as in AdamW). With a constant rate `CoupledSGD` takes PyTorch's
steps exactly; when the rate changes, Keras has earlier gradients in the momentum at the rate of
their time, PyTorch at today's.
"""

import functools

from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.lazy import keras


def make_optimizer(recipe: Recipe, variables, steps: int):
    """Returns a Keras optimizer, built for `variables`.

    Args:
        recipe: `Recipe`. variables: Keras variables to train. steps: int, steps an epoch.
    """
    options = {"learning_rate": learning_rate(recipe, steps)}
    if recipe.ema_decay is not None:
        options |= {"use_ema": True, "ema_momentum": recipe.ema_decay}
    free = [variable for variable in variables if not is_decayed(variable)]
    if recipe.optimizer == "sgd":
        options |= {"momentum": recipe.momentum, "nesterov": recipe.nesterov}
        made = coupled_sgd()(recipe.weight_decay, **options)
    else:
        made = keras.optimizers.AdamW(weight_decay=recipe.weight_decay, **options)
    made.exclude_from_weight_decay(var_list=free)
    if recipe.dtype == "mixed_float16":
        made = keras.optimizers.LossScaleOptimizer(made)
    made.build(variables)
    return made


def learning_rate(recipe: Recipe, steps: int):
    """Returns the rate as a Keras schedule of the step (or a float where it never changes).

    It rises linearly from 0 over `recipe.warmup` epochs to `recipe.peak`, then falls along half a
    cosine to 0 after the last step, or stays.

    Args:
        recipe: `Recipe`. steps: int, steps an epoch.
    """
    warmup = round(recipe.warmup * steps)
    if recipe.schedule == "cosine":
        falling = max(1, recipe.epochs * steps - warmup)
        if not warmup:
            return keras.optimizers.schedules.CosineDecay(recipe.peak_lr, falling)
        return keras.optimizers.schedules.CosineDecay(
            0.0, falling, warmup_target=recipe.peak_lr, warmup_steps=warmup
        )
    if not warmup:
        return recipe.peak_lr
    return keras.optimizers.schedules.PolynomialDecay(0.0, warmup, recipe.peak_lr)


def is_decayed(variable) -> bool:
    """Whether weight decay is for `variable`: a kernel, not a bias or a number of batch norm."""
    return variable.name.endswith("kernel")


@functools.cache
def coupled_sgd() -> type:
    """Returns the class `CoupledSGD`; Keras is imported only now."""

    class CoupledSGD(type(keras.optimizers.SGD())):  # the backend's own
        """SGD whose weight decay is L2: added to the gradient, before the momentum.

        Args:
            l2: float, weight decay of all variables but those of `exclude_from_weight_decay`.
            options: of `keras.optimizers.SGD`.
        """

        def __init__(self, l2: float, **options):
            super().__init__(**options)
            self.l2 = l2

        def update_step(self, gradient, variable, learning_rate):
            if self.l2 and self._use_weight_decay(variable):
                gradient = keras.ops.add(gradient, keras.ops.multiply(variable, self.l2))
            super().update_step(gradient, variable, learning_rate)

        def _parallel_update_step(self, grads, variables, learning_rate):
            """As `update_step`, for all variables at once: Keras asks for this under PyTorch."""
            if self.l2:
                grads = [
                    grad.add(variable.value, alpha=self.l2)
                    if self._use_weight_decay(variable)
                    else grad
                    for grad, variable in zip(grads, variables, strict=True)
                ]
            super()._parallel_update_step(grads, variables, learning_rate)

        def get_config(self):
            return super().get_config() | {"l2": self.l2}

    return CoupledSGD
