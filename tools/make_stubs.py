"""Writes the stub files that editors and type checkers read, and the docstring of the package.

    python tools/make_stubs.py

`newnet_tf/applications/__init__.pyi` has the signatures of the constructors, `newnet_tf/__init__.pyi`
the public functions and modules, and the docstring of `newnet_tf/__init__.py` one line for each public
function, the first of the function's own docstring. A test checks that the three files are up to date.
"""

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import newnet_tf
from newnet_tf import applications
from newnet_tf.models import variants

HEADER = '''"""Signatures of the constructors; written by tools/make_stubs.py."""

from typing import Any

import keras

'''
PACKAGE_HEADER = '''"""The public functions and modules; written by tools/make_stubs.py."""

'''
WIDTH = 104  # as pyproject.toml sets it


def constructor_stubs() -> str:
    """Returns the text of `newnet_tf/applications/__init__.pyi`."""
    families = sorted({v.family.module.rpartition(".")[2] for v in variants.REGISTRY.values()})
    lines = ["from newnet_tf.applications import (\n"]
    lines += [f"    {family} as {family},\n" for family in families]
    lines += [")\n\n"]
    for variant in sorted(variants.REGISTRY.values(), key=lambda v: v.name):
        default = variant.card.default_weights
        lines.append(f"""\
def {variant.name}(
    include_top: bool = True,
    weights: str | None = {f'"{default}"' if default else None},
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: str | None = None,
    classes: int = {variant.card.classes},
    classifier_activation: Any = "softmax",
    name: str = "{variant.card.name}",
) -> keras.Model: ...
""")
    return HEADER + "".join(lines)


def package_stubs() -> str:
    """Returns the text of `newnet_tf/__init__.pyi`."""
    imports = "".join(f"    {room} as {room},\n" for room in newnet_tf.ROOMS)
    by_module: dict[str, list[str]] = {}
    for name, module in newnet_tf.PUBLIC.items():
        by_module.setdefault(module, []).append(name)
    lines = [f"from newnet_tf import (\n{imports})\n"]
    for module, names in sorted(by_module.items()):
        pairs = [f"{name} as {name}" for name in sorted(names)]
        line = f"from {module} import {', '.join(pairs)}\n"
        if len(line) > WIDTH or len(pairs) > 1:
            line = f"from {module} import (\n" + "".join(f"    {pair},\n" for pair in pairs) + ")\n"
        lines.append(line)
    return PACKAGE_HEADER + "".join(lines) + "\n__version__: str\n"


def package_docstring() -> str:
    """Returns the lines of `newnet_tf.__doc__` that list the public functions."""
    width = max(map(len, newnet_tf.PUBLIC)) + 2
    lines = []
    for name, module in newnet_tf.PUBLIC.items():
        function = getattr(importlib.import_module(module), name)
        summary = inspect.getdoc(function).splitlines()[0]
        line = f"    {name:<{width}}{summary}"
        lines += textwrap.wrap(line, WIDTH, subsequent_indent=" " * (width + 4))
    return "".join(f"{line}\n" for line in lines)


def package_source() -> str:
    """Returns the text of `newnet_tf/__init__.py` with the list in its docstring up to date."""
    source = Path(newnet_tf.__file__).read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source), clean=False)
    lines = re.sub(r"(?:^    .*\n)+", lambda _: package_docstring(), docstring, count=1, flags=re.M)
    return source.replace(docstring, lines, 1)


def files() -> dict[Path, str]:
    """Returns what each file must hold."""
    package = Path(newnet_tf.__file__)
    return {
        Path(applications.__file__).with_suffix(".pyi"): constructor_stubs(),
        package.with_suffix(".pyi"): package_stubs(),
        package: package_source(),
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
