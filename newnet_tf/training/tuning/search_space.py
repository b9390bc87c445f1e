"""What a study varies: fields of a recipe, each among choices or within a range. No TensorFlow."""

import itertools
import math
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from newnet_tf.training.overrides import as_text, kinds, override, typed
from newnet_tf.training.recipes import Recipe

FORM = "NAME=LOW..HIGH, NAME=LOW..HIGH:log or NAME=VALUE,VALUE[,...]"
SPAN, LOG = "..", ":log"
DIGITS = 3  # of what is drawn from a range
AROUND = (1 / 3, 1, 3)  # times a recipe's own value
DECAYS = (0.0, 1e-5, 1e-4)  # around a recipe that has none
TRIED = 1000  # settings that are made once, to see whether they are recipes
UNORDERED = ("seed",)


@dataclass(frozen=True, kw_only=True)
class SearchDimension:
    """A field that a study varies; as text, what `--over` takes.

    Args:
        name: str, as in `override`.
        choices: tuple of two or more values of the field's type, as given; empty for a range.
        low, high: numbers of the field's type, the ends of a range; None for choices.
        is_log: bool, whether a range is drawn from, and drawn, by its logarithm.
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
        ends = f"{as_text(self.low)}{SPAN}{as_text(self.high)}"
        return f"{self.name}={ends}{LOG if self.is_log else ''}"

    @property
    def ends(self) -> tuple:
        """The values that every other lies between: those of a range, or all choices."""
        return self.choices or (self.low, self.high)

    @property
    def numbers(self) -> bool:
        """Whether its values are numbers, of which one can be the least."""
        return self.name not in UNORDERED and all(
            isinstance(value, (int, float)) and not isinstance(value, bool) for value in self.ends
        )

    @property
    def ordered(self) -> tuple:
        """`ends`, numbers by size."""
        return tuple(sorted(self.ends)) if self.numbers else self.ends

    def suggested(self, trial) -> object:
        """Has an Optuna trial draw a value, or tell the one that it has; returns what Optuna keeps."""
        if self.choices:
            return trial.suggest_categorical(self.name, [kept(value) for value in self.choices])
        if isinstance(self.low, int):
            return trial.suggest_int(self.name, self.low, self.high, log=self.is_log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.is_log)

    def value(self, found) -> object:
        """Returns the field's value of what Optuna keeps; of a range, with few digits."""
        value = typed(self.name, found)
        if self.choices or isinstance(value, int):
            return value
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


def space(recipe: Recipe, over: Mapping[str, object]) -> tuple[SearchDimension, ...]:
    """Returns what a study varies, checked.

    Args:
        recipe: `Recipe`, which says all else.
        over: {name: what}, names as in `override`. What: a sequence of two or more values, or text:
            `"1e-5,1e-4"` (choices; those of a pair are parted by a slash: `"0.08,1/0.5,1"`),
            `"0.02..0.4"` (a range), `"0.02..0.4:log"` (drawn by its logarithm).

    Raises:
        ValueError: for an unknown name, a value of another type, fewer than two choices, a choice
            given twice, a range that does not rise, or a setting that is no recipe.

    Example:
        >>> space(recipe, {"lr": "0.02..0.4:log", "weight_decay": [1e-5, 1e-4]})
    """
    if not over:
        raise ValueError("a study must vary a field of the recipe. Received: none")
    found = tuple(_varied(name, what) for name, what in over.items())
    for point in itertools.islice(points(found, ends=True), TRIED):
        try:
            override(recipe, point)
        except ValueError as error:
            raise ValueError(
                f"every setting must be a recipe: {error} (in {setting(point)})"
            ) from None
    return found


def around(recipe: Recipe) -> dict[str, tuple]:
    """Returns the study to begin with: learning rate and weight decay, a third to three times."""

    def near(own):
        return tuple(own if factor == 1 else float(f"{own * factor:.2g}") for factor in AROUND)

    decays = near(recipe.weight_decay) if recipe.weight_decay else DECAYS
    return {"lr": near(recipe.lr), "weight_decay": decays}


def points(varied: Iterable[SearchDimension], ends: bool = False) -> Iterable[dict[str, object]]:
    """Returns all settings of a grid: {name: value}; `ends`: a range counts with its two ends."""
    varied = tuple(varied)
    values = itertools.product(*(one.ends if ends else one.choices for one in varied))
    return ({one.name: v for one, v in zip(varied, found, strict=True)} for found in values)


def kept(value) -> object:
    """Returns a choice as Optuna can keep it: a pair as text."""
    return as_text(value) if isinstance(value, tuple) else value


def setting(values: Mapping[str, object]) -> str:
    """Returns a setting as `--set` takes it."""
    return ",".join(f"{name}={as_text(value)}" for name, value in values.items())


def _varied(name: str, what) -> SearchDimension:
    is_pair = typing.get_origin(kinds(name)[0]) is tuple
    if isinstance(what, str) and SPAN in what:
        return _range(name, what)
    if isinstance(what, str):
        what = what.split("/" if is_pair else ",")
    listed = what if isinstance(what, Iterable) else (what,)
    choices = tuple(typed(name, v.strip() if isinstance(v, str) else v) for v in listed)
    if len(choices) < 2 or len(set(choices)) < len(choices):
        raise ValueError(
            f"`{name}` must have a range, or two choices or more, each once ({FORM}). "
            f"Received: {', '.join(map(as_text, choices))}"
        )
    return SearchDimension(name=name, choices=choices)


def _range(name: str, text: str) -> SearchDimension:
    if not {int, float} & set(kinds(name)):
        raise ValueError(f"`{name}` must have choices: it is no number. Received: {name}={text}")
    is_log = text.endswith(LOG)
    low, high = (typed(name, end.strip()) for end in text.removesuffix(LOG).split(SPAN, 1))
    if low is None or high is None or not low < high or not math.isfinite(high - low):
        raise ValueError(f"`{name}` must have a range that rises ({FORM}). Received: {name}={text}")
    if is_log and low <= 0:
        raise ValueError(
            f"`{name}` must have a range above 0 to be drawn by its logarithm. "
            f"Received: {name}={text}"
        )
    return SearchDimension(name=name, low=low, high=high, is_log=is_log)
