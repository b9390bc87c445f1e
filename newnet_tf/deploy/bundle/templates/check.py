"""Checks a bundle: are the files unchanged, and do they give the expected outputs?

    python check.py [FOLDER] [--digest SHA256]

It compares the digest of every file with `model.json`. Then it runs each .tflite file on the stored
images and compares the outputs with the stored ones. `--digest` is the digest that was printed when
the bundle was written: with it, a bundle that was changed as a whole is refused too. It needs NumPy
and one LiteRT interpreter. Exit status: 0 all as expected, 1 an output differs, 2 a file was changed.
"""

import argparse
import hashlib
import importlib
import json
import sys
from pathlib import Path

import numpy as np

FORMAT = 4
MODULES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--digest", help="sha256 that was printed when the bundle was written")
    arguments = parser.parse_args()
    try:
        info = json.loads((arguments.folder / "model.json").read_text(encoding="utf-8"))
        errors = list(find_errors(arguments.folder, info, arguments.digest))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        errors = [f"model.json must be that of a bundle. Received: {type(error).__name__}: {error}"]
    if errors:
        print("\n".join(f"REFUSED: {line}" for line in errors))
        return 2
    module, make_interpreter = interpreter()
    print(f"{module}, NumPy {np.__version__}")
    with np.load(arguments.folder / info["expected"]["file"]) as arrays:
        expected = dict(arrays)
    passed = [
        compare(arguments.folder, info, file, expected, make_interpreter) for file in info["files"]
    ]
    return 0 if all(passed) else 1


def find_errors(folder, info, expected_digest):
    """Yields what differs from `model.json`, and files that it does not list."""
    if info["format"] != FORMAT:
        yield (
            f"model.json must have format {FORMAT}: write the bundle again with this version of "
            f"newnet_tf. Received: format {info['format']}"
        )
        return
    content = {key: value for key, value in info.items() if key != "digest"}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    for name, wanted in (
        ("its own digest", info["digest"]),
        ("--digest", expected_digest or digest),
    ):
        if digest != wanted:
            yield f"model.json must have {name}, {wanted:.16}. Received: {digest:.16}"
    for name, wanted in info["sha256"].items():
        actual = sha256(folder / name) if (folder / name).is_file() else "no such file"
        if actual != wanted:
            yield f"{name} must have sha256 {wanted:.16}. Received: {actual:.16}"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in sorted(files - set(info["sha256"]) - {"model.json"}):
        yield f"every file must be listed in model.json. Received: {name}"


def interpreter():
    """Returns the name and the class of the first interpreter that is installed."""
    for name in MODULES:
        try:
            return name, importlib.import_module(name).Interpreter
        except ImportError:
            continue
    sys.exit(
        f"an interpreter must be installed: pip install ai-edge-litert. Received: no {MODULES}"
    )


def compare(folder, info, file, expected, make_interpreter):
    """Runs one file on the stored images; prints and returns whether its outputs are as expected."""
    runner = make_interpreter(model_path=str(folder / file["file"]))
    runner.allocate_tensors()
    (image,), tensors = runner.get_input_details(), runner.get_output_details()
    outputs = {output["name"]: [] for output in info["outputs"]}
    for pixels in prepare(expected["pixels"], info["input"], info["image"]["colors"]):
        runner.set_tensor(image["index"], pixels[None])
        runner.invoke()
        for output in info["outputs"]:
            values = runner.get_tensor(tensors[output["index"]]["index"])
            outputs[output["name"]].append(dequantize(values[0], output))
    passed, parts = True, []
    for name, rows in outputs.items():
        values, wanted = np.stack(rows), expected[f"{file['file']}/{name}"]
        if info["output_type"] == "probabilities":  # their logarithms differ as logits do
            values, wanted = (np.log(np.maximum(v, 1e-30)) for v in (values, wanted))
        bound = file["max_difference"][name]
        difference = float(np.abs(values - wanted).max(initial=0.0))
        passed = passed and difference <= bound
        parts.append(f"largest difference of {name} {difference:.3g} (at most {bound:.3g})")
        if info["task"] == "classification" and values.shape[1] > 1:
            passed = passed and same_top1(values, wanted, bound)
            parts.append(f"top-1 predictions {[int(i) for i in values.argmax(axis=1)]}")
        elif info["task"] == "classification":  # the score of the second of two classes
            threshold = 0.0 if info["output_type"] == "logits" else 0.5
            parts.append(f"top-1 predictions {[int(v > threshold) for v in values[:, 0]]}")
    count = len(expected["pixels"])
    print(f"{'ok' if passed else 'FAILED'} {file['file']}: {count} images, {', '.join(parts)}")
    return passed


def same_top1(values, wanted, bound):
    """Whether the top-1 predictions are equal, or as good: their scores may differ by 2 bounds."""
    best = wanted.max(axis=1)
    predicted = np.take_along_axis(wanted, values.argmax(axis=1)[:, None], axis=1)[:, 0]
    return bool((best - predicted <= 2 * bound).all())


def prepare(pixels, spec, colors):
    """Returns the input of the files for uint8 pixels, RGB or gray."""
    if colors == "BGR":
        pixels = pixels[..., ::-1]
    if spec["values"] == "pixels":
        return pixels
    floats = pixels.astype(np.float32) * np.float32(spec["scale"]) + np.float32(spec["offset"])
    if spec["dtype"] == "float32":
        return floats
    steps = np.round(floats / np.float32(spec["quantization"]["scale"]))
    bounds = np.iinfo(spec["dtype"])
    integers = steps + spec["quantization"]["zero_point"]
    return np.clip(integers, bounds.min, bounds.max).astype(spec["dtype"])


def dequantize(values, spec):
    """Returns the real numbers that the values of an output stand for."""
    if spec["quantization"] is None:
        return values
    scale, zero_point = spec["quantization"]["scale"], spec["quantization"]["zero_point"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
