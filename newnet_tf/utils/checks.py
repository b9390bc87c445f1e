"""Checks of the fields of configs. Standard library only."""

from collections.abc import Collection, Mapping


def check_ranges(
    config: object, bounds: Mapping[str, tuple[float, float]], ints: Collection[str] = ()
) -> None:
    """Checks that fields of a config are numbers in a range.

    Args:
        config: object with the fields as attributes.

        bounds: mapping from field to (least, most).

        ints: names of the fields that must be ints.

    Raises:
        ValueError: naming the first field that is not.
    """
    for name, (low, high) in bounds.items():
        value = getattr(config, name)
        kinds = int if name in ints else int | float
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            kind = "an int" if kinds is int else "a number"
            raise ValueError(
                f"`{name}` must be {kind} in {low} to {high}. Received: {name}={value!r}"
            )
