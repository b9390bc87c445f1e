"""Where in a file the tensors of a model are: below which dictionaries and prefixes.

People save a model inside others: `module.` (DataParallel), `_orig_mod.` (torch.compile), `model.`
(Lightning), `backbone.`, a dictionary `state_dict` or `model_ema`, or several of these. A place is what
stands before the names that the model knows. The place with most of them is taken. Where several have
the same number, averaged weights (EMA) come before others, as in timm and ultralytics; else the user
has to choose.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from newnet_tf.models.config import CheckpointFormat

WRAPPERS = re.compile(r"(?<![^./])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
AVERAGED = re.compile(r"(?:^|[._/])(?:ema|averaged|swa)(?:[._/]|$)")
CUT = re.compile(r"[./]")
LEAST_SHARE = 0.5  # of a format's modules that a place other than the whole file must have


class SameNameError(Exception):
    """Two tensors of a place have the same name."""


@dataclass(frozen=True)
class Place:
    """A part of a file's tensors, in one format.

    Args:
        name: str, keys of dictionaries and prefixes before the tensors' names: `"model_ema/module"`;
            `""` where nothing precedes them.

        tensors: {name below the place: name in the file}.

        modules: int, how many of the format's modules it has.

        others: tuple of str, names of the other places with the same modules.

        is_chosen: bool, whether a rule or the user prefers it to `others`.
    """

    name: str
    tensors: Mapping[str, str]
    modules: int
    others: tuple[str, ...] = ()
    is_chosen: bool = True


def find_place(
    names: Collection[str], known: CheckpointFormat, choice: str | None = None
) -> Place | None:
    """Finds the place of a model's tensors in a file.

    Args:
        names: names of the file's tensors.

        known: `CheckpointFormat` of the model.

        choice: str, name of the place, or the beginning of it, such as the key of a dictionary.
            Default: None, the place with most of the format's modules.

    Returns:
        `Place`; None where no place is called `choice`.

    Raises:
        SameNameError: where two tensors of the place have the same name.
    """
    modules = set(known.layers.values())
    if known.layout != "torch":
        return (
            Place("", {name: name for name in names}, _count(names, known)) if not choice else None
        )
    plain = {name: WRAPPERS.sub("", name).replace("/", ".") for name in names}
    found: dict[str, set[str]] = {"": set()}
    shown = {"": ""}
    for name, text in plain.items():
        module = text.rpartition(".")[0]
        for start in _starts(module):
            if module[start:] in modules:
                found.setdefault(text[:start], set()).add(module[start:])
                shown.setdefault(text[:start], _before(name, text, start))
    if choice is not None:
        found = {place: has for place, has in found.items() if _is_called(shown[place], choice)}
        if not found:
            return None
    most = max(len(has) for has in found.values())
    best = [place for place, has in found.items() if len(has) == most]
    if choice is None and most < LEAST_SHARE * len(modules):
        best = [""]
    averaged = [place for place in best if AVERAGED.search(shown[place])]
    place = averaged[0] if len(averaged) == 1 else best[0]
    return Place(
        name=shown[place],
        tensors=_tensors_below(place, plain),
        modules=len(found[place]),
        others=tuple(shown[other] for other in best if other != place),
        is_chosen=len(best) == 1 or len(averaged) == 1,
    )


def left_out(names: Collection[str], place: Place) -> list[str]:
    """Returns the names of tensors outside of a place; a dictionary's name stands for its tensors."""
    inside = set(place.tensors.values())
    used = {name.rpartition("/")[0] for name in inside}
    outside = [name for name in names if name not in inside]
    groups = ((name, name.rpartition("/")[0]) for name in outside)
    return list(dict.fromkeys(name if group in used else group or name for name, group in groups))


def _tensors_below(place: str, plain: Mapping[str, str]) -> dict[str, str]:
    tensors: dict[str, str] = {}
    for name, text in plain.items():
        if text.startswith(place):
            short = text[len(place) :]
            if short in tensors:
                raise SameNameError(f"{name!r} and {tensors[short]!r} have the same name")
            tensors[short] = name
    return tensors


def _count(names: Collection[str], known: CheckpointFormat) -> int:
    separator = {"gluon": "_"}.get(known.layout, "/")
    prefixes = {name.rpartition(separator)[0] for name in names}
    if known.layout == "gluon":  # `_running_mean` has two separators
        prefixes |= {prefix.rpartition(separator)[0] for prefix in prefixes}
    return len(prefixes.intersection(known.layers.values()))


def _starts(module: str) -> Iterator[int]:
    """Yields the positions at which a module's name may begin."""
    yield 0
    for cut in CUT.finditer(module):
        yield cut.end()


def _before(name: str, text: str, start: int) -> str:
    """Returns the place's name: what stands in `name` before `text[start:]`."""
    rest = text[start:]
    same = name.replace("/", ".").endswith(rest)
    return (name[: len(name) - len(rest)] if same else text[:start]).rstrip("./")


def _is_called(place: str, choice: str) -> bool:
    choice = choice.rstrip("./")
    return place == choice or (bool(choice) and place.startswith((f"{choice}/", f"{choice}.")))
