"""`TextConfig`: a text detector's input size, stride of the score maps and post-processing, one record.

It travels in a model's metadata (`ModelMetadata.task_config`), so that words can be found in the score
maps of any exported file. Importing it needs the standard library only.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TASK = "text_detection"
STRIDES = (2, 4, 8)
MULTIPLE = 32  # the height and the width of an input are multiples of it
THRESHOLDS = ("text_threshold", "link_threshold", "low_text")


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Score maps and post-processing of a text detector of characters (CRAFT, arXiv 1904.01941).

    Args:
        image_size: int, height and width of the input in pixels, a multiple of 32; None, the height
            and the width are free multiples of 32.

        stride: int among 2, 4, 8, pixels of the input that one cell of the score maps stands for.
            Default: 2.

        text_threshold: float in [0, 1], a word must hold a cell whose region score is as high. Default:
            0.7.

        link_threshold: float in [0, 1], cells with a higher affinity score join characters to words.
            Default: 0.4.

        low_text: float in [0, 1], cells with a higher region score belong to characters. Default: 0.4.

        polygons: bool, whether words are polygons that follow curved text, as the authors' `getPoly`
            makes them, instead of quadrilaterals. Default: False.

    Raises:
        ValueError: for an argument outside of the above.

    Example:
        >>> config = TextConfig(image_size=640)
        >>> config.map_size(640, 640)
        (320, 320)
    """

    image_size: int | None
    stride: int = 2
    text_threshold: float = 0.7
    link_threshold: float = 0.4
    low_text: float = 0.4
    polygons: bool = False

    def __post_init__(self):
        size = self.image_size
        if size is not None and not (_is_int(size) and size > 0 and size % MULTIPLE == 0):
            raise ValueError(
                f"`image_size` must be a positive multiple of {MULTIPLE}, or None. "
                f"Received: image_size={size!r}"
            )
        if not _is_int(self.stride) or self.stride not in STRIDES:
            raise ValueError(
                f"`stride` must be among {', '.join(map(str, STRIDES))}. "
                f"Received: stride={self.stride!r}"
            )
        for name in THRESHOLDS:
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not 0 <= value <= 1:
                raise ValueError(f"`{name}` must lie in [0, 1]. Received: {name}={value!r}")
        if not isinstance(self.polygons, bool):
            raise ValueError(f"`polygons` must be a bool. Received: polygons={self.polygons!r}")

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """Returns the height and the width of the score maps of an input, in cells.

        Args:
            height, width: int, of the input in pixels.
        """
        return height // self.stride, width // self.stride

    def to_dict(self) -> dict[str, Any]:
        """Returns the config as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TextConfig":
        """Returns the config that `to_dict` described, as read from JSON.

        Raises:
            ValueError: for an unknown or missing field, or a value outside of the above.
        """
        known = list(cls.__dataclass_fields__)
        if not isinstance(values, Mapping) or set(values) != set(known):
            raise ValueError(
                f"a text detector's config must be a JSON object of {known}. Received: {values!r}"
            )
        return cls(**values)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
