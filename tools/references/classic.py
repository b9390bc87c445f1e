"""LeNet-5 and the small Xception, which no library has: written once more for PyTorch.

They share no code with the Keras definitions. LeNet's C5 is a linear layer on every 5x5 patch, as
tutorials name and shape it.
"""

import torch
from torch import nn

from tools.references import Reference


class LeNet5(nn.Module):
    """Modules bear the names of PyTorch's tutorial."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)
        self.halve, self.patches = nn.AvgPool2d(2), nn.Unfold(5)

    def forward(self, x):
        x = self.halve(torch.tanh(self.conv1(x)))
        x = self.halve(torch.tanh(self.conv2(x)))
        x = torch.tanh(self.fc1(self.patches(x).transpose(1, 2))).mean(1)
        return self.fc3(torch.tanh(self.fc2(x)))


class ConvBn(nn.Module):
    def __init__(self, before, after, kernel=1, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(after)

    def forward(self, x):
        return self.bn(self.conv(x))


class Separable(nn.Module):
    def __init__(self, before, after, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False)
        self.point_wise_cbr = ConvBn(before, after)

    def forward(self, x):
        return self.point_wise_cbr(self.conv1(x))


class Bottleneck(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        inner = after // 4
        self.proj = Separable(before, after, stride) if stride == 2 else None
        widths = ((before, inner, stride), (inner, inner, 1), (inner, after, 1))
        self.residual_branch = nn.ModuleList(Separable(*each) for each in widths)

    def forward(self, x):
        first, second, third = self.residual_branch
        y = third(torch.relu(second(torch.relu(first(x)))))
        return torch.relu(y + (self.proj(x) if self.proj else x))


class XceptionSmall(nn.Module):
    """Modules bear TorchSeg's names."""

    def __init__(self):
        super().__init__()
        self.conv1, self.pool = ConvBn(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)
        self.layer1, self.layer2 = self._stage(24, 128, 4), self._stage(128, 256, 8)
        self.layer3, self.fc = self._stage(256, 512, 4), nn.Linear(512, 1000)

    def _stage(self, before, after, depth):
        rest = [Bottleneck(after, after, 1) for _ in range(depth - 1)]
        return nn.Sequential(Bottleneck(before, after, 2), *rest)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


REFERENCES = {
    "lenet5": Reference("the paper, in PyTorch", LeNet5, image_size=32, second_size=45, channels=1),
    "xception_small": Reference("the papers' figures, in PyTorch", XceptionSmall),
}
