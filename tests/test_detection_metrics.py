"""Average precision of detections: pycocotools' numbers, hand-made cases, merging, resampling."""

import json

import numpy as np
import pytest

from newnet_tf.detection.config import DetectionConfig
from newnet_tf.detection.evaluation.average_precision import (
    VOC,
    match_detections,
    precision_at_recalls,
    resampled_average_precision,
    voc_average_precision,
)
from newnet_tf.detection.evaluation.coco_eval import coco_figures
from newnet_tf.detection.evaluation.metrics import DetectionMetrics, figures
from newnet_tf.detection.overlaps import box_ious
from newnet_tf.detection.postprocess import Detections
from newnet_tf.detection.training.matching import match

pytest.importorskip("faster_coco_eval")


def truth(boxes=(), classes=None, difficult=None, crowd=None):
    n = len(boxes)
    return {
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "classes": np.array(classes or [0] * n, np.int32),
        "difficult": np.array(difficult or [False] * n, bool),
        "crowd": np.array(crowd or [False] * n, bool),
    }


def found(boxes=(), scores=None, classes=None):
    n = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores or np.linspace(0.9, 0.5, n), np.float32),
        np.array(classes or [0] * n, np.int32),
    )


def random_split(seed, images=25, classes=3, most=110, digits=2):
    """Random boxes, difficult ones and crowds, with detections near them and elsewhere.

    With few `digits` of the scores many of them are equal.
    """
    random = np.random.default_rng(seed)
    truths, detections = [], []
    for _ in range(images):
        n = random.integers(0, 8)
        corner = random.uniform(0, 60, (n, 2))
        boxes = np.concatenate([corner, corner + random.uniform(5, 40, (n, 2))], 1)
        labels = random.integers(0, classes - 1, n)  # the last class has no box
        flags = random.uniform(size=(2, n)) < 0.25
        truths.append(
            truth(boxes, labels.tolist(), (flags[0] & ~flags[1]).tolist(), flags[1].tolist())
        )
        repeats = random.integers(0, 4, n)
        near = np.repeat(boxes, repeats, 0) + random.normal(0, 2.5, (repeats.sum(), 4))
        corner = random.uniform(0, 60, (random.integers(0, most), 2))
        other = np.concatenate([corner, corner + random.uniform(5, 40, corner.shape)], 1)
        rows = np.concatenate([near, other])
        rows[:, 2:] = np.maximum(rows[:, 2:], rows[:, :2] + 1)
        own = np.concatenate([np.repeat(labels, repeats), random.integers(0, classes, len(other))])
        scores = random.uniform(0.001, 1, len(rows)).round(digits)
        order = np.argsort(-scores, kind="stable")
        detections.append(found(rows[order], scores[order].tolist(), own[order].tolist()))
    return truths, detections


def pycocotools_figures(truths, detections, classes, ignore_difficult):
    """(average precision (10, classes), recall (10, classes)) of pycocotools; NaN without a box."""
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")

    def dataset(rows):
        own = coco.COCO()
        own.dataset = {
            "images": [{"id": i} for i in range(len(truths))],
            "categories": [{"id": i} for i in range(classes)],
            "annotations": [{"id": k + 1, **row} for k, row in enumerate(rows)],
        }
        own.createIndex()
        return own

    def row(image, box, label, **more):
        x1, y1, x2, y2 = map(float, box)
        size = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
        return {"image_id": image, "category_id": int(label), **size, **more}

    boxes, results, difficult = [], [], []
    for i, (own, detected) in enumerate(zip(truths, detections, strict=True)):
        for box, label, crowd, hard in zip(
            own["boxes"], own["classes"], own["crowd"], own["difficult"], strict=True
        ):
            boxes.append(row(i, box, label, iscrowd=int(crowd)))
            difficult.append(bool(hard))
        for box, score, label in zip(*detected, strict=True):
            results.append(row(i, box, label, score=float(score)))
    evaluation = cocoeval.COCOeval(dataset(boxes), dataset(results), "bbox")
    prepare = evaluation._prepare

    def with_difficult():
        prepare()
        for annotations in evaluation._gts.values():
            for annotation in annotations:
                if ignore_difficult and difficult[annotation["id"] - 1]:
                    annotation["ignore"] = 1

    evaluation._prepare = with_difficult
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    recall = evaluation.eval["recall"][:, :, 0, -1]
    absent = recall < 0
    return np.where(absent, np.nan, precision.mean(1)), np.where(absent, np.nan, recall)


@pytest.mark.parametrize("ignore_difficult", [True, False])
@pytest.mark.parametrize("seed", [0, 1])
def test_figures_equal_those_of_pycocotools(seed, ignore_difficult, capsys):
    truths, detections = random_split(seed)
    figures = coco_figures(truths, detections, 3, ignore_difficult)
    precision, recall = pycocotools_figures(truths, detections, 3, ignore_difficult)
    np.testing.assert_allclose(figures.precision, precision, atol=1e-9)
    np.testing.assert_allclose(figures.recall, recall, atol=1e-9)
    assert 0.02 < np.nanmean(precision) < 0.9
    assert np.isnan(precision[:, 2]).all()
    assert figures.metrics["mAP75"] == pytest.approx(100 * np.nanmean(precision[5]), abs=1e-7)


def test_more_than_100_detections_of_a_class_count_as_pycocotools_counts_them(capsys):
    truths, detections = random_split(2, images=4, classes=2, most=400)
    assert max((d.classes == 0).sum() for d in detections) > 100
    figures = coco_figures(truths, detections, 2)
    precision, _ = pycocotools_figures(truths, detections, 2, True)
    np.testing.assert_allclose(figures.precision, precision, atol=1e-9)
    matches = match_detections(truths, detections, 2)
    once = np.ones((1, len(truths)), int)
    assert resampled_average_precision(matches, once)[0] == pytest.approx(
        np.nanmean(precision[0]), abs=1e-9
    )


BOX, SECOND = (10, 10, 30, 30), (50, 50, 90, 80)


def test_perfect_detections_score_100_percent():
    values, coco = figures([truth([BOX, SECOND], [0, 1])], [found([BOX, SECOND], None, [0, 1])], 2)
    assert set(values) == {"mAP", "mAP50", "mAP75", "AR100", "VOC_mAP50"}
    assert all(value == pytest.approx(100) for value in values.values())
    assert coco.precision.shape == (10, 2)


def test_no_detections_score_0_percent():
    values, _ = figures([truth([BOX]), truth()], [found(), found()], 1)
    assert set(values.values()) == {0.0}


def test_detections_in_images_without_boxes_are_errors():
    truths = [truth([BOX]), truth()]
    values, _ = figures(truths, [found([BOX], [0.5]), found([BOX], [0.9])], 1)
    assert values["mAP50"] == pytest.approx(50)
    assert values["VOC_mAP50"] == pytest.approx(50)
    assert values["AR100"] == pytest.approx(100)


def test_a_second_detection_of_a_box_is_an_error():
    truths, detections = [truth([BOX, SECOND])], [found([BOX, BOX, SECOND], [0.9, 0.8, 0.7])]
    values, _ = figures(truths, detections, 1)
    # precision 1 up to a recall of 0.5 (51 of COCO's 101 points), then 2/3
    assert values["mAP50"] == pytest.approx(100 * (51 + 50 * 2 / 3) / 101)
    assert values["VOC_mAP50"] == pytest.approx(100 * (0.5 + 0.5 * 2 / 3))


def test_difficult_boxes_are_ignored_and_counted_both():
    truths = [truth([BOX, SECOND], difficult=[False, True])]
    values, _ = figures(truths, [found([SECOND, BOX], [0.9, 0.8])], 1)
    assert values["mAP50"] == values["VOC_mAP50"] == pytest.approx(100)
    assert values["mAP50_with_difficult"] == pytest.approx(100)
    values, _ = figures(truths, [found([BOX], [0.8])], 1)
    assert values["mAP"] == pytest.approx(100)
    assert (
        values["mAP_with_difficult"]
        == values["mAP50_with_difficult"]
        == pytest.approx(100 * 51 / 101)
    )


def test_two_detections_of_a_difficult_box_are_ignored_by_voc():
    """COCO's rule lets only one detection take a box that is ignored."""
    truths = [truth([BOX, SECOND], difficult=[False, True])]
    values, _ = figures(truths, [found([SECOND, SECOND, BOX], [0.9, 0.8, 0.7])], 1)
    assert values["VOC_mAP50"] == pytest.approx(100)
    assert values["mAP50"] == pytest.approx(50)


def test_any_number_of_detections_in_a_crowd_is_ignored():
    truths = [truth([(0, 0, 100, 100), BOX], crowd=[True, False])]
    detections = [found([(50, 50, 60, 60), (70, 70, 90, 90), BOX], [0.9, 0.8, 0.7])]
    values, _ = figures(truths, detections, 1)
    assert values["mAP50"] == values["VOC_mAP50"] == pytest.approx(100)


def test_no_box_to_detect_is_an_error():
    with pytest.raises(ValueError, match=r"neither difficult nor a crowd. Received: 2 boxes in 1"):
        figures([truth([BOX, SECOND], None, [True, False], [False, True])], [found([BOX])], 1)


def test_ious_are_those_of_the_definition():
    ious = box_ious([(0, 0, 4, 4)], [(2, 2, 6, 6), (0, 0, 4, 4), (9, 9, 9, 9), (2, 0, 20, 20)])
    np.testing.assert_allclose(ious[0], [4 / 28, 1, 0, 8 / (16 + 360 - 8)])
    crowd = box_ious([(0, 0, 4, 4)], [(2, 0, 20, 20)], np.array([True]))
    assert crowd[0, 0] == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_of_resampled_images_equals_that_of_repeated_ones(seed):
    truths, detections = random_split(seed, images=8, digits=9)
    random = np.random.default_rng(seed)
    chosen = random.integers(0, 8, (2, 8))
    counts = np.stack([np.bincount(row, minlength=8) for row in chosen])
    values = resampled_average_precision(match_detections(truths, detections, 3), counts)
    for value, count in zip(values, counts, strict=True):
        repeated = np.repeat(np.arange(8), count)
        figures = coco_figures([truths[i] for i in repeated], [detections[i] for i in repeated], 3)
        assert 100 * value == pytest.approx(figures.metrics["mAP50"], abs=1e-7)


def test_precision_over_recall_has_the_average_precision_as_its_mean_and_falls():
    truths, detections = random_split(0)
    matches = match_detections(truths, detections, 3)
    curves = np.concatenate([precision_at_recalls(own) for own in matches])
    figures = coco_figures(truths, detections, 3)
    assert curves.shape == (3, 101)
    np.testing.assert_allclose(curves.mean(axis=1), figures.precision[0], atol=1e-9)
    assert (np.diff(curves[:2], axis=1) <= 0).all()
    one = match_detections([truth([BOX, BOX])], [found([BOX])], 1)[0]
    assert precision_at_recalls(one)[0].round(6).tolist() == [1.0] * 51 + [0.0] * 50


def test_voc_average_precision_without_boxes_is_not_a_number():
    matches = match_detections([truth()], [found([BOX])], 1, VOC)
    assert np.isnan(voc_average_precision(matches[0]))


CONFIG = DetectionConfig(classes=2, image_size=32, feature_sizes=(2, 1))


def batch(random, images=3):
    label = {
        "boxes": np.zeros((images, 2, 4), np.float32),
        "classes": np.full((images, 2), -1, np.int32),
        "difficult": np.zeros((images, 2), bool),
        "crowd": np.zeros((images, 2), bool),
        "image_sizes": np.array([[40, 80]] * images, np.int32),
    }
    label["boxes"][:, 0] = [(20, 10, 60, 30)] * images
    label["classes"][:, 0] = random.integers(0, 2, images)
    label["difficult"][0, 0] = True
    outputs = {
        "boxes": random.normal(0, 1, (images, CONFIG.anchor_count, 4)).astype(np.float32),
        "scores": random.normal(0, 1, (images, CONFIG.anchor_count, 3)).astype(np.float32),
    }
    return label, outputs


def test_metrics_of_workers_add_up_through_json():
    random = np.random.default_rng(0)
    first, second, whole = (DetectionMetrics(CONFIG) for _ in range(3))
    for metrics in (first, second):
        label, outputs = batch(random)
        metrics.update(label, outputs)
        whole.update(label, outputs)
    merged = DetectionMetrics(CONFIG)
    for part in (first, second):
        text = json.dumps(part.state())
        other = DetectionMetrics(CONFIG)
        other.load_state(json.loads(text))
        merged = merged + other
    assert len(text) < 20 * 3 * 100
    assert merged.result() == whole.result()
    assert merged.result()["loss"] > 0


def test_a_detector_that_is_right_scores_100_percent():
    label, _ = batch(np.random.default_rng(0))
    label["difficult"][:] = False
    targets = [
        match(label["boxes"][i, :1] / [80, 40, 80, 40], label["classes"][i, :1], [False], CONFIG)
        for i in range(3)
    ]
    classes = np.stack([target["classes"] for target in targets])
    scores = 20.0 * np.eye(3, dtype=np.float32)[classes] - 10
    metrics = DetectionMetrics(CONFIG)
    metrics.update(label, {"boxes": np.stack([t["boxes"] for t in targets]), "scores": scores})
    result = metrics.result()
    assert result["mAP"] == result["AR100"] == pytest.approx(100)
    assert "mAP_with_difficult" not in result
    assert result["loss"] < 0.01


def test_metrics_of_no_image_are_an_error():
    with pytest.raises(ValueError, match="readable image to test on"):
        DetectionMetrics(CONFIG).result()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faster_coco_eval", None)
    with pytest.raises(ImportError, match=r"pip install faster-coco-eval"):
        coco_figures([truth([BOX])], [found([BOX])], 1)
