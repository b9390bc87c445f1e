"""Score maps of text: perspective, Gaussians, affinity; characters split from words."""

import numpy as np
import pytest

from newnet_tf.text.homography import has_area, map_points, square_to_quads
from newnet_tf.text.score_maps import SIGMA, affinity_quads, draw_gaussians, draw_maps
from newnet_tf.text.training.pseudo_boxes import (
    pseudo_characters,
    split_profile,
    split_word,
    split_words_evenly,
    word_length,
)

SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
TRAPEZOID = np.array([[10, 10], [40, 14], [38, 34], [12, 40]], float)
WORD = np.array([[0, 0], [40, 0], [40, 10], [0, 10]], float)


def box(x1, y1, x2, y2):
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], float)


def test_a_perspective_matrix_maps_the_corners_and_keeps_diagonals_crossing():
    matrix = square_to_quads(TRAPEZOID)[0]
    np.testing.assert_allclose(map_points(matrix, SQUARE), TRAPEZOID, atol=1e-9)
    (x, y), (a, b, c, d) = map_points(matrix, np.array([0.5, 0.5])), TRAPEZOID
    for p, q in ((a, c), (b, d)):  # the center lies on both diagonals
        assert abs((q - p)[0] * (y - p[1]) - (q - p)[1] * (x - p[0])) < 1e-6


def test_quads_without_area_are_told_apart():
    flat, crossed = box(3, 3, 3, 9), WORD[[0, 2, 1, 3]]
    broken = np.where(WORD == 40, np.nan, WORD)
    quads = np.stack([WORD, WORD[::-1], flat, crossed, broken])
    assert has_area(quads).tolist() == [True, True, False, False, False]


def test_a_gaussian_in_an_upright_box_has_the_values_of_its_formula():
    region = draw_gaussians(box(4, 6, 16, 14)[None], (24, 24))
    y, x = np.mgrid[:24, :24]
    u, v = (x - 10) / 12, (y - 10) / 8
    expected = np.exp(-(u**2 + v**2) / (2 * SIGMA**2))
    expected[(abs(u) > 0.75) | (abs(v) > 0.75)] = 0
    np.testing.assert_allclose(region, expected, atol=1e-5)
    assert region.dtype == np.float32
    assert region[10, 10] == 1


def test_a_warped_gaussian_equals_one_drawn_point_by_point():
    drawn = draw_gaussians(TRAPEZOID[None], (48, 48))
    inverse = np.linalg.inv(square_to_quads(TRAPEZOID)[0])
    for x, y in [(25, 24), (14, 16), (36, 30), (20, 33), (11, 26), (2, 2)]:
        u, v = map_points(inverse, np.array([x, y], float)) - 0.5
        inside = max(abs(u), abs(v)) <= 0.75
        expected = np.exp(-(u**2 + v**2) / (2 * SIGMA**2)) if inside else 0
        assert drawn[y, x] == pytest.approx(expected, abs=1e-5)


def test_maps_have_the_stride_the_larger_value_and_only_what_lies_inside():
    near, far, out = box(8, 8, 16, 24), box(12, 8, 20, 24), box(28, 8, 44, 24)
    region, affinity = draw_maps(np.stack([near, far, out]), np.array([0, 1, 2]), (32, 40), 2)
    assert region.shape == affinity.shape == (16, 20)
    assert affinity.max() == 0  # three words of one character
    parts = [draw_maps(quad[None], np.zeros(1, int), (32, 40), 2)[0] for quad in (near, far, out)]
    np.testing.assert_array_equal(region, np.maximum.reduce(parts))
    assert region[8, 6] == region[8, 8] == region[8, 18] == 1
    assert draw_maps(near[None], np.zeros(1, int), 32, 4)[0].shape == (8, 8)
    empty = draw_maps(np.zeros((0, 4, 2)), np.zeros(0, int), 32)
    assert [m.max() for m in empty] == [0, 0]


def test_affinity_joins_the_triangles_of_neighbors_of_one_word():
    quads = np.stack([box(0, 0, 6, 12), box(6, 0, 12, 12), box(20, 0, 26, 12)])
    found = affinity_quads(quads, np.array([0, 0, 1]))
    np.testing.assert_allclose(found, [[[3, 2], [9, 2], [9, 10], [3, 10]]])
    _, affinity = draw_maps(quads, np.array([0, 0, 1]), 32, 2)
    assert affinity[3, 3] == 1  # between the two, not between words
    assert affinity[:, 7:].max() == 0


def test_a_word_is_split_evenly_in_perspective():
    characters = split_word(WORD, 4)
    np.testing.assert_allclose(characters, [box(10 * i, 0, 10 * i + 10, 10) for i in range(4)])
    bent = split_word(TRAPEZOID, 3)
    np.testing.assert_allclose(bent[0][[0, 3]], TRAPEZOID[[0, 3]], atol=1e-9)
    np.testing.assert_allclose(bent[2][[1, 2]], TRAPEZOID[[1, 2]], atol=1e-9)
    quads, owners = split_words_evenly(np.stack([WORD, box(1, 1, 1, 1), WORD]), ("ab", "x", "c"))
    assert owners.tolist() == [0, 0, 2]
    assert len(quads) == 3


@pytest.mark.parametrize(("text", "length"), [("EXIT", 4), ("A B", 2), ("###", 7), ("", 7)])
def test_a_words_length_is_its_texts_or_by_its_shape(text, length):
    assert word_length(WORD, text) == length


def test_a_profile_is_split_at_valleys_between_peaks():
    profile = np.array([0.1, 0.8, 0.9, 0.3, 0.7, 0.65, 0.68, 0.2, 0.1])
    np.testing.assert_allclose(split_profile(profile), [0, 3.5 / 9, 1])  # a shallow valley is none
    assert len(split_profile(np.full(5, 0.1))) == 1


def test_pseudo_characters_follow_the_region_map_and_know_how_sure_they_are():
    truth = np.stack([box(0, 0, 8, 10), box(8, 0, 12, 10), box(12, 0, 26, 10), box(26, 0, 40, 10)])
    region, _ = draw_maps(truth, np.zeros(4, int), (12, 44), 2)
    found, confidence = pseudo_characters(WORD, 4, region, (0.5, 0.5))
    assert confidence == 1
    np.testing.assert_allclose(found[:, 1, 0], [8, 12, 26, 40], atol=2)
    _, confidence = pseudo_characters(WORD, 5, region, (0.5, 0.5))
    assert confidence == pytest.approx(0.8)
    even, confidence = pseudo_characters(WORD, 12, region, (0.5, 0.5))
    assert (len(even), confidence) == (12, 0.5)
    np.testing.assert_allclose(even, split_word(WORD, 12))
