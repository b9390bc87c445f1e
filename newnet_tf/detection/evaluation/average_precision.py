"""Which detections are right, and the average precision of that. NumPy only.

COCO's figures come from `coco_eval`. Here are those that it does not give: VOC's average precision, and
mean average precision at an IoU of 0.5 of resampled images, for confidence intervals.

A truth is what a dataset says of an image: `{"boxes": (n, 4), "classes": (n,), "difficult": (n,),
"crowd": (n,)}`, boxes as corners x1, y1, x2, y2. Difficult boxes and crowds are ignored: not to detect
them is no miss, to detect them no error. Of a crowd box the IoU is the share of the detection in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from newnet_tf.detection.overlaps import box_ious
from newnet_tf.detection.postprocess import Detections

MATCH_IOU = 0.5
MAX_DETECTIONS = 100  # of a class in an image (COCO)
RECALLS = np.linspace(0.0, 1.0, 101)  # at which COCO reads the precision
EPSILON = np.spacing(1.0)
COCO, VOC = "coco", "voc"
MAX_ELEMENTS = 2_000_000  # of an array of resampled counts


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """The detections of a class in all images, the highest score first.

    Args:
        image: int array (n,), the image of each detection.

        hits: bool array (n,), whether it is right.

        misses: bool array (n,), whether it is wrong; those that are neither are ignored.

        positives: int array (images,), boxes of the class in each image that must be detected.
    """

    image: np.ndarray
    hits: np.ndarray
    misses: np.ndarray
    positives: np.ndarray


def match_detections(
    truths: Sequence[Mapping[str, np.ndarray]],
    detections: Sequence[Detections],
    classes: int,
    rule: str = COCO,
    ignore_difficult: bool = True,
) -> list[ClassMatches]:
    """Finds out which detections are right at an IoU of 0.5.

    Args:
        truths: one mapping for each image, as above.

        detections: `Detections` of each image.

        classes: int, number of classes.

        rule: `"coco"`, each detection takes the best box that no better detection has; `"voc"`, each
            detection takes its best box, and is wrong if another detection has it. Default: `"coco"`.

        ignore_difficult: bool, whether difficult boxes are ignored. Default: True.

    Returns:
        List of `ClassMatches`, one for each class.
    """
    parts: list[list[tuple]] = [[] for _ in range(classes)]
    positives = np.zeros((classes, len(truths)), int)
    for i, (truth, found) in enumerate(zip(truths, detections, strict=True)):
        ignored = np.asarray(truth["crowd"], bool)
        if ignore_difficult:
            ignored = ignored | np.asarray(truth["difficult"], bool)
        np.add.at(positives, (np.asarray(truth["classes"])[~ignored], i), 1)
        for label in np.unique(found.classes):
            of_class = np.flatnonzero(found.classes == label)
            order = of_class[np.argsort(-found.scores[of_class], kind="stable")][:MAX_DETECTIONS]
            own = np.flatnonzero(truth["classes"] == label)
            own = own[np.argsort(ignored[own], kind="stable")]
            crowd = np.asarray(truth["crowd"], bool)[own]
            ious = box_ious(found.boxes[order], truth["boxes"][own], crowd)
            matcher = _match_coco if rule == COCO else _match_voc
            hits, misses = matcher(ious, ignored[own], crowd)
            parts[label].append((np.full(len(order), i), found.scores[order], hits, misses))
    return [_in_order(part, own) for part, own in zip(parts, positives, strict=True)]


def voc_average_precision(matches: ClassMatches) -> float:
    """Returns VOC's average precision from 2010 on: the area under the curve, all points; 0 to 1.

    NaN if there is no box to detect.

    Source: Everingham et al., "The PASCAL Visual Object Classes challenge: a retrospective", IJCV 111
        (2015).
    """
    total = matches.positives.sum()
    if not total:
        return float("nan")
    hits, misses = np.cumsum(matches.hits), np.cumsum(matches.misses)
    precision = hits / np.maximum(hits + misses, 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best * matches.hits).sum() / total)


def resampled_average_precision(matches: Sequence[ClassMatches], counts: np.ndarray) -> np.ndarray:
    """Returns COCO's mean average precision at an IoU of 0.5 with images that count several times.

    Args:
        matches: `ClassMatches` of each class, of the rule `"coco"`.

        counts: int array (samples, images), how often each image counts in each sample.

    Returns:
        float64 array (samples,), 0 to 1: the mean over the classes that a sample has boxes of.
    """
    values = np.full((len(matches), len(counts)), np.nan)
    for value, own in zip(values, matches, strict=True):
        step = max(1, MAX_ELEMENTS // max(1, len(own.image)))
        for start in range(0, len(counts), step):
            part = slice(start, start + step)
            value[part] = precision_at_recalls(own, counts[part]).mean(axis=1)
    defined = ~np.isnan(values)
    return np.nansum(values, axis=0) / np.maximum(defined.sum(axis=0), 1)


def precision_at_recalls(matches: ClassMatches, counts: np.ndarray | None = None) -> np.ndarray:
    """Returns COCO's precision-recall curve of a class at an IoU of 0.5.

    Args:
        matches: `ClassMatches`, of the rule `"coco"`.

        counts: int array (samples, images), how often each image counts in each sample. Default: None,
            one sample in which each image counts once.

    Returns:
        float64 array (samples, 101), 0 to 1: the highest precision at each recall of `RECALLS` or a
        higher one, whose mean is the average precision; NaN for a sample without a box to detect.
    """
    if counts is None:
        counts = np.ones((1, len(matches.positives)), int)
    totals = counts @ matches.positives
    weights = counts[:, matches.image].astype(np.float64)
    hits = np.cumsum(weights * matches.hits, axis=1)
    precision = hits / (hits + np.cumsum(weights * matches.misses, axis=1) + EPSILON)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    precision = np.append(precision, np.zeros((len(counts), 1)), axis=1)
    result = np.full((len(counts), len(RECALLS)), np.nan)
    for i in np.flatnonzero(totals):
        result[i] = precision[i, np.searchsorted(hits[i] / totals[i], RECALLS, side="left")]
    return result


def _match_coco(
    ious: np.ndarray, ignored: np.ndarray, crowd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (right, wrong) of detections in falling order; ignored boxes are the last columns."""
    hits, misses = np.zeros(len(ious), bool), np.ones(len(ious), bool)
    free = np.ones(len(ignored), bool)
    for i in np.flatnonzero((ious >= MATCH_IOU).any(axis=1)):
        close = (ious[i] >= MATCH_IOU) & (free | crowd)
        if (close & ~ignored).any():
            close &= ~ignored
        elif not close.any():
            continue
        best = len(close) - 1 - np.where(close, ious[i], -1)[::-1].argmax()  # the last of equals
        hits[i], misses[i], free[best] = not ignored[best], False, False
    return hits, misses


def _match_voc(
    ious: np.ndarray, ignored: np.ndarray, crowd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (right, wrong) of detections in falling order."""
    hits, misses = np.zeros(len(ious), bool), np.ones(len(ious), bool)
    free = np.ones(len(ignored), bool)
    for i in np.flatnonzero((ious >= MATCH_IOU).any(axis=1)):
        best = ious[i].argmax()
        hits[i] = not ignored[best] and free[best]
        misses[i] = not ignored[best] and not free[best]
        free[best] = False
    return hits, misses


def _in_order(parts: list[tuple], positives: np.ndarray) -> ClassMatches:
    """Returns the detections of a class in all images by falling score."""
    if not parts:
        none = np.zeros(0, bool)
        return ClassMatches(none.astype(int), none, none, positives)
    image, scores, hits, misses = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(-scores, kind="stable")
    return ClassMatches(image[order], hits[order], misses[order], positives)
