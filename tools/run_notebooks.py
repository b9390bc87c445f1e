"""Runs the notebooks anew, at small settings, and writes them back with what they showed.

    python tools/run_notebooks.py [NAME ...]

Each runs from top to bottom in an empty folder, in a fresh kernel of this Python. What differs from
run to run and tells nothing is left out (ids, times, colors of the terminal, what TensorFlow says of
itself), and images keep few colors. A notebook whose text names a path of this machine is not
written. The links to the repository, in `notebooks/README.md` too, are written here.
"""

import base64
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from ipykernel.kernelspec import make_ipkernel_cmd
from nbclient import NotebookClient
from PIL import Image

from newnet_tf.visualization import html_page

REPOSITORY = "newnet-tf/newnet_tf"
ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
SECONDS = 1800  # for one cell, on a busy machine
COLORS = 128
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
KEPT = ("accelerator",)  # which machine Colab gives
LINK = re.compile(r"(github(?:\.com)?/)[\w-]+/[\w-]+")
TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TENSORFLOW = re.compile(
    r"^(?:WARNING: All log messages|[IWE]\d{4} [\d:.]+ |[A-Z]+:tensorflow:).*\n", re.MULTILINE
)
ABSOLUTE = re.compile(r"(?<![\w.:/<*~})-])(?:/[\w.-]+){2,}|\b[A-Z]:\\\w+")


def names() -> list[str]:
    """Returns the names of all notebooks."""
    return sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def read(name: str):
    """Returns a notebook as it lies in the folder, checked."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return notebook


def badge(name: str) -> str:
    """Returns the Markdown that opens a notebook in Colab."""
    colab = "https://colab.research.google.com"
    page = f"{colab}/github/{REPOSITORY}/blob/main/notebooks/{name}.ipynb"
    return f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({page})"


def execute(notebook, folder: Path) -> None:
    """Runs all cells at small settings, their outputs replaced.

    Args:
        notebook: what `read` returned. folder: where the cells work, empty at first.

    Raises:
        CellExecutionError: for a cell that ends in an error.
    """
    environment = os.environ | {
        "CUDA_VISIBLE_DEVICES": "-1",
        "HF_HUB_OFFLINE": "1",
        "IPYTHONDIR": str(folder / ".ipython"),
        "NEWNET_HOME": ".newnet",
        "NEWNET_NOTEBOOK_SMALL": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore:IProgress not found",  # tqdm would rather have ipywidgets
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=SECONDS,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    command = make_ipkernel_cmd(extra_arguments=["--log-level=ERROR"])
    client.create_kernel_manager().kernel_spec.argv = command  # this Python, whatever is installed
    client.execute(env=environment)


def tidy(notebook, name: str) -> None:
    """Leaves out what differs from run to run and tells nothing; writes the links."""
    kept = {key: notebook.metadata[key] for key in KEPT if key in notebook.metadata}
    notebook.metadata = nbformat.from_dict(METADATA | kept)
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"{name}-{number}", {}
        cell.source = LINK.sub(rf"\g<1>{REPOSITORY}", cell.source)
        if cell.cell_type == "code":
            cell.outputs = list(_joined(cell.outputs))


def images(cell) -> list[bytes]:
    """Returns the PNG files that a cell shows."""
    shown = (output.get("data", {}).get("image/png") for output in cell.get("outputs", []))
    return [base64.b64decode(data) for data in shown if data]


def absolute_paths(notebook) -> list[str]:
    """Returns what looks like a path of some machine, in cells and what they showed."""
    texts = [cell.source for cell in notebook.cells]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = {k: v for k, v in output.get("data", {}).items() if k != "image/png"}
            texts += [output.get("text", ""), *(str(value) for value in data.values())]
    return [found for text in texts for found in ABSOLUTE.findall(text)]


def main(chosen: Sequence[str]) -> None:
    for name in chosen or names():
        print(f"{name}: running", file=sys.stderr, flush=True)
        notebook = read(name)
        with tempfile.TemporaryDirectory() as folder:
            execute(notebook, Path(folder))
        tidy(notebook, name)
        found = absolute_paths(notebook)
        if found:
            raise SystemExit(f"{name} must name no path of this machine. Received: {found}")
        html_page.save(FOLDER / f"{name}.ipynb", f"{nbformat.writes(notebook)}\n".encode())
    page = FOLDER / "README.md"
    html_page.save(page, LINK.sub(rf"\g<1>{REPOSITORY}", page.read_text(encoding="utf-8")).encode())


def _joined(outputs: Sequence) -> Iterator:
    """Yields outputs with pieces of the same stream as one, and images of few colors."""
    last = None
    for output in outputs:
        if output.output_type == "stream":
            output.text = TENSORFLOW.sub("", TERMINAL.sub("", output.text))
            if not output.text:
                continue
            if last is not None and last.get("name") == output.name:
                last.text += output.text
                continue
        elif not output.get("data", {}).get("text/plain", "-").strip():
            continue  # a bar of progress that is over
        elif "image/png" in output.get("data", {}):
            output.data = {"image/png": _few_colors(output.data["image/png"])}
            output.metadata = {}
        last = output
        yield output


def _few_colors(data: str) -> str:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        image.convert("RGB").quantize(COLORS).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    main(sys.argv[1:])
