"""The weights of the classes in the loss of a run."""

from collections.abc import Sequence

import numpy as np

from newnet_tf.task import Task
from newnet_tf.training.recipes import BALANCED, Recipe, weights_by_name


def weighted_task(task: Task, recipe: Recipe, loader) -> Task:
    """Returns a task whose loss has the recipe's class weights; without any, the task itself.

    Args:
        task: `Task`.

        recipe: `Recipe`.

        loader: what has the training images: `class_counts` (int array, images of each class),
            `num_train_samples` and `class_names`, as `data.ImageLoader`.

    Raises:
        ValueError: for a task or a loader without class weights, or an unknown class name.
    """
    if recipe.class_weight is None:
        return task
    needed = ("class_counts", "num_train_samples", "class_names")
    if not hasattr(task, "with_class_weight") or not all(hasattr(loader, n) for n in needed):
        raise ValueError(
            "`class_weight` must come with a classification task and a loader that has "
            f"{', '.join(needed)}. Received: task {task.name!r}, {type(loader).__name__}"
        )
    counts = loader.class_counts if recipe.class_weight == BALANCED else None
    weights = class_weights(
        task, recipe.class_weight, loader.class_names, counts, loader.num_train_samples
    )
    return task.with_class_weight(weights)


def class_weights(
    task: Task,
    class_weight: str,
    class_names: Sequence[str],
    counts: np.ndarray | None,
    images: int,
) -> tuple[float, ...]:
    """Returns a recipe's class weights as numbers.

    Args:
        task: `Task` with a `balanced_weight`.

        class_weight: str, as in `Recipe`.

        class_names: one str for each class.

        counts: int array, training images of each class, for `"balanced"`.

        images: int, number of training images.

    Raises:
        ValueError: for an unknown class name.
    """
    if class_weight == BALANCED:
        return tuple(float(w) for w in task.balanced_weight(counts, images))
    named = weights_by_name(class_weight)
    unknown = sorted(set(named) - set(class_names))
    if unknown:
        raise ValueError(
            f"`class_weight` must name classes of the data ({', '.join(class_names[:9])}"
            f"{', ...' if len(class_names) > 9 else ''}). Received: {', '.join(unknown)}"
        )
    return tuple(float(named.get(name, 1.0)) for name in class_names)
