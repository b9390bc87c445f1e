"""A recipe's optimizer: Keras' own, with L2 weight decay, as the models of the talk were trained.

PyTorch's SGD, which the talk's and ReXNet's authors used, adds `weight_decay * w` to the gradient
before the momentum. Keras' `weight_decay` is different: it shrinks `w` by `learning_rate *
weight_decay` next to the momentum ("decoupled", as in AdamW). With a constant learning rate
`CoupledSGD` takes PyTorch's steps exactly. When the learning rate changes, Keras keeps earlier
gradients in the momentum scaled by the learning rate of their step, PyTorch by the current one.
"""

import functools

from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.lazy import keras


def make_optimizer(recipe: Recipe, variables, steps: int):
    """Returns a Keras optimizer, built for `variables`.

    Args:
        recipe: `Recipe`.

        variables: Keras variables to train.

        steps: int, steps an epoch.
    """
    options = {"learning_rate": learning_rate(recipe, steps)}
    if recipe.ema_decay is not None:
        options |= {"use_ema": True, "ema_momentum": recipe.ema_decay}
    not_decayed = [variable for variable in variables if not is_decayed(variable)]
    if recipe.optimizer == "sgd":
        options |= {"momentum": recipe.momentum, "nesterov": recipe.nesterov}
        optimizer = coupled_sgd()(recipe.weight_decay, **options)
    else:
        optimizer = keras.optimizers.AdamW(weight_decay=recipe.weight_decay, **options)
    optimizer.exclude_from_weight_decay(var_list=not_decayed)
    if recipe.dtype == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


def learning_rate(recipe: Recipe, steps: int):
    """Returns the learning rate as a Keras schedule of the step (a float where it never changes).

    It rises linearly from 0 over `recipe.warmup` epochs to `recipe.peak_lr`, then falls along half a
    cosine to 0 after the last step, or stays constant.

    Args:
        recipe: `Recipe`.

        steps: int, steps an epoch.
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
    """Returns whether weight decay applies to `variable`: a kernel, not a bias or batch norm's.

    Args:
        variable: Keras variable.
    """
    return variable.name.endswith("kernel")


@functools.cache
def coupled_sgd() -> type:
    """Returns the class `CoupledSGD`; Keras is imported only now."""

    class CoupledSGD(type(keras.optimizers.SGD())):  # the backend's own
        """SGD whose weight decay is L2: added to the gradient, before the momentum.

        Args:
            l2: float, weight decay of all variables but those of `exclude_from_weight_decay`.

            options: arguments of `keras.optimizers.SGD`.
        """

        def __init__(self, l2: float, **options):
            super().__init__(**options)
            self.l2 = l2

        def update_step(self, gradient, variable, learning_rate):
            if self.l2 and self._use_weight_decay(variable):
                gradient = keras.ops.add(gradient, keras.ops.multiply(variable, self.l2))
            super().update_step(gradient, variable, learning_rate)

        def _parallel_update_step(self, grads, variables, learning_rate):
            """As `update_step`, for all variables at once: Keras calls it under PyTorch."""
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
