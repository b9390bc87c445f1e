"""`PreprocessConfig`: how an image becomes a model's input. Standard library only."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
INTERPOLATIONS = _, BILINEAR = "bicubic", "bilinear"
CHANNELS = (1, 3)
CHANNEL_ORDERS = RGB, BGR = "RGB", "BGR"
RESIZE_MODES = CENTER_CROP, STRETCH, LETTERBOX, FIT = "center_crop", "stretch", "letterbox", "fit"
FIT_MULTIPLE = 32  # pixels, of which both sides are multiples with `resize_mode="fit"`


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig:
    """Preprocessing of an image for a model.

    The short side is resized to `resize` pixels and the center `image_size` x `image_size` is cropped;
    with `resize_mode="stretch"` the whole image is resized to `image_size` x `image_size`, with
    `"letterbox"` its long side to `image_size`, with `"fit"` to at most that. Pixels are normalized as
    `(pixel / 255 - mean) / std`, in the model's order of channels.

    Args:
        image_size: int, height and width of the input in pixels. Default: 224.

        crop_pct: float in (0, 1], `image_size` over the length of the resized short side. Default:
            0.875.

        interpolation: str, one of `"bicubic"`, `"bilinear"`. Default: `"bicubic"`.

        mean: tuple of float, one for each channel of the model's input (red, green, blue; with
            `channel_order="BGR"` blue, green, red; or one for gray), of pixels scaled to 0-1. Default:
            ImageNet's.

        std: tuple of float, as `mean`. Default: ImageNet's.

        channel_order: `"RGB"` (default) or `"BGR"`, as Caffe's models take it.

        resize_mode: `"center_crop"` (default); `"stretch"`, which changes the aspect ratio, as
            `keras.utils.image_dataset_from_directory` does; `"letterbox"`, which keeps it and fills the
            rest at the right or below with black; or `"fit"`, for models of any input size: the long
            side becomes `magnification` times as long, at most `image_size`, and both sides the
            nearest multiples of 32. `crop_pct` has an effect on `"center_crop"` only.

        magnification: float > 0, of images with `resize_mode="fit"`. Default: 1.

        antialias: bool. True (default): each pixel is an average over all pixels that it covers, in
            whole pixel values, as in PIL. False, with `"bilinear"` only: it is interpolated between
            four pixels and not rounded, as `tf.image.resize(antialias=False)` and torch's
            `interpolate(mode="bilinear", align_corners=False)` do.

        half_pixel_centers: bool. True (default): pixels are sampled at their centers. False, without
            antialiasing only: at their corners, as TensorFlow 1's `resize_bilinear` does.

    Raises:
        ValueError: for an argument outside of the above.

    Example:
        >>> PreprocessConfig(image_size=160, mean=(0.5,) * 3, std=(0.5,) * 3)  # pixels to -1..1
    """

    image_size: int = 224
    crop_pct: float = 0.875
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    channel_order: str = RGB
    resize_mode: str = CENTER_CROP
    magnification: float = 1.0
    antialias: bool = True
    half_pixel_centers: bool = True

    def __post_init__(self):
        if self.channel_order not in CHANNEL_ORDERS:
            raise ValueError(
                f"`channel_order` must be among {CHANNEL_ORDERS}. Received: {self.channel_order!r}"
            )
        if self.resize_mode not in RESIZE_MODES:
            raise ValueError(
                f"`resize_mode` must be among {RESIZE_MODES}. Received: {self.resize_mode!r}"
            )
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"`interpolation` must be among {INTERPOLATIONS}. Received: {self.interpolation!r}"
            )
        if not isinstance(self.antialias, bool) or not (
            self.antialias or self.interpolation == BILINEAR
        ):
            raise ValueError(
                f"`antialias` must be True, or False with `interpolation={BILINEAR!r}`. Received: "
                f"antialias={self.antialias!r}, interpolation={self.interpolation!r}"
            )
        if not isinstance(self.half_pixel_centers, bool) or (
            self.antialias and not self.half_pixel_centers
        ):
            raise ValueError(
                "`half_pixel_centers` must be True, or False with `antialias=False`. Received: "
                f"half_pixel_centers={self.half_pixel_centers!r}, antialias={self.antialias}"
            )
        numbers = (self.crop_pct, self.magnification, *self.mean, *self.std)
        if not isinstance(self.image_size, int) or not all(map(_is_number, numbers)):
            raise ValueError(
                "`image_size` must be an int; `crop_pct`, `magnification`, `mean` and `std` finite "
                "numbers. "
                f"Received: {self}"
            )
        if not 0 < self.crop_pct <= 1 or self.image_size < 1 or min(self.std, default=0) <= 0:
            raise ValueError(
                "`crop_pct` must lie in (0, 1], `image_size` and `std` must be positive. "
                f"Received: {self}"
            )
        is_open = self.resize_mode == FIT
        if self.magnification <= 0 or (self.magnification != 1 and not is_open):
            raise ValueError(
                f"`magnification` must be positive, and 1 unless `resize_mode={FIT!r}`. "
                f"Received: {self}"
            )
        if is_open and self.image_size < FIT_MULTIPLE:
            raise ValueError(
                f"`image_size` must be {FIT_MULTIPLE} or more with `resize_mode={FIT!r}`. "
                f"Received: {self}"
            )
        if len(self.mean) != len(self.std) or self.channels not in CHANNELS:
            raise ValueError(
                f"`mean` and `std` must have one float for each channel, 1 or 3. Received: {self}"
            )

    @classmethod
    def from_dict(cls, values: Mapping) -> "PreprocessConfig":
        """Returns the config that `dataclasses.asdict` described, as read from JSON.

        Raises:
            ValueError: for an unknown field, or a value outside of the above.
        """
        known = list(cls.__dataclass_fields__)
        if not isinstance(values, Mapping) or set(values) - set(known):
            raise ValueError(
                f"preprocessing must be a JSON object of {known}. Received: {values!r}"
            )
        numbers = {name: values[name] for name in ("mean", "std") if name in values}
        try:
            return cls(**{**values, **{name: tuple(pair) for name, pair in numbers.items()}})
        except TypeError as error:
            raise ValueError(
                f"preprocessing must be numbers as in `PreprocessConfig`. Received: {values!r}: {error}"
            ) from error

    @property
    def rgb_mean(self) -> tuple[float, ...]:
        """`mean` in the order red, green, blue, as images are."""
        return self.mean if self.channel_order == RGB else self.mean[::-1]

    @property
    def rgb_std(self) -> tuple[float, ...]:
        """`std` in the order red, green, blue, as images are."""
        return self.std if self.channel_order == RGB else self.std[::-1]

    @property
    def channels(self) -> int:
        """Channels of the input: 3, or 1 for gray."""
        return len(self.mean)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one input: (image_size, image_size, channels); with `"fit"` of the largest."""
        return self.image_size, self.image_size, self.channels

    @property
    def resize(self) -> int:
        """Length of the short side after resizing, in pixels (timm's rule: rounded down)."""
        return math.floor(self.image_size / self.crop_pct)

    @property
    def resize_description(self) -> str:
        """How pixels are resized, such as `"bilinear, antialiased"`."""
        sampling = "antialiased" if self.antialias else "without antialiasing"
        corners = "" if self.half_pixel_centers else ", sampled at pixel corners"
        return f"{self.interpolation}, {sampling}{corners}"

    @property
    def resize_steps(self) -> str:
        """How an image gets its size, such as `"resized to 320 x 320 px (bilinear, antialiased)"`."""
        size, way = self.image_size, self.resize_description
        return {
            CENTER_CROP: f"short side resized to {self.resize} px ({self.interpolation}), "
            f"center crop {size} px",
            STRETCH: f"resized to {size} x {size} px ({way})",
            LETTERBOX: f"long side resized to {size} px ({way}), the rest black",
            FIT: f"long side times {self.magnification:g}, at most {size} px, both sides multiples of "
            f"{FIT_MULTIPLE} ({way})",
        }[self.resize_mode]

    @property
    def scale(self) -> tuple[float, ...]:
        """Per-channel factor of `pixel * scale + offset`, for pixels in 0-255."""
        return tuple(1 / (255 * s) for s in self.std)

    @property
    def offset(self) -> tuple[float, ...]:
        """Per-channel summand of `pixel * scale + offset`, for pixels in 0-255."""
        return tuple(-m / s for m, s in zip(self.mean, self.std, strict=True))


INCEPTION = PreprocessConfig(mean=(0.5,) * 3, std=(0.5,) * 3)  # pixels to -1..1, as Google's models


def brief(numbers: Sequence[float]) -> str:
    """Returns a mean or std in three digits, one number where all are equal."""
    rounded = [f"{n:.3g}" for n in numbers]
    return rounded[0] if len(set(rounded)) == 1 else f"({', '.join(rounded)})"
