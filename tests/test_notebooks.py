"""Notebooks: what lies here is whole and tells nothing of a machine; each runs from top to bottom."""

import ast

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tools import run_notebooks

NAMES = ("finetune_flowers", "quantize_and_deploy", "quickstart", "training_settings")
QUICK = ("quickstart",)  # the others run in `make test-all`
MOST = 300_000  # bytes of a notebook
every = pytest.mark.parametrize("name", NAMES)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def said(notebook, stream):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "".join(output.text for output in outputs if output.get("name") == stream)


def shown(notebook):
    """How many images each cell shows."""
    return [len(run_notebooks.images(cell)) for cell in code_cells(notebook)]


def test_all_are_tested_and_listed():
    assert run_notebooks.names() == list(NAMES)
    page = (run_notebooks.FOLDER / "README.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"[{name}.ipynb]({name}.ipynb) {run_notebooks.badge(name)}" in page


@every
def test_it_opens_and_was_run_from_top_to_bottom(name):
    notebook = run_notebooks.read(name)
    assert (run_notebooks.FOLDER / f"{name}.ipynb").stat().st_size < MOST
    assert notebook.cells[0].source.startswith(f"{run_notebooks.badge(name)}\n\n# ")
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert sum(shown(notebook)) >= 3


@every
def test_it_tells_nothing_of_a_machine(name):
    notebook = run_notebooks.read(name)
    assert run_notebooks.absolute_paths(notebook) == []
    assert notebook.metadata.keys() <= {*run_notebooks.METADATA, *run_notebooks.KEPT}
    assert notebook.metadata["language_info"] == run_notebooks.METADATA["language_info"]
    assert all(cell.metadata == {} for cell in notebook.cells)


@pytest.mark.parametrize("text", ["/home/me/x.py:3", "in '/tmp/a1/b'", "C:\\Users", "(/opt/x/y)"])
def test_paths_of_a_machine_are_seen(text):
    notebook = run_notebooks.nbformat.v4.new_notebook()
    cell = run_notebooks.nbformat.v4.new_code_cell("1 / 2", id="a")
    cell.outputs = [run_notebooks.nbformat.v4.new_output("stream", text="runs/a/b and/or </a></b>")]
    notebook.cells = [cell]
    assert run_notebooks.absolute_paths(notebook) == []
    cell.outputs[0].text = text
    assert len(run_notebooks.absolute_paths(notebook)) == 1


@every
def test_it_defines_nothing(name):
    plain = TransformerManager()
    for cell in code_cells(run_notebooks.read(name)):
        tree = ast.parse(plain.transform_cell(cell.source))
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        assert not [node.name for node in ast.walk(tree) if isinstance(node, kinds)]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow, id=n) for n in NAMES]
)
def test_it_runs(name, tmp_path):
    notebook, committed = run_notebooks.read(name), run_notebooks.read(name)
    for cell in code_cells(notebook):
        cell.outputs = []
    run_notebooks.execute(notebook, tmp_path)
    run_notebooks.tidy(notebook, name)
    assert "newnet: error" not in said(notebook, "stderr")
    assert shown(notebook) == shown(committed)
    assert run_notebooks.absolute_paths(notebook) == []
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in committed.cells]
