"""Compares a model with its reference implementation, without torch and without its weights.

Every tensor of a fake checkpoint is generated from its own name, so the reference implementation and
ours have the same weights. A golden file stores the reference's outputs for two real images: names and
shapes of its tensors, one scale for each batch norm (without it deep models lose the precision that the
comparison needs), logits, and channel means of its features. `tools/make_golden.py` writes them.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

IMAGES = ("chelsea.png", "coffee.png")
SAMPLED_ANCHORS = 20
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Golden:
    """The outputs of one reference model.

    Args:
        reference: str, which implementation, e.g. `"timm 1.0.31 rexnet_100"`.

        params: int, its parameters.

        macs: int, its multiply-adds at the first image size.

        shapes: {tensor name: shape} of its checkpoint.

        scales: {module name of a batch norm: mean batch variance of its input}.

        logits: {image size: array (2, classes)}; of a detector box codes, then scores, of the
            `sampled_anchors`, flattened.

        features: {stride: array (channels,)}, means over the first image's feature map at the first
            image size.
    """

    reference: str
    params: int
    macs: int
    shapes: Mapping[str, tuple[int, ...]]
    scales: Mapping[str, float]
    logits: Mapping[int, np.ndarray]
    features: Mapping[int, np.ndarray]

    def save(self, path: Path) -> None:
        """Writes the golden file."""
        arrays = {f"logits_{size}": array for size, array in self.logits.items()}
        arrays |= {f"features_{stride}": array for stride, array in self.features.items()}
        header = {
            "reference": self.reference,
            "params": self.params,
            "macs": self.macs,
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "scales": self.scales,
        }
        np.savez_compressed(
            path, record=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays
        )

    @classmethod
    def read(cls, path: Path) -> "Golden":
        """Reads a golden file."""
        with np.load(path) as file:
            arrays = dict(file)
        header = json.loads(arrays.pop("record").tobytes())
        numbered: dict[str, dict[int, np.ndarray]] = {"logits": {}, "features": {}}
        for name, array in arrays.items():
            kind, number = name.split("_")
            numbered[kind][int(number)] = array
        shapes = {name: tuple(shape) for name, shape in header["shapes"].items()}
        counts = header["params"], header["macs"]
        return cls(header["reference"], *counts, shapes, header["scales"], **numbered)

    def tensors(self) -> dict[str, np.ndarray]:
        """Returns the fake checkpoint."""
        return {name: fake(name, shape, self.scales) for name, shape in self.shapes.items()}


def fake(name: str, shape: tuple[int, ...], scales: Mapping[str, float]) -> np.ndarray:
    """Generates the tensor called `name`, always the same for the same name and shape.

    Convolutions are He-scaled. Batch norm has weights and variances in 0.5-1.5 and small means and
    biases; its statistics are multiplied by the scale of its module in `scales`. An `index` holds
    channel indices, some of them twice, as in CondenseNet's checkpoints.
    """
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    random = np.random.RandomState(seed)  # its stream is frozen, unlike default_rng's
    module = module_of(name)
    if name.endswith(".index"):
        return random.randint(0, shape[0], shape)
    if len(shape) > 1:
        gain = 2 if len(shape) == 4 else 1
        values = random.standard_normal(shape)
        values *= math.sqrt(gain / math.prod(shape[1:]))  # in place: VGG's largest holds 800 MB
    elif name.endswith("running_var"):
        values = random.uniform(0.5, 1.5, shape) * scales[module]
    elif name.endswith("running_mean"):
        values = random.standard_normal(shape) * 0.1 * math.sqrt(scales[module])
    elif name.endswith(("weight", "gamma")):
        values = random.uniform(0.5, 1.5, shape)
    else:
        values = random.standard_normal(shape) * 0.1
    return values.astype(np.float32)


def module_of(name: str) -> str:
    """Returns the module of a running statistic: `"bn1.running_var"` -> `"bn1"`."""
    return name.rpartition("running_")[0].rstrip("._")


def pixels(size: int, channels: int = 3) -> np.ndarray:
    """Returns two real images, resized to `size` by PIL: float32, about -2..2.

    They are lossless files of scikit-image's wheel, so the numbers are the same on every machine. The
    shape is (2, size, size, channels); with one channel the images are gray.
    """
    import skimage
    from PIL import Image

    batch = []
    for name in IMAGES:
        with Image.open(Path(skimage.__file__).parent / "data" / name) as image:
            colors = image.convert("RGB" if channels == 3 else "L")
            small = colors.resize((size, size), Image.Resampling.BICUBIC)
        batch.append(np.asarray(small, np.float32) / 63.75 - 2)
    return np.stack(batch).reshape(len(batch), size, size, channels)


def sampled_anchors(count: int) -> np.ndarray:
    """Returns the anchors whose outputs a detector's golden file holds, the same for the same count."""
    return np.sort(np.random.RandomState(count).permutation(count)[:SAMPLED_ANCHORS])


def difference(ours: np.ndarray, reference: np.ndarray) -> float:
    """Largest difference of two images' logits, normalized by the variation of the reference.

    The unit is the smaller of the reference's standard deviation and the root mean square difference
    between its two images.
    """
    distance = float(np.sqrt(np.mean((reference[0] - reference[1]) ** 2)))
    unit = min(float(reference.std()), distance)
    return float(np.abs(ours - reference).max()) / unit
