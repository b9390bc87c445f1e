"""Networks that grew out of DenseNet, Inception-ResNet and ResNet: pytorchcv, and one of our own.

No library has Multi-ResNet: it is written once more for PyTorch from the authors' Lua code. It shares
no code with the Keras definition, so an error in one shows as a difference.
"""

import torch
from torch import nn

from tools.references import Reference, pytorchcv


class Branch(nn.Module):
    """One residual function; `begins` says whether batch norm and ReLU come first."""

    def __init__(self, before, planes, stride, begins):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before) if begins else None
        self.conv1 = nn.Conv2d(before, planes, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)

    def forward(self, x):
        if self.bn1 is not None:
            x = self.bn1(x).relu()
        x = self.bn2(self.conv1(x)).relu()
        x = self.bn3(self.conv2(x)).relu()
        return self.conv3(x)


class Block(nn.Module):
    """Several functions and a shortcut; `kind` is that of fb.resnet.torch's pre-activation blocks."""

    def __init__(self, before, planes, stride, functions, kind):
        super().__init__()
        self.shared = nn.BatchNorm2d(before) if kind == "both_preact" else None
        self.branches = nn.ModuleList(
            Branch(before, planes, stride, kind == "plain") for _ in range(functions)
        )
        is_wider = before != 4 * planes
        self.shortcut = nn.Conv2d(before, 4 * planes, 1, stride, bias=False) if is_wider else None

    def forward(self, x):
        if self.shared is not None:
            x = self.shared(x).relu()
        total = x if self.shortcut is None else self.shortcut(x)
        return total + sum(branch(x) for branch in self.branches)


class MultiResNet(nn.Module):
    def __init__(self, depths, functions):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        residual_blocks, before = [], 64
        for stage, depth in enumerate(depths):
            for b in range(depth):
                kind = "plain" if b else "both_preact" if stage else "no_preact"
                stride = 2 if stage and not b else 1
                residual_blocks.append(Block(before, 64 << stage, stride, functions, kind))
                before = 256 << stage
        self.blocks = nn.ModuleList(residual_blocks)
        self.last = nn.BatchNorm2d(before)
        self.classifier = nn.Linear(before, 1000)

    def forward(self, x):
        x = self.pool(self.bn(self.conv(x)).relu())
        for block in self.blocks:
            x = block(x)
        return self.classifier(torch.mean(self.last(x).relu(), (2, 3)))


def _ours(model):
    """{tensor name here: under the names of the Keras layers}."""
    ends = {"conv": "stem_conv", "bn": "stem_bn", "last": "final_bn", "classifier": "classifier"}
    names = {}
    for tensor in model.state_dict():
        path, _, leaf = tensor.rpartition(".")
        parts = path.split(".")
        if parts[0] != "blocks":
            layer = ends[path]
        elif parts[2] == "branches":
            kind, number = parts[4][:-1], parts[4][-1]
            layer = f"block{parts[1]}_{parts[3]}_{number}_{kind}"
        else:
            layer = (
                f"block{parts[1]}_" + {"shared": "shared_bn", "shortcut": "shortcut_conv"}[parts[2]]
            )
        names[tensor] = f"{layer}.{leaf}"
    return names


REFERENCES = {
    # the last poolings of the first two want maps of 7x7 and 9x9
    "condensenet74": Reference(
        "pytorchcv condensenet74_c4_g4",
        pytorchcv("condensenet", "condensenet74_c4_g4"),
        second_size=237,
    ),
    "polynet": Reference(
        "pytorchcv polynet", pytorchcv("polynet", "polynet"), image_size=331, second_size=345
    ),
    "pyramidnet101_a360": Reference(
        "pytorchcv pyramidnet101_a360", pytorchcv("pyramidnet", "pyramidnet101_a360")
    ),
    "multi_resnet101": Reference(
        "the authors' Lua code, in PyTorch", lambda: MultiResNet((3, 4, 23, 3), 2), rename=_ours
    ),
}
