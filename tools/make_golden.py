"""Runs the reference implementations of `tools/references` and writes `tests/golden/**/*.npz`.

Needs an environment of its own with torch 2.13, torchvision 0.28, timm 1.0.31, pytorchcv 0.0.74,
efficientnet_lite_pytorch 0.1, easyocr 1.7.2, scikit-image and pillow, and the authors' `rexnetv1.py`
and `rexnetv1_lite.py` (github.com/clovaai/rexnet) in a folder:

    python tools/make_golden.py --authors FOLDER [--only 'rexnet*'] [--shim FOLDER]

`--shim` is for a CPU build of torch, whose torchvision wheel cannot load its operators: a module
`tvshim` found in that folder is imported first.
"""

import argparse
import fnmatch
import importlib
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from newnet_tf.weights import parity  # noqa: E402
from tools import references  # noqa: E402


def fill(state, names, scales, is_chosen):
    """Fills the tensors of `state` for which `is_chosen` holds with generated values."""
    for name, published in names.items():
        if is_chosen(name):
            values = parity.fake(published, tuple(state[name].shape), scales)
            state[name].copy_(torch.from_numpy(values))


def multiply_adds(model, x):
    """Counts those of convolutions and linear layers for one image."""
    counts = []

    def count(module, inputs, output):
        places = output[0, 0].numel() if isinstance(module, nn.Conv2d) else 1
        counts.append(module.weight.numel() * places)

    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    model(x)
    for hook in hooks:
        hook.remove()
    return sum(counts)


def images(size, channels):
    return torch.from_numpy(parity.pixels(size, channels)).permute(0, 3, 1, 2).double()


@torch.inference_mode()
def make(reference):
    """Runs one reference; returns its golden record."""
    model = reference.build().double().eval()
    state, scales = model.state_dict(), {}
    renamed = reference.rename(model) if reference.rename else {n: n for n in state}
    names = {n: p for n, p in renamed.items() if not n.endswith("num_batches_tracked")}
    fill(state, names, scales, lambda name: "running" not in name)

    def calibrate(norm, inputs, name):
        module = parity.module_of(names[f"{name}.running_var"])
        scale = float(inputs[0].var(dim=(0, 2, 3), unbiased=False).mean())
        scales[module] = float(f"{scale:.3g}")  # three digits will do and keep files small
        fill(state, names, scales, lambda n: n in (f"{name}.running_mean", f"{name}.running_var"))

    hooks = [
        module.register_forward_pre_hook(lambda m, x, name=name: calibrate(m, x, name))
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    size, channels = reference.image_size, reference.channels
    logits = {size: model(images(size, channels)).float().numpy()}
    for hook in hooks:
        hook.remove()
    if reference.second_size:
        logits[reference.second_size] = (
            model(images(reference.second_size, channels)).float().numpy()
        )
    features = {}
    if hasattr(model, "forward_intermediates"):
        first = images(size, channels)[:1]
        for map_ in model.forward_intermediates(first, intermediates_only=True):
            stride = 2 ** round(math.log2(size / map_.shape[-1]))
            features[stride] = map_.mean(dim=(0, 2, 3)).float().numpy()
    return parity.Golden(
        reference=reference.name,
        params=sum(p.numel() for p in model.parameters()),
        macs=multiply_adds(model, images(size, channels)),
        shapes={published: tuple(state[name].shape) for name, published in names.items()},
        scales=scales,
        logits=logits,
        features=features,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--authors", required=True, help="folder of the authors' two files")
    parser.add_argument("--only", default="*", help="pattern of golden files to write")
    parser.add_argument("--shim", help="folder of tvshim.py")
    arguments = parser.parse_args()
    sys.path[:0] = [arguments.authors, *([arguments.shim] if arguments.shim else [])]
    if arguments.shim:
        importlib.import_module("tvshim")
    for stem, reference in references.table().items():
        if not fnmatch.fnmatch(stem, arguments.only):
            continue
        torch.manual_seed(0)
        golden = make(reference)
        path = ROOT / "tests" / "golden" / f"{stem}.npz"
        path.parent.mkdir(exist_ok=True)
        golden.save(path)
        first, second = golden.logits[reference.image_size]
        distance, kib = np.sqrt(np.mean((first - second) ** 2)), path.stat().st_size / 1024
        print(
            f"{stem}: {len(golden.shapes)} tensors, spread {distance:.3g}, {kib:.0f} KiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
