"""`Augmentation`: all that is done at random to training images, as one record. No TensorFlow."""

from dataclasses import dataclass

CROPS = ("random_resized", "random", "center")
ERASED = ("noise", "mean")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What training does to images; the defaults are ResNet's.

    Args:
        crop: `"random_resized"` (a random part of the image, resized), `"random"` (the image at its
            size, padded and cropped back, as for CIFAR) or `"center"` (as in evaluation).
        scale: two floats, bounds of the part of the area that a resized crop shows.
        ratio: two floats, bounds of its width / height.
        interpolation: of the resized crop, `"bilinear"` or `"bicubic"`.
        padding: int, pixels that a padded crop may be moved by.
        hflip_prob: float, probability of a horizontal flip.
        brightness, contrast, saturation: float, how far a factor may lie from 1.
        pca_std: float, standard deviation of AlexNet's color shift along ImageNet's principal
            components (0.1 in AlexNet).
        randaugment_ops: int, operations of RandAugment an image; 0 for none, 2 is usual.
        magnitude, magnitude_std: float, mean and spread of RandAugment's magnitude, kept in 0-10.
        increasing: bool, whether all of RandAugment's operations grow with the magnitude (timm's
            "inc1"). Otherwise color operations are neutral at 5, and posterize and solarize are
            strongest at 0.
        erasing_prob: float, probability that a rectangle is erased (after all but mixing).
        erasing_mode: what it is filled with, `"noise"` (normal, by pixel) or `"mean"`.
        mixup_alpha, cutmix_alpha: float, alpha of the Beta distribution that the mixing weight is drawn from;
            0 for none. With both, each image gets one of them by the toss of a coin.
        mix_prob: float, probability that an image is mixed at all.
        label_smoothing: float, part of a label that is spread over all classes.

    Raises:
        ValueError: for a value outside of the above.

    Example:
        >>> Augmentation(randaugment_ops=2, magnitude=9, magnitude_std=0.5, erasing_prob=0.2, label_smoothing=0.1)
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
        self._among("erasing_mode", ERASED)
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
        """Whether images of a batch are mixed."""
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
