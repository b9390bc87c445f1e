"""Runs `newnet benchmark data` with timm's loader, as its guides have it, beside the others.

Needs torch, torchvision and timm beside newnet_tf:

    python tools/benchmark_data.py [--shim FOLDER] [options of newnet benchmark data]

timm's transforms run in processes of PyTorch's `DataLoader`, which stay from pass to pass. `--shim`
is as in `make_golden.py`.
"""

import argparse
import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from newnet_tf.cli import benchmark_data

SIDE, SIZE = 256, 224
RANDAUGMENT = "rand-m9-mstd0.5"


def timm_loaders(folder: Path, batch: int, workers: int) -> dict:
    """Returns {name: callable -> loader of the images of a folder of classes}."""
    from timm.data import ImageDataset, create_transform
    from torch.utils.data import DataLoader

    def loaded(is_train, **fields):
        transform = create_transform(SIZE, is_training=is_train, color_jitter=None, **fields)
        return DataLoader(
            ImageDataset(str(folder), transform=transform),
            batch,
            shuffle=is_train,
            num_workers=workers,
            multiprocessing_context="spawn",  # TensorFlow's threads do not survive a fork
            persistent_workers=True,
        )

    return {
        "timm: train": lambda: loaded(True, interpolation="bilinear"),
        "timm: eval": lambda: loaded(False, interpolation="bicubic", crop_pct=SIZE / SIDE),
        "timm: train + RandAugment": lambda: loaded(
            True, interpolation="bilinear", auto_augment=RANDAUGMENT
        ),
    }


def arguments():
    parser = argparse.ArgumentParser(description="Times data pipelines, timm's among them.")
    parser.add_argument("--shim", help="folder of tvshim, for a CPU build of torch")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--json", action="store_true")
    benchmark_data.add_arguments(parser)
    return parser.parse_args()


if __name__ in ("__main__", "__mp_main__"):  # the latter: in a loader's process
    given = arguments()
    if given.shim:
        sys.path.insert(0, given.shim)
        importlib.import_module("tvshim")

if __name__ == "__main__":
    benchmark_data.run(given, timm_loaders)
