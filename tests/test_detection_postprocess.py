"""Post-processing of detectors: the detections of slow, obvious implementations of each rule."""

import dataclasses
import math

import numpy as np
import pytest

from newnet_tf.detection.box_coder import encode
from newnet_tf.detection.config import DetectionConfig
from newnet_tf.detection.nms import BLOCK, greedy_nms
from newnet_tf.detection.postprocess import postprocess
from newnet_tf.detection.postprocess_operator import in_pixels

SIZES = (6, 3, 1)
SIZE = (200, 300)  # height and width of the original image


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return width * height / (sum(areas) - width * height)


def slow_nms(rows, threshold):
    """`rows` of (score, class, box), the best first; returns those that stay, of one class."""
    kept = []
    for row in rows:
        if all(iou(row[2], other[2]) <= threshold for other in kept):
            kept.append(row)
    return kept


def slow_postprocess(outputs, config):
    """Rows of (score, class, box in pixels) by the rules in words, one class at a time."""
    height, width = SIZE
    codes, logits = (np.asarray(outputs[name], np.float64) for name in ("boxes", "scores"))
    by_class = [[] for _ in range(config.classes)]
    for i, (cx, cy, w, h) in enumerate(config.anchors.astype(float)):
        t = codes[i] if config.style == "torchvision" else codes[i][[1, 0, 3, 2]]
        x, y = cx + t[0] / 10 * w, cy + t[1] / 10 * h
        w, h = (s * math.exp(min(u / 5, math.log(1000 / 16))) for s, u in ((w, t[2]), (h, t[3])))
        box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        if config.nms != "tf":
            box = tuple(min(max(side, 0.0), 1.0) for side in box)
        if config.score_function == "sigmoid":
            scores = 1 / (1 + np.exp(-logits[i, 1:]))
        else:
            scores = (np.exp(logits[i]) / np.exp(logits[i]).sum())[1:]
        for label, score in enumerate(scores):
            has_area = box[2] > box[0] and box[3] > box[1]
            if score > config.score_threshold and (has_area or config.nms == "torchvision"):
                by_class[label].append((score, label, box))
    for rows in by_class:
        rows.sort(key=lambda row: -row[0])
    if config.nms == "torchvision":
        by_class = [rows[: config.top_k] for rows in by_class]
    if config.nms == "class_offset":
        best = sorted((row for rows in by_class for row in rows), key=lambda row: -row[0])
        least = best[: config.top_k][-1][0]
        by_class = [[row for row in rows if row[0] >= least] for rows in by_class]
    kept = [row for rows in by_class for row in slow_nms(rows, config.iou_threshold)]
    kept = sorted(kept, key=lambda row: -row[0])[: config.max_detections]
    scale = (width, height, width, height)
    clipped = []
    for score, label, box in kept:
        box = tuple(min(max(side, 0.0), 1.0) for side in box)
        if config.nms == "torchvision" or (box[2] > box[0] and box[3] > box[1]):
            box = tuple(side * s for side, s in zip(box, scale, strict=True))
            clipped.append((score, label, box))
    return clipped


def random_outputs(config, seed, spread=2.0):
    random = np.random.default_rng(seed)
    return {
        "boxes": random.normal(0, 2, (config.anchor_count, 4)).astype(np.float32),
        "scores": random.normal(-1, spread, (config.anchor_count, config.columns)).astype(
            np.float32
        ),
    }


@pytest.mark.parametrize("nms", ["class_offset", "torchvision", "tf"])
@pytest.mark.parametrize("style", ["tf", "torchvision"])
@pytest.mark.parametrize(
    "bounds",
    [
        {},
        {"score_threshold": 0.001, "iou_threshold": 0.3, "top_k": 60},
        {"score_threshold": 0.3, "top_k": 25, "max_detections": 7},
    ],
)
def test_detections_equal_those_of_the_slow_rules(nms, style, bounds):
    config = DetectionConfig(
        classes=3, image_size=64, feature_sizes=SIZES, style=style, nms=nms, **bounds
    )
    outputs = random_outputs(config, len(bounds))
    found, expected = postprocess(outputs, config, SIZE), slow_postprocess(outputs, config)
    assert len(found.scores) == len(expected) > 5
    scores, classes, boxes = zip(*expected, strict=True)
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)
    assert found.classes.tolist() == list(classes)
    np.testing.assert_allclose(found.boxes, boxes, atol=2e-3)
    assert [values.dtype for values in found] == [np.float32, np.float32, np.int32]


def test_the_rules_differ_where_candidates_are_limited():
    base = DetectionConfig(
        classes=3, image_size=64, feature_sizes=SIZES, top_k=10, max_detections=1000
    )
    outputs = random_outputs(base, 0)
    counts = [
        len(postprocess(outputs, dataclasses.replace(base, nms=nms)).scores)
        for nms in ("class_offset", "torchvision", "tf")
    ]
    assert counts[0] <= 10 < counts[1] <= 30 < counts[2]


@pytest.mark.parametrize("style", ["tf", "torchvision"])
def test_a_box_comes_back_in_pixels_of_the_original_image(style):
    config = DetectionConfig(classes=2, image_size=64, feature_sizes=SIZES, style=style)
    box = np.array([30, 40, 90, 100], np.float32)  # of an image 200 high and 300 wide
    codes = np.zeros((config.anchor_count, 4), np.float32)
    codes[17] = encode(box / [300, 200, 300, 200], config.anchors[17], style)
    logits = np.full((config.anchor_count, 3), -9, np.float32)
    logits[:, 0] = 9
    logits[17] = (-3, -9, 3)
    found = postprocess({"boxes": codes, "scores": logits}, config, SIZE)
    np.testing.assert_allclose(found.boxes, [box], atol=1e-3)
    assert found.classes.tolist() == [1]
    score = 1 / (1 + math.exp(-3)) if style == "tf" else 1 / (1 + math.exp(-6) + math.exp(-12))
    assert found.scores[0] == pytest.approx(score, abs=1e-6)


def test_no_score_above_the_threshold_is_no_detection():
    for style in ("tf", "torchvision"):
        config = DetectionConfig(classes=2, image_size=64, feature_sizes=SIZES, style=style)
        outputs = random_outputs(config, 0)
        outputs["scores"] = np.add(np.full_like(outputs["scores"], -20), [30, 0, 0])
        found = postprocess(outputs, config, SIZE)
        assert found.boxes.shape == (0, 4)
        assert found.scores.shape == found.classes.shape == (0,)


def test_equal_scores_keep_the_order_of_classes_and_then_anchors():
    config = DetectionConfig(classes=2, image_size=64, feature_sizes=SIZES, top_k=4)
    outputs = {
        "boxes": np.zeros((config.anchor_count, 4), np.float32),
        "scores": np.zeros((config.anchor_count, 3), np.float32),
    }
    found = postprocess(outputs, config)
    first = config.anchors[:4]
    corners = np.concatenate([first[:, :2] - first[:, 2:] / 2, first[:, :2] + first[:, 2:] / 2], 1)
    assert found.classes.tolist() == [0] * len(found.classes)
    np.testing.assert_allclose(found.boxes[0], np.clip(corners[0], 0, 1), atol=1e-6)


def test_a_threshold_of_zero_keeps_every_score():
    config = DetectionConfig(
        classes=1,
        image_size=64,
        feature_sizes=(2, 1),
        score_threshold=0,
        iou_threshold=1.0,
    )
    outputs = random_outputs(config, 0)
    outputs["boxes"][:] = 0
    assert len(postprocess(outputs, config).scores) == config.anchor_count


@pytest.mark.parametrize("n", [0, 1, BLOCK, 3 * BLOCK + 5])
def test_suppression_across_blocks_equals_the_slow_one(n):
    random = np.random.default_rng(n)
    corner = random.uniform(0, 30, (n, 2))
    boxes = np.concatenate([corner, corner + random.uniform(5, 20, (n, 2))], 1)
    classes = random.integers(0, 3, n)
    rows = [(i, classes[i], boxes[i]) for i in range(n)]
    kept = sorted(
        i for label in range(3) for i, _, _ in slow_nms([r for r in rows if r[1] == label], 0.4)
    )
    assert greedy_nms(boxes, classes, 0.4, 1000).tolist() == kept
    assert greedy_nms(boxes, classes, 0.4, 10).tolist() == kept[:10]


def test_boxes_without_area_suppress_nothing():
    boxes = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 2, 2]], np.float32)
    assert greedy_nms(boxes, np.zeros(3, int), 0.5, 10).tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["boxes", "scores"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(name, value):
    config = DetectionConfig(classes=2, image_size=64, feature_sizes=SIZES)
    outputs = random_outputs(config, 0)
    outputs[name][3, 1] = value
    with pytest.raises(ValueError, match=rf"'{name}' must be finite. Received: NaN or infinity"):
        postprocess(outputs, config)


def test_wrong_outputs_are_refused_and_named():
    config = DetectionConfig(classes=2, image_size=64, feature_sizes=SIZES)
    outputs = random_outputs(config, 0)
    with pytest.raises(ValueError, match=r"'boxes' and 'scores'. Received: \['boxes'\]"):
        postprocess({"boxes": outputs["boxes"]}, config)
    with pytest.raises(ValueError, match=r"Received: ndarray"):
        postprocess(outputs["boxes"], config)
    with pytest.raises(ValueError, match=r"'scores' of a detector of 2 classes at 64 .*\(\d+, 2\)"):
        postprocess({**outputs, "scores": outputs["scores"][:, 1:]}, config)


def test_boxes_of_a_very_long_image_lie_in_its_middle():
    """Its ends are cropped before it is stretched: 64 times the short side are seen."""
    boxes = in_pixels(np.array([[0, 0, 1, 1], [0.5, 0.5, 0.75, 1]]), (10, 1000))
    np.testing.assert_allclose(boxes, [[180, 0, 820, 10], [500, 5, 660, 10]])
    np.testing.assert_allclose(in_pixels(np.array([[0, 0, 1, 1]]), (30, 40)), [[0, 0, 40, 30]])
