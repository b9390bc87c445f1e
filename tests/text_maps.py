"""Score maps of text for tests: blobs of characters, joined to words by blobs of affinity."""

import numpy as np

from newnet_tf.text.config import TextConfig

CONFIG = TextConfig(image_size=None)


def blob(shape, center, sigma):
    """Returns a Gaussian of height 1 at `center`, (x, y)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    square = (x - center[0]) ** 2 + (y - center[1]) ** 2
    return np.exp(-square / (2 * sigma**2)).astype(np.float32)


def draw_word(maps, start, characters=4, angle=0.0, bend=0.0, sigma=3.0, height=1.0):
    """Adds a word to `maps` (2, height, width): characters from `start` along `angle`, which `bend`
    changes from each to the next."""
    region, affinity = maps
    x, y = start
    for i in range(characters):
        np.maximum(region, height * blob(region.shape, (x, y), sigma), out=region)
        dx, dy = 2.2 * sigma * np.cos(angle), 2.2 * sigma * np.sin(angle)
        if i < characters - 1:
            middle = (x + dx / 2, y + dy / 2)
            np.maximum(affinity, blob(region.shape, middle, 0.7 * sigma), out=affinity)
        x, y, angle = x + dx, y + dy, angle + bend
    return maps


def empty_maps(height=64, width=96):
    return np.zeros((2, height, width), np.float32)


def random_maps(seed, height=96, width=128, words=9):
    """Returns maps of words of all kinds: tilted, bent, touching, faint, cut by the edge."""
    random = np.random.default_rng(seed)
    maps = empty_maps(height, width)
    for _ in range(words):
        draw_word(
            maps,
            (random.uniform(0, width), random.uniform(0, height)),
            int(random.integers(1, 7)),
            random.uniform(-0.9, 0.9),
            random.uniform(-0.3, 0.3),
            random.uniform(1.5, 4.5),
            random.uniform(0.5, 1.0),
        )
    return maps
