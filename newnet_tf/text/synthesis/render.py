"""`TextSynthesizer`: images of text as in streets and shops, with a box for each character."""

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from newnet_tf.data.images import ImageError, read_image
from newnet_tf.text.homography import map_points, square_to_quads
from newnet_tf.text.synthesis.config import SynthesisConfig
from newnet_tf.text.synthesis.effects import (
    Color,
    apply_camera,
    contrasting_color,
    draw_background,
    draw_distractors,
    random_color,
)
from newnet_tf.text.synthesis.fonts import (
    advance,
    can_draw,
    capital_height,
    find_fonts,
    fonts_or_default,
    install_hint,
    load_font,
)
from newnet_tf.text.synthesis.layout import TextBlock, bend, draw_block, word_quads
from newnet_tf.text.synthesis.words import WordGenerator
from newnet_tf.utils.progress import note

PLACES = 5  # tried for a block before it is given up
APART = 2.0  # pixels between two blocks at least
DETAIL = 1.15  # pixels of the flat text for each of the image
NO_LONGER = 0.95  # of the image: length of a line at most
MAX_BEND = 0.15  # of a block's length
BACKGROUND_ATTEMPTS = 4  # at a readable background


@dataclass(frozen=True, eq=False)
class SyntheticImage:
    """An image of text with what is known of it.

    Args:
        image: uint8 array (size, size, 3).

        characters: float32 array (n, 4, 2), corners of each character in pixels of the image,
            clockwise from the top left. They may lie outside of the image.

        word_index: int array (n,), the word that each character is of, ascending.

        polygons: float32 array (m, 4, 2), corners of each word.

        words: tuple of m str.
    """

    image: np.ndarray
    characters: np.ndarray
    word_index: np.ndarray
    polygons: np.ndarray
    words: tuple[str, ...]


class TextSynthesizer:
    """Draws images of text. What it draws depends on the config and the random generator alone.

    Args:
        config: `SynthesisConfig`. Default: `SynthesisConfig()`.

    Attributes:
        fonts: tuple of paths, or `(None,)` for Pillow's own font.

    Example:
        >>> result = TextSynthesizer().draw(np.random.default_rng(7))
        >>> result.image.shape, result.characters.shape, result.words[:2]
        ((320, 320, 3), (83, 4, 2), ("Bakery", "$12"))
    """

    def __init__(self, config: SynthesisConfig | None = None):
        self.config = config or SynthesisConfig()
        fonts = self.config.fonts or find_fonts()
        hint = None if self.config.fonts else install_hint(len(fonts))
        if hint:
            note(hint)
        self.fonts = fonts_or_default(fonts)
        self._words = WordGenerator(self.config.words, self.config.word_list_prob)

    def draw(self, random: np.random.Generator) -> SyntheticImage:
        """Draws an image.

        Args:
            random: NumPy `Generator`, which decides everything.

        Returns:
            A `SyntheticImage`.
        """
        config = self.config
        canvas = self._background(random)
        if random.random() < config.distractor_prob:
            draw_distractors(canvas, random)
        blocks: list[tuple[np.ndarray, np.ndarray, tuple[str, ...]]] = []
        taken = np.zeros((0, 4))
        if random.random() >= config.negative_prob:
            for _ in range(int(random.integers(1, config.max_blocks + 1))):
                drawn = self._add_block(canvas, taken, random)
                if drawn is not None:
                    taken = np.concatenate([taken, drawn[0][None]])
                    blocks.append(drawn[1:])
        image = apply_camera(canvas, config, random)
        first = np.cumsum([0, *(len(words) for *_, words in blocks)])
        characters = [quads for quads, *_ in blocks] or [np.zeros((0, 4, 2))]
        index = [i + start for (_, i, _), start in zip(blocks, first, strict=False)]
        characters = np.concatenate(characters).astype(np.float32)
        word_index = np.concatenate(index or [np.zeros(0, int)])
        words = tuple(word for *_, block in blocks for word in block)
        polygons = word_quads(characters, word_index, len(words))
        return SyntheticImage(np.asarray(image), characters, word_index, polygons, words)

    def _background(self, random: np.random.Generator) -> Image.Image:
        """Returns a part of a photo, mirrored or not, or a drawn background."""
        size, paths = self.config.image_size, self.config.backgrounds
        for _ in range(BACKGROUND_ATTEMPTS if paths else 0):
            try:
                photo = Image.fromarray(read_image(paths[random.integers(len(paths))]))
            except ImageError:
                continue
            side = min(photo.size) * random.uniform(0.4, 1.0)
            left, top = (random.uniform(0, length - side) for length in photo.size)
            box = (left, top, left + side, top + side)
            part = photo.resize((size, size), Image.Resampling.BILINEAR, box, reducing_gap=2.0)
            flip = random.random() < 0.5
            return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else part
        return draw_background(size, random)

    def _add_block(self, canvas: Image.Image, taken: np.ndarray, random: np.random.Generator):
        """Draws a block of text where there is room.

        Returns:
            (x1, y1, x2, y2 of the block, characters, word index, words), or None without room.
        """
        config = self.config
        path = self.fonts[random.integers(len(self.fonts))]
        low, high = np.log(config.text_height)
        height = float(np.exp(low + (high - low) * random.random() ** config.small_bias))
        height = min(height, config.image_size / 3)
        font_size = max(round(2 * DETAIL * height / capital_height(path)) / 2, 4.0)
        lines = self._lines(path, font_size, random)
        if not lines:
            return None
        line_height = random.uniform(1.05, 1.8)
        length = max(_length(path, " ".join(line)) for line in lines) + 0.6
        flat = font_size / DETAIL * np.array([length, line_height * (len(lines) - 1) + 1.85])
        shape = self._distort(*flat, random)
        least, most = shape.min(axis=0), shape.max(axis=0)
        for _ in range(PLACES):
            room = config.image_size - (most - least)
            corner = random.uniform(
                np.minimum(room, 0) - 0.05 * (most - least), np.maximum(room, 1)
            )
            box = np.concatenate([corner, corner + most - least])
            apart = (box[:2] > taken[:, 2:] + APART) | (box[2:] < taken[:, :2] - APART)
            if apart.any(axis=1).all():
                break
        else:
            return None
        block = self._flat_block(path, font_size, lines, line_height, random)
        if not len(block.characters):
            return None
        quad = shape - least + corner
        matrix = square_to_quads(quad)[0] @ np.diag([1 / x for x in (*block.mask.size, 1.0)])
        self._paint(canvas, block, matrix, quad, random)
        characters = map_points(matrix, block.characters)
        return box, characters, block.word_index, block.words

    def _lines(self, path, font_size: float, random: np.random.Generator) -> list[list[str]]:
        """Returns lines of words that the font can draw and that fit into the image."""
        config = self.config
        most = NO_LONGER * config.image_size * DETAIL / font_size
        if random.random() < config.dense_prob:
            rows, columns = int(random.integers(2, 9)), int(random.integers(1, 7))
        else:
            rows, columns = (1, 1, 1, 2, 3)[random.integers(5)], (1, 1, 2, 3)[random.integers(4)]
        lines = []
        for _ in range(max(1, min(rows, int(0.5 * most)))):
            line = [
                word
                for word in self._words.line(random, columns)
                if all(can_draw(path, letter) for letter in word)
            ]
            while len(line) > 1 and _length(path, " ".join(line)) > most:
                line.pop()
            while line and len(line[0]) > 1 and _length(path, line[0]) > most:
                line[0] = line[0][:-1]
            lines += [line] if line else []
        return lines

    def _flat_block(self, path, font_size, lines, line_height, random) -> TextBlock:
        """Returns lines of text drawn flat, bent or not."""
        config = self.config
        spaced = random.random() < config.spacing_prob
        outlined = random.random() < config.outline_prob
        block = draw_block(
            lines,
            load_font(path, font_size),
            functools.partial(advance, path),
            line_height=line_height,
            letter_spacing=font_size * random.uniform(0.05, 0.4) if spaced else 0.0,
            align=(0.0, 0.5, 0.5, 1.0)[random.integers(4)],
            stroke=max(1, round(0.06 * font_size)) if outlined else 0,
        )
        if random.random() < config.curve_prob:
            block = bend(block, block.mask.width * random.uniform(-MAX_BEND, MAX_BEND))
        return block

    def _distort(self, width: float, height: float, random: np.random.Generator) -> np.ndarray:
        """Returns the corners of a rectangle seen from aside, turned, and not longer than the image."""
        config = self.config
        near = 1 - random.random(2) ** 2 * config.max_perspective
        near[random.integers(2)] = 1.0
        wide = width * random.uniform(0.6, 1.1)
        x = np.array([-0.5, 0.5, 0.5, -0.5]) * wide
        y = np.array([-near[0], -near[1], near[1], near[0]]) * height / 2
        y += x * random.normal(0, 0.08)  # the base line of what is seen from below or above
        x += y * random.normal(0, 0.08)
        if random.random() < config.steep_prob:
            angle = random.uniform(-np.pi / 2, np.pi / 2)
        else:
            angle = np.radians(random.normal(0, config.rotation_std))
        cos, sin = np.cos(angle), np.sin(angle)
        quad = np.stack([x * cos - y * sin, x * sin + y * cos], axis=1)
        longest = np.ptp(quad, axis=0).max()
        return quad * min(1.0, NO_LONGER * config.image_size / longest)

    def _paint(self, canvas, block, matrix, quad, random) -> None:
        """Draws a block on the canvas: board, shadow, outline, ink."""
        size = canvas.width
        left, top = np.maximum(np.floor(quad.min(axis=0)), 0).astype(int)
        right, bottom = np.minimum(np.ceil(quad.max(axis=0)) + 1, size).astype(int)
        if right <= left or bottom <= top:
            return
        box = tuple(int(x) for x in (left, top, right, bottom))
        shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
        inverse = np.linalg.inv(shift @ matrix)
        data = tuple((inverse / inverse[2, 2]).ravel()[:8])
        shape = (right - left, bottom - top)

        def warp(mask):
            method = Image.Transform.PERSPECTIVE, data, Image.Resampling.BILINEAR
            return mask.transform(shape, *method)

        behind = np.asarray(canvas.resize((1, 1), Image.Resampling.BOX, box), float)[0, 0]
        if random.random() < self.config.board_prob:
            board = random_color(random)
            canvas.paste(board, box, warp(_board(block.mask.size, random)))
            behind = np.array(board, float)
        color = contrasting_color(behind, self.config.min_contrast, random)
        ink = warp(block.mask)
        if block.outline is not None:
            edge = contrasting_color(np.array(color, float), self.config.min_contrast, random)
            canvas.paste(edge, box, warp(block.outline))
        elif random.random() < self.config.shadow_prob:
            _paint_shadow(canvas, box, ink, color, random)
        opacity = random.uniform(0.75, 1.0)
        canvas.paste(color, box, ink.point(lambda value: value * opacity))


def _length(path, text: str) -> float:
    """Returns the length of a text in the font's size, without kerning."""
    return sum(advance(path, letter) for letter in text)


def _board(size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    """Returns the mask of a board as large as the text, with round corners or not."""
    mask = Image.new("L", size)
    radius = int(random.integers(0, max(1, size[1] // 6)))
    opacity = int(random.integers(170, 256))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius, opacity)
    return mask


def _paint_shadow(canvas, box, ink: Image.Image, color: Color, random) -> None:
    """Draws the ink again, moved, dark or light as the text is not, and soft or hard."""
    distance = max(1, round(0.03 * ink.height))
    shift = random.integers(-distance, distance + 1, 2)
    shadow = (0, 0, 0) if sum(color) > 384 else (255, 255, 255)
    moved = ink.transform(ink.size, Image.Transform.AFFINE, (1, 0, *[-shift[0]], 0, 1, -shift[1]))
    if random.random() < 0.5:
        moved = moved.filter(ImageFilter.GaussianBlur(distance))
    canvas.paste(shadow, box, moved.point(lambda value: value * 0.7))
