"""Runs torchvision's preprocessing once and writes `tests/golden/preprocess.npz`.

Needs torch, torchvision, scikit-image's two images and pillow, in an environment of its own:

    python tools/make_preprocess_golden.py --images FOLDER [--shim FOLDER]

`--images` holds chelsea.png and rocket.jpg (scikit-image's `data` folder). `--shim` is for a CPU
build of torch, whose torchvision wheel cannot load its operators: a module `tvshim` found in that
folder is imported first. The file holds every eighth pixel of each result, as float16.
"""

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image, __version__

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "tests" / "golden" / "preprocess.npz"
sys.path.insert(0, str(ROOT))

from newnet_tf.models.config import PreprocessConfig  # noqa: E402
from newnet_tf.utils.io import atomic_write  # noqa: E402

STRIDE = 8
IMAGES = ("chelsea.png", "rocket.jpg")
TF_STYLE = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
CONFIGS = (
    PreprocessConfig(),
    PreprocessConfig(image_size=240, crop_pct=0.882),
    PreprocessConfig(interpolation="bilinear", **TF_STYLE),
    PreprocessConfig(crop_pct=0.95),
    PreprocessConfig(image_size=96, crop_pct=1.0),
)


def reference(transforms, preprocess: PreprocessConfig):
    """Returns torchvision's evaluation transform of a preprocessing config."""
    mode = transforms.InterpolationMode(preprocess.interpolation)
    return transforms.Compose(
        [
            transforms.Resize(preprocess.resize, mode),
            transforms.CenterCrop(preprocess.image_size),
            transforms.ToTensor(),
            transforms.Normalize(preprocess.mean, preprocess.std),
        ]
    )


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--shim", type=Path)
    arguments = parser.parse_args()
    if arguments.shim:
        sys.path.insert(0, str(arguments.shim))
        importlib.import_module("tvshim")
    torchvision = importlib.import_module("torchvision")
    transforms = importlib.import_module("torchvision.transforms")
    arrays = {}
    for i, preprocess in enumerate(CONFIGS):
        arrays[f"config{i}"] = np.array(json.dumps(asdict(preprocess)))
        for name in IMAGES:
            image = Image.open(arguments.images / name).convert("RGB")
            pixels = reference(transforms, preprocess)(image).permute(1, 2, 0).numpy()
            arrays[f"{name}{i}"] = pixels[::STRIDE, ::STRIDE].astype(np.float16)
    arrays["made_with"] = np.array(f"torchvision {torchvision.__version__}, Pillow {__version__}")
    with atomic_write(TARGET) as temporary:
        np.savez_compressed(temporary, **arrays)
    print(TARGET, TARGET.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
