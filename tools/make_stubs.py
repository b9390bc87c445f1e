"""Writes `newnet_tf/applications/__init__.pyi`, so that editors complete the constructors.

    python tools/make_stubs.py

A test checks that the committed file is fresh.
"""

from pathlib import Path

from newnet_tf import applications
from newnet_tf.models import variants  # the first registers every family

HEADER = '''"""Signatures of the constructors; written by tools/make_stubs.py."""

from typing import Any

import keras

'''


def stubs() -> str:
    """Returns the text of the stub file."""
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


if __name__ == "__main__":
    path = Path(applications.__file__).with_suffix(".pyi")
    path.write_text(stubs(), encoding="utf-8")
    print(f"wrote {path}")
