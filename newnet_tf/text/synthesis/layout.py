"""A block of text: lines of words drawn flat with Pillow, and the quadrilateral of each character."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from newnet_tf.text.synthesis.fonts import Font

STRIPS = 12  # of a bent block, each sheared
WORD_MARGIN = 0.04  # of a word's height, that its quadrilateral reaches beyond the ink
ANCHOR = "ls"  # Pillow's: left end of the base line


@dataclass(frozen=True, eq=False)
class TextBlock:
    """Text drawn flat.

    Args:
        mask: PIL image of mode L, 255 where there is ink.

        outline: PIL image of mode L of the ink and a line around it, or None.

        characters: float64 array (n, 4, 2), corners of each character in pixels of the mask, clockwise
            from the top left.

        word_index: int array (n,), the word that each character is of.

        words: tuple of str.
    """

    mask: Image.Image
    outline: Image.Image | None
    characters: np.ndarray
    word_index: np.ndarray
    words: tuple[str, ...]


def draw_block(
    lines: Sequence[Sequence[str]],
    font: Font,
    advances: Callable[[str], float] | None = None,
    *,
    line_height: float = 1.4,
    letter_spacing: float = 0.0,
    align: float = 0.0,
    stroke: int = 0,
) -> TextBlock:
    """Draws lines of words.

    All characters of a word are as high as the word's ink.

    Args:
        lines: sequence of lines, each a sequence of words without spaces.

        font: of `fonts.load_font`.

        advances: callable, letter -> how far it moves the pen, in any unit. Default: None, measured in
            `font`.

        line_height: float, from line to line, in the font's size. Default: 1.4.

        letter_spacing: float, pixels between letters beside the font's own. Default: 0.

        align: float, 0 (default) for lines that begin together, 0.5 for centered ones, 1 for lines that
            end together.

        stroke: int, width of the outline in pixels. Default: 0, none.

    Returns:
        A `TextBlock`, with a margin of some pixels around the ink.
    """
    size, advances = font.size, advances or font.getlength
    gap = max(font.getlength(" "), 0.2 * size) + 1.5 * letter_spacing
    edges = [[_edges(word, font, advances, letter_spacing) for word in line] for line in lines]
    widths = [sum(e[-1] + gap for e in of_line) - gap for of_line in edges]
    margin = int(0.3 * size) + 2 + stroke
    step = line_height * size
    shape = (
        int(np.ceil(max(widths))) + 2 * margin,
        int(np.ceil(step * (len(lines) - 1) + 1.25 * size)) + 2 * margin,
    )
    mask = Image.new("L", shape)
    outline = Image.new("L", shape) if stroke else None
    draws = [(ImageDraw.Draw(mask), 0)]
    if outline is not None:
        draws.append((ImageDraw.Draw(outline), stroke))
    boxes, owners, words = [], [], []
    for row, (line, width, of_line) in enumerate(zip(lines, widths, edges, strict=True)):
        left, base = margin + align * (max(widths) - width), margin + size + row * step
        for word, starts in zip(line, of_line, strict=True):
            for draw, thickness in draws:
                pieces = zip(word, starts, strict=False) if letter_spacing else [(word, 0.0)]
                for piece, offset in pieces:
                    at = (left + offset, base)
                    draw.text(at, piece, 255, font, ANCHOR, stroke_width=thickness)
            found = _character_boxes(word, font, starts, letter_spacing)
            if found is not None:
                boxes.append(found + np.array([left, base, left, base]))
                owners += [len(words)] * len(word)
                words.append(word)
            left += starts[-1] + gap
    corners = np.concatenate(boxes) if boxes else np.zeros((0, 4))
    quads = corners[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    return TextBlock(mask, outline, quads, np.array(owners, int), tuple(words))


def bend(block: TextBlock, height: float) -> TextBlock:
    """Bends a block along a parabola: columns move up and down.

    Args:
        block: `TextBlock`.

        height: float, by how many pixels the middle is higher than the ends; negative: lower.
    """
    width, tall = block.mask.size
    room = int(np.ceil(abs(height)))

    def lift(x):
        """Returns how far the column at x moves down, from 0 to `room`."""
        arc = height * (2 * np.asarray(x) / width - 1) ** 2
        return arc if height > 0 else arc + room

    edges = np.linspace(0, width, min(STRIPS, width) + 1).round().astype(int)
    total = tall + room
    mesh = []
    for x1, x2 in itertools.pairwise(edges):
        d1, d2 = lift(x1), lift(x2)
        source = (x1, -d1, x1, total - d1, x2, total - d2, x2, -d2)  # nw, sw, se, ne
        mesh.append(((int(x1), 0, int(x2), total), tuple(float(v) for v in source)))

    def moved(mask):
        if mask is None:
            return None
        method = Image.Transform.MESH, mesh, Image.Resampling.BILINEAR
        return mask.transform((width, total), *method)

    quads = block.characters.copy()
    quads[..., 1] += lift(quads[..., 0])
    return TextBlock(moved(block.mask), moved(block.outline), quads, block.word_index, block.words)


def word_quads(characters: np.ndarray, word_index: np.ndarray, count: int) -> np.ndarray:
    """Returns the quadrilateral of each word, from its first character's left to its last one's right.

    Args:
        characters, word_index: as of `TextBlock`.

        count: int, number of words.

    Returns:
        float array (count, 4, 2), clockwise from the top left.
    """
    first = np.searchsorted(word_index, np.arange(count))
    last = np.searchsorted(word_index, np.arange(count), side="right") - 1
    start, end = characters[first], characters[last]
    return np.stack([start[:, 0], end[:, 1], end[:, 2], start[:, 3]], axis=1)


def _edges(word: str, font: Font, advances: Callable[[str], float], spacing: float) -> np.ndarray:
    """Returns where each character begins, and where the last one ends, (len(word) + 1,)."""
    steps = np.cumsum([advances(letter) for letter in word])
    steps *= font.getlength(word) / max(
        steps[-1], 1e-6
    )  # hinting rounds widths, kerning moves pairs
    steps[:-1] += spacing * np.arange(1, len(word))
    steps[-1] += spacing * (len(word) - 1)
    return np.concatenate([[0.0], steps])


def _character_boxes(word: str, font: Font, edges: np.ndarray, spacing: float) -> np.ndarray | None:
    """Returns x1, y1, x2, y2 of the characters, (n, 4), from the left end of the base line."""
    left, top, right, bottom = font.getbbox(word, anchor=ANCHOR)
    if bottom <= top or right <= left:
        return None
    margin = WORD_MARGIN * (bottom - top)
    right += edges[-1] - font.getlength(word)
    edges = edges.copy()
    edges[0], edges[-1] = left - margin, right + margin
    edges = np.maximum.accumulate(edges)
    ends = edges[1:] - spacing * (np.arange(1, len(edges)) < len(word))
    boxes = np.empty((len(word), 4))
    boxes[:, 0], boxes[:, 2] = edges[:-1], np.maximum(ends, edges[:-1] + 0.5)
    boxes[:, 1], boxes[:, 3] = top - margin, bottom + margin
    return boxes
