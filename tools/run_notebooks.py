"""Executes the notebooks at small settings and saves them with their outputs.

    python tools/run_notebooks.py [NAME ...]

Each notebook runs from top to bottom in an empty folder, in a new kernel of this Python. What differs
from run to run without meaning is removed (ids, times, terminal colors, TensorFlow's log messages),
and the number of colors of images is reduced. A notebook whose text names a path of this machine is
not saved. The links to the repository are written too, also in `notebooks/README.md`.
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

from newnet_tf.utils.io import write_bytes

REPOSITORY = "newnet-tf/newnet_tf"
ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
TIMEOUT = 1800  # seconds for a cell, on a busy machine
COLORS = 128
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
OPTIONAL_METADATA = ("accelerator",)  # the kind of machine that Colab starts
LINK = re.compile(r"(github(?:\.com)?/)[\w-]+/[\w-]+")
TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TENSORFLOW = re.compile(
    r"^(?:WARNING: All log messages|[IWE]\d{4} [\d:.]+ |[A-Z]+:tensorflow:).*\n", re.MULTILINE
)
ABSOLUTE = re.compile(r"(?<![\w.:/<*~})-])(?:/[\w.-]+){2,}|\b[A-Z]:\\\w+")


def names() -> list[str]:
    """Returns the names of all notebooks."""
    return sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def read(name: str) -> nbformat.NotebookNode:
    """Returns a notebook of the folder, validated.

    Args:
        name: str, without `.ipynb`.
    """
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return notebook


def badge(name: str) -> str:
    """Returns the Markdown of a button that opens a notebook in Colab.

    Args:
        name: str, without `.ipynb`.
    """
    colab = "https://colab.research.google.com"
    page = f"{colab}/github/{REPOSITORY}/blob/main/notebooks/{name}.ipynb"
    return f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({page})"


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Runs all cells at small settings and replaces their outputs.

    Args:
        notebook: what `read` returned.

        folder: path of the working directory, an empty folder.

    Raises:
        CellExecutionError: if a cell raises an error.
    """
    environment = os.environ | {
        "CUDA_VISIBLE_DEVICES": "-1",
        "HF_HUB_OFFLINE": "1",
        "IPYTHONDIR": str(folder / ".ipython"),
        "NEWNET_HOME": ".newnet",
        "NEWNET_NOTEBOOK_SMALL": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore:IProgress not found",  # tqdm asks for ipywidgets
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=TIMEOUT,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    command = make_ipkernel_cmd(extra_arguments=["--log-level=ERROR"])
    client.create_kernel_manager().kernel_spec.argv = command  # this Python, no installed kernel
    client.execute(env=environment)


def tidy(notebook: nbformat.NotebookNode, name: str) -> None:
    """Removes what differs from run to run without meaning; writes the links to the repository.

    Args:
        notebook: what `execute` ran; it is changed.

        name: str, without `.ipynb`.
    """
    optional = {
        key: notebook.metadata[key] for key in OPTIONAL_METADATA if key in notebook.metadata
    }
    notebook.metadata = nbformat.from_dict(METADATA | optional)
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"{name}-{number}", {}
        cell.source = LINK.sub(rf"\g<1>{REPOSITORY}", cell.source)
        if cell.cell_type == "code":
            cell.outputs = list(_merge_streams(cell.outputs))


def images(cell: nbformat.NotebookNode) -> list[bytes]:
    """Returns the PNG images among the outputs of a cell.

    Args:
        cell: a cell of a notebook.
    """
    encoded = (output.get("data", {}).get("image/png") for output in cell.get("outputs", []))
    return [base64.b64decode(data) for data in encoded if data]


def absolute_paths(notebook: nbformat.NotebookNode) -> list[str]:
    """Returns all text in cells and outputs that looks like an absolute path.

    Args:
        notebook: a notebook.
    """
    texts = [cell.source for cell in notebook.cells]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = {k: v for k, v in output.get("data", {}).items() if k != "image/png"}
            texts += [output.get("text", ""), *(str(value) for value in data.values())]
    return [path for text in texts for path in ABSOLUTE.findall(text)]


def main(selected: Sequence[str]) -> None:
    """Executes and saves notebooks.

    Args:
        selected: names of notebooks; all if it is empty.

    Raises:
        SystemExit: if a notebook names a path of this machine.
    """
    for name in selected or names():
        print(f"{name}: running", file=sys.stderr, flush=True)
        notebook = read(name)
        with tempfile.TemporaryDirectory() as folder:
            execute(notebook, Path(folder))
        tidy(notebook, name)
        paths = absolute_paths(notebook)
        if paths:
            raise SystemExit(f"{name} must name no path of this machine. Received: {paths}")
        write_bytes(FOLDER / f"{name}.ipynb", f"{nbformat.writes(notebook)}\n".encode())
    page = FOLDER / "README.md"
    write_bytes(page, LINK.sub(rf"\g<1>{REPOSITORY}", page.read_text(encoding="utf-8")).encode())


def _merge_streams(
    outputs: Sequence[nbformat.NotebookNode],
) -> Iterator[nbformat.NotebookNode]:
    """Yields outputs; those of the same stream are merged, and images get few colors."""
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
            continue  # a progress bar that has ended
        elif "image/png" in output.get("data", {}):
            output.data = {"image/png": _reduce_colors(output.data["image/png"])}
            output.metadata = {}
        last = output
        yield output


def _reduce_colors(data: str) -> str:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        image.convert("RGB").quantize(COLORS).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    main(sys.argv[1:])
