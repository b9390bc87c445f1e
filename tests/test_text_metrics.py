"""ICDAR's protocol: hand-made cases, an independent count; merging, results, fidelity, the table."""

import csv

import numpy as np
import pytest
from text_maps import CONFIG, draw_word, empty_maps, random_maps

from newnet_tf.data.host_loader import Sample
from newnet_tf.data.polygons import (
    clockwise,
    convex_hull,
    from_top_left,
    intersection_area,
    is_convex,
    polygon_iou,
    signed_area,
    smallest_rectangle,
    turn_points,
)
from newnet_tf.data.words import make_words, pad_words
from newnet_tf.evaluation.result_table import save_result
from newnet_tf.task import Metrics, get_task
from newnet_tf.text.config import TextConfig
from newnet_tf.text.evaluation.icdar import count_matches, figures
from newnet_tf.text.evaluation.result import TextResult
from newnet_tf.text.postprocess import Words

needs_cv2 = pytest.mark.usefixtures("_cv2")


@pytest.fixture
def _cv2():
    pytest.importorskip("cv2", reason="needs pip install 'newnet_tf[text]'")


def box(x1, y1, x2, y2):
    return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float32)


def turned(polygon, degrees):
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    center = polygon.mean(axis=0)
    return (polygon - center) @ matrix + center


def painted_area(polygons, size=60, fine=4):
    """Returns the area that polygons have in common, by testing points (even-odd rule)."""
    y, x = (np.mgrid[: size * fine, : size * fine] + 0.5) / fine
    inside = np.ones(x.shape, bool)
    for polygon in polygons:
        own = np.zeros(x.shape, bool)
        for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, 1, axis=0), strict=True):
            if y1 != y2:
                own ^= ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
        inside &= own
    return inside.mean() * size**2


ARROW = np.array([(5, 5), (55, 30), (5, 55), (25, 30)], float)  # one corner points inward


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (box(5, 5, 30, 30), box(20, 10, 50, 50)),
        (turned(box(10, 10, 50, 40), 30), box(20, 20, 58, 58)),
        (turned(box(10, 20, 50, 40), 75), turned(box(5, 20, 55, 40), -20)),
        (ARROW, box(10, 10, 40, 50)),
        (ARROW, ARROW[:, ::-1] + (0, 3)),
        (ARROW[::-1], turned(ARROW, 40)),
        (box(1, 1, 9, 9), box(9, 1, 20, 9)),
    ],
)
def test_common_area_equals_that_of_painted_polygons(first, second):
    expected = painted_area([first, second])
    assert intersection_area(first, second) == pytest.approx(expected, rel=0.01, abs=0.5)
    assert intersection_area(second, first) == pytest.approx(intersection_area(first, second))
    union = painted_area([first]) + painted_area([second]) - expected
    assert polygon_iou(first, second) == pytest.approx(expected / union, abs=0.01)


def test_polygons_are_put_in_order():
    square = box(0, 0, 4, 4)
    assert signed_area(square) == 16
    assert signed_area(square[::-1]) == -16
    np.testing.assert_array_equal(clockwise(square[[0, 3, 2, 1]]), square)
    np.testing.assert_array_equal(from_top_left(np.roll(square, 2, axis=0)), square)
    assert is_convex(square)
    assert not is_convex(ARROW)
    points = np.array([(0, 0), (4, 0), (2, 1), (4, 4), (0, 4), (2, 2), (0, 2)])
    np.testing.assert_array_equal(from_top_left(convex_hull(points)), square)


def test_the_smallest_rectangle_is_that_of_the_points():
    corners = from_top_left(turned(box(10, 20, 40, 30), 25))
    points = np.concatenate([corners, corners.mean(axis=0, keepdims=True)])
    np.testing.assert_allclose(smallest_rectangle(points), corners, atol=1e-5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_points_turn_with_the_image(orientation):
    """A marked pixel is where EXIF's definition shows it."""
    image = np.zeros((3, 5), int)
    image[0, 1] = 1
    shown = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.T,
        6: image[::-1].T,
        7: image[::-1, ::-1].T,
        8: image[:, ::-1].T,
    }[orientation]
    y, x = np.argwhere(shown)[0] + 0.5
    assert turn_points([1.5, 0.5], orientation, 3, 5).tolist() == [x, y]


def test_hand_made_cases_are_counted_as_the_protocol_says():
    truth = make_words(
        [box(0, 0, 100, 20), box(0, 40, 100, 60), box(0, 80, 100, 100)], [False, False, True]
    )
    found = [
        box(0, 0, 100, 19),  # the first word
        box(0, 0, 100, 20),  # the same word again: wrong
        box(0, 40, 50, 60),  # half of the second word, IoU 0.5: not more than 0.5
        box(0, 84, 100, 104),  # 16 of 20 rows in the ignored word: does not count
        box(0, 90, 100, 110),  # half of it in the ignored word: counts, wrong
        box(200, 0, 220, 20),  # elsewhere
    ]
    counts, pairs = count_matches(truth, found)
    assert counts == (1, 2, 5)
    assert pairs == [(0, 0)]
    assert figures(counts) == {
        "hmean": pytest.approx(100 * 2 * 0.2 * 0.5 / 0.7),
        "precision": pytest.approx(20.0),
        "recall": pytest.approx(50.0),
    }
    assert set(figures(count_matches(make_words([]), [])[0]).values()) == {0.0}


def test_the_first_fitting_polygon_takes_a_word():
    """Not the best one: so the official script counts, and so the second word is lost here."""
    truth = make_words([box(0, 0, 100, 20), box(0, 5, 100, 25)])
    counts, pairs = count_matches(truth, [box(0, 5, 100, 25), box(0, 17, 100, 37)])
    assert pairs == [(0, 0)]
    assert counts == (1, 2, 2)


def independent_counts(truth, found):
    """Returns (matched, words, found that count) of upright boxes, by areas of pixels."""

    def painted(polygon):
        mask = np.zeros((70, 120), bool)
        (x1, y1), (x2, y2) = polygon[0].astype(int), polygon[2].astype(int)
        mask[y1:y2, x1:x2] = True
        return mask

    words = [painted(polygon) for polygon in truth["polygons"]]
    ignored = [word for word, out in zip(words, truth["ignore"], strict=True) if out]
    real = [word for word, out in zip(words, truth["ignore"], strict=True) if not out]
    masks = [painted(polygon) for polygon in found]
    kept = [m for m in masks if not any((m & word).sum() > 0.5 * m.sum() for word in ignored)]
    used, matched = set(), 0
    for word in real:
        for i, mask in enumerate(kept):
            if i not in used and (word & mask).sum() > 0.5 * (word | mask).sum():
                used.add(i)
                matched += 1
                break
    return matched, len(real), len(kept)


def random_case(seed):
    random = np.random.default_rng(seed)
    corners = random.integers(0, 60, (8, 2))
    sizes = random.integers((10, 4), (50, 10), (8, 2))
    words = [box(*corner, *(corner + size)) for corner, size in zip(corners, sizes, strict=True)]
    moves = random.integers(-3, 4, (8, 2))
    found = [np.clip(word + move, 0, None) for word, move in zip(words, moves, strict=True)]
    extra = [box(*corner, *np.add(corner, (12, 5))) for corner in random.integers(0, 50, (4, 2))]
    order = random.permutation(12)
    return make_words(words, random.random(8) < 0.3), [(found + extra)[i] for i in order]


def test_counts_equal_an_independent_count():
    cases = [random_case(seed) for seed in range(12)]
    counts = [tuple(count_matches(*case)[0]) for case in cases]
    assert counts == [independent_counts(*case) for case in cases]
    assert 0 < sum(c[0] for c in counts) < sum(c[1] for c in counts)


def found_words(polygons):
    quads = np.array(polygons, np.float32).reshape(-1, 4, 2)
    return Words(quads, np.ones(len(quads), np.float32), tuple(quads))


def test_a_result_counts_images_and_prints_readably(tmp_path):
    result = TextResult(
        paths=("a.jpg", "b.jpg"),
        truths=(
            make_words([box(0, 0, 9, 9), box(20, 0, 40, 9)]),
            make_words([box(0, 0, 9, 9), box(20, 0, 40, 9)], [False, True]),
        ),
        words=(found_words([box(0, 0, 9, 9)]), found_words([box(0, 0, 9, 8), box(50, 0, 60, 9)])),
        model="tiny",
        dataset="signs",
        split="test",
    )
    assert str(result).startswith(
        "tiny on signs, test: H-mean 66.7 %, precision 66.7 %, recall 66.7 %, n = 2\n"
        "2 of 3 words found, 1 of 3 polygons wrong, 1 words ignored"
    )
    assert result.image_table()[0] == {
        "image": "a.jpg", "words": 2, "found": 1, "matched": 1, "missed": 1, "wrong": 0,
    }  # fmt: skip
    path = save_result(result, "tiny", "signs", folder=tmp_path)
    with path.open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["hmean"], row["matched"], row["words"], row["ignored"]) == ("66.67", "2", "3", "1")


def batch(seeds):
    """Returns (labels, outputs): true words where the maps of even seeds have them."""
    outputs = np.stack([random_maps(seed, 64, 64, 3) for seed in seeds])
    outputs = {"region": outputs[:, 0, ..., None], "affinity": outputs[:, 1, ..., None]}
    task = get_task("text_detection", TextConfig(image_size=128).to_dict())
    labels = []
    for i, seed in enumerate(seeds):
        own = {name: maps[i] for name, maps in outputs.items()}
        polygons = [p.polygon for p in task.decode(own, (256, 256))]
        labels.append(make_words([] if seed % 2 else polygons))
    label = {**pad_words(labels), "image_sizes": np.full((len(seeds), 2), 256, np.int32)}
    return task, labels, {k: v for k, v in label.items() if k != "text"}, outputs


@needs_cv2
def test_metrics_of_parts_add_up_to_those_of_the_whole():
    task, labels, label, outputs = batch(range(4))
    whole = task.metrics()
    assert isinstance(whole, Metrics)
    with pytest.raises(ValueError, match="readable image"):
        whole.result()
    whole.update(label, outputs)
    parts = [task.metrics() for _ in range(2)]
    for part, rows in zip(parts, (slice(0, 1), slice(1, 4)), strict=True):
        part.update(
            {k: v[rows] for k, v in label.items()}, {k: v[rows] for k, v in outputs.items()}
        )
    restored = task.metrics()
    restored.load_state(parts[1].state())
    total = parts[0] + restored
    assert total.result() == whole.result()
    assert total.images == 4
    found = whole.counts
    assert whole.result()["recall"] == 100
    assert found.matched == sum(len(own["ignore"]) for own in labels) > 0
    assert whole.result()["precision"] == pytest.approx(100 * found.matched / found.found)
    assert found.found > found.matched


@needs_cv2
def test_an_evaluator_gives_the_figures_of_the_metrics():
    task, labels, label, outputs = batch(range(3))
    metrics, evaluator = task.metrics(), task.evaluator()
    metrics.update(label, outputs)
    samples = [Sample(f"{i}.jpg", own, None) for i, own in enumerate(labels)]
    with pytest.raises(ValueError, match="must hold 'image_sizes'"):
        evaluator.update(samples, outputs)
    with pytest.raises(ValueError, match=r"labels must be words.*Received: 3 of x\.jpg"):
        evaluator.update([Sample("x.jpg", 3, None)], {"image_sizes": np.ones((1, 2))})
    evaluator.update(samples, {**outputs, "image_sizes": label["image_sizes"]})
    result = evaluator.result()
    assert result.metrics == metrics.result()
    assert result.counts == metrics.counts
    assert result.paths == ("0.jpg", "1.jpg", "2.jpg")


@needs_cv2
def test_fidelity_tells_equal_maps_from_moved_words():
    task = get_task("text_detection", CONFIG.to_dict())
    maps = np.stack([random_maps(seed, 64, 64, 3) for seed in range(2)])
    reference = {"region": maps[:, 0, ..., None], "affinity": maps[:, 1, ..., None]}
    same = task.fidelity(reference, reference)
    assert same["words"] > 2
    assert (same["cosine"], same["max_normalized_error"]) == (pytest.approx(1), 0)
    assert same["word_agreement"] == same["loose_word_agreement"] == 1
    bounds = task.tolerance("fp32")
    assert set(bounds) < set(same)
    moved = {name: np.roll(values, 6, axis=2) for name, values in reference.items()}
    far = task.fidelity(reference, moved)
    assert far["cosine"] < 0.9
    assert far["loose_word_agreement"] < 0.5
    with pytest.raises(ValueError, match="same shapes"):
        task.fidelity(reference, {name: values[:1] for name, values in reference.items()})
    with pytest.raises(ValueError, match="'region' and 'affinity'"):
        task.fidelity(reference, {"region": reference["region"]})


@needs_cv2
def test_fidelity_without_words_is_full_agreement():
    task = get_task("text_detection", CONFIG.to_dict())
    maps = draw_word(empty_maps(32, 32), (5, 5), height=0.3)[:, None, ..., None]
    outputs = {"region": np.repeat(maps[0], 2, 0), "affinity": 0 * np.repeat(maps[1], 2, 0)}
    assert task.fidelity(outputs, outputs)["word_agreement"] == 1
