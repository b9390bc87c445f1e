"""`Recipe`: everything that decides how a network is trained, as one record. No TensorFlow."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from newnet_tf.data.augment.config import Augmentation

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("cosine", "constant")
DTYPES = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained; the defaults are plain Nesterov SGD with ResNet's augmentation.

    Args:
        optimizer: `"sgd"` (see `optimizers.CoupledSGD`) or `"adamw"` (Keras' own).
        lr: float, the highest learning rate, stated for batches of `base_batch_size`.
        base_batch_size: int or None; the rate of another batch is in proportion. None: `lr` as it stands.
        batch_size: int, images a step. epochs: int.
        warmup: float, epochs in which the rate rises from 0 to its highest, step by step.
        schedule: what follows, `"cosine"` (down to 0 at the last step) or `"constant"`.
        momentum: float in 0 to below 1. nesterov: bool. Both of `"sgd"` alone.
        weight_decay: float, for kernels alone, not for biases and batch norm. With `"sgd"` it is
            added to the gradient (L2, as PyTorch's SGD does); with `"adamw"` it is decoupled.
        augmentation: `Augmentation`, label smoothing among it.
        dropout: float, the rate of the network's dropout layers; None leaves them as they are.
        dtype: Keras dtype policy that the network must have been built with.
        ema_decay: float in 0 to below 1, share that a running average of the weights keeps each step; the
            average is what is evaluated and saved. None: no average.
        seed: int, decides order and augmentation.

    Raises:
        ValueError: for a value outside of the above.

    Example:
        >>> Recipe(lr=0.1, epochs=10, augmentation=Augmentation(crop="padded", cutmix=1.0))
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
    seed: int = 0

    def __post_init__(self):
        self._check("optimizer", self.optimizer in OPTIMIZERS, f"be among {OPTIMIZERS}")
        self._check("schedule", self.schedule in SCHEDULES, f"be among {SCHEDULES}")
        self._check("dtype", self.dtype in DTYPES, f"be among {DTYPES}")
        self._check("lr", _is_number(self.lr) and self.lr > 0, "be a positive number")
        for name in ("batch", "epochs"):
            self._check(name, _is_whole(getattr(self, name), 1), "be a positive int")
        is_stated = self.base_batch_size is None or _is_whole(self.base_batch_size, 1)
        self._check("base_batch_size", is_stated, "be a positive int or None")
        self._check("seed", _is_whole(self.seed, 0), "be an int, not negative")
        for name in ("warmup", "weight_decay"):
            value = getattr(self, name)
            self._check(name, _is_number(value) and value >= 0, "be a number, not negative")
        self._check("warmup", self.warmup < self.epochs, "be less than `epochs`")
        for name in ("momentum", "dropout", "ema"):
            value = getattr(self, name)
            is_none = value is None and name != "momentum"
            is_right = is_none or (_is_number(value) and 0 <= value < 1)
            self._check(name, is_right, "lie in 0 to below 1")
        self._check("nesterov", isinstance(self.nesterov, bool), "be a bool")
        is_momentous = not self.nesterov or self.momentum > 0 or self.optimizer != "sgd"
        self._check("nesterov", is_momentous, "be False without momentum")
        is_record = isinstance(self.augmentation, Augmentation)
        self._check("augmentation", is_record, "be an `Augmentation`")

    @property
    def peak_lr(self) -> float:
        """The highest learning rate, for this recipe's own batch."""
        return self.lr * self.batch_size / (self.base_batch_size or self.batch_size)

    def flat(self) -> dict[str, object]:
        """Returns all fields by name, those of the augmentation as `"augmentation.NAME"`."""
        return flattened(dataclasses.asdict(self))

    def _check(self, name, is_right, requirement):
        if not is_right:
            raise ValueError(
                f"`{name}` must {requirement}. Received: {name}={getattr(self, name)!r}"
            )


def flattened(nested: Mapping[str, object]) -> dict[str, object]:
    """Returns a mapping of mappings as one, keys joined by dots, tuples as lists (as JSON has it)."""
    flat = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": found for inner, found in flattened(value).items()}
        else:
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat


def _is_number(value) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _is_whole(value, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
