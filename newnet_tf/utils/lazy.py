"""Modules that are imported at first use, so that naming a model does not load TensorFlow."""

import importlib
import types
from collections.abc import Callable, Mapping


class LazyModule(types.ModuleType):
    """Stands for a module and imports it when an attribute is asked for."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


keras = LazyModule("keras")


def exports(package: str, public: Mapping[str, str]) -> tuple[Callable, Callable]:
    """Returns `__getattr__` and `__dir__` of a package that imports its public names at first use.

    Args:
        package: str, its `__name__`. public: {name: the module that defines it}.
    """

    def get(name):
        if name in public:
            return getattr(importlib.import_module(public[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {names()}")

    def names():
        return sorted(public)

    return get, names
