"""Modules that are imported at first use, so that naming a model does not load TensorFlow."""

import importlib
import types


class LazyModule(types.ModuleType):
    """Stands for a module and imports it when an attribute is asked for."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


keras = LazyModule("keras")
