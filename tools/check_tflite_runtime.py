"""Runs exported files with tflite-runtime 2.14, the last of its name, and compares the answers.

    python tools/check_tflite_runtime.py build/demo/*.tflite --images photos/*.jpg

tflite-runtime wants Python 3.11 or older and NumPy 1, so it gets an environment of its own (default
`build/tflite-runtime`, made at the first call from the package index). Nothing else is installed
there: that `newnet_tf.deploy.runtime` runs at all shows that it needs no more. The reference is the
interpreter of the calling environment on the same inputs; the bound is the tolerance of each file's
precision. Exit status 1 if a file fails.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from newnet_tf.deploy.quantization.precisions import PRECISIONS
from newnet_tf.deploy.runtime import Runner

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("tflite-runtime==2.14.0", "numpy<2")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="TFLite files, recipes beside them")
    parser.add_argument("--images", nargs="+", required=True, help="two or more images")
    parser.add_argument("--venv", type=Path, default=ROOT / "build" / "tflite-runtime")
    parser.add_argument("--python", default="python3.11", help="Python 3.9 to 3.11")
    arguments = parser.parse_args()
    python = environment(arguments.venv, arguments.python)
    failed = [file for file in arguments.files if not check(file, arguments.images, python)]
    return 1 if failed else 0


def environment(folder: Path, python: str) -> Path:
    """Returns the Python of the environment, which is made if need be."""
    inside = folder / "bin" / "python"
    if not inside.exists():
        print(f"making {folder} with {', '.join(PACKAGES)}", file=sys.stderr)
        subprocess.run([python, "-m", "venv", folder], check=True)
        alone = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        install = [inside, "-m", "pip", "install", "--quiet", *PACKAGES]
        subprocess.run(install, check=True, env=alone)
    return inside


def check(file: Path, images: list[str], python: Path) -> bool:
    """Compares one file's answers under both interpreters and prints the figures."""
    from newnet_tf.deploy import image_batch
    from newnet_tf.deploy.verification import compare

    here = Runner(file)
    prepared = image_batch.read(images, here.recipe.preprocess, "images")
    inputs = prepared.pixels if here.expects_uint8_pixels else prepared.inputs
    with tempfile.TemporaryDirectory() as folder:
        given, answered = Path(folder, "inputs.npy"), Path(folder, "outputs.npy")
        np.save(given, inputs)
        run = subprocess.run(
            [python, __file__, "--answer", file, given, answered],
            env=os.environ | {"PYTHONPATH": str(ROOT), "NEWNET_INTERPRETER": "tflite_runtime"},
            capture_output=True,
            check=False,
            text=True,
        )
        if run.returncode:
            print(f"FAILED {file.name}: {run.stderr.strip().splitlines()[-1]}")
            return False
        there = np.load(answered)
    found = compare(here(inputs), there, PRECISIONS[here.recipe.precision].tolerance)
    print(f"{'ok' if found.passed else 'FAILED'} {file.name}: {found}; {run.stdout.strip()}")
    return found.passed


def answer(file: str, given: str, answered: str) -> None:
    """Runs inside the environment: NumPy, tflite-runtime and nothing else."""
    runner = Runner(file)
    np.save(answered, runner(np.load(given)))
    print(f"{runner.interpreter}, XNNPACK {runner.delegation()}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--answer"]:
        answer(*sys.argv[2:])
    else:
        sys.exit(main())
