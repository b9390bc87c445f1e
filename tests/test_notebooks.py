"""Notebooks: they were run from top to bottom, name no path of a machine, and use the public API."""

import ast

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tools import run_notebooks

NAMES = (
    "detect_objects",
    "finetune_flowers",
    "quantize_and_deploy",
    "quickstart",
    "training_settings",
)
MAX_BYTES = 300_000  # of a notebook
each_notebook = pytest.mark.parametrize("name", NAMES)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def stream_text(notebook, stream):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "".join(output.text for output in outputs if output.get("name") == stream)


def image_counts(notebook):
    """Returns how many images each code cell shows."""
    return [len(run_notebooks.images(cell)) for cell in code_cells(notebook)]


def syntax_trees(name):
    """Yields the syntax tree of each code cell, magics replaced."""
    plain = TransformerManager()
    for cell in code_cells(run_notebooks.read(name)):
        yield ast.parse(plain.transform_cell(cell.source))


def test_all_are_tested_and_listed():
    assert run_notebooks.names() == list(NAMES)
    page = (run_notebooks.FOLDER / "README.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"[{name}.ipynb]({name}.ipynb) {run_notebooks.badge(name)}" in page


@each_notebook
def test_it_is_valid_and_was_run_from_top_to_bottom(name):
    notebook = run_notebooks.read(name)
    assert (run_notebooks.FOLDER / f"{name}.ipynb").stat().st_size < MAX_BYTES
    assert notebook.cells[0].source.startswith(f"{run_notebooks.badge(name)}\n\n# ")
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert sum(image_counts(notebook)) >= 3


@each_notebook
def test_it_names_nothing_of_a_machine(name):
    notebook = run_notebooks.read(name)
    assert run_notebooks.absolute_paths(notebook) == []
    assert notebook.metadata.keys() <= {*run_notebooks.METADATA, *run_notebooks.OPTIONAL_METADATA}
    assert notebook.metadata["language_info"] == run_notebooks.METADATA["language_info"]
    assert all(cell.metadata == {} for cell in notebook.cells)


@pytest.mark.parametrize("text", ["/home/me/x.py:3", "in '/tmp/a1/b'", "C:\\Users", "(/opt/x/y)"])
def test_paths_of_a_machine_are_detected(text):
    notebook = run_notebooks.nbformat.v4.new_notebook()
    cell = run_notebooks.nbformat.v4.new_code_cell("1 / 2", id="a")
    cell.outputs = [run_notebooks.nbformat.v4.new_output("stream", text="runs/a/b and/or </a></b>")]
    notebook.cells = [cell]
    assert run_notebooks.absolute_paths(notebook) == []
    cell.outputs[0].text = text
    assert len(run_notebooks.absolute_paths(notebook)) == 1


@each_notebook
def test_it_defines_nothing(name):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for tree in syntax_trees(name):
        assert not [node.name for node in ast.walk(tree) if isinstance(node, kinds)]


@each_notebook
def test_it_uses_the_python_api_and_not_the_command_line(name):
    modules, attributes = set(), set()
    for tree in syntax_trees(name):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Attribute):
                attributes.add(ast.unparse(node))
    assert "newnet_tf" in modules
    used = {f"{path}." for path in modules | attributes}
    assert not [path for path in used if path.startswith("newnet_tf.cli.")]


@pytest.mark.slow  # `test_readme` runs the same functions always
@each_notebook
def test_it_runs(name, tmp_path):
    notebook, committed = run_notebooks.read(name), run_notebooks.read(name)
    for cell in code_cells(notebook):
        cell.outputs = []
    run_notebooks.execute(notebook, tmp_path)
    run_notebooks.tidy(notebook, name)
    assert "newnet: error" not in stream_text(notebook, "stderr")
    assert image_counts(notebook) == image_counts(committed)
    assert run_notebooks.absolute_paths(notebook) == []
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in committed.cells]
