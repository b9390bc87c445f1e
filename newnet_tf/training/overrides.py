"""`--set lr=0.1,augmentation.cutmix_alpha=1.0`: fields of a recipe changed by name, checked by type."""

import dataclasses
import re
import types
import typing
from collections.abc import Iterable, Mapping

from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.suggest import suggestion

SEPARATOR = re.compile(
    r",(?=\s*[A-Za-z_.]+\s*=)"
)  # a comma before a name, not one inside of a pair
TRUTH = {"true": True, "false": False}


def override(recipe: Recipe, changes: Mapping[str, object]) -> Recipe:
    """Returns `recipe` with some fields changed.

    Args:
        recipe: `Recipe`.

        changes: mapping from name to value; a field of the augmentation is `"augmentation.NAME"`. A
            value may be text, which is parsed by the field's type: `"0.1"`, `"true"`, `"none"`,
            `"0.2,1"`.

    Raises:
        ValueError: if a name is unknown (the message names the nearest ones), or a value has another
            type.

    Example:
        >>> override(recipe, {"lr": 0.05, "augmentation.cutmix_alpha": 1.0})
    """
    own, inner = {}, {}
    for name, value in changes.items():
        head, _, rest = name.partition(".")
        if rest:
            inner[rest] = typed(name, value)
        else:
            own[head] = typed(name, value)
    if inner:
        own["augmentation"] = dataclasses.replace(recipe.augmentation, **inner)
    return dataclasses.replace(recipe, **own)


def parse_overrides(texts: Iterable[str], option: str = "--set") -> dict[str, str]:
    """Returns the names and values of texts such as `"lr=0.1,augmentation.scale=0.2,1"`.

    Args:
        texts: one or more str.

        option: str, the command line's option, for errors. Default: `"--set"`.

    Returns:
        Mapping from name to text.

    Raises:
        ValueError: if a part is not `name=value`, or a name occurs twice.
    """
    values = {}
    for part in (part for text in texts for part in SEPARATOR.split(text)):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise ValueError(f"`{option}` must be NAME=VALUE[,NAME=VALUE...]. Received: {part!r}")
        if name in values:
            raise ValueError(f"`{option}` must name a field once. Received: {name!r} twice")
        values[name] = value
    return values


def fields() -> dict[str, object]:
    """Returns the type of every field that can be set, by name."""
    types_by_name = {}
    for name, kind in typing.get_type_hints(Recipe).items():
        if dataclasses.is_dataclass(kind):
            types_by_name |= {f"{name}.{k}": v for k, v in typing.get_type_hints(kind).items()}
        else:
            types_by_name[name] = kind
    return types_by_name


def typed(name: str, value):
    """Returns a value in the type of a field.

    Args:
        name: str, as in `override`.

        value: a value of that type, or its text.

    Raises:
        ValueError: as `override`.
    """
    options = kinds(name)
    if name == "class_weight" and isinstance(value, Mapping):
        return value
    try:
        if type(None) in options and (value is None or value == "none"):
            return None
        return _parse(value, next(o for o in options if o is not type(None)))
    except (ValueError, KeyError, TypeError):
        expected = " or ".join("none" if o is type(None) else _type_name(o) for o in options)
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}") from None


def kinds(name: str) -> tuple:
    """Returns the types that a field may have: `(float, NoneType)` for `float | None`.

    Args:
        name: str, as in `override`.

    Raises:
        ValueError: if the name is unknown; the message names the nearest ones.
    """
    known = fields()
    if name not in known:
        hint = suggestion(name, known, cutoff=0.5) or f". Known are {', '.join(known)}"
        raise ValueError(f"a recipe has no field of this name. Received: {name!r}{hint}")
    kind = known[name]
    return typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


def as_text(value) -> str:
    """Returns a value as `--set` takes it, the inverse of `typed`."""
    if isinstance(value, tuple):
        return ",".join(map(as_text, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _type_name(kind) -> str:
    return "two numbers, as 0.2,1" if typing.get_origin(kind) is tuple else kind.__name__


def _parse(value, kind):
    if typing.get_origin(kind) is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(
            _parse(part, inner) for part, inner in zip(parts, typing.get_args(kind), strict=True)
        )
    if isinstance(value, str):
        return TRUTH[value.lower()] if kind is bool else kind(value)
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise TypeError
    return kind(value)
