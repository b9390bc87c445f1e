"""The table of rooms in docs/design.md is true: imports run one way, without a cycle.

An import is an `import` statement anywhere in a file, a lazy one (`LazyModule("keras")`), or the full
name of a module in a string, as tables of public names hold it.
"""

import ast
import functools
import graphlib
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import newnet_tf

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "newnet_tf"
DESIGN = ROOT / "docs" / "design.md"
EVERYTHING = "everything above"
MODEL_CODE = ("models", "models.config", "models.registry", "applications")
LAZY_TORCH = {"training/torch_backend.py", "training/fused_batch_norm.py"}
# Modules of other rooms that a command imports for the choices of an option and their defaults.
CHOICES = {
    "newnet_tf.data.datasets.factory",
    "newnet_tf.deploy.export_options",
    "newnet_tf.deploy.quantization.precisions",
    "newnet_tf.models.activations",
    "newnet_tf.profiling.comparison",
    "newnet_tf.profiling.keras_baselines",
    "newnet_tf.profiling.paper_tables",
    "newnet_tf.training.overrides",
    "newnet_tf.training.recipe_registry",
    "newnet_tf.training.distributed.strategy",
    "newnet_tf.training.run",
    "newnet_tf.training.tuning.trial_storage",
    "newnet_tf.training.tuning.trials",
    "newnet_tf.weights",
}
# Their tables name modules of rooms above them, which are imported at first use.
NAMING = ("task", "models.registry")
MAX_LINES = 300


def allowed_imports() -> dict[str, set[str]]:
    """Returns {room: the rooms it may import}, in order, as docs/design.md has it."""
    table: dict[str, set[str]] = {}
    rows = re.findall(r"^\| `([\w.]+)` \|.*\| (.+) \|$", DESIGN.read_text(encoding="utf-8"), re.M)
    for room, cell in rows:
        if cell == EVERYTHING:
            table[room] = set(table)
        else:
            table[room] = set(re.findall(r"`([\w.]+)`", cell))
            assert table[room] or cell == "nothing", room
    return table


ALLOWED = allowed_imports()


def files():
    return sorted(PACKAGE.rglob("*.py"))


def shown(path):
    return path.relative_to(PACKAGE).as_posix()


def room(name: str) -> str:
    """Returns the room of a module, such as `data` of `newnet_tf.data.labels`."""
    parts = name.split(".")[1:]
    pair = ".".join(parts[:2])
    return pair if pair in ALLOWED else parts[0] if parts else ""


def module_name(path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


@functools.lru_cache(maxsize=1)
def nodes(path):
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@functools.cache
def imported(path):
    """Names of the modules that a file imports, lazily or not; also `module.name` of each name."""
    return frozenset(_imported(path))


def _imported(path):
    package = (
        module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    )
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            )
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module != "newnet_tf":  # `from newnet_tf import room` imports the room
                yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in ("LazyModule", "import_module", "__import__"):
                yield str(node.args[0].value)


def named_modules(path):
    """Full names of this package's modules that a file has in strings."""
    for node in nodes(path):
        value = node.value if isinstance(node, ast.Constant) else None
        if (
            isinstance(value, str)
            and re.fullmatch(r"newnet_tf(\.\w+)+", value)
            and is_module(value)
        ):
            yield value


@functools.cache
def modules_imported(path):
    """Full names of this package's modules that a file imports."""
    names = {name for name in imported(path) if name.startswith("newnet_tf.") and is_module(name)}
    return names | set(named_modules(path))


def rooms_imported(path):
    return {room(name) for name in modules_imported(path)} - {room(module_name(path))}


def top_level(names):
    return {name.split(".")[0] for name in names}


def test_every_room_has_a_row_in_the_table_of_docs_design():
    rooms = {room(module_name(path)) for path in files()} - {""}
    assert rooms == set(ALLOWED), "a new room needs a row in docs/design.md"
    assert {name.partition(".")[0] for name in ALLOWED} == set(newnet_tf.ROOMS)


def test_the_table_itself_runs_one_way():
    above: set[str] = set()
    for name, others in ALLOWED.items():
        assert others <= above, f"{name} may import rooms above it only"
        above.add(name)


@pytest.mark.parametrize("path", [p for p in files() if p != PACKAGE / "__init__.py"], ids=shown)
def test_imports_run_one_way(path):
    here = room(module_name(path))
    if here in NAMING:
        others = {room(name) for name in imported(path) if is_module(name)} - {here, ""}
    else:
        others = rooms_imported(path)
    if here == "cli":
        chosen = {room(name) for name in modules_imported(path) & CHOICES}
        others -= chosen
    assert others <= ALLOWED[here]


def test_importing_the_package_imports_no_room_but_utils():
    names = {name for name in imported(PACKAGE / "__init__.py") if is_module(name)}
    assert {room(name) for name in names} == {"utils"}


def test_rooms_have_no_cycle():
    graph: dict[str, set[str]] = {}
    for path in files():
        if here := room(module_name(path)):
            names = imported(path) if here in NAMING else modules_imported(path)
            others = {room(n) for n in names if n.startswith("newnet_tf.") and is_module(n)}
            graph.setdefault(here, set()).update(others - {here})
    assert list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", files(), ids=shown)
def test_rooms_do_not_reach_each_other_through_the_package(path):
    """`import newnet_tf` in a room would hide what the room depends on."""
    if room(module_name(path)) != "cli":
        assert "newnet_tf" not in set(imported(path))


@pytest.mark.parametrize("path", [p for p in files() if room(module_name(p)) == "cli"], ids=shown)
def test_a_command_parses_calls_and_prints(path):
    names = {name for name in modules_imported(path) if room(name) not in ("api", "utils", "cli")}
    assert {name for name in names if not any(m.startswith(f"{name}.") for m in names)} <= CHOICES


@pytest.mark.parametrize("path", files(), ids=shown)
def test_torch_is_never_imported(path):
    torch = {"torch", "timm", "torchvision"}
    if shown(path) in LAZY_TORCH:  # the model that they train computes with torch already
        statements = top_level(set(imported(path)) - {"torch"})
        assert not statements & torch
        assert not re.search(r"^\s*(import|from) torch", path.read_text(encoding="utf-8"), re.M)
    else:
        assert not top_level(imported(path)) & torch


@pytest.mark.parametrize(
    "path", [p for p in files() if room(module_name(p)) in MODEL_CODE], ids=shown
)
def test_model_code_is_free_of_tensorflow(path):
    assert "tensorflow" not in top_level(imported(path))


def test_files_are_short():
    lengths = {shown(p): len(p.read_text(encoding="utf-8").splitlines()) for p in files()}
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}


@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("*.py")), ids=lambda p: p.name)
def test_tests_know_only_the_entry_point_of_the_command_line(path):
    names = {name for name in imported(path) if name.startswith("newnet_tf.cli")}
    assert {name for name in names if is_module(name)} <= {"newnet_tf.cli"}


def test_only_tests_import_the_command_line():
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tools").rglob("*.py")}
    sources |= {path: path.read_text(encoding="utf-8") for path in (ROOT / "export").glob("*")}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources[path] = "\n".join("".join(cell["source"]) for cell in cells)
    command_line = re.compile(r"newnet_tf\.cli|from newnet_tf import [^\n]*\bcli\b")
    assert not [path.name for path, text in sources.items() if command_line.search(text)]


@pytest.mark.parametrize(
    "package",
    [
        module_name(p)
        for p in files()
        if p.name == "__init__.py" and "PUBLIC = " in p.read_text(encoding="utf-8")
    ],
)
def test_public_names_of_packages_can_be_imported(package):
    module = importlib.import_module(package)
    for name in module.PUBLIC:
        assert getattr(module, name) is not None
        assert name in dir(module)


@pytest.mark.parametrize("name", [*newnet_tf.PUBLIC, *newnet_tf.ROOMS])
def test_public_functions_and_rooms_are_attributes(name):
    assert getattr(newnet_tf, name) is not None
    assert name in dir(newnet_tf)
    assert name in newnet_tf.ROOMS or name in newnet_tf.__all__


@pytest.mark.parametrize("name", newnet_tf.PUBLIC)
def test_help_lists_public_functions(name):
    summary = getattr(newnet_tf, name).__doc__.splitlines()[0]
    listed = " ".join(newnet_tf.__doc__.split())
    assert f" {name} {summary} " in listed, "run: python tools/make_stubs.py"


def test_unknown_names_are_errors_with_hints():
    with pytest.raises(AttributeError, match=r"no attribute 'create_modell'.*create_model"):
        newnet_tf.create_modell  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'. It has .*train"):
        newnet_tf.nonsense  # noqa: B018


@pytest.mark.parametrize(
    "code",
    [
        "import newnet_tf",
        "import newnet_tf; newnet_tf.list_models(); newnet_tf.model_card('rexnet_100').measured",
        "from newnet_tf.applications import NewNetSmall",
        "from newnet_tf.applications.rexnet import preprocess_input, decode_predictions",
        "from newnet_tf.cli import main; main(['list'])",
        "from newnet_tf.cli import main; main(['info', 'rexnet_100'])",
        "from newnet_tf.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
    ],
)
def test_naming_a_model_loads_no_tensorflow(code):
    heavy = ("tensorflow", "keras", "jax", "torch", "numpy", "PIL", "matplotlib", "h5py")
    check = f"{code}\nimport sys; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.splitlines()[-1] == "[]"
