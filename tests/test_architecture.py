"""Imports run one way, and naming a model costs no TensorFlow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "newnet_tf"
MODEL_CODE = (
    "blocks",
    "pools",
    "activations",
    "feature_maps",
    "stages",
    "cells",
    "variants",
    "applications",
)
ORDER = ("results", "lazy", "cards", *MODEL_CODE, "zoo", "cli")
SIDE_ROOMS = (
    *("weights", "data", "deploy", "profiling", "web"),
    *("intervals", "evaluation", "probe", "training", "finetuning"),
)
ALLOWED = {
    "weights": {"results", "lazy", "cards"},
    "data": {"results", "lazy", "cards"},
    "intervals": set(),
    "evaluation": {"results", "lazy", "cards", "data", "intervals"},
    "probe": {"data", "evaluation"},
    "training": {"results", "lazy", "cards", "data", "intervals", "evaluation"},
    "finetuning": {"lazy", "cards", "weights", "data", "evaluation", "probe", "training", "deploy"},
    "profiling": {"results", "lazy", "cards", "data", "deploy"},
    "deploy": {"results", "lazy", "cards", "data", "profiling", "weights"},
    "web": {"lazy", "cards", "data", "deploy", "weights"},
}


def files():
    return sorted(PACKAGE.rglob("*.py"))


def room(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path, anywhere=True):
    """Names of the modules that a file imports, at its top level or anywhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if anywhere else tree.body
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(path):
    parts = (name.split(".") for name in imported(path) if name.startswith("newnet_tf."))
    return {p[1] for p in parts if (PACKAGE / p[1]).exists() or (PACKAGE / f"{p[1]}.py").exists()}


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    here = room(path)
    others = rooms_imported(path) - {here}
    if here == "__init__":
        assert others == set()
    elif here in ORDER:
        later = set(ORDER[ORDER.index(here) + 1 :])
        assert not others & later
    else:
        assert here in SIDE_ROOMS, f"a new room: {here}; give it a place in this test and in docs"
        assert others <= ALLOWED[here]


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_torch_is_never_imported(path):
    assert not {name.split(".")[0] for name in imported(path)} & {"torch", "timm", "torchvision"}


@pytest.mark.parametrize(
    "path",
    [p for p in files() if room(p) in MODEL_CODE],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_model_code_is_free_of_tensorflow(path):
    assert "tensorflow" not in {name.split(".")[0] for name in imported(path)}


def test_files_fit_in_the_head():
    lengths = {p.name: len(p.read_text(encoding="utf-8").splitlines()) for p in files()}
    assert {name: n for name, n in lengths.items() if n > 400} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import newnet_tf",
        "import newnet_tf; newnet_tf.list_models(); newnet_tf.card('rexnet_100').measured",
        "from newnet_tf.applications import NewNetSmall",
        "from newnet_tf.applications.rexnet import preprocess_input, decode_predictions",
        "from newnet_tf.cli import main; main(['list'])",
        "from newnet_tf.cli import main; main(['info', 'rexnet_100'])",
    ],
)
def test_naming_a_model_loads_no_tensorflow(code):
    heavy = ("tensorflow", "keras", "jax", "torch", "numpy", "PIL", "matplotlib", "h5py")
    check = f"{code}\nimport sys; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.splitlines()[-1] == "[]"
