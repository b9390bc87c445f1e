"""COCO's average precision and recall, computed by `faster-coco-eval` (extra `detection`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from newnet_tf.detection.evaluation.average_precision import MAX_DETECTIONS
from newnet_tf.detection.postprocess import Detections

IGNORED_AREA = -1.0  # outside of the range of areas that count
AREAS = [0.0, 1e10]


@dataclass(frozen=True, eq=False)
class CocoFigures:
    """Average precision and recall of each class, in 0-1; NaN for a class without a box to detect.

    Args:
        precision: float64 array (10, classes), average precision at an IoU of 0.5, 0.55, ... 0.95.

        recall: float64 array (10, classes), recall with at most 100 detections of a class in an image.
    """

    precision: np.ndarray
    recall: np.ndarray

    @property
    def metrics(self) -> dict[str, float]:
        """Means over the classes in percent: `mAP`, `mAP50`, `mAP75`, `AR100`."""
        defined = ~np.isnan(self.recall[0])
        precision, recall = 100 * self.precision[:, defined], 100 * self.recall[:, defined]
        return {
            "mAP": float(precision.mean()),
            "mAP50": float(precision[0].mean()),
            "mAP75": float(precision[5].mean()),
            "AR100": float(recall.mean()),
        }


def coco_figures(
    truths: Sequence[Mapping[str, np.ndarray]],
    detections: Sequence[Detections],
    classes: int,
    ignore_difficult: bool = True,
) -> CocoFigures:
    """Returns COCO's figures of the detections in some images.

    Args:
        truths: one mapping for each image, see `average_precision`; boxes in pixels.

        detections: `Detections` of each image, in the same pixels.

        classes: int, number of classes.

        ignore_difficult: bool, whether difficult boxes are ignored: not to detect them is no miss, and
            one detection of each no error. Default: True. Crowds always are, as COCO has it.

    Returns:
        `CocoFigures`.

    Raises:
        ValueError: if there is no box to detect.

        ImportError: if faster-coco-eval is not installed.

    Source: Lin et al., "Microsoft COCO: common objects in context", ECCV 2014; https://cocodataset.org.
    """
    dataset, evaluation = import_faster_coco_eval()
    header: dict[str, Any] = {
        "images": [{"id": i} for i in range(len(truths))],
        "categories": [{"id": i, "name": str(i)} for i in range(classes)],
    }
    boxes = _annotations(truths, ignore_difficult)
    if all(box["iscrowd"] or box["area"] == IGNORED_AREA for box in boxes):
        raise ValueError(
            "the images to evaluate on must hold a box that is neither difficult nor a crowd. "
            f"Received: {len(boxes)} boxes in {len(truths)} images"
        )
    run = evaluation(
        dataset({**header, "annotations": boxes}),
        dataset({**header, "annotations": _results(detections)}),
        "bbox",
        print_function=_silent,
    )
    run.params.areaRng, run.params.areaRngLbl = [AREAS], ["all"]
    run.params.maxDets = [MAX_DETECTIONS]
    run.evaluate()
    run.accumulate()
    precision, recall = run.eval["precision"][..., 0, 0], run.eval["recall"][..., 0, 0]
    absent = recall < 0  # -1 stands for no box
    return CocoFigures(
        np.where(absent, np.nan, precision.mean(axis=1)), np.where(absent, np.nan, recall)
    )


def _annotations(truths: Sequence[Mapping[str, np.ndarray]], ignore_difficult: bool) -> list[dict]:
    """Returns the boxes as COCO's annotations; what is ignored but no crowd has no area that counts."""
    annotations = []
    for i, truth in enumerate(truths):
        ignored = np.asarray(truth["difficult"], bool) & ignore_difficult
        columns = (truth["classes"], truth["crowd"], ignored)
        corners, columns = _values(truth["boxes"]), [np.asarray(c).tolist() for c in columns]
        for (x1, y1, x2, y2), label, crowd, difficult in zip(corners, *columns, strict=True):
            width, height = x2 - x1, y2 - y1
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": label,
                    "bbox": [x1, y1, width, height],
                    "area": IGNORED_AREA if difficult else width * height,
                    "iscrowd": int(crowd),
                }
            )
    return annotations


def _results(detections: Sequence[Detections]) -> list[dict]:
    results = []
    for i, found in enumerate(detections):
        rows = zip(_values(found.boxes), found.scores.tolist(), found.classes.tolist(), strict=True)
        for (x1, y1, x2, y2), score, label in rows:
            width, height = x2 - x1, y2 - y1
            results.append(
                {
                    "id": len(results) + 1,
                    "image_id": i,
                    "category_id": label,
                    "bbox": [x1, y1, width, height],
                    "area": width * height,
                    "score": score,
                    "iscrowd": 0,
                }
            )
    return results


def _values(boxes: np.ndarray) -> list[list[float]]:
    return np.asarray(boxes, np.float64).reshape(-1, 4).tolist()


def _silent(*_: object) -> None:
    pass


def import_faster_coco_eval() -> tuple[Any, Any]:
    """Returns (class of a dataset, class of an evaluation); call it before work that needs them.

    Raises:
        ImportError: if faster-coco-eval is not installed.
    """
    try:
        from faster_coco_eval import COCO
        from faster_coco_eval.core.faster_eval_api import COCOeval_faster
    except ImportError as error:
        raise ImportError(
            "COCO's average precision needs faster-coco-eval: pip install faster-coco-eval "
            "(or newnet_tf[detection])"
        ) from error
    return COCO, COCOeval_faster
