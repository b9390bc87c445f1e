"""Which file runs in which runtime, and how far the outputs differ: `results/runtimes.csv`.

    python tools/measure_runtimes.py efficientnet_lite0 efficientnet_lite2

Exports each model in the default precisions, to ONNX and as a SavedModel, and runs all on
scikit-image's photographs. TFLite files are compared with `ai-edge-litert`'s interpreter on the
same file, the others with the Keras model. The difference is the largest of all scores, in units of
their standard deviation over images. tflite-runtime 2.14 has an environment of its own, see
`check_tflite_runtime.py`.
"""

import argparse
import dataclasses
import functools
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

import newnet_tf
from newnet_tf import results
from newnet_tf.data.sample_images import sample_images
from newnet_tf.deploy import (
    DEFAULT_PRECISIONS,
    OnnxRunner,
    Runner,
    SavedModelRunner,
    export_saved_model,
    image_batch,
    model_outputs,
)
from newnet_tf.inference import LoadedModel
from newnet_tf.utils.math import softmax
from tools import check_tflite_runtime

ROOT = Path(__file__).resolve().parent.parent
LITERT, KERAS = "ai-edge-litert interpreter", "Keras model"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="models of the zoo with public weights")
    parser.add_argument("--venv", type=Path, default=ROOT / "build" / "tflite-runtime")
    parser.add_argument("--python", default="python3.11", help="Python 3.9 to 3.11")
    parser.add_argument("--files", type=Path, default=ROOT / "build" / "runtimes")
    arguments = parser.parse_args()
    python = check_tflite_runtime.environment(arguments.venv, arguments.python)
    rows = [row for name in arguments.models for row in measure(name, arguments.files, python)]
    for row in rows:
        print(", ".join(f"{value}" for value in row.values()))
    print(results.record("runtimes", rows, ("model", "file", "runtime")))


def measure(name: str, folder: Path, python: Path) -> list[dict]:
    """Returns the rows of one model."""
    loaded = newnet_tf.load_model(name)
    batch = image_batch.read(sample_images(), loaded.preprocess, "images")
    files = newnet_tf.export(loaded, folder, precisions=DEFAULT_PRECISIONS)
    rows = []
    for exported in files:
        reference = Runner(exported, interpreter="ai_edge_litert")(batch.inputs)
        for runtime, run in runtimes(exported.file, batch.inputs, python).items():
            kind = f"TFLite {exported.config.kind}"
            rows.append(run_row(name, kind, runtime, run, reference, LITERT))
    scores = model_outputs.predict(loaded.model, batch.inputs)
    runtime = f"onnxruntime {version('onnxruntime')}"
    run = functools.partial(onnx_outputs, loaded, folder, batch.inputs)
    rows.append(run_row(name, "ONNX, opset 17", runtime, run, scores, KERAS))
    run = functools.partial(saved_model_outputs, loaded, folder, batch.pixels)
    rows.append(run_row(name, "SavedModel", "TensorFlow signature", run, softmax(scores), KERAS))
    return rows


def runtimes(file: Path, inputs: np.ndarray, python: Path) -> dict[str, Callable]:
    """Returns functions that run a TFLite file, by the runtime's name."""
    return {
        LITERT: lambda: Runner(file, interpreter="ai_edge_litert")(inputs),
        "ai-edge-litert compiled model": functools.partial(compiled_model_outputs, file, inputs),
        "tf.lite": lambda: Runner(file, interpreter="tf.lite")(inputs),
        "tflite-runtime 2.14": functools.partial(
            check_tflite_runtime.outputs_of, file, inputs, python
        ),
    }


def run_row(
    name: str, kind: str, runtime: str, run: Callable, reference: np.ndarray, compared_with: str
) -> dict:
    """Runs a file in a runtime; returns a row of the table."""
    print(f"{name}: {kind} in {runtime}", file=sys.stderr, flush=True)
    row = {"model": name, "file": kind, "runtime": runtime, "compared_with": compared_with}
    try:
        outputs = run()
    except (ValueError, RuntimeError, OSError) as error:
        return {**row, "runs": "no", "note": f"{error}".splitlines()[-1][-120:]}
    std = np.sqrt(np.square(reference - reference.mean(0)).mean())
    difference = float(np.abs(outputs - reference).max() / std)
    matches = int((outputs.argmax(1) == reference.argmax(1)).sum())
    top1 = f"{matches}/{len(reference)}"
    return {**row, "runs": "yes", "difference": difference, "top1_matches": top1, "note": ""}


def compiled_model_outputs(file: Path, inputs: np.ndarray) -> np.ndarray:
    """Returns the outputs of LiteRT's `CompiledModel`."""
    from ai_edge_litert.compiled_model import CompiledModel

    model = CompiledModel.from_file(str(file))
    images, scores = model.create_input_buffers(0), model.create_output_buffers(0)
    classes, rows = Runner(file).classes, []
    for image in inputs:
        images[0].write(np.ascontiguousarray(image[None]))
        model.run_by_index(0, images, scores)
        rows.append(np.array(scores[0].read(classes, np.float32)))
    return np.stack(rows)


def onnx_outputs(loaded: LoadedModel, folder: Path, inputs: np.ndarray) -> np.ndarray:
    """Exports a model to ONNX; returns its outputs."""
    [exported] = newnet_tf.export(loaded, folder, format="onnx", verify=False)
    return OnnxRunner(exported)(inputs)


def saved_model_outputs(loaded: LoadedModel, folder: Path, pixels: np.ndarray) -> np.ndarray:
    """Exports a SavedModel; returns its outputs for images that are cropped already."""
    uncropped = dataclasses.replace(loaded.preprocess, crop_pct=1.0)
    path = export_saved_model(loaded.model, folder / f"{loaded.name}.saved_model", uncropped)
    return SavedModelRunner(path)(pixels)


if __name__ == "__main__":
    main()
