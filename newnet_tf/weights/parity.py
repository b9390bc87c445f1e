"""Proof that a network equals its reference, without the reference and without its weights.

Every tensor of a checkpoint is made up from its own name, so a reference implementation and ours fill
the same numbers. A golden file keeps what the reference answered to two real images: the names and
shapes of its tensors, one scale for each batch norm (without it deep networks lose the precision that
the comparison needs), logits, and channel means of its features. `tools/make_golden.py` writes them.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

IMAGES = ("chelsea.png", "coffee.png")
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Golden:
    """One reference network's answers.

    Args:
        reference: str, what was run, e.g. `"timm 1.0.31 rexnet_100"`.
        params, macs: int, its parameters, and its multiply-adds at the first side.
        shapes: {tensor name: shape} of its checkpoint.
        scales: {batch norm's module name: mean batch variance of its input}.
        logits: {input side: array (2, classes)}.
        features: {stride: array (channels,)}, means over the first image's map at the first side.
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
        record = {
            "reference": self.reference,
            "params": self.params,
            "macs": self.macs,
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "scales": self.scales,
        }
        np.savez_compressed(
            path, record=np.frombuffer(json.dumps(record).encode(), np.uint8), **arrays
        )

    @classmethod
    def read(cls, path: Path) -> "Golden":
        """Reads a golden file."""
        with np.load(path) as file:
            arrays = dict(file)
        record = json.loads(arrays.pop("record").tobytes())
        numbered = {"logits": {}, "features": {}}
        for name, array in arrays.items():
            kind, number = name.split("_")
            numbered[kind][int(number)] = array
        shapes = {name: tuple(shape) for name, shape in record["shapes"].items()}
        counts = record["params"], record["macs"]
        return cls(record["reference"], *counts, shapes, record["scales"], **numbered)

    def tensors(self) -> dict[str, np.ndarray]:
        """Returns the made-up checkpoint."""
        return {name: fake(name, shape, self.scales) for name, shape in self.shapes.items()}


def fake(name: str, shape: tuple[int, ...], scales: Mapping[str, float]) -> np.ndarray:
    """Makes up the tensor called `name`, always the same for the same name and shape.

    Convolutions are He-scaled; batch norm gets a weight and variance in 0.5-1.5 and small means and
    biases, its statistics multiplied by the scale of its module in `scales`. An `index` gets numbers
    of channels, some of them twice, as in CondenseNet's checkpoints.
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
    """Returns the module whose running statistic `name` is: `"bn1.running_var"` -> `"bn1"`."""
    return name.rpartition("running_")[0].rstrip("._")


def pixels(size: int, channels: int = 3) -> np.ndarray:
    """Returns two real images, squeezed to `size` by PIL: float32, about -2..2.

    They are lossless files of scikit-image's wheel, so every machine sees the same numbers. The
    array's shape is (2, size, size, channels); with one channel they are gray.
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


def difference(ours: np.ndarray, reference: np.ndarray) -> float:
    """Largest difference of two images' logits, relative to how far the reference's move.

    The unit is the smaller of their standard deviation over classes and the root mean square
    difference between the images.
    """
    spread = float(np.sqrt(np.mean((reference[0] - reference[1]) ** 2)))
    unit = min(float(reference.std()), spread)
    return float(np.abs(ours - reference).max()) / unit
