"""`Augmentation`: what is done at random to training images. Imports no TensorFlow."""

from dataclasses import dataclass

CROPS = ("random_resized", "random", "center")
ERASING_MODES = ("noise", "mean")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done at random to training images; the defaults are ResNet's.

    Args:
        crop: str, `"random_resized"` (a random part of the image, resized), `"random"` (the image
            at its size, padded and cropped at a random place, as for CIFAR) or `"center"` (as in
            evaluation). Default: `"random_resized"`.

        scale: two floats in 0-1, bounds of the share of the area that a random resized crop shows.
            Default: (0.08, 1).

        ratio: two floats, bounds of its width / height. Default: (3 / 4, 4 / 3).

        interpolation: str, of the random resized crop, `"bilinear"` or `"bicubic"`. Default:
            `"bilinear"`.

        padding: int, pixels added at each edge before a random crop. Default: 4.

        hflip_prob: float in 0-1, probability of a horizontal flip. Default: 0.5.

        brightness: float in 0-1; the factor is uniform in 1 - brightness to 1 + brightness.
            Default: 0.

        contrast, saturation: as `brightness`.

        pca_std: float, standard deviation of AlexNet's color shift along ImageNet's principal
            components (0.1 in AlexNet). Default: 0, none.

        randaugment_ops: int, number of RandAugment's operations an image; 2 is usual. Default: 0,
            none.

        magnitude: float in 0-10, mean of RandAugment's magnitude. Default: 9.

        magnitude_std: float, its standard deviation; magnitudes are clipped to 0-10. Default: 0.5.

        increasing: bool, whether all of RandAugment's operations grow stronger with the magnitude
            (timm's "inc1"). Otherwise color operations change nothing at 5, and posterize and
            solarize are strongest at 0. Default: False.

        erasing_prob: float in 0-1, probability that a rectangle is erased (after everything but
            mixing). Default: 0.

        erasing_mode: str, what it is filled with, `"noise"` (normal, pixel by pixel) or `"mean"`.
            Default: `"noise"`.

        mixup_alpha: float, alpha of the Beta distribution of MixUp's weight. Default: 0, no MixUp.

        cutmix_alpha: float, the same of CutMix. With both, each image gets one of them, with equal
            probability. Default: 0, no CutMix.

        mix_prob: float in 0-1, probability that an image is mixed. Default: 1.

        label_smoothing: float in 0 to below 1, the share of a label that is spread over all
            classes. Default: 0.

    Raises:
        ValueError: for a value outside of the above.

    Example:
        >>> Augmentation(randaugment_ops=2, erasing_prob=0.2, cutmix_alpha=1.0, label_smoothing=0.1)
    """

    crop: str = "random_resized"
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bilinear"
    padding: int = 4
    hflip_prob: float = 0.5
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    pca_std: float = 0.0
    randaugment_ops: int = 0
    magnitude: float = 9.0
    magnitude_std: float = 0.5
    increasing: bool = False
    erasing_prob: float = 0.0
    erasing_mode: str = "noise"
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    mix_prob: float = 1.0
    label_smoothing: float = 0.0

    def __post_init__(self):
        self._among("crop", CROPS)
        self._among("interpolation", ("bilinear", "bicubic"))
        self._among("erasing_mode", ERASING_MODES)
        for name in ("hflip_prob", "erasing_prob", "mix_prob"):
            self._check(name, 0 <= getattr(self, name) <= 1, "lie in 0 to 1")
        for name in ("brightness", "contrast", "saturation"):
            self._check(name, 0 <= getattr(self, name) <= 1, "lie in 0 to 1")
        for name in ("pca_std", "mixup_alpha", "cutmix_alpha", "magnitude_std"):
            self._check(name, getattr(self, name) >= 0, "not be negative")
        for name in ("padding", "randaugment_ops"):
            value = getattr(self, name)
            self._check(name, isinstance(value, int) and value >= 0, "be an int, not negative")
        self._check("magnitude", 0 <= self.magnitude <= 10, "lie in 0 to 10")
        self._check("label_smoothing", 0 <= self.label_smoothing < 1, "lie in 0 to below 1")
        low, high = self._pair("scale")
        self._check("scale", 0 < low <= high <= 1, "be two numbers, rising, above 0 and up to 1")
        low, high = self._pair("ratio")
        self._check("ratio", 0 < low <= high, "be two positive numbers, rising")

    @property
    def mixes(self) -> bool:
        """Whether images of a batch are mixed, by MixUp or CutMix."""
        return self.mix_prob > 0 and (self.mixup_alpha > 0 or self.cutmix_alpha > 0)

    def _pair(self, name):
        value = getattr(self, name)
        self._check(name, isinstance(value, tuple) and len(value) == 2, "be a tuple of two numbers")
        return value

    def _among(self, name, known):
        self._check(name, getattr(self, name) in known, f"be among {known}")

    def _check(self, name, is_right, requirement):
        if not is_right:
            raise ValueError(
                f"`{name}` must {requirement}. Received: {name}={getattr(self, name)!r}"
            )


NONE = Augmentation(crop="center", hflip_prob=0.0)
