"""What surrounds synthetic text: drawn backgrounds, shapes that are no text, camera effects."""

import io

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from newnet_tf.text.synthesis.config import SynthesisConfig

Color = tuple[int, int, int]
MOTIONS = ((1, 0), (0, 1), (1, 1), (1, -1))  # directions of motion blur, x and y


def draw_background(size: int, random: np.random.Generator) -> Image.Image:
    """Draws a background without text: a smooth texture of few or many colors, with some shapes."""
    cells = int(random.integers(2, 9))
    base = random.integers(0, 256, 3)
    spread = random.choice((10, 40, 120))
    colors = np.clip(base + random.normal(0, spread, (cells, cells, 3)), 0, 255)
    method = Image.Resampling.NEAREST if random.random() < 0.15 else Image.Resampling.BICUBIC
    image = Image.fromarray(colors.astype(np.uint8)).resize((size, size), method)
    if random.random() < 0.5:
        grain = random.normal(128, random.uniform(4, 40), (size // 2, size // 2))
        grain = np.clip(grain, 0, 255).astype(np.uint8)
        layer = Image.fromarray(grain).resize((size, size), Image.Resampling.BILINEAR)
        image = Image.blend(image, Image.merge("RGB", (layer,) * 3), 0.25)
    for _ in range(int(random.integers(0, 4))):
        _draw_shape(image, random)
    return image


def draw_distractors(image: Image.Image, random: np.random.Generator) -> None:
    """Draws stripes, grids, windows and shapes on an image, which a detector must not take for text."""
    for _ in range(int(random.integers(1, 4))):
        kind = random.integers(5)
        if kind == 0:
            _draw_stripes(image, random)
        elif kind == 1:
            _draw_grid(image, random)
        else:
            for _ in range(int(random.integers(1, 7))):
                _draw_shape(image, random)


def apply_camera(
    image: Image.Image, config: SynthesisConfig, random: np.random.Generator
) -> Image.Image:
    """Changes an image as light, lens, sensor and compression do; its geometry stays.

    Args:
        image: PIL image, RGB.

        config: `SynthesisConfig`.

        random: NumPy `Generator`.
    """
    size = image.size
    draws = random.random(8)
    if draws[0] < config.low_resolution_prob:
        factor = random.uniform(1.1, 2.0)
        small = tuple(max(8, round(side / factor)) for side in size)
        image = image.resize(small, Image.Resampling.BILINEAR)
        image = image.resize(size, Image.Resampling.BICUBIC)
    if draws[1] < config.blur_prob:
        if draws[2] < 0.25:
            image = _motion_blur(image, *MOTIONS[random.integers(len(MOTIONS))])
        else:
            image = image.filter(ImageFilter.GaussianBlur(0.3 + 1.1 * random.random() ** 2))
    lit, noisy = draws[3] < config.lighting_prob, draws[4] < config.noise_prob
    if lit or noisy:
        pixels = np.asarray(image).astype(np.float32)
        if lit:
            pixels *= _lighting(size, random)[..., None]
        if noisy:
            shape = pixels.shape if draws[5] < 0.4 else (*pixels.shape[:2], 1)
            strength = np.float32(2 + 16 * random.random() ** 2)
            pixels += strength * random.standard_normal(shape, np.float32)
        image = Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))
    if draws[6] < config.jpeg_prob:
        packed = io.BytesIO()
        image.save(packed, "JPEG", quality=int(random.integers(25, 96)))
        image = Image.open(packed).convert("RGB")
    return image


def random_color(random: np.random.Generator) -> Color:
    """Returns a color, often gray, black or white."""
    draw = random.random()
    if draw < 0.15:
        return (255, 255, 255) if random.random() < 0.5 else (0, 0, 0)
    if draw < 0.4:
        level = int(random.integers(0, 256))
        return (level, level, level)
    return tuple(int(x) for x in random.integers(0, 256, 3))


def contrasting_color(background: np.ndarray, least: float, random: np.random.Generator) -> Color:
    """Returns a color whose luma differs from the background's by `least` of 255 or more.

    Args:
        background: float array (3,), red, green, blue.

        least: float, in 0-255.

        random: NumPy `Generator`.
    """
    luma = np.array([0.299, 0.587, 0.114])
    behind = float(luma @ background)
    below, above = max(behind - least, 0.0), max(255 - behind - least, 0.0)
    if below + above <= 0:
        return (0, 0, 0) if behind > 127 else (255, 255, 255)
    draw = random.random() * (below + above)
    level = draw if draw < below else behind + least + draw - below
    if random.random() < 0.35:  # as far away as it can be
        level = 0.0 if level < behind else 255.0
    chroma = random.normal(0, 60, 3) * (random.random() < 0.6)
    chroma -= luma @ chroma
    color = level + chroma
    low, high = color.min(), color.max()
    if low < 0 or high > 255:  # toward gray, until all channels are in range; luma stays
        room = min((level / (level - low)) if low < 0 else 1.0, 1.0)
        room = min(room, ((255 - level) / (high - level)) if high > 255 else 1.0)
        color = level + chroma * room
    return tuple(int(x) for x in np.clip(np.round(color), 0, 255))


def _motion_blur(image: Image.Image, x: int, y: int) -> Image.Image:
    """Returns the mean of an image and of three copies, each moved by another pixel."""
    image = Image.blend(image, ImageChops.offset(image, x, y), 0.5)
    return Image.blend(image, ImageChops.offset(image, 2 * x, 2 * y), 0.5)


def _lighting(size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Returns factors of brightness (height, width): a slope, or shadows and lights."""
    cells = random.uniform(0.6, 1.35, (int(random.integers(2, 5)),) * 2).astype(np.float32)
    return np.asarray(Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC))


def _draw_stripes(image: Image.Image, random: np.random.Generator) -> None:
    """Draws parallel bars of a random direction in a random window."""
    left, top, right, bottom = _window(image, random)
    wide, tall = right - left, bottom - top
    period = random.uniform(3, 20)
    angle = random.choice((0.0, np.pi / 2, random.uniform(0, np.pi)))
    y, x = np.mgrid[:tall, :wide]
    wave = (x * np.cos(angle) + y * np.sin(angle)) % period < period * random.uniform(0.25, 0.7)
    mask = Image.fromarray((wave * int(random.integers(90, 256))).astype(np.uint8))
    image.paste(random_color(random), (left, top, right, bottom), mask)


def _draw_grid(image: Image.Image, random: np.random.Generator) -> None:
    """Draws rows of equal boxes: windows, tiles, bricks, keys."""
    left, top, right, bottom = _window(image, random)
    wide, tall = random.uniform(4, 28, 2)
    gap = random.uniform(0.15, 0.6)
    shift = random.choice((0.0, 0.5))
    draw, color = ImageDraw.Draw(image), random_color(random)
    line = color if random.random() < 0.5 else None
    for row in range(int((bottom - top) / tall)):
        for column in range(int((right - left) / wide)):
            x, y = left + wide * (column + shift * (row % 2)), top + tall * row
            box = (x, y, x + wide * (1 - gap) + 0.5, y + tall * (1 - gap) + 0.5)
            draw.rectangle(box, None if line else color, line)


def _draw_shape(image: Image.Image, random: np.random.Generator) -> None:
    """Draws an ellipse, a line, a polygon or an arc."""
    size = min(image.size)
    draw, color = ImageDraw.Draw(image), random_color(random)
    x, y = random.uniform(0, size, 2)
    w, h = np.exp(random.uniform(np.log(4), np.log(0.6 * size), 2))
    box, width = (x, y, x + w, y + h), int(random.integers(1, 6))
    kind = random.integers(4)
    if kind == 0:
        draw.ellipse(box, color if random.random() < 0.5 else None, color, width)
    elif kind == 1:
        draw.line((x, y, *random.uniform(0, size, 2)), color, width)
    elif kind == 2:
        corners = random.uniform((x, y), (x + w, y + h), (int(random.integers(3, 7)), 2))
        draw.polygon([tuple(corner) for corner in corners], color)
    else:
        draw.arc(box, *random.uniform(0, 360, 2), color, width)


def _window(image: Image.Image, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Returns left, top, right, bottom of a random part of an image."""
    width, height = image.size
    wide, tall = (int(side * random.uniform(0.1, 0.6)) + 4 for side in (width, height))
    left, top = (int(random.integers(0, max(1, s - t))) for s, t in ((width, wide), (height, tall)))
    return left, top, min(width, left + wide), min(height, top + tall)
