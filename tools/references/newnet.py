"""NewNet, which no library has: written once more for PyTorch from the table in docs/design.md.

It shares no code with the Keras definition, so an error in one shows as a difference. TensorFlow's
`same` padding is spelled out, since PyTorch has none at stride 2.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from tools.references import Reference

SMALL = (16, 24, 40, 48, 64, 72, 88, 96, 112, 120, 128, 144, 152, 168, 176, 192)
LARGE = (40, 48, 56, 72, 80, 88, 96, 104, 112, 120, 136, 144, 152, 160, 176, 184)
DOWN = (1, 3, 5, 11)  # blocks of stride 2


class NewNet(nn.Module):
    """Modules bear the names of the Keras layers."""

    def __init__(self, widths, stem=2, classes=1000):
        super().__init__()
        self.widths = widths
        self._unit("stem", 3, 32, 3, stride=stem)
        before = 32
        for i, after in enumerate(widths):
            inner = before * (6 if i else 1)
            if i:
                self._unit(f"block{i}_expand", before, inner, 1)
            stride = 2 if i in DOWN else 1
            self._unit(f"block{i}_depthwise", inner, inner, 3, stride, groups=inner)
            if i >= 3:
                setattr(self, f"block{i}_se_reduce", nn.Conv2d(inner, inner // 16, 1))
                setattr(self, f"block{i}_se_expand", nn.Conv2d(inner // 16, inner, 1))
            self._unit(f"block{i}_project", inner, after, 1)
            before = after
        self._unit("final", before, 512, 1)
        self.classifier = nn.Conv2d(512, classes, 1)

    def _unit(self, name, before, after, kernel, stride=1, groups=1):
        conv = nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)
        setattr(self, f"{name}_conv", conv)
        setattr(self, f"{name}_bn", nn.BatchNorm2d(after, eps=1e-5))

    def _run(self, name, x):
        conv = getattr(self, f"{name}_conv")
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        pads = []
        for side in (x.shape[3], x.shape[2]):
            total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return getattr(self, f"{name}_bn")(conv(functional.pad(x, pads)))

    def forward(self, x):
        x = functional.relu6(self._run("stem", x))
        for i, after in enumerate(self.widths):
            y = functional.relu6(self._run(f"block{i}_expand", x)) if i else x
            y = self._run(f"block{i}_depthwise", y)
            if i >= 3:
                gate = y.mean((2, 3), keepdim=True)
                gate = functional.relu(getattr(self, f"block{i}_se_reduce")(gate))
                y = y * torch.sigmoid(getattr(self, f"block{i}_se_expand")(gate))
            y = self._run(f"block{i}_project", functional.relu6(y))
            if i not in DOWN and x.shape[1] <= after:
                y = torch.cat([y[:, : x.shape[1]] + x, y[:, x.shape[1] :]], 1)
            x = y
        x = functional.relu6(self._run("final", x))
        return self.classifier(x.mean((2, 3), keepdim=True)).flatten(1)


REFERENCES = {
    "newnet_small": Reference("the design's table, in PyTorch", lambda: NewNet(SMALL)),
    "newnet_small_cifar": Reference(
        "the design's table, in PyTorch",
        lambda: NewNet(SMALL, stem=1, classes=10),
        image_size=32,
        second_size=45,
    ),
    "newnet_large": Reference("the design's table, in PyTorch", lambda: NewNet(LARGE)),
}
