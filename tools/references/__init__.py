"""Reference implementations by golden file: one module a group of families, found by itself.

A module defines `REFERENCES`, {golden file's stem: `Reference`}. Stems are model names, with
`.naming` behind where a network reads several kinds of checkpoint.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """How to make one reference network.

    Args:
        what: str, what is run, e.g. `"timm rexnet_100"`.
        make: callable without arguments -> `torch.nn.Module` from images to logits.
        side: int, native input side. odd: int or None, another side to compare at.
        rename: callable model -> {tensor name in the model: name in the checkpoints that we read},
            where they differ.
        channels: int, channels of the input.
    """

    what: str
    make: Callable
    side: int = 224
    odd: int | None = 193
    rename: Callable | None = None
    channels: int = 3


def table() -> Mapping[str, Reference]:
    """Returns all references by golden file's stem."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        found |= importlib.import_module(f"{__name__}.{module.name}").REFERENCES
    return found


def attribute(module: str, name: str):
    """Returns `name` of a module that is imported only now."""
    return getattr(importlib.import_module(module), name)


def timm(name: str, **arguments) -> Callable:
    """Returns a maker of timm's network `name`."""
    return lambda: attribute("timm", "create_model")(name, **arguments)


def torchvision(name: str, **arguments) -> Callable:
    """Returns a maker of torchvision's network `name`."""
    return lambda: attribute("torchvision.models", name)(**arguments)


def pytorchcv(module: str, name: str, **arguments) -> Callable:
    """Returns a maker of pytorchcv's network `name` in `pytorchcv.models.<module>`."""
    return lambda: attribute(f"pytorchcv.models.{module}", name)(**arguments)
