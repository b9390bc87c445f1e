"""Training: recipes, a loop that can be killed and goes on, curves that are read in plain words.

Importing this package loads nothing.
"""

from newnet_tf.utils.lazy import exports

PUBLIC = {
    "Arrays": "newnet_tf.training.array_loader",
    "Outcome": "newnet_tf.training.trainer",
    "Images": "newnet_tf.training.image_loader",
    "RECIPES": "newnet_tf.training.recipe_registry",
    "Recipe": "newnet_tf.training.recipes",
    "TuneResult": "newnet_tf.training.tuning.trials",
    "TrainingStopped": "newnet_tf.training.run_files",
    "with_stride1_stem": "newnet_tf.models.cifar_stem",
    "get_recipe": "newnet_tf.training.recipe_registry",
    "overridden": "newnet_tf.training.overrides",
    "tune": "newnet_tf.training.tuning.tune",
    "train": "newnet_tf.training.trainer",
}

__all__ = sorted(PUBLIC)  # noqa: PLE0605
__getattr__, __dir__ = exports(__name__, PUBLIC)
