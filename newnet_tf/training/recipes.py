"""`Recipe`: all hyperparameters of a training run in one record. No TensorFlow."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from newnet_tf.data.augment.config import Augmentation

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("cosine", "constant")
BALANCED = "balanced"
DTYPES = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained; the defaults are Nesterov SGD with ResNet's augmentation.

    Args:
        optimizer: `"sgd"` (see `optimizers.CoupledSGD`) or `"adamw"` (Keras' own).

        lr: float, the peak learning rate for batches of `base_batch_size`.

        base_batch_size: int or None; the learning rate for another batch size is scaled linearly.
            None: `lr` holds for any batch size.

        batch_size: int, images a step.

        epochs: int.

        warmup: float, epochs in which the learning rate rises from 0 to its peak, step by step.

        schedule: what follows the warm-up, `"cosine"` (down to 0 at the last step) or `"constant"`.

        momentum: float in 0 to below 1, for `"sgd"` only.

        nesterov: bool, for `"sgd"` only.

        weight_decay: float, for kernels only, not for biases and batch norm. With `"sgd"` it is added
            to the gradient (L2, as in PyTorch's SGD); with `"adamw"` it is decoupled.

        augmentation: `Augmentation`, which includes label smoothing.

        dropout: float in 0 to below 1, the rate of the model's dropout layers; None keeps their own.

        dtype: Keras dtype policy that the model must have been built with: `"float32"`,
            `"mixed_float16"` or `"mixed_bfloat16"`.

        ema_decay: float in 0 to below 1, decay of the exponential moving average of the weights, which
            is evaluated and saved in their place. None: no average.

        class_weight: weights of the classes in the loss: `"balanced"` (each class has the same weight
            in total), a mapping from class name to weight (1 for the others), or the same as JSON.
            Default: None, all 1.

        early_stopping: int or None, how many epochs in a row may be no better than the best one before
            the run ends. None: all epochs are trained.

        seed: int, decides order and augmentation.

    Raises:
        ValueError: if a value is not among those above.

    Example:
        >>> Recipe(lr=0.1, epochs=10, augmentation=Augmentation(crop="random", cutmix_alpha=1.0))
    """

    optimizer: str = "sgd"
    lr: float = 0.1
    base_batch_size: int | None = None
    batch_size: int = 128
    epochs: int = 100
    warmup: float = 0.0
    schedule: str = "cosine"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    dropout: float | None = None
    dtype: str = "float32"
    ema_decay: float | None = None
    class_weight: str | None = None
    early_stopping: int | None = None
    seed: int = 0

    def __post_init__(self):
        if isinstance(self.class_weight, Mapping):
            text = json.dumps(dict(self.class_weight), sort_keys=True, ensure_ascii=False)
            object.__setattr__(self, "class_weight", text)
        self._check("optimizer", self.optimizer in OPTIMIZERS, f"be among {OPTIMIZERS}")
        self._check("schedule", self.schedule in SCHEDULES, f"be among {SCHEDULES}")
        self._check("dtype", self.dtype in DTYPES, f"be among {DTYPES}")
        self._check("lr", _is_number(self.lr) and self.lr > 0, "be a positive number")
        for name in ("batch_size", "epochs"):
            self._check(name, _is_int(getattr(self, name), 1), "be a positive int")
        is_valid_base = self.base_batch_size is None or _is_int(self.base_batch_size, 1)
        self._check("base_batch_size", is_valid_base, "be a positive int or None")
        self._check("seed", _is_int(self.seed, 0), "be an int, not negative")
        is_patience = self.early_stopping is None or _is_int(self.early_stopping, 1)
        self._check("early_stopping", is_patience, "be a positive int or None")
        if self.class_weight not in (None, BALANCED):
            weights_by_name(self.class_weight)
        for name in ("warmup", "weight_decay"):
            value = getattr(self, name)
            self._check(name, _is_number(value) and value >= 0, "be a number, not negative")
        self._check("warmup", self.warmup < self.epochs, "be less than `epochs`")
        for name in ("momentum", "dropout", "ema_decay"):
            value = getattr(self, name)
            is_none = value is None and name != "momentum"
            is_valid = is_none or (_is_number(value) and 0 <= value < 1)
            self._check(name, is_valid, "lie in 0 to below 1")
        self._check("nesterov", isinstance(self.nesterov, bool), "be a bool")
        has_momentum = not self.nesterov or self.momentum > 0 or self.optimizer != "sgd"
        self._check("nesterov", has_momentum, "be False without momentum")
        is_augmentation = isinstance(self.augmentation, Augmentation)
        self._check("augmentation", is_augmentation, "be an `Augmentation`")

    @property
    def peak_lr(self) -> float:
        """The peak learning rate, for this recipe's own batch size."""
        return self.lr * self.batch_size / (self.base_batch_size or self.batch_size)

    def fit_batch_size(self, images: int, steps: int = 1) -> "Recipe":
        """Returns the recipe with a batch size that gives few images some steps an epoch.

        Args:
            images: int, number of training images.

            steps: int, the least steps an epoch, as far as there are images. Default: 1.
        """
        batch_size = min(self.batch_size, max(1, images // steps))
        return self if batch_size == self.batch_size else replace(self, batch_size=batch_size)

    def loader_options(self) -> dict[str, object]:
        """Returns what `ImageLoader` and `ArrayLoader` take from a recipe, by argument name."""
        return {
            "augmentation": self.augmentation,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    def flat(self) -> dict[str, object]:
        """Returns all fields by name, those of the augmentation as `"augmentation.NAME"`."""
        return flattened(dataclasses.asdict(self))

    def _check(self, name, is_valid, requirement):
        if not is_valid:
            raise ValueError(
                f"`{name}` must {requirement}. Received: {name}={getattr(self, name)!r}"
            )


def flattened(nested: Mapping[str, object]) -> dict[str, object]:
    """Returns nested mappings as one, keys joined by dots, tuples as lists (as in JSON).

    Args:
        nested: mapping of values and mappings.
    """
    flat = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": item for inner, item in flattened(value).items()}
        else:
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat


def weights_by_name(text: str) -> dict[str, float]:
    """Returns the mapping of a recipe's `class_weight`.

    Args:
        text: str, a JSON object of positive numbers by class name.

    Raises:
        ValueError: for any other text.
    """
    try:
        weights = json.loads(text)
    except (TypeError, ValueError):
        weights = None
    is_mapping = isinstance(weights, dict) and weights
    if not is_mapping or not all(_is_number(w) and w > 0 for w in weights.values()):
        raise ValueError(
            f"`class_weight` must be {BALANCED!r}, or positive numbers by class name, such as "
            f'{{"rose": 2.0}}. Received: class_weight={text!r}'
        )
    return weights


def _is_number(value) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _is_int(value, minimum: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum
