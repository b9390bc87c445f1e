"""`SynthesisConfig`: what synthetic images of text look like."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.utils.checks import check_ranges
from newnet_tf.utils.io import sha256_bytes

PROBABILITIES = (
    "negative_prob",
    "distractor_prob",
    "dense_prob",
    "board_prob",
    "curve_prob",
    "steep_prob",
    "outline_prob",
    "shadow_prob",
    "spacing_prob",
    "blur_prob",
    "low_resolution_prob",
    "noise_prob",
    "jpeg_prob",
    "lighting_prob",
)


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig:
    """Synthetic images of scene text (the idea is SynthText's, arXiv 1604.06646).

    Args:
        image_size: int, height and width of an image in pixels. Default: 320.

        fonts: sequence of paths of font files. Default: (), those that `fonts.find_fonts` finds.

        backgrounds: sequence of paths of image files, which should hold no text of their own. Default:
            (), backgrounds are drawn: gradients, textures, shapes.

        words: sequence of str, words to write beside built-in and invented ones. Default: ().

        word_list_prob: float in [0, 1], how often a word is taken from `words`, if there are any.
            Default: 0.5.

        text_height: (least, most), height of capital letters in pixels; their logarithm is spread over
            this range. Default: (6, 72).

        small_bias: float, 1 or more, the larger, the more of the text is small. Default: 1.8.

        max_blocks: int, at most how many blocks of text are tried, each one or more lines. Default: 16.

        negative_prob: float, how often an image has no text. Default: 0.06.

        distractor_prob: float, how often stripes, grids, bars and shapes that are no text are drawn, as
            all probabilities in [0, 1]. Default: 0.35.

        dense_prob: float, how often a block is a paragraph. Default: 0.2.

        board_prob: float, how often a block stands on a board of one color. Default: 0.45.

        curve_prob: float, how often a line is bent. Default: 0.12.

        max_perspective: float in [0, 0.6], by how much of itself one side of a block is shortened at
            most. Default: 0.35.

        rotation_std: float, standard deviation of a block's rotation in degrees. Default: 7.

        steep_prob: float, how often a block is rotated by anything up to 90 degrees. Default: 0.06.

        min_contrast: float in [5, 120], least difference of luma, in 0-255, between text and what it
            stands on. Default: 30.

        outline_prob, shadow_prob, spacing_prob: float, how often letters have an outline, a shadow,
            and more room between them. Default: 0.1, 0.15, 0.15.

        blur_prob, low_resolution_prob, noise_prob, jpeg_prob, lighting_prob: float, how often an image
            is blurred, enlarged from fewer pixels, noisy, compressed, and lit unevenly. Default: 0.5,
            0.25, 0.5, 0.5, 0.4.

    Raises:
        ValueError: for an argument outside of the above.

    Example:
        >>> config = SynthesisConfig(image_size=320, backgrounds=list_images("photos"))
        >>> image = TextSynthesizer(config).draw(np.random.default_rng(0))
    """

    image_size: int = 320
    fonts: Sequence[str | os.PathLike] = ()
    backgrounds: Sequence[str | os.PathLike] = ()
    words: Sequence[str] = ()
    word_list_prob: float = 0.5
    text_height: tuple[float, float] = (6.0, 72.0)
    small_bias: float = 1.8
    max_blocks: int = 16
    negative_prob: float = 0.06
    distractor_prob: float = 0.35
    dense_prob: float = 0.2
    board_prob: float = 0.45
    curve_prob: float = 0.12
    max_perspective: float = 0.35
    rotation_std: float = 7.0
    steep_prob: float = 0.06
    min_contrast: float = 30.0
    outline_prob: float = 0.1
    shadow_prob: float = 0.15
    spacing_prob: float = 0.15
    blur_prob: float = 0.5
    low_resolution_prob: float = 0.25
    noise_prob: float = 0.5
    jpeg_prob: float = 0.5
    lighting_prob: float = 0.4

    def __post_init__(self):
        bounds = {
            **dict.fromkeys((*PROBABILITIES, "word_list_prob"), (0, 1)),
            "image_size": (32, 4096),
            "small_bias": (1, 10),
            "max_blocks": (1, 1000),
            "max_perspective": (0, 0.6),
            "rotation_std": (0, 90),
            "min_contrast": (5, 120),
        }
        check_ranges(self, bounds, ints=("image_size", "max_blocks"))
        try:
            least, most = self.text_height
            is_range = 2 <= least <= most
        except (TypeError, ValueError):
            is_range = False
        if not is_range:
            raise ValueError(
                "`text_height` must be (least, most) pixels, 2 <= least <= most. "
                f"Received: text_height={self.text_height!r}"
            )
        for name in ("fonts", "backgrounds", "words"):
            value = getattr(self, name)
            if isinstance(value, str | bytes | os.PathLike):
                kind = "words" if name == "words" else "paths"
                raise ValueError(
                    f"`{name}` must be a sequence of {kind}. Received: {name}={value!r}"
                )
            object.__setattr__(self, name, tuple(value))


def describe(config: SynthesisConfig, fonts: Sequence) -> dict[str, object]:
    """Returns what decides the images of a config, as JSON values.

    Args:
        config: `SynthesisConfig`.

        fonts: sequence of paths, or None for Pillow's own, that are used.

    Returns:
        Mapping of the fields; of fonts, backgrounds and words their number and a digest of the names.
    """
    values = {**dataclasses.asdict(config), "text_height": list(config.text_height)}
    lists = {"fonts": fonts, "backgrounds": config.backgrounds, "words": config.words}
    for name, items in lists.items():
        names = items if name == "words" else [Path(p).name if p else "" for p in items]
        values[name] = f"{len(names)}, {sha256_bytes(chr(10).join(names).encode())[:16]}"
    return values
