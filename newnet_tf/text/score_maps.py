"""The maps that a text detector is trained on: a Gaussian for each character and each gap. NumPy only.

Source: CRAFT, arXiv 1904.01941, section 3.2. A cell (row, column) of a map stands for the point
(stride * column, stride * row) of the image, as the published post-processing has it.
"""

import numpy as np

from newnet_tf.text.homography import has_area, square_to_quads

SIGMA = 0.25  # standard deviation of the Gaussian, in sides of a character's quadrilateral
REACH = 0.75  # the Gaussian is cut off at this distance from the center, in sides: exp(-4.5)


def draw_maps(
    character_quads: np.ndarray,
    word_index: np.ndarray,
    size: int | tuple[int, int],
    stride: int = 2,
    sigma: float = SIGMA,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the region and the affinity map of an image's characters.

    Args:
        character_quads: float array (n, 4, 2), corners of each character, clockwise from its top left,
            in pixels of the model's input. Characters of a word follow each other.

        word_index: int array (n,), the word that each character is of. Two characters that follow each
            other in a word are joined by a Gaussian in the affinity map.

        size: int, or (height, width), of the model's input in pixels.

        stride: int, input pixels a cell of the maps. Default: 2.

        sigma: float, standard deviation of the Gaussian in sides of a character. Default: 0.25, with
            which a word's cells above 0.4, dilated as the published post-processing does, are as high
            as the word.

    Returns:
        (region, affinity), float32 arrays (height // stride, width // stride) in 0 to 1. Where
        Gaussians overlap, the larger value stands.

    Example:
        >>> quads = np.array([[[8, 8], [16, 8], [16, 24], [8, 24]]], np.float32)
        >>> region, affinity = draw_maps(quads, np.zeros(1, int), 32)
        >>> region.shape, float(region[8, 6]), float(affinity.max())
        ((16, 16), 1.0, 0.0)
    """
    quads = np.asarray(character_quads, np.float64).reshape(-1, 4, 2)
    height, width = (size, size) if isinstance(size, int) else size
    shape = height // stride, width // stride
    return tuple(
        draw_gaussians(chosen / stride, shape, sigma)
        for chosen in (quads, affinity_quads(quads, word_index))
    )


def affinity_quads(character_quads: np.ndarray, word_index: np.ndarray) -> np.ndarray:
    """Returns the quadrilaterals between neighbors of a word.

    The diagonals of a character divide it into four triangles. Corners are the centers of the upper
    and the lower triangle of both characters.

    Args:
        character_quads, word_index: as of `draw_maps`.

    Returns:
        float64 array (m, 4, 2), one for each two characters of a word that follow each other.
    """
    quads = np.asarray(character_quads, np.float64).reshape(-1, 4, 2)
    center = quads.mean(axis=1)
    upper = (quads[:, 0] + quads[:, 1] + center) / 3
    lower = (quads[:, 2] + quads[:, 3] + center) / 3
    word_index = np.asarray(word_index)
    first = np.flatnonzero(word_index[1:] == word_index[:-1])
    corners = upper[first], upper[first + 1], lower[first + 1], lower[first]
    return np.stack(corners, axis=1)


def draw_gaussians(quads: np.ndarray, shape: tuple[int, int], sigma: float = SIGMA) -> np.ndarray:
    """Draws an isotropic Gaussian warped by perspective to each quadrilateral.

    Args:
        quads: float array (n, 4, 2), corners in cells of the map. Those without area are left out.

        shape: (height, width) of the map.

        sigma: float, standard deviation in sides of a quadrilateral. Default: 0.25.

    Returns:
        float32 array (height, width), the largest value of all Gaussians in each cell.
    """
    drawn = np.zeros(shape[0] * shape[1], np.float32)
    quads = quads[has_area(quads)]
    matrices = square_to_quads(quads)
    low, high = quads.min(axis=1), quads.max(axis=1)
    margin = (high - low) * (REACH - 0.5) * 1.25  # perspective makes the near part larger
    last = np.array(shape[::-1]) - 1
    start = np.clip(np.ceil(low - margin), 0, last + 1).astype(int)
    stop = np.clip(np.floor(high + margin) + 1, start, last + 1).astype(int)
    wide, tall = (stop - start).T.astype(np.int32)
    counts = wide * tall
    if not counts.sum():
        return drawn.reshape(shape)
    owner = np.repeat(np.arange(len(quads), dtype=np.int32), counts)  # of each pixel of each window
    first = (np.cumsum(counts) - counts).astype(np.int32)
    place = np.arange(len(owner), dtype=np.int32) - first[owner]
    row, column = np.divmod(place, wide[owner])
    start = start.astype(np.int32)
    row, column = row + start[owner, 1], column + start[owner, 0]
    x, y = column.astype(np.float32), row.astype(np.float32)
    inverse = np.linalg.inv(matrices).astype(np.float32).reshape(-1, 9).T
    a, b, c, d, e, f, g, h, i = (entry[owner] for entry in inverse)
    depth = g * x + h * y + i
    depth = np.where(np.abs(depth) > 1e-6, depth, 1e-6)
    u, v = (a * x + b * y + c) / depth - 0.5, (d * x + e * y + f) / depth - 0.5
    near = (np.abs(u) <= REACH) & (np.abs(v) <= REACH)
    value = np.exp((u[near] ** 2 + v[near] ** 2) * np.float32(-0.5 / sigma**2))
    np.maximum.at(drawn, (row * shape[1] + column)[near], value)
    return drawn.reshape(shape)
