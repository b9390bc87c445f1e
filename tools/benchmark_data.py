"""Compares timm's loader, set up as in its guides, with newnet_tf's input pipelines.

Needs torch, torchvision and timm in addition to newnet_tf:

    python tools/benchmark_data.py [--shim FOLDER] [--num-images N] [--save-results]

timm's transforms run in processes of PyTorch's `DataLoader`, which are started once. `--shim` is as in
`make_golden.py`.
"""

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

RESIZE, SIZE = 256, 224
RANDAUGMENT = "rand-m9-mstd0.5"


def timm_loaders(folder: Path, batch_size: int, workers: int) -> dict[str, Callable]:
    """Returns {name: callable -> loader of the images of a folder of classes}."""
    from timm.data import ImageDataset, create_transform
    from torch.utils.data import DataLoader

    def load(is_train, **fields):
        transform = create_transform(SIZE, is_training=is_train, color_jitter=None, **fields)
        return DataLoader(
            ImageDataset(str(folder), transform=transform),
            batch_size,
            shuffle=is_train,
            num_workers=workers,
            multiprocessing_context="spawn",  # TensorFlow's threads do not survive a fork
            persistent_workers=True,
        )

    return {
        "timm: train": lambda: load(True, interpolation="bilinear"),
        "timm: eval": lambda: load(False, interpolation="bicubic", crop_pct=SIZE / RESIZE),
        "timm: train + RandAugment": lambda: load(
            True, interpolation="bilinear", auto_augment=RANDAUGMENT
        ),
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Times input pipelines, timm's among them.")
    parser.add_argument("--shim", help="folder of tvshim, for a CPU build of torch")
    parser.add_argument("--runs", type=int, default=5, help="timed runs; default: 5")
    parser.add_argument("--num-images", type=int, default=2048, help="default: 2048")
    parser.add_argument("--batch-size", type=int, default=64, help="default: 64")
    parser.add_argument("--num-workers", type=int, help="default: all cores")
    parser.add_argument("--only", nargs="+", help="names of pipelines; default: all")
    parser.add_argument("--save-results", action="store_true", help="write results/data.csv")
    return parser.parse_args()


if __name__ in ("__main__", "__mp_main__"):  # the latter: in a loader's process
    arguments = parse_arguments()
    if arguments.shim:
        sys.path.insert(0, arguments.shim)
        importlib.import_module("tvshim")

if __name__ == "__main__":
    import newnet_tf

    print(
        newnet_tf.benchmark_data(
            arguments.only,
            num_images=arguments.num_images,
            runs=arguments.runs,
            batch_size=arguments.batch_size,
            num_workers=arguments.num_workers,
            other_loaders=timm_loaders,
            save_results=arguments.save_results,
        )
    )
