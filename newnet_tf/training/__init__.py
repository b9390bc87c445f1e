"""Training: recipes, a loop that can be killed and resumed, training curves with a diagnosis.

Importing this package loads nothing.
"""

from newnet_tf.utils.lazy import exports

PUBLIC = {
    "FitResult": "newnet_tf.training.run",
    "RECIPES": "newnet_tf.training.recipe_registry",
    "Recipe": "newnet_tf.training.recipes",
    "TrainingStopped": "newnet_tf.training.run_files",
    "fit": "newnet_tf.training.trainer",
    "get_recipe": "newnet_tf.training.recipe_registry",
    "override": "newnet_tf.training.overrides",
    "run_trials": "newnet_tf.training.tuning.trial_runner",
}

__all__ = sorted(PUBLIC)  # noqa: PLE0605
__getattr__, __dir__ = exports(__name__, PUBLIC)
