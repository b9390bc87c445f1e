"""From score maps to words: components, rectangles, polygons; bad maps end in a clear error."""

import builtins
import math

import numpy as np
import pytest
from text_maps import CONFIG, blob, draw_word, empty_maps, random_maps

from newnet_tf.data.polygons import signed_area
from newnet_tf.task import get_task
from newnet_tf.text.config import TextConfig
from newnet_tf.text.postprocess import find_words, words_in_image

cv2 = pytest.importorskip("cv2", reason="needs pip install 'newnet_tf[text]'")


def rectangle_of(mask):
    """Returns the rectangle of least area around a mask's cells, from the authors' description."""
    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    box = cv2.boxPoints(cv2.minAreaRect(points))
    first, second = np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[1] - box[2])
    if abs(1 - max(first, second) / (min(first, second) + 1e-5)) <= 0.1:
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        box = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    return np.roll(box, 4 - box.sum(axis=1).argmin(), axis=0)


def slow_words(region, affinity, config):
    """Returns (quadrilaterals, scores) by whole maps for every component: a flood fill, a loop."""
    text = region > np.float32(config.low_text)
    link = affinity > np.float32(config.link_threshold)
    left, found = text | link, []
    for start in np.argwhere(left):
        if not left[tuple(start)]:
            continue
        component, waiting = np.zeros_like(left), [tuple(start)]
        left[tuple(start)] = False
        while waiting:
            y, x = waiting.pop()
            component[y, x] = True
            for place in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                inside = 0 <= place[0] < left.shape[0] and 0 <= place[1] < left.shape[1]
                if inside and left[place]:
                    left[place] = False
                    waiting.append(place)
        score = region[component].max()
        if component.sum() < 10 or score < np.float32(config.text_threshold):
            continue
        rows, columns = np.flatnonzero(component.any(1)), np.flatnonzero(component.any(0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        spread = int(math.sqrt(component.sum() * min(width, height) / (width * height)) * 2)
        letters = component & ~(link & ~text)
        wide = np.zeros_like(letters)
        before = (1 + spread) // 2  # a window of 1 + spread cells, the larger half before
        for y, x in np.argwhere(letters):
            top, first = y - (spread - before), x - (spread - before)
            wide[max(top, 0) : y + before + 1, max(first, 0) : x + before + 1] = True
        found.append((config.stride * rectangle_of(wide), score))
    boxes, scores = zip(*found, strict=True) if found else ((), ())
    return np.array(boxes, np.float32).reshape(-1, 4, 2), np.array(scores, np.float32)


@pytest.mark.parametrize("seed", range(6))
def test_words_equal_those_of_a_slow_implementation(seed):
    region, affinity = random_maps(seed)
    config = TextConfig(image_size=None, text_threshold=0.6, low_text=0.3 + 0.03 * seed)
    words = find_words(region, affinity, config)
    boxes, scores = slow_words(region, affinity, config)
    assert len(boxes) >= 3
    np.testing.assert_array_equal(words.scores, scores)
    np.testing.assert_array_equal(words.quadrilaterals, boxes)


def test_a_word_is_where_its_characters_are_drawn():
    region, affinity = draw_word(empty_maps(), (20, 30), characters=5)
    words = find_words(region[..., None], affinity[..., None], CONFIG)
    assert words.scores == pytest.approx([1.0])
    box = words.quadrilaterals[0]
    np.testing.assert_array_equal(box, words.polygons[0])
    center = 2 * np.array([20 + 2 * 6.6, 30])
    np.testing.assert_allclose(box.mean(axis=0), center, atol=1)
    assert (box[0] < center).all()
    assert box[1, 0] > center[0] > box[3, 0]
    assert signed_area(box) > 0  # clockwise
    half = 3 * math.sqrt(2 * math.log(1 / 0.4))  # where a Gaussian falls to `low_text`
    assert box[1, 0] - box[0, 0] == pytest.approx(2 * (4 * 6.6 + 2 * half), rel=0.25)


def test_thresholds_decide_what_is_a_word_and_what_joins_characters():
    maps = draw_word(empty_maps(), (20, 30), characters=3, height=0.65)
    assert len(find_words(*maps, CONFIG).scores) == 0
    low = TextConfig(image_size=None, text_threshold=0.6)
    assert len(find_words(*maps, low).scores) == 1
    apart = TextConfig(image_size=None, text_threshold=0.6, link_threshold=1.0, low_text=0.5)
    assert len(find_words(*maps, apart).scores) == 3


def test_stride_scales_words():
    maps = draw_word(empty_maps(), (20, 30))
    two, four = (find_words(*maps, TextConfig(image_size=None, stride=s)) for s in (2, 4))
    np.testing.assert_array_equal(2 * two.quadrilaterals, four.quadrilaterals)


def test_a_component_of_links_alone_and_blank_maps_have_no_word():
    region, affinity = empty_maps()
    affinity += blob(affinity.shape, (40, 30), 6)
    region += 0.5 * affinity
    equal = TextConfig(image_size=None, text_threshold=0.5, low_text=0.5)
    for maps in (empty_maps(), (region, affinity)):
        words = find_words(*maps, equal)
        assert words.quadrilaterals.shape == (0, 4, 2)
        assert words.polygons == ()


def test_a_bent_word_is_followed_by_a_polygon():
    shape = (120, 150)
    maps = draw_word(empty_maps(*shape), (25, 90), 9, angle=-0.9, bend=0.225, sigma=4.0)
    config = TextConfig(image_size=None, polygons=True)
    words = find_words(*maps, config)
    (polygon,) = words.polygons
    assert polygon.shape == (14, 2)
    assert signed_area(polygon) > 0
    text = (maps[0] > 0.4).astype(np.uint8)
    drawn = cv2.fillPoly(np.zeros(shape, np.uint8), [(polygon / 2).round().astype(np.int32)], 1)
    assert (text & drawn).sum() > 0.9 * text.sum()
    assert abs(signed_area(polygon)) < 0.75 * abs(signed_area(words.quadrilaterals[0]))


def test_straight_and_small_words_keep_their_quadrilateral():
    config = TextConfig(image_size=None, polygons=True)
    maps = draw_word(empty_maps(), (20, 30), characters=5)
    draw_word(maps, (80, 50), characters=1, sigma=1.8)
    words = find_words(*maps, config)
    assert len(words.polygons) == 2
    np.testing.assert_array_equal(np.stack(words.polygons), words.quadrilaterals)


@pytest.mark.parametrize("size", [(48, 96), (96, 48), (300, 200)])
def test_words_come_in_pixels_of_the_original_image(size):
    """A letterboxed image fills the upper left corner; a free input is the whole image."""
    height, width = size
    region, affinity = draw_word(empty_maps(32, 32), (8, 6), characters=2, sigma=2.0)
    outputs = {"region": region[..., None], "affinity": affinity[..., None]}
    at = find_words(region, affinity, CONFIG).quadrilaterals
    square = words_in_image(outputs, TextConfig(image_size=64), size)
    scale = np.array([side / round(64 * side / max(size)) for side in (width, height)])
    np.testing.assert_allclose(square.quadrilaterals, at * scale, rtol=1e-5, atol=1e-4)
    free = words_in_image(outputs, CONFIG, size)
    scale = np.array([width, height]) / 64
    np.testing.assert_allclose(free.quadrilaterals, at * scale, rtol=1e-5, atol=1e-4)


def test_the_best_words_are_kept_where_a_number_is_asked_for():
    maps = draw_word(empty_maps(), (10, 10), 2, height=0.8)
    draw_word(maps, (50, 10), 2, height=0.75)
    draw_word(maps, (10, 45), 2)
    outputs = {"region": maps[0], "affinity": maps[1]}
    found = get_task("text_detection", CONFIG.to_dict()).decode(outputs, (128, 192))
    assert [round(p.score, 2) for p in found] == [1.0, 0.8, 0.75]
    assert found[0].label == "text"
    assert found[0].class_index == 0
    x, y = np.transpose(found[0].polygon)
    assert found[0].box == pytest.approx((max(x.min(), 0), y.min(), x.max(), min(y.max(), 128)))
    few = words_in_image(outputs, CONFIG, (128, 192), 2)
    assert few.scores.tolist() == pytest.approx([0.8, 1.0])  # in the order of the map


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"affinity": np.zeros((4, 5, 1))}, "same shape"),
        ({"region": np.full((4, 4, 1), np.nan)}, "must be finite"),
        ({"region": np.zeros((4, 4, 2))}, "must be a map"),
        ({"region": np.zeros((8, 8, 1)), "affinity": np.zeros((8, 8, 1))}, r"\(4, 4\) cells"),
        (None, "mapping with 'region' and 'affinity'"),
    ],
)
def test_wrong_maps_are_refused(change, message):
    outputs = dict.fromkeys(("region", "affinity"), np.zeros((4, 4, 1)))
    outputs = {**outputs, **change} if change is not None else {"region": outputs["region"]}
    config = TextConfig(image_size=32, stride=8)
    with pytest.raises(ValueError, match=message):
        words_in_image(outputs, config, (10, 10))


def test_without_opencv_the_error_names_the_package(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "cv2":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install opencv-python-headless"):
        find_words(*empty_maps(), CONFIG)


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": 100},
        {"image_size": True},
        {"stride": 3},
        {"low_text": 1.5},
        {"link_threshold": "0.4"},
        {"polygons": 1},
    ],
)
def test_config_refuses_what_it_does_not_know(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"`{name}` must"):
        TextConfig(**{"image_size": 64, **options})
    with pytest.raises(ValueError, match="must be a JSON object"):
        TextConfig.from_dict({**CONFIG.to_dict(), "other": 1})
    assert TextConfig.from_dict(CONFIG.to_dict()) == CONFIG
