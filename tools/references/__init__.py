"""Reference implementations by golden file: one module for each group of families.

A module defines `REFERENCES`, {golden file's stem: `Reference`}. Stems are model names, followed by
`.format` where a model reads checkpoints of several formats.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A reference implementation.

    Args:
        name: str, library and model, e.g. `"timm rexnet_100"`.

        build: callable without arguments -> `torch.nn.Module` from images to logits.

        image_size: int, native size of the input. Default: 224.

        second_size: int or None, another size to compare at. Default: 193.

        rename: callable model -> {tensor name in the model: name in the checkpoints that we read}.
            Default: None, the names are equal.

        channels: int, of the input. Default: 3.
    """

    name: str
    build: Callable
    image_size: int = 224
    second_size: int | None = 193
    rename: Callable | None = None
    channels: int = 3


def table() -> Mapping[str, Reference]:
    """Returns all references by golden file's stem."""
    references = {}
    for module in pkgutil.iter_modules(__path__):
        references |= importlib.import_module(f"{__name__}.{module.name}").REFERENCES
    return references


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
