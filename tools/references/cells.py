"""DARTS, NASNet, PNASNet: pytorchcv's and timm's; AmoebaNet and RandWire: defined a second time.

No library has the last two. Their definitions here share no code with those for Keras, so an error in
one shows as a difference; their modules have the names of the Keras layers.
"""

import functools
import importlib
import math

import networkx
import torch
from torch import nn
from torch.nn import functional

from tools.references import Reference, pytorchcv, timm


def _any_image_size(make):
    """Pools the whole feature map; pytorchcv's models pool a window of their native size."""

    def build():
        model = make()
        model.features.final_pool = nn.AdaptiveAvgPool2d(1)
        return model

    return build


def _nasnet_mobile():
    """pytorchcv's network without the row and column that it computes and then drops.

    It pads one row more, convolves and crops, so that padding becomes TensorFlow's: the same numbers
    at more cost. This pads what is left of it.
    """
    model = _any_image_size(pytorchcv("nasnet", "nasnet_4a1056"))()
    for module in model.modules():
        if hasattr(module, "activ") and getattr(module, "extra_padding", False):
            conv = module.conv.dw_conv
            if conv.stride[0] == 2:
                half = conv.padding[0]
                pad = nn.ZeroPad2d((half - 1, half, half - 1, half))
                module.activ = nn.Sequential(module.activ, pad)
                conv.padding = (0, 0)
            module.extra_padding = False
    return model


class _Uncounted(nn.Module):
    """An average pooling that pads, its padding not counted."""

    def __init__(self, pool):
        super().__init__()
        self.pool = pool

    def forward(self, x):
        return self.pool(x) / self.pool(torch.ones_like(x[:, :1]))


def _nasnet_large():
    """timm's network, its padded average pooling as TensorFlow and pytorchcv have it."""
    model = timm("nasnetalarge")()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ == "AvgPool2dSame":
                setattr(parent, name, _Uncounted(child))
    return model


class _PNASNetMobile(nn.Module):
    """timm's cells as the paper's mobile network has them: three in a stage, 54 filters."""

    def __init__(self):
        super().__init__()
        module = importlib.import_module("timm.models.pnasnet")
        norm = functools.partial(nn.BatchNorm2d, eps=1e-3)
        options = {"padding": 0, "norm_layer": norm, "apply_act": False}
        self.conv_0 = module.ConvNormAct(3, 32, kernel_size=3, stride=2, **options)
        self.cell_stem_0 = module.CellStem0(32, 13, 32, 13, pad_type="same")
        self.names, before, last, reduced = ["cell_stem_1"], 32, 65, True
        self.names += [f"cell_{i}" for i in range(9)]
        for name, width in zip(
            self.names, (27,) + (54,) * 3 + (108,) * 3 + (216,) * 3, strict=True
        ):
            reduces = name in ("cell_stem_1", "cell_3", "cell_6")
            flags = {"is_reduction": reduces, "match_prev_layer_dims": reduced}
            cell = module.Cell(before, width, last, width, pad_type="same", **flags)
            if reduced and width % 2:  # timm's gives both halves the smaller one
                cell.conv_prev_1x1.path_2.conv = nn.Conv2d(before, width // 2 + 1, 1, bias=False)
            setattr(self, name, cell)
            before, last, reduced = last, 5 * width, reduces
        self.last_linear = nn.Linear(last, 1000)

    def forward(self, x):
        before = self.conv_0(x)
        x = self.cell_stem_0(before)
        for name in self.names:
            before, x = x, getattr(self, name)(before, x)
        return self.last_linear(x.relu().mean((2, 3)))


class _Grown(nn.Module):
    """Modules that come into being, under the names of the Keras layers, when first run."""

    def __init__(self, eps, same):
        super().__init__()
        self.eps, self.same = eps, same
        self(torch.zeros(2, 3, 64, 64))

    def module(self, name, make):
        if not hasattr(self, name):
            setattr(self, name, make())
        return getattr(self, name)

    def pad(self, x, kernel, stride, value=0.0):
        pads = []
        for side, k, s in zip(x.shape[:1:-1], kernel[::-1], stride[::-1], strict=True):
            total = max((math.ceil(side / s) - 1) * s + k - side, 0)
            pads += [total // 2, total - total // 2] if self.same else [k // 2, k // 2]
        return functional.pad(x, pads, value=value)

    def conv(self, name, x, after, kernel=(1, 1), stride=(1, 1), groups=1, pad=True):
        options = {"groups": groups, "bias": False}
        module = self.module(
            f"{name}_conv", lambda: nn.Conv2d(x.shape[1], after, kernel, stride, **options)
        )
        return module(self.pad(x, kernel, stride) if pad else x)

    def norm(self, name, x):
        return self.module(f"{name}_bn", lambda: nn.BatchNorm2d(x.shape[1], eps=self.eps))(x)

    def unit(self, name, x, after, kernel=(1, 1), stride=(1, 1), pad=True):
        return self.norm(name, self.conv(name, x, after, kernel, stride, pad=pad))

    def separable(self, name, x, after, kernel, stride=1):
        before, square, step = x.shape[1], (kernel, kernel), (stride, stride)
        x = self.conv(f"{name}_depthwise", x.relu(), before, square, step, groups=before)
        return self.norm(name, self.conv(f"{name}_pointwise", x, after))

    def logits(self, x):
        module = self.module("classifier", lambda: nn.Conv2d(x.shape[1], 1000, 1))
        return module(x.mean((2, 3), keepdim=True)).flatten(1)


class _AmoebaNet(_Grown):
    """AmoebaNet-A from the authors' lists: map 0 is the last cell's output, 1 the one's before it,
    which leaves a normal cell although operations read it."""

    NORMAL = "avg.0 max.0 sep3.1 none.1 none.0 avg.1 sep3.0 sep5.2 avg.5 sep3.0"
    REDUCTION = "sep3.1 avg.0 max.0 sep7.2 max.1 max.0 sep3.4 wide.0 avg.1 sep7.0"

    def __init__(self, cells, filters):
        self.cells, self.filters = cells, filters
        super().__init__(eps=1e-3, same=True)

    def forward(self, x):
        x = self.unit("stem", x, 32, (3, 3), (2, 2), pad=False)
        outputs, first = [None, x], self.filters
        widths = [(first // 4, 2), (first // 2, 2)] + [(first, 1)] * self.cells
        for width in (2 * first, 4 * first):
            widths += [(width, 2)] + [(width, 1)] * self.cells
        for i, (width, stride) in enumerate(widths):
            outputs.append(self.cell(f"cell{i}", outputs[-1], outputs[-2], width, stride))
        return self.logits(outputs[-1].relu())

    def cell(self, name, last, before, width, stride):
        maps = [self.unit(f"{name}_squeeze", last.relu(), width)]
        if before is None:
            maps.append(last)
        elif before.shape[2] != last.shape[2]:
            maps.append(self.halved(f"{name}_previous", before.relu(), width))
        else:
            maps.append(self.unit(f"{name}_previous", before.relu(), width))
        words = (self.NORMAL if stride == 1 else self.REDUCTION).split()
        kept = (1, 3, 4, 6) if stride == 1 else (2, 3, 4, 5, 6)
        for node in range(5):
            total = 0
            for side, word in zip(("left", "right"), words[2 * node : 2 * node + 2], strict=True):
                kind, _, source = word.partition(".")
                step = stride if int(source) < 2 else 1
                our_name = f"{name}_node{node}_{side}"
                total = total + self.operation(kind, our_name, maps[int(source)], width, step)
            maps.append(total)
        return torch.cat([maps[i] for i in kept], 1)

    def halved(self, name, x, width):
        shifted = functional.pad(x, (0, 1, 0, 1))[:, :, 1::2, 1::2]
        first = self.conv(f"{name}_first", x[:, :, ::2, ::2], width // 2)
        second = self.conv(f"{name}_second", shifted, width - width // 2)
        return self.norm(name, torch.cat([first, second], 1))

    def operation(self, kind, name, x, width, stride):
        square, step = (3, 3), (stride, stride)
        if kind == "none":
            return x
        if kind.startswith("sep"):
            x = self.separable(f"{name}1", x, width, int(kind[3]), stride)
            return self.separable(f"{name}2", x, width, int(kind[3]))
        if kind == "wide":
            x = self.unit(f"{name}_reduce", x.relu(), width // 4)
            x = self.unit(f"{name}_row", x.relu(), width // 4, (1, 7), (1, stride))
            x = self.unit(f"{name}_column", x.relu(), width // 4, (7, 1), (stride, 1))
            return self.unit(f"{name}_expand", x.relu(), width)
        if kind == "max":
            x = functional.max_pool2d(self.pad(x, square, step, -math.inf), 3, stride)
        else:
            seen = self.pad(torch.ones_like(x), square, step)
            share = functional.avg_pool2d(seen, 3, stride)
            x = functional.avg_pool2d(self.pad(x, square, step), 3, stride) / share
        return x if x.shape[1] == width else self.unit(name, x, width)


class _RandWire(_Grown):
    """RandWire-WS, small regime (C=78): graphs drawn anew from the seeds."""

    def forward(self, x):
        x = self.unit("stem", x, 39, (3, 3), (2, 2))
        x = self.unit("stem2", x.relu(), 78, (3, 3), (2, 2))
        for stage, seed, width in ((3, 0, 78), (4, 1, 156), (5, 2, 312)):
            graph = networkx.connected_watts_strogatz_graph(32, 4, 0.75, seed=seed)
            x = self.stage(f"stage{stage}", x, graph, width)
        return self.logits(self.unit("final", x.relu(), 1280).relu())

    def stage(self, name, x, graph, width):
        edges = graph.number_of_edges()
        module = self.module(f"{name}_edges", lambda: nn.Conv2d(1, edges, 1, bias=False))
        weights = iter(module(x.new_ones(1, 1, 1, 1)).sigmoid().flatten())
        maps = {}
        for node in range(32):
            lower = sorted(other for other in graph[node] if other < node)
            total = sum(maps[other] * next(weights) for other in lower) if lower else x
            our_name = f"{name}_node{node}"
            maps[node] = self.separable(our_name, total, width, 3, 1 if lower else 2)
        ends = [maps[node] for node in range(32) if max(graph[node]) < node]
        return sum(ends) / len(ends)


AUTHORS = "the authors' lists, in PyTorch"
REFERENCES = {
    # its factorized reduction cannot do sides that are no multiple of 32
    "darts": Reference(
        "pytorchcv darts", _any_image_size(pytorchcv("darts", "darts")), second_size=160
    ),
    # its padding is TensorFlow's at sides like these only
    "nasnet_a_mobile": Reference("pytorchcv nasnet_4a1056", _nasnet_mobile, second_size=191),
    "pnasnet_mobile": Reference("timm's PNASNet cells, N=3, F=54", _PNASNetMobile),
    "nasnet_a_large": Reference("timm nasnetalarge", _nasnet_large, image_size=331),
    "pnasnet_large": Reference("timm pnasnet5large", timm("pnasnet5large"), image_size=331),
    "amoebanet_a": Reference(AUTHORS, lambda: _AmoebaNet(cells=4, filters=50)),
    "amoebanet_a_large": Reference(
        AUTHORS, lambda: _AmoebaNet(cells=6, filters=190), image_size=331
    ),
    "randwire_ws_small": Reference(
        "the paper, in PyTorch", lambda: _RandWire(eps=1e-5, same=False)
    ),
}
