"""Runs exported files with tflite-runtime 2.14, the last release of that name, and compares outputs.

    python tools/check_tflite_runtime.py build/demo/*.tflite --images photos/*.jpg

tflite-runtime wants Python 3.11 or older and NumPy 1, so it gets an environment of its own (default
`build/tflite-runtime`, created at the first call from the package index). Nothing else is installed
there: `newnet_tf.deploy.runtime` needs no more. The reference is the interpreter of the calling
environment on the same inputs; the bound is the tolerance of each file's precision. Exit status 1 if a
file fails.
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
RUN = "--run"  # the call inside the environment


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="TFLite files with their configs")
    parser.add_argument("--images", nargs="+", required=True, help="two or more images")
    parser.add_argument("--venv", type=Path, default=ROOT / "build" / "tflite-runtime")
    parser.add_argument("--python", default="python3.11", help="Python 3.9 to 3.11")
    arguments = parser.parse_args()
    python = environment(arguments.venv, arguments.python)
    failed = [file for file in arguments.files if not check(file, arguments.images, python)]
    return 1 if failed else 0


def environment(folder: Path, python: str) -> Path:
    """Returns the Python of the environment, which is created if need be."""
    executable = folder / "bin" / "python"
    if not executable.exists():
        print(f"creating {folder} with {', '.join(PACKAGES)}", file=sys.stderr)
        subprocess.run([python, "-m", "venv", folder], check=True)
        isolated = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        install = [executable, "-m", "pip", "install", "--quiet", *PACKAGES]
        subprocess.run(install, check=True, env=isolated)
    return executable


def check(file: Path, images: list[str], python: Path) -> bool:
    """Compares one file's outputs under both interpreters and prints the figures."""
    from newnet_tf.deploy import image_batch
    from newnet_tf.deploy.verification import compare

    runner = Runner(file)
    batch = image_batch.read(images, runner.config.preprocess, "images")
    inputs = batch.pixels if runner.expects_uint8_pixels else batch.inputs
    try:
        outputs = outputs_of(file, inputs, python)
    except RuntimeError as error:
        print(f"FAILED {file.name}: {f'{error}'.splitlines()[-1]}")
        return False
    verification = compare(runner(inputs), outputs, PRECISIONS[runner.config.precision].tolerance)
    print(f"{'ok' if verification.passed else 'FAILED'} {file.name}: {verification}")
    return verification.passed


def outputs_of(file: Path, inputs: np.ndarray, python: Path) -> np.ndarray:
    """Returns a file's outputs under tflite-runtime.

    Args:
        file: path of a TFLite file.

        inputs: array, as the file takes them.

        python: path of the environment's Python.

    Raises:
        RuntimeError: where tflite-runtime does not run the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        inputs_file, outputs_file = Path(folder, "inputs.npy"), Path(folder, "outputs.npy")
        np.save(inputs_file, inputs)
        process = subprocess.run(
            [python, __file__, RUN, file, inputs_file, outputs_file],
            env=os.environ | {"PYTHONPATH": str(ROOT), "NEWNET_INTERPRETER": "tflite_runtime"},
            capture_output=True,
            check=False,
            text=True,
        )
        if process.returncode:
            raise RuntimeError(process.stderr.strip() or f"exit status {process.returncode}")
        print(process.stdout.strip(), file=sys.stderr)
        return np.load(outputs_file)


def run_inside(file: str, inputs_file: str, outputs_file: str) -> None:
    """Runs inside the environment: NumPy, tflite-runtime and nothing else."""
    runner = Runner(file)
    np.save(outputs_file, runner(np.load(inputs_file)))
    print(f"{Path(file).name}: {runner.interpreter}, XNNPACK {runner.delegation()}")


if __name__ == "__main__":
    if sys.argv[1:2] == [RUN]:
        run_inside(*sys.argv[2:])
    else:
        sys.exit(main())
