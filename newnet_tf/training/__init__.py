"""Training: recipes, a loop that can be killed and goes on, curves that are read in plain words.

Importing this package loads nothing.
"""

from newnet_tf.lazy import exports

PUBLIC = {
    "Arrays": "newnet_tf.training.arrays",
    "Outcome": "newnet_tf.training.loop",
    "Pictures": "newnet_tf.training.pictures",
    "RECIPES": "newnet_tf.training.named",
    "Recipe": "newnet_tf.training.recipes",
    "StudyOutcome": "newnet_tf.training.trials",
    "TrainingStopped": "newnet_tf.training.files",
    "for_small_pictures": "newnet_tf.training.small",
    "named_recipe": "newnet_tf.training.named",
    "overridden": "newnet_tf.training.overrides",
    "run_study": "newnet_tf.training.study",
    "train": "newnet_tf.training.loop",
}

__all__ = sorted(PUBLIC)  # noqa: PLE0605
__getattr__, __dir__ = exports(__name__, PUBLIC)
