"""The search space of a hyperparameter search: recipe fields, each with choices or a range."""

import itertools
import math
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from newnet_tf.training.overrides import as_text, kinds, override, typed
from newnet_tf.training.recipes import Recipe

SYNTAX = "NAME=LOW..HIGH, NAME=LOW..HIGH:log or NAME=VALUE,VALUE[,...]"
RANGE, LOG = "..", ":log"
DIGITS = 3  # significant digits of values sampled from a range
FACTORS = (1 / 3, 1, 3)  # times a recipe's own value
WEIGHT_DECAYS = (0.0, 1e-5, 1e-4)  # for a recipe that has none
MAX_CHECKED = 1000  # settings that are checked beforehand
UNORDERED = ("seed",)


@dataclass(frozen=True, kw_only=True)
class SearchDimension:
    """A recipe field that is varied. `str()` gives what `--search` takes.

    Args:
        name: str, as in `override`.

        choices: tuple of two or more values of the field's type, in their order; empty for a range.

        low, high: numbers of the field's type, the ends of a range; None for choices.

        is_log: bool, whether a range is sampled and plotted on a logarithmic scale.
    """

    name: str
    choices: tuple = ()
    low: float | None = None
    high: float | None = None
    is_log: bool = False

    def __str__(self) -> str:
        if self.choices:
            between = "/" if isinstance(self.choices[0], tuple) else ","
            return f"{self.name}={between.join(map(as_text, self.choices))}"
        ends = f"{as_text(self.low)}{RANGE}{as_text(self.high)}"
        return f"{self.name}={ends}{LOG if self.is_log else ''}"

    @property
    def ends(self) -> tuple:
        """The values that every other lies between: those of a range, or all choices."""
        return self.choices or (self.low, self.high)

    @property
    def is_numeric(self) -> bool:
        """Whether the values are numbers that can be ordered."""
        return self.name not in UNORDERED and all(
            isinstance(value, (int, float)) and not isinstance(value, bool) for value in self.ends
        )

    @property
    def ordered(self) -> tuple:
        """`ends`, numbers by size."""
        return tuple(sorted(self.ends)) if self.is_numeric else self.ends

    def suggest(self, trial) -> object:
        """Returns an Optuna trial's value, as Optuna stores it; the first call samples it."""
        if self.choices:
            return trial.suggest_categorical(self.name, [storable(value) for value in self.choices])
        if isinstance(self.low, int):
            return trial.suggest_int(self.name, self.low, self.high, log=self.is_log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.is_log)

    def value(self, stored) -> object:
        """Returns the field's value from what Optuna stores; of a range, with three digits."""
        value = typed(self.name, stored)
        if self.choices or isinstance(value, int):
            return value
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


def parse_search_space(
    recipe: Recipe, search_space: Mapping[str, object]
) -> tuple[SearchDimension, ...]:
    """Returns the dimensions of a search space, checked.

    Args:
        recipe: `Recipe`, all other fields.

        search_space: mapping from a field's name, as in `override`, to its values: a sequence of two or
            more, or text: `"1e-5,1e-4"` (choices; choices of pairs are separated by slashes:
            `"0.08,1/0.5,1"`), `"0.02..0.4"` (a range), `"0.02..0.4:log"` (sampled logarithmically).

    Raises:
        ValueError: if a name is unknown, a value has another type, there are fewer than two choices or
            equal ones, a range is empty, or a setting is not a valid recipe.

    Example:
        >>> parse_search_space(recipe, {"lr": "0.02..0.4:log", "weight_decay": [1e-5, 1e-4]})
    """
    if not search_space:
        raise ValueError("`search_space` must name a field of the recipe. Received: none")
    dimensions = tuple(_dimension(name, values) for name, values in search_space.items())
    for point in itertools.islice(grid_points(dimensions, ends=True), MAX_CHECKED):
        try:
            override(recipe, point)
        except ValueError as error:
            raise ValueError(
                f"every setting must be a recipe: {error} (in {as_setting(point)})"
            ) from None
    return dimensions


def default_search_space(recipe: Recipe) -> dict[str, tuple]:
    """Returns learning rate and weight decay, each a third, once and three times the recipe's own."""

    def near(own):
        return tuple(own if factor == 1 else float(f"{own * factor:.2g}") for factor in FACTORS)

    decays = near(recipe.weight_decay) if recipe.weight_decay else WEIGHT_DECAYS
    return {"lr": near(recipe.lr), "weight_decay": decays}


def grid_points(
    dimensions: Iterable[SearchDimension], ends: bool = False
) -> Iterable[dict[str, object]]:
    """Returns all settings of a grid, as mappings from name to value.

    Args:
        dimensions: `SearchDimension`s.

        ends: bool, whether a range is replaced by its two ends. Default: False.
    """
    dimensions = tuple(dimensions)
    names = [dimension.name for dimension in dimensions]
    values = itertools.product(*(d.ends if ends else d.choices for d in dimensions))
    return (dict(zip(names, point, strict=True)) for point in values)


def storable(value) -> object:
    """Returns a choice as Optuna can store it: a pair as text."""
    return as_text(value) if isinstance(value, tuple) else value


def as_setting(values: Mapping[str, object]) -> str:
    """Returns a setting as `--set` takes it."""
    return ",".join(f"{name}={as_text(value)}" for name, value in values.items())


def _dimension(name: str, values) -> SearchDimension:
    is_pair = typing.get_origin(kinds(name)[0]) is tuple
    if isinstance(values, str) and RANGE in values:
        return _range(name, values)
    if isinstance(values, str):
        values = values.split("/" if is_pair else ",")
    listed = values if isinstance(values, Iterable) else (values,)
    choices = tuple(typed(name, v.strip() if isinstance(v, str) else v) for v in listed)
    if len(choices) < 2 or len(set(choices)) < len(choices):
        raise ValueError(
            f"`{name}` must have a range, or two choices or more, each once ({SYNTAX}). "
            f"Received: {', '.join(map(as_text, choices))}"
        )
    return SearchDimension(name=name, choices=choices)


def _range(name: str, text: str) -> SearchDimension:
    if not {int, float} & set(kinds(name)):
        raise ValueError(f"`{name}` must have choices: it is not a number. Received: {name}={text}")
    is_log = text.endswith(LOG)
    low, high = (typed(name, end.strip()) for end in text.removesuffix(LOG).split(RANGE, 1))
    if low is None or high is None or not low < high or not math.isfinite(high - low):
        raise ValueError(
            f"`{name}` must have a range that rises ({SYNTAX}). Received: {name}={text}"
        )
    if is_log and low <= 0:
        raise ValueError(
            f"`{name}` must have a range above 0 to be sampled logarithmically. "
            f"Received: {name}={text}"
        )
    return SearchDimension(name=name, low=low, high=high, is_log=is_log)
