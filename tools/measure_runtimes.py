"""Which file runs in which runtime, and how far the answers lie apart: `results/runtimes.csv`.

    python tools/measure_runtimes.py efficientnet_lite0 efficientnet_lite2

Exports each network in every precision, to ONNX and as a SavedModel, and runs all on scikit-image's
images. TFLite files are compared with `ai-edge-litert`'s interpreter on the same file, the others
with the Keras model; the difference is the largest of all scores, in spreads (their standard deviation
over images). tflite-runtime 2.14 has an environment of its own, see `check_tflite_runtime.py`.
"""

import argparse
import dataclasses
import functools
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from newnet_tf import results
from newnet_tf.cli import common
from newnet_tf.deploy import COMMON, Runner, export_tflite, fingerprint, image_batch
from newnet_tf.deploy.saved_model import OUTPUT, export_saved_model
from tools import check_tflite_runtime

ROOT = Path(__file__).resolve().parent.parent
LITERT = "ai-edge-litert interpreter"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="+", help="networks of the zoo with public weights")
    parser.add_argument("--venv", type=Path, default=ROOT / "build" / "tflite-runtime")
    parser.add_argument("--python", default="python3.11", help="Python 3.9 to 3.11")
    parser.add_argument("--files", type=Path, default=ROOT / "build" / "runtimes")
    arguments = parser.parse_args()
    old = check_tflite_runtime.environment(arguments.venv, arguments.python)
    rows = [row for name in arguments.networks for row in measure(name, arguments.files, old)]
    for row in rows:
        print(", ".join(f"{value}" for value in row.values()))
    print(results.record("runtimes", rows, ("model", "file", "runtime")))


def measure(name: str, folder: Path, old: Path) -> list[dict]:
    """Returns the rows of one network."""
    loaded = common.load(name, None, None)
    images = common.images_at_hand()
    shown = image_batch.read(images, loaded.preprocess, "images")
    logits = fingerprint.logits_model(loaded.model)
    with common.no_warnings():
        files = export_tflite(
            *(loaded.model, loaded.preprocess, folder, name, COMMON),
            calibration_images=common.crops_at_hand(),
            validation_images=images,
        )
    rows = []
    for made in files:
        reference = Runner(made.file, interpreter="ai_edge_litert")(shown.inputs)
        for runtime, run in runtimes(made.file, shown.inputs, old).items():
            rows.append(row(name, f"TFLite {made.recipe.kind}", runtime, run, reference, LITERT))
    scores = np.asarray(logits(shown.inputs, training=False))
    runtime = f"onnxruntime {version('onnxruntime')}"
    run = functools.partial(onnx, loaded, folder, shown.inputs)
    rows.append(row(name, "ONNX, opset 17", runtime, run, scores, "Keras model"))
    powers = np.exp(scores - scores.max(1, keepdims=True))
    probabilities = powers / powers.sum(1, keepdims=True)
    run = functools.partial(served, loaded, folder, shown.pixels)
    rows.append(row(name, "SavedModel", "TensorFlow signature", run, probabilities, "Keras model"))
    return rows


def runtimes(file: Path, inputs: np.ndarray, old: Path) -> dict:
    """Returns how each runtime answers a TFLite file, by its name."""
    return {
        LITERT: lambda: Runner(file, interpreter="ai_edge_litert")(inputs),
        "ai-edge-litert compiled model": functools.partial(compiled, file, inputs),
        "tf.lite": lambda: Runner(file, interpreter="tf.lite")(inputs),
        "tflite-runtime 2.14": functools.partial(outside, old, file, inputs),
    }


def row(name, kind, runtime, run, reference, against) -> dict:
    """Runs a file in a runtime; returns a line of the table."""
    print(f"{name}: {kind} in {runtime}", file=sys.stderr, flush=True)
    found = {"model": name, "file": kind, "runtime": runtime, "compared_with": against}
    try:
        answers = run()
    except (ValueError, RuntimeError, OSError) as error:
        return {**found, "runs": "no", "note": f"{error}".splitlines()[-1][-120:]}
    spread = np.sqrt(np.square(reference - reference.mean(0)).mean())
    difference = float(np.abs(answers - reference).max() / spread)
    agreed = int((answers.argmax(1) == reference.argmax(1)).sum())
    best = f"{agreed}/{len(reference)}"
    return {**found, "runs": "yes", "difference": difference, "best_class": best, "note": ""}


def compiled(file: Path, inputs: np.ndarray) -> np.ndarray:
    """Answers of LiteRT's newer interface."""
    from ai_edge_litert.compiled_model import CompiledModel

    model = CompiledModel.from_file(str(file))
    images, scores = model.create_input_buffers(0), model.create_output_buffers(0)
    classes, found = Runner(file).classes, []
    for image in inputs:
        images[0].write(np.ascontiguousarray(image[None]))
        model.run_by_index(0, images, scores)
        found.append(np.array(scores[0].read(classes, np.float32)))
    return np.stack(found)


def outside(python: Path, file: Path, inputs: np.ndarray) -> np.ndarray:
    """Answers of tflite-runtime in its own environment."""
    with tempfile.TemporaryDirectory() as folder:
        given, answered = Path(folder, "inputs.npy"), Path(folder, "outputs.npy")
        np.save(given, inputs)
        run = subprocess.run(
            [python, check_tflite_runtime.__file__, "--answer", file, given, answered],
            env=os.environ | {"PYTHONPATH": str(ROOT), "NEWNET_INTERPRETER": "tflite_runtime"},
            capture_output=True,
            check=False,
            text=True,
        )
        if run.returncode:
            raise RuntimeError(run.stderr.strip() or f"ended with status {run.returncode}")
        return np.load(answered)


def onnx(loaded, folder: Path, inputs: np.ndarray) -> np.ndarray:
    from newnet_tf.deploy.onnx import OnnxRunner, export_onnx

    made = export_onnx(loaded.model, loaded.preprocess, folder, loaded.name, verify=False)
    return OnnxRunner(made.file)(inputs)


def served(loaded, folder: Path, pixels: np.ndarray) -> np.ndarray:
    """Probabilities of the signature, for images that are cropped already."""
    import tensorflow as tf

    whole = dataclasses.replace(loaded.preprocess, crop_pct=1.0)
    path = export_saved_model(loaded.model, folder / f"{loaded.name}.saved_model", whole)
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    return signature(images=tf.constant(pixels))[OUTPUT].numpy()


if __name__ == "__main__":
    main()
