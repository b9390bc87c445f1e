"""Three classes of images for tests of finetuning: shades of three colors."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

EACH = 20  # images of a class
CLASSES = ("fog", "sea", "wood")
COLORS = ((200, 200, 200), (30, 60, 180), (150, 90, 30))


def colored_images(seed):
    """Yields (class, image) in turn: shades of a color, with a little noise."""
    generator = np.random.default_rng(seed)
    for number in range(len(CLASSES) * EACH):
        shade = np.array(COLORS[number % len(CLASSES)]) + generator.normal(0, 15, 3)
        pixels = shade + generator.normal(0, 20, (12, 15, 3))
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        yield CLASSES[number % len(CLASSES)], image.resize((60, 48))


def make_photos(root: Path) -> Path:
    """Writes `colored_images` in a folder for each class; one more file is broken."""
    for number, (name, image) in enumerate(colored_images(0)):
        (root / name).mkdir(parents=True, exist_ok=True)
        image.save(root / name / f"{number:02}.jpg")
    (root / "fog" / "99.jpg").write_bytes(b"\xff\xd8 nothing")
    return root


def quietly(function, *arguments):
    """Calls a function without its warning, which names the broken image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments)
