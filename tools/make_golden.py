"""Runs the reference implementations once and writes `tests/golden/*.npz`.

Needs an environment of its own with torch 2.13, torchvision 0.28, timm 1.0.31, pytorchcv 0.0.74,
efficientnet_lite_pytorch 0.1, scikit-image and pillow, and the authors' `rexnetv1.py` and
`rexnetv1_lite.py` (github.com/clovaai/rexnet) in a folder:

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

from newnet_tf.applications.mobilenet_v2 import gluon_names  # noqa: E402
from newnet_tf.weights import parity  # noqa: E402

ODD = 193
NATIVE_ONLY = ("efficientnet_lite0.package",)  # pads for its native side, whatever the input
TENSORFLOW = {"pad_type": "same", "bn_eps": 1e-3}


def timm(name):
    return importlib.import_module("timm").create_model(name)


def rexnet(width):
    return importlib.import_module("timm.models.rexnet").RexNet(width_mult=width)


def timm_mobilenet(version, width, **style):
    module = importlib.import_module("timm.models.efficientnet")
    return getattr(module, f"_gen_mobilenet_{version}")(f"mobilenet{version}_100", width, **style)


def authors(file, network, **arguments):
    return getattr(importlib.import_module(file), network)(**arguments)


def torchvision(name):
    return getattr(importlib.import_module("torchvision.models"), name)()


def efficientnet_lite(number):
    module = importlib.import_module("efficientnet_lite_pytorch")
    return module.EfficientNet.from_name(f"efficientnet-lite{number}")


def gluon():
    """pytorchcv's network, which has GluonCV's first block, with a classifier bias as GluonCV's."""
    model = importlib.import_module("pytorchcv.models.mobilenetv2").mobilenetv2_w1()
    model.output = nn.Sequential(nn.Conv2d(1280, 1000, 1), nn.Flatten())
    return model


def references():
    """{golden file's stem: (what it is, how to make it, native input side)}."""
    table = {}
    for width in (0.6, 0.9, 1.0, 1.3, 1.5, 2.0, 2.2, 3.0):
        stem = f"rexnet_{round(width * 100):03}"
        table[stem] = (f"timm RexNet x{width}", lambda width=width: rexnet(width), 224)
    for name in ("rexnetr_100", "rexnetr_130", "rexnetr_150", "rexnetr_200", "rexnetr_300"):
        table[name] = (f"timm {name}", lambda name=name: timm(name), 224)
    for width in (1.0, 1.3, 1.5, 2.0):
        table[f"rexnet_lite_{round(width * 100)}"] = (
            f"clovaai ReXNetV1_lite x{width}",
            lambda width=width: authors("rexnetv1_lite", "ReXNetV1_lite", multiplier=width),
            224,
        )
    for number, side in enumerate((224, 240, 260)):
        name = f"tf_efficientnet_lite{number}"
        table[name.removeprefix("tf_")] = (f"timm {name}", lambda name=name: timm(name), side)
    for version, widths in (("v1", (0.25, 0.5, 0.75, 1.0)), ("v2", (0.5, 1.0, 1.4))):
        for width in widths:
            for prefix, style in (("", {}), ("tf_", TENSORFLOW)):
                table[f"{prefix}mobilenet_{version}_{round(width * 100):03}"] = (
                    f"timm MobileNet{version.upper()} x{width} {style or ''}".strip(),
                    lambda v=version, w=width, s=style: timm_mobilenet(v, w, **s),
                    224,
                )
    lite0 = lambda: efficientnet_lite(0)  # noqa: E731
    v2 = lambda: torchvision("mobilenet_v2")  # noqa: E731
    v1 = lambda: authors("rexnetv1", "ReXNetV1")  # noqa: E731
    return table | {
        "gluon_mobilenet_v2_100": ("pytorchcv mobilenetv2_w1", gluon, 224),
        "rexnet_100.clovaai": ("clovaai ReXNetV1 x1.0", v1, 224),
        "mobilenet_v2_100.torchvision": ("torchvision mobilenet_v2", v2, 224),
        "efficientnet_lite0.package": ("efficientnet_lite_pytorch lite0", lite0, 224),
    }


def published_names(model, stem):
    """{tensor name in the reference: name in the kind of checkpoint that we read}."""
    names = {n: n for n in model.state_dict() if not n.endswith("num_batches_tracked")}
    if not stem.startswith("gluon"):
        return names
    modules = dict(model.named_modules())
    leaves = [n for n, m in modules.items() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    stem_and_final = ("stem_conv", "stem_bn", "final_conv", "final_bn", "classifier")
    layers = gluon_names()
    inner = [layer for layer in layers if layer not in stem_and_final]
    ours = [*stem_and_final[:2], *inner, *stem_and_final[2:]]
    prefix = {leaf: layers[layer] for leaf, layer in zip(leaves, ours, strict=True)}
    renamed = {}
    for name in names:
        module, _, kind = name.rpartition(".")
        if isinstance(modules[module], nn.BatchNorm2d):
            kind = {"weight": "gamma", "bias": "beta"}.get(kind, kind)
        renamed[name] = f"{prefix[module]}_{kind}"
    return renamed


def fill(state, names, scales, chosen):
    """Fills the tensors of `state` for which `chosen` holds with made-up numbers."""
    for name, published in names.items():
        if chosen(name):
            made = parity.fake(published, tuple(state[name].shape), scales)
            state[name].copy_(torch.from_numpy(made))


def multiply_adds(model, x):
    """Counts those of convolutions and linear layers for one picture."""
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


@torch.inference_mode()
def make(stem, what, build, side):
    """Runs one reference; returns its golden record."""
    model = build().double().eval()
    names, state, scales = published_names(model, stem), model.state_dict(), {}
    fill(state, names, scales, lambda name: "running" not in name)

    def calibrate(norm, inputs, name):
        module = parity.module_of(names[f"{name}.running_var"])
        scales[module] = float(inputs[0].var(dim=(0, 2, 3), unbiased=False).mean())
        fill(state, names, scales, lambda n: n in (f"{name}.running_mean", f"{name}.running_var"))

    hooks = [
        module.register_forward_pre_hook(lambda m, x, name=name: calibrate(m, x, name))
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    ]

    def pictures(size):
        return torch.from_numpy(parity.pixels(size)).permute(0, 3, 1, 2).double()

    logits = {side: model(pictures(side)).float().numpy()}
    for hook in hooks:
        hook.remove()
    if stem not in NATIVE_ONLY:
        logits[ODD] = model(pictures(ODD)).float().numpy()
    features = {}
    if hasattr(model, "forward_intermediates"):
        for map_ in model.forward_intermediates(pictures(side)[:1], intermediates_only=True):
            stride = 2 ** round(math.log2(side / map_.shape[-1]))
            features[stride] = map_.mean(dim=(0, 2, 3)).float().numpy()
    shapes = {published: tuple(state[name].shape) for name, published in names.items()}
    params = sum(p.numel() for p in model.parameters())
    macs = multiply_adds(model, pictures(side))
    return parity.Golden(what, params, macs, shapes, scales, logits, features)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--authors", required=True, help="folder of the authors' two files")
    parser.add_argument("--only", default="*", help="pattern of golden files to write")
    parser.add_argument("--shim", help="folder of tvshim.py")
    arguments = parser.parse_args()
    sys.path[:0] = [arguments.authors, *([arguments.shim] if arguments.shim else [])]
    if arguments.shim:
        importlib.import_module("tvshim")
    for stem, (what, build, side) in references().items():
        if not fnmatch.fnmatch(stem, arguments.only):
            continue
        torch.manual_seed(0)
        golden = make(stem, what, build, side)
        path = ROOT / "tests" / "golden" / f"{stem}.npz"
        golden.save(path)
        first, second = golden.logits[side]
        spread, kib = np.sqrt(np.mean((first - second) ** 2)), path.stat().st_size / 1024
        print(
            f"{stem}: {len(golden.shapes)} tensors, spread {spread:.3g}, {kib:.0f} KiB", flush=True
        )


if __name__ == "__main__":
    main()
