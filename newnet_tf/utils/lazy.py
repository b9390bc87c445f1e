"""Modules and names that are imported at first use, so that importing newnet_tf is cheap."""

import importlib
import types
from collections.abc import Callable, Collection, Mapping


class LazyModule(types.ModuleType):
    """A stand-in for a module, which is imported when an attribute of it is read.

    Args:
        name: str, the module's full name, such as `"keras"`.

    Example:
        >>> tf = LazyModule("tensorflow")  # imports nothing
        >>> tf.constant(1)  # imports TensorFlow
    """

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


keras = LazyModule("keras")


def exports(
    package: str, public: Mapping[str, str], modules: Collection[str] = ()
) -> tuple[Callable, Callable]:
    """Returns `__getattr__` and `__dir__` of a package that imports its names at first use.

    Args:
        package: str, the package's `__name__`.

        public: mapping of a public name to the full name of the module that defines it.

        modules: names of the package's own modules that are attributes too.

    Returns:
        The two functions. The first raises AttributeError for a name that is in neither, with the
        names that are spelled much the same.
    """
    names = sorted({*public, *modules})

    def get_attribute(name: str):
        if name in public:
            return getattr(importlib.import_module(public[name]), name)
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}. {_hint(name, names)}")

    return get_attribute, lambda: names


def _hint(name: str, names: Collection[str]) -> str:
    """Returns the names that are spelled much like `name`, or all, as a sentence."""
    import difflib

    close = difflib.get_close_matches(name, names)
    return f"Did you mean {' or '.join(close)}?" if close else f"It has {', '.join(names)}."
