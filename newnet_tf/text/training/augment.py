"""Crops of real images with words: scaled, rotated, recolored, with their words moved alike."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from newnet_tf.data.augment.color_matrix import COLORS, change_colors
from newnet_tf.utils.checks import check_ranges

WHOLE = 2.0  # pixels by which a word may reach out of a crop and still be whole
MARGIN = 0.1  # of a word's size, around an ignored word


@dataclass(frozen=True, kw_only=True)
class TextAugmentation:
    """Augmentation of real images with words. Images are never mirrored.

    Args:
        scale: (least, most), by how much an image is reduced or enlarged; its logarithm is uniform.
            Default: (0.5, 2).

        focus_prob: float in [0, 1], how often a crop is about a word, rather than anywhere. Default:
            0.8.

        rotation_std: float, standard deviation of the rotation in degrees. Default: 5.

        photometric_prob: float in [0, 1], how often each of brightness, contrast, saturation and hue is
            changed. Default: 0.4.

        brightness, contrast, saturation: float in [0, 1), factors are drawn from 1 - this to 1 + this.
            Default: 0.3, 0.3, 0.4.

        hue: float in [0, 0.5], turns of the color circle. Default: 0.04.

        blur_prob: float in [0, 1], how often an image is blurred a little. Default: 0.15.

        min_height: float, in pixels; the loss leaves out words that are lower in the crop. Default: 4.

    Raises:
        ValueError: for an argument outside of the above.
    """

    scale: tuple[float, float] = (0.5, 2.0)
    focus_prob: float = 0.8
    rotation_std: float = 5.0
    photometric_prob: float = 0.4
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.4
    hue: float = 0.04
    blur_prob: float = 0.15
    min_height: float = 4.0

    def __post_init__(self):
        bounds = {
            **dict.fromkeys(("focus_prob", "photometric_prob", "blur_prob"), (0, 1)),
            **dict.fromkeys(("brightness", "contrast", "saturation"), (0, 0.99)),
            "rotation_std": (0, 90),
            "hue": (0, 0.5),
            "min_height": (0, 64),
        }
        check_ranges(self, bounds)
        try:
            least, most = self.scale
            is_range = 0.05 <= least <= most <= 20
        except (TypeError, ValueError):
            is_range = False
        if not is_range:
            raise ValueError(
                "`scale` must be (least, most) with 0.05 <= least <= most <= 20. "
                f"Received: scale={self.scale!r}"
            )

    def choose_crop(
        self,
        image_size: tuple[int, int],
        polygons: np.ndarray,
        size: int,
        random: np.random.Generator,
    ) -> np.ndarray:
        """Chooses a part of an image.

        Args:
            image_size: (height, width) of the image in pixels.

            polygons: float array (n, 4, 2), words that a crop should show; may be empty.

            size: int, height and width of the crop in pixels.

            random: NumPy `Generator`.

        Returns:
            float64 array (3, 3), from pixels of the crop to pixels of the image, affine.
        """
        factor = np.exp(random.uniform(*np.log(self.scale)))
        angle = np.radians(random.normal(0, self.rotation_std))
        side = size / factor
        height, width = image_size
        if len(polygons) and random.random() < self.focus_prob:
            word = polygons[random.integers(len(polygons))].mean(axis=0)
            center = word + random.uniform(-0.4, 0.4, 2) * side
        else:
            center = random.random(2) * (width, height)
        for axis, length in enumerate(
            (width, height)
        ):  # within the image, where it is large enough
            low, high = sorted((side / 2, length - side / 2))
            center[axis] = np.clip(center[axis], low, high)
        cos, sin = np.cos(angle) / factor, np.sin(angle) / factor
        matrix = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
        matrix[:2, 2] = center - matrix[:2, :2] @ (size / 2, size / 2)
        return matrix

    def change_pixels(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Changes the colors of uint8 pixels, and blurs them, each at random."""
        draws = random.random(9)
        names = [name for name, x in zip(COLORS, draws, strict=False) if x < self.photometric_prob]
        amounts = dict(zip(COLORS, 2 * draws[4:8] - 1, strict=True))
        image = change_colors(
            image, [(name, getattr(self, name) * amounts[name]) for name in names]
        )
        if draws[8] < self.blur_prob:
            blur = ImageFilter.GaussianBlur(random.uniform(0.3, 1.0))
            image = np.asarray(Image.fromarray(image).filter(blur))
        return image


def crop_text(
    image: np.ndarray, matrix: np.ndarray, size: int, fill: tuple[int, int, int] = (124, 116, 104)
) -> np.ndarray:
    """Cuts a part out of an image.

    Args:
        image: uint8 array (height, width, 3).

        matrix: of `TextAugmentation.choose_crop`.

        size: int, height and width of the result.

        fill: (red, green, blue), where the part reaches out of the image. Default: ImageNet's mean.

    Returns:
        uint8 array (size, size, 3).
    """
    source, matrix = Image.fromarray(image), matrix[:2].copy()
    reduction = int(np.hypot(*matrix[:, 0]) + 0.25)
    if reduction >= 2:  # bilinear interpolation alone would skip pixels
        source = source.reduce(reduction)
        matrix /= reduction
    method = Image.Transform.AFFINE, tuple(matrix.ravel()), Image.Resampling.BILINEAR
    return np.asarray(source.transform((size, size), *method, fillcolor=fill))


def to_crop(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Returns points (..., 2) of an image in pixels of a crop."""
    inverse = np.linalg.inv(matrix)
    return points @ inverse[:2, :2].T + inverse[:2, 2]


def word_states(
    polygons: np.ndarray, size: int, min_height: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which words a crop shows whole, and which only in part or too small.

    Args:
        polygons: float array (n, 4, 2) in pixels of the crop.

        size: int, height and width of the crop.

        min_height: float, words that are lower are too small.

    Returns:
        (whole, unclear), bool (n,). Words outside of the crop are neither.
    """
    low, high = polygons.min(axis=1), polygons.max(axis=1)
    inside = ((low >= -WHOLE) & (high <= size + WHOLE)).all(axis=1)
    seen = ((high > 0) & (low < size)).all(axis=1)
    sides = np.linalg.norm(np.roll(polygons, -1, axis=1) - polygons, axis=2)
    is_tiny = np.minimum(sides[:, 1], sides[:, 3]) < min_height
    return inside & ~is_tiny, seen & (is_tiny | ~inside)


def paint_weights(polygons: np.ndarray, values: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Returns the weight of each cell: 1, and a word's own value in it and close around it.

    Args:
        polygons: float array (n, 4, 2) in pixels of the crop.

        values: float array (n,), 0 for words without part in the loss. The lowest value stands where
            words overlap.

        size, stride: int.

    Returns:
        float32 array (size // stride, size // stride).
    """
    canvas = Image.new("F", (size // stride,) * 2, 1.0)
    draw = ImageDraw.Draw(canvas)
    for i in np.argsort(-values, kind="stable"):
        center = polygons[i].mean(axis=0)
        corners = (center + (polygons[i] - center) * (1 + 2 * MARGIN)) / stride
        draw.polygon([(float(x), float(y)) for x, y in corners], fill=float(values[i]))
    return np.asarray(canvas)
