"""Times the post-processing of detectors beside the network's own time.

    python -m tools.measure_postprocess detector.tflite --classes 20

Scores are drawn so that an image has `--objects` objects with some 40 anchors above the threshold each,
and background elsewhere: more than `top_k` candidates, the most that is ever processed. Network and
post-processing take turns in one process, on one thread, so that a busy machine slows both down.
"""

import argparse
import time

import numpy as np

from newnet_tf.deploy.interpreter import interpreter_class
from newnet_tf.detection.anchors import anchor_corners
from newnet_tf.detection.box_coder import encode
from newnet_tf.detection.config import STYLES, DetectionConfig
from newnet_tf.detection.overlaps import box_ious
from newnet_tf.detection.postprocess import postprocess

FEATURE_SIZES = (20, 10, 5, 3, 2, 1)  # at 320 pixels
ANCHORS = 40  # that find each object


def crowded_outputs(config: DetectionConfig, objects: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns outputs for an image with many objects, each found by 40 anchors.

    Args:
        config: `DetectionConfig`.

        objects: int, their number.

        seed: int, decides where they are.
    """
    random = np.random.default_rng(seed)
    boxes = random.normal(0, 1, (config.anchor_count, 4)).astype(np.float32)
    scores = random.normal(-8, 1, (config.anchor_count, config.columns)).astype(np.float32)
    scores[:, 0] = 4
    for _ in range(objects):
        side = random.uniform(0.1, 0.5, 2)
        corner = random.uniform(0, 1 - side)
        box = np.concatenate([corner, corner + side])
        ious = box_ious(anchor_corners(config), box[None])
        near = np.argsort(-ious[:, 0])[:ANCHORS]
        noise = random.normal(0, 0.1 * np.tile(side, 2), (ANCHORS, 4))
        boxes[near] = encode(box + noise, config.anchors[near], config.style)
        label = 1 + random.integers(config.classes)
        scores[near, label] = random.normal(0, 1.5, ANCHORS)
        scores[near, 0] = 0
    return {"boxes": boxes, "scores": scores}


def main() -> None:
    """Runs the tool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="TFLite file of a detector at 320 pixels")
    parser.add_argument("--classes", type=int, required=True)
    parser.add_argument("--style", choices=STYLES, default=STYLES[0])
    parser.add_argument("--objects", type=int, default=12)
    parser.add_argument("--runs", type=int, default=60)
    arguments = parser.parse_args()
    config = DetectionConfig(
        classes=arguments.classes,
        image_size=320,
        feature_sizes=FEATURE_SIZES,
        style=arguments.style,
    )
    outputs = crowded_outputs(config, arguments.objects)
    found = postprocess(outputs, config, (480, 640))
    interpreter = interpreter_class()[1](model_path=arguments.file, num_threads=1)
    interpreter.allocate_tensors()
    times: dict[str, list[float]] = {"network": [], "post-processing": []}
    for run in range(arguments.runs + 5):
        for name, call in (
            ("network", interpreter.invoke),
            ("post-processing", lambda: postprocess(outputs, config, (480, 640))),
        ):
            began = time.perf_counter()
            call()
            if run >= 5:  # after a warm-up
                times[name].append(time.perf_counter() - began)
    network, own = (1000 * float(np.median(values)) for values in times.values())
    print(
        f"{config.anchor_count} anchors, {config.classes} classes, {len(found.scores)} detections: "
        f"network {network:.2f} ms, post-processing {own:.2f} ms, {100 * own / network:.1f} %"
    )


if __name__ == "__main__":
    main()
