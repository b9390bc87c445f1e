"""Does this bundle answer as it says? Needs NumPy and one LiteRT interpreter, nothing else.

    python check.py [FOLDER] [--digest SHA256]

It compares the digest of every file with `model.json`, then runs each .tflite file on the stored
images and compares what comes out with the stored answers. `--digest` is the one that was printed
when the bundle was made: with it, a bundle that was changed as a whole is refused too. Exit status:
0 all as stated, 1 an answer differs, 2 a file is not the one that the bundle was made with.
"""

import argparse
import hashlib
import importlib
import json
import sys
from pathlib import Path

import numpy as np

MODULES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--digest", help="sha256 that was printed when the bundle was made")
    arguments = parser.parse_args()
    try:
        record = json.loads((arguments.folder / "model.json").read_text(encoding="utf-8"))
        wrong = list(faults(arguments.folder, record, arguments.digest))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        wrong = [f"model.json must be that of a bundle. Received: {type(error).__name__}: {error}"]
    if wrong:
        print("\n".join(f"REFUSED: {line}" for line in wrong))
        return 2
    module, make = interpreter()
    print(f"{module}, NumPy {np.__version__}")
    with np.load(arguments.folder / record["answers"]["file"]) as stored:
        stored = dict(stored)
    passed = [compare(arguments.folder, record, file, stored, make) for file in record["files"]]
    return 0 if all(passed) else 1


def faults(folder, record, expected):
    """Names what is not as `model.json` lists it, and what it does not list."""
    own = {key: value for key, value in record.items() if key != "digest"}
    digest = hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()
    for name, given in (("its own digest", record["digest"]), ("--digest", expected or digest)):
        if digest != given:
            yield f"model.json must have {name}, {given:.16}. Received: {digest:.16}"
    for name, given in record["sha256"].items():
        found = sha256(folder / name) if (folder / name).is_file() else "no such file"
        if found != given:
            yield f"{name} must have sha256 {given:.16}. Received: {found:.16}"
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in sorted(here - set(record["sha256"]) - {"model.json"}):
        yield f"every file must be listed in model.json. Received: {name}"


def interpreter():
    """Returns the first interpreter that is installed, and which it is."""
    for name in MODULES:
        try:
            return name, importlib.import_module(name).Interpreter
        except ImportError:
            continue
    sys.exit(f"an interpreter must be installed: pip install ai-edge-litert. Tried: {MODULES}")


def compare(folder, record, file, stored, make):
    """Runs one file on the stored images and says how its answers compare with those stored."""
    runner = make(model_path=str(folder / file["file"]))
    runner.allocate_tensors()
    (image,), (scores,) = runner.get_input_details(), runner.get_output_details()
    found = []
    for pixels in prepare(stored["pixels"], record["input"]):
        runner.set_tensor(image["index"], pixels[None])
        runner.invoke()
        found.append(real(runner.get_tensor(scores["index"])[0], record["output"]))
    found, stated = np.stack(found), stored[file["file"]]
    if record["output"]["name"] == "probabilities":  # their logarithms are comparable scores
        found, stated = (np.log(np.maximum(values, 1e-30)) for values in (found, stated))
    bound = file["largest_difference"]
    largest = float(np.abs(found - stated).max())
    best = stated.max(axis=1)
    of_found = np.take_along_axis(stated, found.argmax(axis=1)[:, None], axis=1)[:, 0]
    # as good as the best: what was stated of both classes lies no further apart than both may move
    as_good = best - of_found <= 2 * bound
    passed = largest <= bound and bool(as_good.all())
    verdict = "ok" if passed else "FAILED"
    print(
        f"{verdict} {file['file']}: {len(found)} images, largest difference of logits {largest:.3g} "
        f"(at most {bound:.3g}), best classes {[int(i) for i in found.argmax(axis=1)]}"
    )
    return passed


def prepare(pixels, spec):
    """Makes uint8 pixels the input that the files take."""
    if spec["takes"] == "pixels":
        return pixels
    floats = pixels.astype(np.float32) * np.float32(spec["scale"]) + np.float32(spec["offset"])
    if spec["dtype"] == "float32":
        return floats
    steps = np.round(floats / np.float32(spec["quantization"]["scale"]))
    bounds = np.iinfo(spec["dtype"])
    whole = steps + spec["quantization"]["zero_point"]
    return np.clip(whole, bounds.min, bounds.max).astype(spec["dtype"])


def real(scores, spec):
    """Makes what a file gives real numbers."""
    if spec["dtype"] == "float32":
        return scores
    scale, zero = spec["quantization"]["scale"], spec["quantization"]["zero_point"]
    return (scores.astype(np.float32) - zero) * np.float32(scale)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
